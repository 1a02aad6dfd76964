import { Inject, Injectable, type MessageEvent } from '@nestjs/common';
import {
  OAuthTokenService,
  type OAuthClientErrorCode,
  type OAuthClientEvent,
  type OAuthClientStatus,
  type TokenRequestReason,
} from 'nestjs-oauth-client';
import {
  ReplaySubject,
  concatMap,
  exhaustMap,
  ignoreElements,
  interval,
  map,
  merge,
  share,
  startWith,
  timer,
  type Observable,
} from 'rxjs';
import { PARTNER_ROUTES } from '../partners/partner-routes.js';
import type { PartnerSandbox } from '../partners/partner-sandbox.js';
import type { Sandboxes } from '../partners/start-sandboxes.js';
import { ClinicViews } from './clinic-views.js';
import { PartnerCalls, type CallCount } from './partner-calls.js';
import { SANDBOXES } from './sandboxes.token.js';

/** A token event as the page shows it. `at` in epoch milliseconds. */
export interface TokenEvent {
  at: number;
  type: OAuthClientEvent['type'];
  client?: string;
  tenant?: string;
  reason?: TokenRequestReason;
  durationMs?: number;
  code?: OAuthClientErrorCode;
}

type SandboxView = Pick<PartnerSandbox, 'downForMs' | 'tokenLifetimeMs' | 'refusedCalls'>;

/** A partner as the page shows it; of its errors the last one, over or not. */
export interface PartnerView extends OAuthClientStatus, CallCount {
  name: string;
  by: 'HttpService' | 'fetch';
  path: string;
  lastRefresh?: TokenEvent;
  lastFailure?: TokenEvent;
  /** Missing for the real partner. */
  sandbox?: SandboxView;
}

const PERIOD_MS = 250;
const EVENTS_KEPT = 50;

/** What the page at `/` is told. */
@Injectable()
export class LiveService {
  readonly #events = new ReplaySubject<TokenEvent>(EVENTS_KEPT);
  readonly #last = new Map<string, Pick<PartnerView, 'lastRefresh' | 'lastFailure'>>();
  readonly #traffic: Observable<never>;

  constructor(
    private readonly tokens: OAuthTokenService,
    private readonly calls: PartnerCalls,
    private readonly clinics: ClinicViews,
    @Inject(SANDBOXES) private readonly sandboxes: Sandboxes,
  ) {
    tokens.events$.pipe(map(tokenEvent)).subscribe(this.#events);
    this.#events.subscribe((event) => this.#note(event));
    const called = PARTNER_ROUTES.filter(({ client }) => sandboxes[client]).map(({ path }) => path);
    const callers = [
      ...called.map((path) => this.#callSteadily(() => [path])),
      this.#callSteadily(() => clinics.paths()),
    ];
    this.#traffic = merge(...callers).pipe(share());
  }

  /** The latest events, every new one, and four times a second how the partners fare. Meanwhile the sandboxes get calls. */
  watch(): Observable<MessageEvent> {
    return merge(
      interval(PERIOD_MS).pipe(
        startWith(0),
        concatMap(() => [
          { type: 'partners', data: this.partners() },
          { type: 'clinics', data: this.clinics.all() },
        ]),
      ),
      this.#events.pipe(map((data) => ({ type: 'token', data }))),
      this.#traffic,
    );
  }

  partners(): PartnerView[] {
    const status = new Map(this.tokens.status().map((each) => [each.client, each]));
    return PARTNER_ROUTES.map(({ client, name, by, path }) => {
      const sandbox = this.sandboxes[client];
      return {
        ...status.get(client)!,
        ...this.calls.count(client),
        ...this.#last.get(client),
        name,
        by,
        path,
        ...(sandbox && { sandbox: shownOf(sandbox) }),
      };
    });
  }

  #callSteadily(paths: () => string[]): Observable<never> {
    return timer(0, PERIOD_MS).pipe(
      exhaustMap(() => Promise.all(paths().map((path) => this.calls.make(path, 1)))),
      ignoreElements(),
    );
  }

  #note(event: TokenEvent): void {
    if (event.client === undefined) return;
    const last = this.#last.get(event.client);
    if (event.type === 'token_acquired') this.#last.set(event.client, { ...last, lastRefresh: event });
    if (event.code !== undefined) this.#last.set(event.client, { ...last, lastFailure: event });
  }
}

function shownOf({ downForMs, tokenLifetimeMs, refusedCalls }: PartnerSandbox): SandboxView {
  return { downForMs, tokenLifetimeMs, refusedCalls };
}

/** Picks what may be shown; an error's text may be a server's. */
function tokenEvent(event: OAuthClientEvent): TokenEvent {
  const { type } = event;
  const at = Date.now();
  if (!('client' in event)) return { at, type };
  const { client, tenant, reason } = event;
  return {
    at,
    type,
    client,
    ...(tenant !== undefined && { tenant }),
    reason,
    ...('durationMs' in event && { durationMs: Math.round(event.durationMs) }),
    ...('error' in event && { code: event.error.code }),
  };
}
