import { TokenStore, type LockOutcome, type StoredToken } from './token-store.js';

/** The default store: this process's memory. It is bounded, and drops the entries used least recently. */
export class MemoryTokenStore extends TokenStore {
  override readonly maxEntries: number;
  readonly #entries: LruMap<StoredToken>;

  /** @param options `maxEntries`: how many keys are kept. Default 10,000. */
  constructor({ maxEntries = 10_000 }: { maxEntries?: number | undefined } = {}) {
    super();
    if (!Number.isInteger(maxEntries) || maxEntries < 1) {
      throw new RangeError('MemoryTokenStore: maxEntries must be a whole number of at least 1.');
    }
    this.maxEntries = maxEntries;
    this.#entries = new LruMap(maxEntries);
  }

  async get(key: string): Promise<StoredToken | undefined> {
    return this.#entries.get(key);
  }

  async set(key: string, token: StoredToken): Promise<void> {
    const present = this.#entries.get(key);
    if (present === undefined || present.issuedAt <= token.issuedAt) this.#entries.set(key, token);
  }

  async delete(key: string, ifValue?: string): Promise<void> {
    if (ifValue === undefined || this.#entries.get(key)?.value === ifValue) this.#entries.delete(key);
  }

  /** The lock is the call itself: the caller's shared flight already makes it one per process and key. */
  async withLock<T>(_key: string, _ttlMs: number, work: () => Promise<T>): Promise<LockOutcome<T>> {
    return { outcome: 'acquired', result: await work() };
  }
}

/** A map that drops the entry used least recently when it has more than `limit` entries. */
export class LruMap<V> {
  readonly #entries = new Map<string, V>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get(key: string): V | undefined {
    const value = this.#entries.get(key);
    if (value !== undefined) this.set(key, value);
    return value;
  }

  set(key: string, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    // An iterator would step over all that was moved to the end.
    const [oldest] = this.#entries.size > this.#limit ? this.#entries.keys() : [];
    if (oldest !== undefined) this.#entries.delete(oldest);
  }

  delete(key: string): boolean {
    return this.#entries.delete(key);
  }

  values(): IterableIterator<V> {
    return this.#entries.values();
  }

  entries(): IterableIterator<[string, V]> {
    return this.#entries.entries();
  }
}
