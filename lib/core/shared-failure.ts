import {
  AuthorizationServerUnavailableError,
  type OAuthClientError,
  TokenRequestError,
  TokenResponseError,
} from './errors.js';
import type { StoredFailure, StoredToken } from './token-store.js';

/**
 * A failed flight as an entry for the store, so that a whole fleet cools down; `undefined` for failures that
 * are this instance's own, such as an unreadable secret.
 */
export function failureEntry(
  error: OAuthClientError,
  now: number,
  coolDownMs: number,
): StoredToken | undefined {
  if (error.code === 'credentials_unavailable') return undefined;
  const failure: StoredFailure = { code: error.code, message: error.message, retryable: error.retryable };
  if (error instanceof TokenRequestError) {
    failure.status = error.status;
    if (error.error !== undefined) failure.error = error.error;
    if (error.errorDescription !== undefined) failure.errorDescription = error.errorDescription;
  } else if (error instanceof AuthorizationServerUnavailableError) {
    failure.timedOut = error.timedOut;
    if (error.status !== undefined) failure.status = error.status;
  }
  return { value: '', tokenType: 'Bearer', issuedAt: now, expiresAt: now + coolDownMs, failure };
}

/** The error that {@link failureEntry} kept; it ends in `remainingMs`. */
export function failureOf(
  entry: StoredToken,
  client: string,
  remainingMs: number,
): OAuthClientError | undefined {
  const { failure } = entry;
  if (!failure) return undefined;
  const { message, retryable, error, errorDescription, status, timedOut } = failure;
  switch (failure.code) {
    case 'token_request_rejected':
      return new TokenRequestError(message, {
        client,
        retryable,
        error,
        errorDescription,
        status: status ?? 400,
      });
    case 'authorization_server_unavailable':
      return new AuthorizationServerUnavailableError(message, {
        client,
        status,
        timedOut: timedOut ?? false,
        retryAfterMs: remainingMs,
      });
    default:
      return new TokenResponseError(message, { client, retryable });
  }
}
