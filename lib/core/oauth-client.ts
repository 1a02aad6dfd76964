import { Observable, firstValueFrom, map, merge, take } from 'rxjs';
import { aborted$ } from './aborted.js';
import type { AccessToken } from './access-token.js';
import { CoolDown, type RetryOptions } from './backoff.js';
import type { OAuthClientState, OAuthClientStatus } from './events.js';
import type { ManagedTokenContext } from './client-context.js';
import { ManagedToken } from './managed-token.js';
import type { TokenEndpoint } from './token-endpoint.js';
import type { RefreshAheadOptions } from './token-phase.js';
import {
  mergeTokenRequests,
  tokenKey,
  type TokenRequest,
  type TokenRequestDetails,
} from './token-request.js';
import { closedError, type TokenRuntime } from './token-runtime.js';

/** The part of a client's options that its tokens' life depends on. */
export interface TokenLifeOptions {
  refreshAhead: RefreshAheadOptions;
  retry: RetryOptions;
  /** Deadline of one token request, in milliseconds. */
  timeoutMs: number;
}

/** One named client: its tokens, one for each distinct {@link TokenRequest}. */
export class OAuthClient {
  readonly name: string;
  readonly #runtime: TokenRuntime;
  readonly #details: TokenRequestDetails;
  readonly #context: ManagedTokenContext;
  readonly #default: ManagedToken;
  readonly #defaultKey: string;
  #recent: ManagedToken;
  #sent: { token: AccessToken; authorization: string } | undefined;
  #tokenRequests = 0;

  constructor(
    name: string,
    endpoint: TokenEndpoint,
    details: TokenRequestDetails,
    life: TokenLifeOptions,
    runtime: TokenRuntime,
  ) {
    this.name = name;
    this.#runtime = runtime;
    this.#details = detailsOf(details);
    const { clock, store, closed$, emit, track } = runtime;
    this.#context = {
      ...life,
      client: name,
      endpoint,
      clock,
      store,
      closed$,
      emit,
      track,
      retryAfter: new CoolDown(clock),
      onTokenRequest: () => this.#tokenRequests++,
    };
    this.#default = this.#recent = this.#manage(this.#details);
    this.#defaultKey = tokenKey(name, details);
  }

  /**
   * An access token, shared by all callers until it nears its end.
   *
   * @throws {OAuthClientError} when there is none to be had; an aborted wait rejects with the signal's reason.
   */
  getToken(request?: TokenRequest): Promise<AccessToken> {
    if (this.#runtime.closed) return Promise.reject(closedError(this.name));
    const managed = this.managed(request);
    const signal = request?.signal;
    if (signal === undefined) return managed.get(request?.forceRefresh === true);
    return firstValueFrom(this.token$(request));
  }

  /** The same as an observable: one token, then it completes. Unsubscribing ends this wait only. */
  token$(request?: TokenRequest): Observable<AccessToken> {
    return new Observable<AccessToken>((subscriber) => {
      if (this.#runtime.closed) return subscriber.error(closedError(this.name));
      const signal = request?.signal;
      const token$ = this.managed(request).token$(request?.forceRefresh === true);
      if (signal === undefined) return token$.subscribe(subscriber);
      const reason$ = aborted$(signal).pipe(
        map((reason): never => {
          throw reason;
        }),
      );
      return merge(reason$, token$).pipe(take(1)).subscribe(subscriber);
    });
  }

  /** Forgets the token an API rejected, if it is still the present one; without `rejected`, every token of this client. */
  invalidate(rejected?: AccessToken): void {
    for (const managed of this.#all()) {
      if (rejected === undefined) managed.giveUp();
      else if (managed.held?.token.value === rejected.value) managed.invalidate('rejected');
    }
  }

  /** @internal Tokens bound to what was replaced are of no use any more; one on its way is bound to what came instead. */
  forget(): void {
    for (const managed of this.#all()) managed.invalidate('forced');
  }

  /** How the client fares: its default token, or, where that was never asked for, the one used last. */
  status(): OAuthClientStatus {
    const used = this.#default.used ? this.#default : this.#recent;
    const { held, coolDown } = used;
    const backoffMs = coolDown.remainingMs;
    return {
      client: this.name,
      state: stateOf(used),
      ...(held && {
        expiresAt: held.token.expiresAt,
        acquiredAt: new Date(held.acquiredAt),
        refreshAt: new Date(held.refreshAt),
      }),
      ...(backoffMs > 0 && { backoffUntil: new Date(this.#context.clock.now() + backoffMs) }),
      ...(coolDown.error && { lastError: { code: coolDown.error.code, at: new Date(coolDown.failedAt) } }),
      tokenRequests: this.#tokenRequests,
    };
  }

  /**
   * @internal The token's `Authorization` header. The one sent last is kept: to join its pieces again would take longer
   * than everything else a request needs of us.
   */
  authorizationOf(token: AccessToken): string {
    if (this.#sent?.token !== token) this.#sent = { token, authorization: token.authorization };
    return this.#sent.authorization;
  }

  /** @internal */
  get closed(): boolean {
    return this.#runtime.closed;
  }

  /** @internal The token's own life behind a request, for the interceptor. */
  managed(request?: TokenRequest): ManagedToken {
    const ambient = this.#runtime.ambient(this.name);
    if (ambient === undefined && request === undefined) return this.#default;
    const asked = mergeTokenRequests(ambient, request);
    if (asked === undefined || isPlain(asked)) return this.#default;
    const details = detailsOf(mergeTokenRequests(this.#details, asked));
    const key = tokenKey(this.name, details);
    if (key === this.#defaultKey) return this.#default;
    let managed = this.#runtime.tokens.get(key);
    if (managed === undefined) {
      managed = this.#manage(details);
      this.#runtime.tokens.set(key, managed);
    }
    return (this.#recent = managed);
  }

  #manage(details: TokenRequestDetails): ManagedToken {
    return new ManagedToken(this.#context, details);
  }

  *#all(): Iterable<ManagedToken> {
    yield this.#default;
    for (const managed of this.#runtime.tokens.values()) if (managed.client === this.name) yield managed;
  }
}

function stateOf(managed: ManagedToken): OAuthClientState {
  const { phase, failing, inFlight } = managed;
  const usable = phase !== 'none' && phase !== 'expired';
  if (failing) return usable ? 'degraded' : 'down';
  if (inFlight) return 'refreshing';
  return usable ? 'fresh' : 'idle';
}

function isPlain({ scope, audience, resource, parameters, subjectToken }: TokenRequestDetails): boolean {
  return (scope ?? audience ?? resource ?? parameters ?? subjectToken) === undefined;
}

function detailsOf({
  scope,
  audience,
  resource,
  parameters,
  subjectToken,
}: TokenRequest): TokenRequestDetails {
  return { scope, audience, resource, parameters, subjectToken };
}
