import { firstValueFrom, raceWith, timer, type Observable } from 'rxjs';
import { momentOf, type Clock, type Moment } from './clock.js';
import type { TokenSource } from './events.js';
import type { GuardedStore } from './guarded-store.js';
import { FlightFailure, failureEntry, failureOf } from './shared-failure.js';
import type { TokenKeys } from './token-endpoint.js';
import type { StoredToken } from './token-store.js';

/** What the authorization server issued, and when its request began. */
export interface IssuedToken {
  readonly stored: StoredToken;
  readonly started: Moment;
}

/** A token as it was acquired; one from the store has no `started` that this process knows. */
export interface AcquiredToken {
  readonly stored: StoredToken;
  readonly source: TokenSource;
  readonly started?: Moment;
}

/**
 * The refresh token behind all tokens of a client that rotates, for one holder of its lock: each request uses it up,
 * and its successor is kept before anything else happens (RFC 6749 §6, RFC 9700 §4.14.2).
 */
export interface KeptGrant {
  readonly refreshToken: string | undefined;
  keep(answer: StoredToken): Promise<void>;
}

/** What is to be done once in a fleet. */
export interface Errand {
  readonly client: string;
  readonly keys: TokenKeys;
  /** The longest that `work` may take. */
  readonly leaseMs: number;
  /** When this instance failed last (epoch milliseconds), if it did: its own failure is no news to it. */
  readonly failedAt: number | undefined;
  /** Whether a token found in the store is as good as a new one. */
  readonly acceptable: (stored: StoredToken) => boolean;
  /** Asks for the token. `since`: when the wait for its turn began. Rejects with a {@link FlightFailure} to be shared. */
  readonly work: (grant: KeptGrant | undefined, since: Moment) => Promise<IssuedToken>;
}

const POLL_MIN_MS = 20;
const POLL_MAX_MS = 50;
const POLL_BUSY_MAX_MS = 250;

/** What the instances of a fleet share of a flight: the lock, its result, its failure, and the grant. */
export class OncePerFleet {
  readonly #store: GuardedStore;
  readonly #clock: Clock;
  readonly #closed$: Observable<never>;

  constructor(store: GuardedStore, clock: Clock, closed$: Observable<never>) {
    this.#store = store;
    this.#clock = clock;
    this.#closed$ = closed$;
  }

  /** The token of the errand's key: from the store, from the instance that holds the lock, or by `work` under it. */
  async once(errand: Errand): Promise<AcquiredToken> {
    const { keys, leaseMs } = errand;
    const clock = this.#clock;
    const startedAt = clock.monotonic();
    let lookMs = 0;
    for (;;) {
      const since = momentOf(clock);
      const locked = await this.#store.withLock(keys.grantKey ?? keys.key, leaseMs, () =>
        this.#readOrWork(errand, since),
      );
      if (locked.outcome === 'acquired') return locked.result;
      // Another instance is asking. The lease bounds this wait: once it is over the lock is free.
      const pauseMs = pollPauseMs(clock.monotonic() - startedAt, lookMs) * (0.75 + clock.random() / 2);
      await firstValueFrom(timer(pauseMs, clock.scheduler).pipe(raceWith(this.#closed$)));
      const lookedAt = clock.monotonic();
      const { acquired } = await this.#read(errand);
      if (acquired) return acquired;
      lookMs = clock.monotonic() - lookedAt;
    }
  }

  /** Removes the key's token from the store; with `value` only that one. */
  forget(key: string, value: string | undefined): Promise<void> {
    return this.#store.delete(key, value);
  }

  async #readOrWork(errand: Errand, since: Moment): Promise<AcquiredToken> {
    const { keys, acceptable, work } = errand;
    const { entry, acquired } = await this.#read(errand);
    if (acquired) return acquired;
    try {
      const issued = await work(
        keys.grantKey === undefined ? undefined : await this.#grant(keys.grantKey),
        since,
      );
      const { refreshToken: _, ...token } = issued.stored;
      await this.#store.set(keys.key, newerThan(entry, token));
      return { ...issued, source: 'authorization_server' };
    } catch (reason) {
      if (!(reason instanceof FlightFailure)) throw reason;
      // An instance that was held up for longer than its lease may find that another one had more luck.
      const late = await this.#store.get(keys.key);
      if (late && acceptable(late)) return { stored: late, source: 'store' };
      const shared = failureEntry(reason);
      if (shared) await this.#store.set(failureKey(keys.key), shared);
      throw reason;
    }
  }

  /** What the store holds: a token that will do, or at least the entry to replace; rejects while the fleet cools down. */
  async #read(errand: Errand): Promise<{ entry?: StoredToken | undefined; acquired?: AcquiredToken }> {
    const entry = await this.#store.get(errand.keys.key);
    if (entry && errand.acceptable(entry)) return { acquired: { stored: entry, source: 'store' } };
    await this.#respectSharedFailure(errand);
    return { entry };
  }

  /** A cool-down that another instance began holds for this one. */
  async #respectSharedFailure({ client, keys, failedAt }: Errand): Promise<void> {
    const entry = await this.#store.get(failureKey(keys.key));
    if (!entry) return;
    // This instance's own cool-down is over, or it would not ask; a clock set back since must not revive it.
    if (entry.issuedAt === failedAt) return this.#store.delete(failureKey(keys.key));
    const now = momentOf(this.#clock);
    const remainingMs = Math.min(entry.expiresAt - now.wall, entry.expiresAt - entry.issuedAt);
    const error = remainingMs > 0 ? failureOf(entry, client, remainingMs) : undefined;
    if (error) throw new FlightFailure(error, now, remainingMs);
  }

  async #grant(key: string): Promise<KeptGrant> {
    let entry = await this.#store.get(key);
    return {
      get refreshToken() {
        return entry?.refreshToken;
      },
      keep: (answer) => {
        entry = newerThan(entry, answer);
        return this.#store.set(key, entry);
      },
    };
  }
}

/** The holder of the lock writes something newer than it found, also when the wall clock was set back in between. */
function newerThan(found: StoredToken | undefined, token: StoredToken): StoredToken {
  return found && found.issuedAt >= token.issuedAt ? { ...token, issuedAt: found.issuedAt + 1 } : token;
}

/** A twelfth of the wait so far, so that the result is seen soon; longer when many waiters keep the store busy. */
function pollPauseMs(waitedMs: number, lookMs: number): number {
  const pauseMs = Math.max(POLL_MIN_MS, Math.min(waitedMs / 12, POLL_MAX_MS));
  return Math.max(pauseMs, Math.min(10 * lookMs, POLL_BUSY_MAX_MS));
}

function failureKey(key: string): string {
  return `${key}.failure`;
}
