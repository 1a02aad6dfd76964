import { ReplaySubject, Subject, firstValueFrom, from, raceWith, timer } from 'rxjs';
import type { Clock } from './clock.js';
import { OAuthClientError } from './errors.js';
import type { OAuthClientEvent } from './events.js';
import { GuardedStore } from './guarded-store.js';
import { LruMap } from './lru-map.js';
import type { ManagedToken } from './managed-token.js';
import type { TokenRequest } from './token-request.js';
import type { TokenStore } from './token-store.js';

const DEFAULT_MAX_ENTRIES = 10_000;
/** How long a flight that was ended may take to give its lock back. */
const STORE_GRACE_MS = 1_000;

/** What all clients of one module instance share; nothing of it lives at module level. */
export class TokenRuntime {
  readonly clock: Clock;
  readonly store: GuardedStore;
  readonly tokens: LruMap<ManagedToken>;
  readonly events$ = new Subject<OAuthClientEvent>();
  readonly closed$ = new ReplaySubject<never>(1);
  /** The request that the current handler makes for a client, if any. */
  readonly ambient: (client: string) => TokenRequest | undefined;
  readonly #flights = new Set<Promise<unknown>>();
  #closed = false;

  constructor(
    store: TokenStore,
    clock: Clock,
    ambient: (client: string) => TokenRequest | undefined = () => undefined,
  ) {
    this.clock = clock;
    this.ambient = ambient;
    this.tokens = new LruMap(store.maxEntries ?? DEFAULT_MAX_ENTRIES, (token) => token.inFlight);
    this.store = new GuardedStore(store, clock, (error) =>
      this.events$.next(error ? { type: 'store_unavailable', error } : { type: 'store_recovered' }),
    );
  }

  get closed(): boolean {
    return this.#closed;
  }

  readonly track = (flight: Promise<unknown>): void => {
    this.#flights.add(flight);
    void flight.finally(() => {
      this.#flights.delete(flight);
      this.tokens.prune();
    });
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
