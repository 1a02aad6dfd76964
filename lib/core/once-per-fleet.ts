import { NEVER, exhaustMap, filter, firstValueFrom, race, timer, type Observable } from 'rxjs';
import { momentOf, type Clock, type Moment } from './clock.js';
import type { TokenSource } from './events.js';
import type { GuardedStore } from './guarded-store.js';
import { LruMap } from './memory-token-store.js';
import { FlightFailure, failureEntry, failureOf, tooLate } from './flight-failure.js';
import type { TokenKeys } from './token-request.js';
import type { StoredToken } from './token-store.js';

/** A token, and when its request began. This process does not know that of a token from the store. */
export interface AcquiredToken {
  readonly stored: StoredToken;
  readonly source: TokenSource;
  readonly started?: Moment;
}

/**
 * A rotating refresh token, as the holder of its lock sees it. Each request uses it up, and its successor is stored before
 * anything else happens (RFC 6749 §6, RFC 9700 §4.14.2).
 */
export interface KeptGrant {
  readonly refreshToken: string | undefined;
  keep(answer: StoredToken): Promise<void>;
}

/** The state of the fleet when it is this instance's turn to request a token. */
export interface Turn {
  readonly grant: KeptGrant | undefined;
  /** When the wait for it began. */
  readonly since: Moment;
  /** The rejection of another instance's credentials, which may be the same. */
  readonly rejection: FlightFailure | undefined;
}

/** What a flight needs from the fleet. */
export interface FleetTask {
  readonly client: string;
  readonly keys: TokenKeys;
  /** The longest that `work` may take. */
  readonly leaseMs: number;
  /** Whether a token found in the store is as good as a new one. */
  readonly acceptable: (stored: StoredToken) => boolean;
  /** Whether healthy instances should not wait for this one. */
  readonly apart: boolean;
  /** Requests the token, and is ended when another instance has one first. A {@link FlightFailure} may be shared. */
  readonly work: (turn: Turn) => Observable<AcquiredToken>;
}

const POLL_MIN_MS = 20;
const POLL_MAX_MS = 50;
const POLL_BUSY_MAX_MS = 250;
/** After how many looks an instance takes another lock than the one that is held: after about 1.5 s, 5 s, 13 s. */
const PATIENCE = 40;
const NEVER_RELEASED =
  'in the shared store is not given back: look for a ".grant:lock" key that outlives its instance';

/** What a fleet shares of a flight: its lock, result and failure, and the grant's refresh token. */
export class OncePerFleet {
  readonly store: GuardedStore;
  readonly #clock: Clock;
  readonly #closed$: Observable<never>;
  readonly #running = new Set<Promise<unknown>>();
  /** When this instance last shared a failure, by key. */
  readonly #ownFailures = new LruMap<number>(1_000);

  constructor(store: GuardedStore, clock: Clock, closed$: Observable<never>) {
    this.store = store;
    this.#clock = clock;
    this.#closed$ = closed$;
  }

  open(): Promise<void> {
    return this.store.open();
  }

