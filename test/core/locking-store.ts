import { MemoryTokenStore } from '../../lib/core/memory-token-store.js';
import { TokenStore, type LockOutcome, type StoredToken } from '../../lib/core/token-store.js';

/** A store of several instances, whose locks keep the others out. */
export class LockingStore extends TokenStore {
  readonly #entries = new MemoryTokenStore();
  readonly #held = new Set<string>();

  get(key: string): Promise<StoredToken | undefined> {
    return this.#entries.get(key);
  }

  set(key: string, token: StoredToken): Promise<void> {
    return this.#entries.set(key, token);
  }

  delete(key: string, ifValue?: string): Promise<void> {
    return this.#entries.delete(key, ifValue);
  }

  async withLock<T>(key: string, _ttlMs: number, work: () => Promise<T>): Promise<LockOutcome<T>> {
    if (this.#held.has(key)) return { outcome: 'held' };
    this.#held.add(key);
    try {
      return { outcome: 'acquired', result: await work() };
    } finally {
      this.#held.delete(key);
    }
  }
}
