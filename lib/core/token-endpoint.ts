import { tokenKey, type TokenRequestDetails } from './token-request.js';
import type { StoredToken } from './token-store.js';

/** What core asks of a client's authorization server; implemented by `oauth/`. */
export interface TokenEndpoint {
  /**
   * Stands for the one refresh token that all tokens of the client come of, in its cache key; `undefined` where the
   * grant is another. Holds no secret.
   */
  readonly grant?: string | undefined;
  /** Stands for the server, the client and the keys its tokens are bound to in cache keys; holds no secret. */
  identity(): Promise<string>;
  /** One token request. Rejects with an {@link OAuthClientError}. */
  request(details: TokenRequestDetails, context: TokenRequestContext): Promise<StoredToken>;
}

/** What one token request gets beside its details. */
export interface TokenRequestContext {
  signal: AbortSignal;
  /** What the store keeps for a grant that rotates; `undefined` before the first request. */
  refreshToken: string | undefined;
  /** Called before each request that goes out; it may take more than one. */
  onSend?: () => void;
}

/** Where a token is kept. */
export interface TokenKeys {
  readonly key: string;
  /** Where the refresh token is that all tokens of the client come of, if they do. */
  readonly grantKey: string | undefined;
}

/** The keys of the token that `details` ask for. */
export async function tokenKeys(endpoint: TokenEndpoint, details: TokenRequestDetails): Promise<TokenKeys> {
  const identity = await endpoint.identity();
  return {
    key: tokenKey(identity, details),
    grantKey: endpoint.grant === undefined ? undefined : `${tokenKey(endpoint.grant, {})}.grant`,
  };
}
