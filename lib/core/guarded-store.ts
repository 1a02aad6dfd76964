import { randomUUID } from 'node:crypto';
import { defer, exhaustMap, first, firstValueFrom, timer, type Subscription } from 'rxjs';
import { whileAwake, type Clock } from './clock.js';
import { LruMap, MemoryTokenStore } from './memory-token-store.js';
import { isSound } from './sound-entry.js';
import type { LockOutcome, StoredToken, TokenStore } from './token-store.js';

const PROBE_INTERVAL_MS = 1_000;
/** How long a shared store may take for one operation. `RedisTokenStore` has a shorter deadline of its own. */
const LIMIT_MS = 5_000;

/** Without `error`: if the store fails, the work is done without it. */
type GuardedOutcome<T> = Exclude<LockOutcome<T>, { outcome: 'error' }>;

/**
 * Protects callers from a failing store. Once an operation fails, the store, or the part of it that has the key, counts as
 * down and is skipped, so a call pays for the failure at most once. A probe in the background finds out when it is up again,
 * and then writes what it missed. Meanwhile locks hold within this process, and refresh tokens, which cannot be replaced,
 * are kept in memory.
 */
export class GuardedStore {
  readonly #store: TokenStore;
  readonly #clock: Clock;
  readonly #onChange: (failure: Error | undefined) => void;
  /** The last waiter for the lock of each key. */
  readonly #turns = new Map<string, Promise<void>>();
  /** The newest entry with a refresh token of each grant, for the grants used last. */
  readonly #grants = new LruMap<StoredToken>(10_000);
  /** The writes that the store missed while it was down, in their order: the last entry of each key, and removed values. */
  readonly #missed = new LruMap<Missed>(1_000);
  /** The probes of the parts that are down. */
  readonly #probes = new Map<string, Subscription>();
  readonly #probeSuffix = `.probe-${randomUUID()}`;
  #closed = false;

