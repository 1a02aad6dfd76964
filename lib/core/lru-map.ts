/** A map that forgets what was used least recently once it holds more than `limit` entries. */
export class LruMap<V> {
  readonly #entries = new Map<string, V>();
  readonly #limit: number;
  readonly #pinned: (value: V) => boolean;

  /** Entries for which `pinned` holds are not forgotten. */
  constructor(limit: number, pinned: (value: V) => boolean = () => false) {
    this.#limit = limit;
    this.#pinned = pinned;
  }

  get(key: string): V | undefined {
    const value = this.#entries.get(key);
    if (value !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, value);
    }
    return value;
  }

  set(key: string, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    for (const [oldest, candidate] of this.#entries) {
      if (this.#entries.size <= this.#limit) return;
      if (candidate !== value && !this.#pinned(candidate)) this.#entries.delete(oldest);
    }
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  values(): IterableIterator<V> {
    return this.#entries.values();
  }
}
