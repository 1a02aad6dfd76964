import { EMPTY, type Subscription, catchError, defer, exhaustMap, filter, take, timer } from 'rxjs';
import type { Clock } from './clock.js';
import { MemoryTokenStore } from './memory-token-store.js';
import type { LockOutcome, StoredToken, TokenStore } from './token-store.js';

const PROBE_INTERVAL_MS = 1_000;
const PROBE_KEY = 'probe';

/** A store that failed is no outcome here: the work is done without it. */
type GuardedOutcome<T> = Exclude<LockOutcome<T>, { outcome: 'error' }>;

/**
 * A store that cannot hurt: once an operation fails it counts as down and is skipped, so a call pays for the
 * failure at most once, until a probe behind the scenes succeeds. Meanwhile locks hold within this process, and
 * refresh tokens, of which no server gives out another, are kept here.
 */
export class GuardedStore {
  readonly #store: TokenStore;
  readonly #clock: Clock;
  readonly #onChange: (failure: Error | undefined) => void;
  /** The last one to ask for the lock of each key. */
  readonly #turns = new Map<string, Promise<void>>();
  /** The newest entries with a refresh token that came this way, one for each grant. */
  readonly #grants = new Map<string, { token: StoredToken; saved: boolean }>();
  #probing: Subscription | undefined;
  #closed = false;

  constructor(store: TokenStore, clock: Clock, onChange: (failure: Error | undefined) => void) {
    this.#store = store;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** Whether it is more than this process's memory. */
  get shared(): boolean {
    return !(this.#store instanceof MemoryTokenStore);
  }

  get down(): boolean {
    return this.#probing !== undefined;
  }

  async get(key: string): Promise<StoredToken | undefined> {
    const found = await this.#attempt(() => this.#store.get(key));
    const kept = this.#grants.get(key)?.token;
    return kept && !(found && found.issuedAt >= kept.issuedAt) ? kept : found;
  }

  async set(key: string, token: StoredToken): Promise<void> {
    const grant = { token, saved: false };
    if (token.refreshToken !== undefined) this.#grants.set(key, grant);
    await this.#attempt(async () => {
      await this.#store.set(key, token);
      grant.saved = true;
    });
  }

  async delete(key: string, ifValue?: string): Promise<void> {
    return this.#attempt(() => this.#store.delete(key, ifValue));
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
    this.#probing?.unsubscribe();
    await this.#store.close?.().catch(() => undefined);
  }

  async #lock<T>(key: string, ttlMs: number, work: () => Promise<T>): Promise<GuardedOutcome<T>> {
    let working: Promise<T> | undefined;
    if (!this.down) {
      try {
        const outcome = await this.#store.withLock(key, ttlMs, () => (working = work()));
        if (outcome.outcome !== 'error') return outcome;
        this.#fail(outcome.error);
      } catch (error) {
        await working; // rejects if the work did; else the store threw
        this.#fail(error);
      }
    }
    return { outcome: 'acquired', result: await (working ?? work()) };
  }

  async #attempt<T>(operation: () => Promise<T>): Promise<T | undefined> {
    if (this.down) return undefined;
    try {
      return await operation();
    } catch (error) {
      this.#fail(error);
      return undefined;
    }
  }

  #fail(reason: unknown): void {
    if (this.down || this.#closed) return;
    // A lock needs a write, so a store that turned read-only stays down.
    const probe = defer(() => this.#store.withLock(PROBE_KEY, PROBE_INTERVAL_MS, async () => undefined));
    this.#probing = timer(PROBE_INTERVAL_MS, PROBE_INTERVAL_MS, this.#clock.scheduler)
      .pipe(
        exhaustMap(() => probe.pipe(catchError(() => EMPTY))),
        filter(({ outcome }) => outcome !== 'error'),
        take(1),
      )
      .subscribe(() => this.#recover());
    this.#onChange(reason instanceof Error ? reason : new Error('The token store failed.'));
  }

  #recover(): void {
    this.#probing = undefined;
    this.#onChange(undefined);
    // What was rotated meanwhile: the store holds a predecessor, which is spent.
    for (const [key, { token, saved }] of this.#grants) if (!saved) void this.set(key, token);
  }
}