  constructor(store: TokenStore, clock: Clock, onChange: (failure: Error | undefined) => void) {
    this.#store = store;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** Whether other processes may use the same store. */
  get shared(): boolean {
    return !(this.#store instanceof MemoryTokenStore);
  }

  /** Whether any part of the store is down. */
  get down(): boolean {
    return this.#probes.size > 0;
  }

  /** Connects the store, and finds out whether it can be used before a call has to. */
  async open(): Promise<void> {
    if (this.#store.open === undefined) return;
    await this.#attempt('open', async () => {
      await this.#store.open?.(() => this.#restore());
      await this.#probe('open');
    });
  }

  async get(key: string): Promise<StoredToken | undefined> {
    const entry = await this.#attempt(key, () => this.#store.get(key));
    const found = entry !== undefined && isSound(key, entry) ? entry : undefined;
    const kept = this.#grants.get(key);
    if (kept === undefined || (found && found.issuedAt >= kept.issuedAt)) return found;
    // The store lost the newest refresh token, or never had it. The one that it has was used before.
    await this.set(key, kept);
    return kept;
  }

  async set(key: string, token: StoredToken): Promise<void> {
    if (token.refreshToken !== undefined) this.#grants.set(key, token);
    await this.#attempt(key, () => this.#store.set(key, token), { name: `set ${key}`, token });
  }

  async delete(key: string, ifValue?: string): Promise<void> {
    const missed = this.#missed.get(`set ${key}`);
    if (ifValue === undefined || missed?.token?.value === ifValue) this.#missed.delete(`set ${key}`);
    const name = `delete ${key} ${ifValue ?? ''}`;
    await this.#attempt(key, () => this.#store.delete(key, ifValue), { name });
  }

  /**
   * Runs `work` under the lock of `key`, one after the other in this process; without the store's part while that
   * is down. Rejects only with what `work` rejects with.
   */
  async withLock<T>(key: string, ttlMs: number, work: () => Promise<T>): Promise<GuardedOutcome<T>> {
    const locked = Promise.resolve(this.#turns.get(key)).then(() => this.#lock(key, ttlMs, work));
    const over = () => {
      if (this.#turns.get(key) === turn) this.#turns.delete(key);
    };
    const turn = locked.then(over, over);
    this.#turns.set(key, turn);
    return locked;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const probe of this.#probes.values()) probe.unsubscribe();
    await this.#within(async () => this.#store.close?.()).catch(() => undefined);
  }

  async #lock<T>(key: string, ttlMs: number, work: () => Promise<T>): Promise<GuardedOutcome<T>> {
    const part = this.#partOf(key);
    let working: Promise<T> | undefined;
    let begun: (() => void) | undefined;
    // A lock that is granted too late finds the work done.
    const start = () => {
      begun?.();
      return (working ??= work());
    };
    if (this.#isUp(part))
      try {
        const hasBegun = new Promise<void>((resolve) => (begun = resolve));
        const answer = Promise.resolve(this.#store.withLock(key, ttlMs, start));
        answer.catch(() => undefined); // handled below, unless it comes too late
        await this.#within(() => Promise.race([answer, hasBegun]));
        await Promise.resolve(working).catch(() => undefined); // rejects below, after the lock was released
        const locked = await this.#within(() => answer);
        if (locked.outcome === 'held' && !working) return locked;
        if (locked.outcome === 'error') this.#fail(part, key, locked.error);
        else if (locked.outcome !== 'acquired' || !working) this.#fail(part, key, new Error(NO_OUTCOME));
        else if (locked.unreleased !== undefined) this.#fail(part, key, locked.unreleased);
      } catch (error) {
        await working; // rejects if the work did; else the store failed
        this.#fail(part, key, error);
      }
    return { outcome: 'acquired', result: await start() };
  }

  /** @param write describes an operation that the store must not miss */
  async #attempt<T>(key: string, operation: () => Promise<T>, write?: Pick<Missed, 'name' | 'token'>) {
    const part = this.#partOf(key); // it may be elsewhere when the operation has failed
    if (this.#isUp(part))
      try {
        return await this.#within(operation);
      } catch (error) {
        this.#fail(part, key, error);
      }
    if (write) this.#missed.set(write.name, { ...write, key, operation });
    return undefined;
  }

  #isUp(part: string): boolean {
    return !this.#probes.has(part) && !this.#closed;
  }

  /** A store of the user's own may never answer, or throw at once. */
  async #within<T>(operation: () => T | Promise<T>): Promise<T> {
    if (!this.shared) return operation();
    const late = () => new Error(`The token store did not answer within ${LIMIT_MS} ms.`);
    return firstValueFrom(defer(async () => operation()).pipe(whileAwake(LIMIT_MS, this.#clock, late)));
  }

  #partOf(key: string): string {
    return this.#store.partOf?.(key) ?? '';
  }

  #fail(part: string, key: string, reason: unknown): void {
    if (!this.#isUp(part)) return;
    const wasUp = !this.down;
    const recovers = async () => {
      await this.#probe(key);
      await this.#catchUp(part);
      return true;
    };
    const probe = timer(PROBE_INTERVAL_MS, PROBE_INTERVAL_MS, this.#clock.scheduler)
      .pipe(
        exhaustMap(() => this.#within(recovers).catch(() => false)),
        first(Boolean),
      )
      .subscribe(() => {
        this.#probes.delete(part);
        if (!this.down) this.#onChange(undefined);
      });
    this.#probes.set(part, probe);
    if (wasUp) this.#onChange(reason instanceof Error ? reason : new Error('The token store failed.'));
  }

  /** Tries every operation on a key of this instance next to the one that failed. */
  async #probe(key: string): Promise<void> {
    const store = this.#store;
    const probed = key + this.#probeSuffix;
    const issuedAt = this.#clock.now();
    const expiresAt = issuedAt + PROBE_INTERVAL_MS;
    const entry: StoredToken = { value: 'probe', tokenType: 'Bearer', issuedAt, expiresAt };
    const locked = await store.withLock(probed, PROBE_INTERVAL_MS, async () => {
      await store.set(probed, entry);
      await store.get(probed);
      await store.delete(probed, entry.value);
      await store.get(key);
    });
    if (locked.outcome !== 'acquired' || locked.unreleased !== undefined)
      throw new Error('The probe failed.');
  }

  /** Writes what that part missed. Writes that fail meanwhile are added at the end. */
  async #catchUp(part: string): Promise<void> {
    for (const missed of this.#missed.values()) {
      const { name, key, operation, token } = missed;
      if (this.#partOf(key) !== part) continue;
      const isOver = token && token.refreshToken === undefined && token.expiresAt <= this.#clock.now();
      if (!isOver) await operation();
      if (this.#missed.get(name) === missed) this.#missed.delete(name);
    }
  }

  /** The store may have older refresh tokens than this instance, which were used before. */
  #restore(): void {
    const grants = [...this.#grants.entries()]; // each write moves its own
    for (const [key, token] of grants) void this.set(key, token);
  }
}

const NO_OUTCOME = 'The token store answered a request for a lock with no outcome.';

/** A write, with the entry that it writes. */
interface Missed {
  readonly name: string;
  readonly key: string;
  readonly operation: () => Promise<unknown>;
  readonly token?: StoredToken;
}
