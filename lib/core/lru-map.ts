const MAX_SKIPS = 8;

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
    this.prune(value);
  }

  /** Called when an entry is pinned no longer. Passes over a few of those that stay, so that many cost little. */
  prune(fresh?: V): void {
    let skips = MAX_SKIPS;
    for (const [oldest, candidate] of this.#entries) {
      if (this.#entries.size <= this.#limit || skips === 0) return;
      this.#entries.delete(oldest);
      if (candidate !== fresh && !this.#pinned(candidate)) continue;
      this.#entries.set(oldest, candidate);
      skips--;
    }
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  values(): IterableIterator<V> {
    return this.#entries.values();
  }
}
