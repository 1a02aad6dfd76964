import {
  AuthorizationServerUnavailableError,
  type OAuthClientError,
  TokenRequestError,
  TokenResponseError,
} from './errors.js';
import type { Moment } from './clock.js';
import type { StoredFailure, StoredToken } from './token-store.js';

/** Why there is no token, since when, and for how long no other flight should start. */
export class FlightFailure extends Error {
  readonly error: OAuthClientError;
  readonly at: Moment;
  readonly pauseMs: number;

  constructor(error: OAuthClientError, at: Moment, pauseMs: number) {
    super(error.message);
    this.error = error;
    this.at = at;
    this.pauseMs = pauseMs;
  }
}

/**
 * A failed flight as an entry for the store, so that a whole fleet cools down; `undefined` for failures that
 * are this instance's own, such as an unreadable secret.
 */
export function failureEntry({ error, at, pauseMs }: FlightFailure): StoredToken | undefined {
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
  const { wall: issuedAt } = at;
  return { value: '', tokenType: 'Bearer', issuedAt, expiresAt: issuedAt + pauseMs, failure };
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
