import { EMPTY, type Subscription, catchError, defer, exhaustMap, filter, take, timer } from 'rxjs';
import type { Clock } from './clock.js';
import type { LockOutcome, StoredToken, TokenStore } from './token-store.js';

const PROBE_INTERVAL_MS = 1_000;
const PROBE_KEY = 'probe';

/**
 * A store that cannot hurt: once an operation fails it counts as down and is skipped, so a call pays for the
 * failure at most once, until a probe behind the scenes succeeds.
 */
export class GuardedStore {
  readonly #store: TokenStore;
  readonly #clock: Clock;
  readonly #onChange: (failure: Error | undefined) => void;
  #probing: Subscription | undefined;
  #closed = false;

  constructor(store: TokenStore, clock: Clock, onChange: (failure: Error | undefined) => void) {
    this.#store = store;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  get down(): boolean {
    return this.#probing !== undefined;
  }

  async get(key: string): Promise<StoredToken | undefined> {
    return this.#attempt(() => this.#store.get(key));
  }

  async set(key: string, token: StoredToken): Promise<void> {
    return this.#attempt(() => this.#store.set(key, token));
  }

  async delete(key: string, ifValue?: string): Promise<void> {
    return this.#attempt(() => this.#store.delete(key, ifValue));
  }

  /** Rejects only with what `work` rejects with. */
  async withLock<T>(key: string, ttlMs: number, work: () => Promise<T>): Promise<LockOutcome<T>> {
    if (this.down) return { outcome: 'error', error: undefined };
    const started: Promise<T>[] = [];
    try {
      const outcome = await this.#store.withLock(key, ttlMs, async () => {
        started.push(work());
        return started[0]!;
      });
      if (outcome.outcome === 'error') this.#fail(outcome.error);
      return outcome;
    } catch (error) {
      const [working] = started;
      const result = await working; // rejects if the work did; else the store threw
      this.#fail(error);
      return working ? { outcome: 'acquired', result: result as T } : { outcome: 'error', error };
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#probing?.unsubscribe();
    await this.#store.close?.().catch(() => undefined); // it is of no use to anybody any more
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
      .subscribe(() => {
        this.#probing = undefined;
        this.#onChange(undefined);
      });
    this.#onChange(reason instanceof Error ? reason : new Error('The token store failed.'));
  }
}
