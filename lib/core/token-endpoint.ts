import { tokenKey, type TokenRequestDetails } from './token-request.js';
import type { StoredToken } from './token-store.js';

/** What core asks of a client's authorization server; implemented by `oauth/`. */
export interface TokenEndpoint {
  /** Whether all its tokens come of one refresh token, of which each request uses up one and gets the next. */
  readonly rotates: boolean;
  /** Stands for the server, the client and its keys in cache keys; holds no secret. */
  identity(): Promise<string>;
  /** One token request. Rejects with an {@link OAuthClientError}. */
  request(details: TokenRequestDetails, context: TokenRequestContext): Promise<StoredToken>;
}

/** What one token request gets beside its details. */
export interface TokenRequestContext {
  signal: AbortSignal;
  /** What the store keeps for a grant that rotates; `undefined` before the first request. */
  refreshToken: string | undefined;
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
    grantKey: endpoint.rotates ? `${tokenKey(identity, {})}.grant` : undefined,
  };
}
