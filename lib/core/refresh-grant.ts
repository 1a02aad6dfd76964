import type { GuardedStore } from './guarded-store.js';
import type { StoredToken } from './token-store.js';

/**
 * The refresh token behind all tokens of a client that rotates, for one holder of its lock: each request uses it up,
 * and its successor is saved before anything else happens (RFC 6749 §6, RFC 9700 §4.14.2).
 */
export class RefreshGrant {
  readonly #store: GuardedStore;
  readonly #key: string;
  #entry: StoredToken | undefined;

  private constructor(store: GuardedStore, key: string, entry: StoredToken | undefined) {
    this.#store = store;
    this.#key = key;
    this.#entry = entry;
  }

  static async read(store: GuardedStore, key: string): Promise<RefreshGrant> {
    return new RefreshGrant(store, key, await store.get(key));
  }

  get refreshToken(): string | undefined {
    return this.#entry?.refreshToken;
  }

  async keep(answer: StoredToken): Promise<void> {
    this.#entry = await this.#store.set(this.#key, answer, this.#entry);
  }
}
