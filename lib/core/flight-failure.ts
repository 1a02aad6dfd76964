import { retryAfterMsOf } from './backoff.js';
import type { Moment } from './clock.js';
import { AuthorizationServerUnavailableError, type OAuthClientError } from './errors.js';
import type { StoredToken } from './token-store.js';

/** Why there is no token, since when, and for how long no other flight should start. */
export class FlightFailure extends Error {
  constructor(
    readonly error: OAuthClientError,
    readonly at: Moment,
    readonly pauseMs: number,
  ) {
    super(error.message);
  }
}

/**
 * The failure as an entry for the store, if it is what the server told everybody: to come back later. What an instance
 * could not reach or understand, or what its own credentials were refused for, holds for itself.
 */
export function failureEntry({ error, at, pauseMs }: FlightFailure): StoredToken | undefined {
  if (!(error instanceof AuthorizationServerUnavailableError) || !retryAfterMsOf(error)) return undefined;
  const { client, message, status } = error;
  const failure = { client, message, status };
  return { value: '', tokenType: 'Bearer', issuedAt: at.wall, expiresAt: at.wall + pauseMs, failure };
}

/** The failure that {@link failureEntry} kept, as long as it lasts. */
export function failureOf(entry: StoredToken, now: Moment): FlightFailure | undefined {
  // Another machine's clock may be off by hours.
  const retryAfterMs = Math.min(entry.expiresAt - now.wall, entry.expiresAt - entry.issuedAt);
  if (!entry.failure || retryAfterMs <= 0) return undefined;
  const { message, ...about } = entry.failure;
  const error = new AuthorizationServerUnavailableError(message, { ...about, retryAfterMs });
  return new FlightFailure(error, now, retryAfterMs);
}