  /** The token of a key: from the store, from the instance that holds the lock, or by the task's work under it. */
  async once(task: FleetTask): Promise<AcquiredToken> {
    const clock = this.#clock;
    const startedAt = clock.monotonic();
    let lookMs = 0;
    for (let looks = 0; ; looks++) {
      const since = momentOf(clock);
      const lock = lockOf(task, looks);
      const locked = await this.store.withLock(lock, task.leaseMs, () => this.#readOrWork(task, since));
      if (locked.outcome === 'acquired') return locked.result;
      // Another instance is asking. After a whole lease this one asks as well, even if the next one holds the lock by
      // then; but no grant is ever used by two at once.
      const waitedMs = clock.monotonic() - startedAt;
      if (waitedMs > task.leaseMs && task.keys.grantKey === undefined) return this.#readOrWork(task, since);
      // A lease and the longest flight; the store has the lock for longer than any holder can need it.
      if (waitedMs > 2 * task.leaseMs - 1_000) throw tooLate(task.client, NEVER_RELEASED, 'lock');
      const pauseMs = pollPauseMs(waitedMs, lookMs) * (0.75 + clock.random() / 2);
      await firstValueFrom(race(timer(pauseMs, clock.scheduler), this.#closed$));
      const lookedAt = clock.monotonic();
      const { found } = await this.#look(task);
      if (found) return found;
      lookMs = clock.monotonic() - lookedAt;
    }
  }

  /** Registers a flight, so that a shutdown can wait for it. */
  track<T>(flight: Promise<T>): Promise<T> {
    const tracked = flight.finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
    return tracked;
  }

  /** Whether the store is down, so that each instance requests its own tokens. */
  get alone(): boolean {
    return this.store.down;
  }

  /** Resolves when everything that runs now has ended, or after `limitMs`. */
  settled(limitMs: number): Promise<unknown> {
    return firstValueFrom(race(Promise.allSettled(this.#running), timer(limitMs, this.#clock.scheduler)));
  }

  close(): Promise<void> {
    return this.store.close();
  }

  async #readOrWork(task: FleetTask, since: Moment): Promise<AcquiredToken> {
    const { key, grantKey } = task.keys;
    const { entry, found } = await this.#look(task);
    if (found) return found;
    const rejection = await this.#failure(`${key}.rejection`);
    try {
      const grant = grantKey === undefined ? undefined : await this.#grant(grantKey);
      const issued = await firstValueFrom(race(task.work({ grant, since, rejection }), this.#others(task)));
      if (issued.source === 'store') return issued;
      const { refreshToken: _, ...token } = issued.stored;
      await this.store.set(key, newerThan(entry, token));
      return issued;
    } catch (reason) {
      if (!(reason instanceof FlightFailure)) throw reason;
      // An instance that was held up for longer than its lease may find that another one had more luck.
      const late = usable(task, await this.store.get(key));
      if (late) return late;
      const shared = reason === rejection ? undefined : failureEntry(reason);
      if (shared) {
        const name = `${key}.${shared.failure?.credentials === undefined ? 'failure' : 'rejection'}`;
        this.#ownFailures.set(name, shared.issuedAt);
        await this.store.set(name, shared);
      }
      throw reason;
    }
  }

  /** A token that another instance stores while this one is requesting its own. */
  #others(task: FleetTask): Observable<AcquiredToken> {
    const { key, grantKey } = task.keys;
    if (grantKey !== undefined) return NEVER; // no other instance may use the grant, and a lost answer would lose it
    return timer(POLL_BUSY_MAX_MS, POLL_BUSY_MAX_MS, this.#clock.scheduler).pipe(
      exhaustMap(async () => usable(task, await this.store.get(key))),
      filter((token) => token !== undefined),
    );
  }

  /** The store's entry, and the token in it that is `found`. Without one, this rejects while a `Retry-After` holds for the fleet. */
  async #look(task: FleetTask) {
    const { key } = task.keys;
    const entry = await this.store.get(key);
    const found = usable(task, entry);
    const failure = found ? undefined : await this.#failure(`${key}.failure`);
    if (failure) throw failure;
    return { entry, found };
  }

  /** The failure that another instance shared under `name`, until it expires. */
  async #failure(name: string): Promise<FlightFailure | undefined> {
    const entry = await this.store.get(name);
    // This instance's own pause is over, or it would not be here. A clock that was set back must not revive it.
    if (!entry || entry.issuedAt !== this.#ownFailures.get(name))
      return entry && failureOf(entry, momentOf(this.#clock));
    await this.store.delete(name);
    return undefined;
  }

  async #grant(key: string): Promise<KeptGrant> {
    let entry = await this.store.get(key);
    return {
      get refreshToken() {
        return entry?.refreshToken;
      },
      keep: (answer) => {
        entry = newerThan(entry, answer);
        return this.store.set(key, entry);
      },
    };
  }
}

function usable({ acceptable }: FleetTask, stored: StoredToken | undefined): AcquiredToken | undefined {
  return stored && acceptable(stored) ? { stored, source: 'store' } : undefined;
}

/** The entry that the lock's holder writes must be newer than the one it found, even if the wall clock was set back. */
function newerThan(found: StoredToken | undefined, token: StoredToken): StoredToken {
  return found && found.issuedAt >= token.issuedAt ? { ...token, issuedAt: found.issuedAt + 1 } : token;
}

/** A twelfth of the wait so far, to see the result soon; longer if many waiters keep the store busy. */
function pollPauseMs(waitedMs: number, lookMs: number): number {
  const pauseMs = Math.max(POLL_MIN_MS, Math.min(waitedMs / 12, POLL_MAX_MS));
  return Math.max(pauseMs, Math.min(10 * lookMs, POLL_BUSY_MAX_MS));
}

/**
 * The lock to wait for. Unhealthy instances have a lock of their own, and each time the wait gets twice as long, there is
 * another one. A grant has a single lock, since no two instances may use it at once.
 */
function lockOf({ keys: { key, grantKey }, apart }: FleetTask, looks: number): string {
  const lane = Math.floor(Math.log2(looks / PATIENCE + 1));
  return grantKey ?? [key, ...(apart ? ['apart'] : []), ...(lane > 0 ? [lane] : [])].join('.');
}
