/** How an access token is presented to an API: RFC 6750 (`Bearer`) or RFC 9449 (`DPoP`). */
export type AccessTokenType = 'Bearer' | 'DPoP';

/** A token as a store keeps it: a plain, serialisable object. */
export interface StoredToken {
  value: string;
  tokenType: AccessTokenType;
  scope?: string | undefined;
  /** Other members of the token response, without tokens. */
  details?: Readonly<Record<string, unknown>> | undefined;
  /** Start of the token request, epoch milliseconds. */
  issuedAt: number;
  /** Epoch milliseconds. An entry is not used after it, unless it holds a `refreshToken`. */
  expiresAt: number;
  /** The refresh token for the grant's next request, on an entry of its own, which outlives `expiresAt`. */
  refreshToken?: string | undefined;
  /** Set on entries without a token: until `expiresAt`, the instances that it concerns should make no token request. */
  failure?: StoredFailure | undefined;
}

/** A failure that concerns the whole fleet, or the instances with the same credentials. */
export interface StoredFailure {
  client?: string | undefined;
  message: string;
  /** HTTP status of the answer. */
  status?: number | undefined;
  /** Of a rejection (RFC 6749 §5.2): the server's code. */
  error?: string | undefined;
  errorDescription?: string | undefined;
  /** Of a rejection: a keyed fingerprint of the credentials that were rejected. */
  credentials?: string | undefined;
}

/**
 * The outcome of {@link TokenStore.withLock}: the work's result, with the reason if the lock could not be released
 * (`unreleased`); another instance holds the lock, and the work was not run; or the store failed, and it was not run.
 */
export type LockOutcome<T> =
  | { outcome: 'acquired'; result: T; unreleased?: unknown }
  | { outcome: 'held' }
  | { outcome: 'error'; error: unknown };

/**
 * Port for keeping tokens, and the DI token to override it. Keys are SHA-256 hashes; an implementation may be
 * shared by many processes. `tokenStoreContract` of `nestjs-oauth-client/testing` checks one.
 */
export abstract class TokenStore {
  /** How many keys the instance keeps in memory, the store and the process alike. Default 10,000. */
  readonly maxEntries?: number | undefined;

  /** The entry of `key`, if there is one. Expired entries may be left out, unless they hold a refresh token. */
  abstract get(key: string): Promise<StoredToken | undefined>;

  /** Keeps `token`, unless the present entry is newer by `issuedAt`. */
  abstract set(key: string, token: StoredToken): Promise<void>;

  /** Removes the entry; with `ifValue` only if it still holds that token value. */
  abstract delete(key: string, ifValue?: string): Promise<void>;

  /**
   * Runs `work` while holding the lock of `key`, for `ttlMs` milliseconds at most. When `work` rejects, so does
   * this, with the same reason, after the lock was released.
   */
  abstract withLock<T>(key: string, ttlMs: number, work: () => Promise<T>): Promise<LockOutcome<T>>;

  /**
   * Connects, so that no call has to wait for that; called at module init. A rejection counts as a failed operation.
   *
   * @param restore to be called after each later connect: the store may have lost what was written last
   */
  open?(restore: () => void): Promise<void>;

  /** The part of the store that has the key, where one part can fail without the others. Default: there is one part. */
  partOf?(key: string): string;

  /** Closes connections that the store opened itself. Called at shutdown, after the last operation. */
  close?(): Promise<void>;
}
