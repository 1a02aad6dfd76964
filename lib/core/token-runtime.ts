import { ReplaySubject, Subject, firstValueFrom, from, raceWith, timer } from 'rxjs';
import { AmbientRequests } from './ambient-requests.js';
import type { Clock } from './clock.js';
import { OAuthClientError } from './errors.js';
import type { OAuthClientEvent } from './events.js';
import type { AroundTokenRequest } from './flight-context.js';
import { GuardedStore } from './guarded-store.js';
import { LruMap } from './lru-map.js';
import { OncePerFleet } from './once-per-fleet.js';
import type { TokenLife } from './token-life.js';
import type { TokenStore } from './token-store.js';

const DEFAULT_MAX_ENTRIES = 10_000;
/** How long a flight that was ended may take to give its lock back. */
const STORE_GRACE_MS = 1_000;

/** What all clients of one module instance share; nothing of it lives at module level. */
export class TokenRuntime {
  readonly clock: Clock;
  readonly store: GuardedStore;
  readonly fleet: OncePerFleet;
  readonly tokens: LruMap<TokenLife>;
  readonly ambient = new AmbientRequests();
  readonly events$ = new Subject<OAuthClientEvent>();
  readonly closed$ = new ReplaySubject<never>(1);
  readonly #flights = new Set<Promise<unknown>>();
  #around: AroundTokenRequest = (_client, request) => request();
  #closed = false;

  constructor(store: TokenStore, clock: Clock) {
    this.clock = clock;
    this.tokens = new LruMap(store.maxEntries ?? DEFAULT_MAX_ENTRIES);
    this.store = new GuardedStore(store, clock, (error) =>
      this.events$.next(error ? { type: 'store_unavailable', error } : { type: 'store_recovered' }),
    );
    this.fleet = new OncePerFleet(this.store, clock, this.closed$);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Has every token request from now on run inside `tracer`. */
  trace(tracer: AroundTokenRequest): void {
    const inner = this.#around;
    this.#around = (client, request) => tracer(client, () => inner(client, request));
  }

  readonly around: AroundTokenRequest = (client, request) => this.#around(client, request);

  readonly track = (flight: Promise<unknown>): void => {
    this.#flights.add(flight);
    void flight.finally(() => this.#flights.delete(flight));
  };

  readonly emit = (event: OAuthClientEvent): void => this.events$.next(event);

  /** Refuses new calls, waits for flights up to `graceMs`, then aborts them. */
  async close(graceMs: number): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#settled(graceMs);
    this.closed$.error(closedError());
    await this.#settled(STORE_GRACE_MS);
    await this.store.close();
    this.events$.complete();
  }

  async #settled(withinMs: number): Promise<void> {
    const all = from(Promise.allSettled(this.#flights));
    await firstValueFrom(all.pipe(raceWith(timer(withinMs, this.clock.scheduler))));
  }
}

/** The application is shutting down. */
export function closedError(client?: string): OAuthClientError {
  const whose = client === undefined ? 'The OAuth clients are' : `OAuth client "${client}" is`;
  return new OAuthClientError('closed', `${whose} closed: the application is shutting down.`, { client });
}
