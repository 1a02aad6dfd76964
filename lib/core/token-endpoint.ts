import type { TokenRequestDetails } from './token-request.js';
import type { StoredToken } from './token-store.js';

/** What core asks of a client's authorization server; implemented by `oauth/`. */
export interface TokenEndpoint {
  /** Stands for the server, the client and its keys in cache keys; holds no secret. */
  identity(): Promise<string>;
  /** One token request. Rejects with an {@link OAuthClientError}. */
  request(details: TokenRequestDetails, context: TokenRequestContext): Promise<StoredToken>;
}

/** What one token request gets beside its details. */
export interface TokenRequestContext {
  signal: AbortSignal;
  /** What the store keeps for a grant from one request to the next. */
  refreshToken: string | undefined;
}
