import { pauseMsAfter, retryAfterMsOf, type Pause } from './backoff.js';
import { SleptError, later, momentOf, type Clock, type Moment } from './clock.js';
import { AuthorizationServerUnavailableError, OAuthClientError, TokenRequestError } from './errors.js';
import type { Whose } from './events.js';
import type { StoredFailure, StoredToken } from './token-store.js';

/** Why there is no token, since when, and for how long no other flight should start. */
export class FlightFailure extends Error {
  constructor(
    readonly error: OAuthClientError,
    readonly at: Moment,
    readonly pauseMs: number,
    /** Fingerprint of the credentials that the last request presented, if one went out. */
    readonly credentials?: string,
  ) {
    super(error.message);
  }

  get pause(): Pause {
    return { until: later(this.at, this.pauseMs), error: this.error };
  }

  /** @param failures flights in a row that failed before this one */
  static after(reason: unknown, about: Whose, clock: Clock, failures: number, credentials?: string) {
    const error = asOAuthClientError(reason, about);
    const pauseMs = pauseMsAfter(error, failures + 1, clock.random());
    return new FlightFailure(error, momentOf(clock), pauseMs, credentials);
  }
}

/** Whether a flight ends with this reason as it is: a sleep, a failure that another instance shared, the shutdown. */
export function isFinal(reason: unknown): boolean {
  const isClosed = reason instanceof OAuthClientError && reason.code === 'closed';
  return isClosed || reason instanceof SleptError || reason instanceof FlightFailure;
}

/**
 * The failure as an entry for the store, if it concerns others: a `Retry-After` concerns every instance, a rejection those
 * with the same credentials. Any other failure concerns only the instance that met it.
 */
export function failureEntry({ error, at, pauseMs, credentials }: FlightFailure): StoredToken | undefined {
  const { client, message } = error;
  let failure: StoredFailure;
  if (error instanceof AuthorizationServerUnavailableError && retryAfterMsOf(error)) {
    failure = { client, message, status: error.status };
  } else if (error instanceof TokenRequestError && credentials !== undefined && isVerdict(error)) {
    const { status, error: code, errorDescription } = error;
    failure = { client, message, status, error: code, errorDescription, credentials };
  } else return undefined;
  return { value: '', tokenType: 'Bearer', issuedAt: at.wall, expiresAt: at.wall + pauseMs, failure };
}

/** A refusal without a code may come from a proxy in between, and that of a proof concerns one instance's proofs. */
function isVerdict({ error }: TokenRequestError): boolean {
  return error !== undefined && !error.includes('dpop');
}

/** The failure in an entry of {@link failureEntry}, until it expires. */
export function failureOf(entry: StoredToken, now: Moment): FlightFailure | undefined {
  // Another machine's clock may be off by hours.
  const leftMs = Math.min(entry.expiresAt - now.wall, entry.expiresAt - entry.issuedAt);
  if (!entry.failure || leftMs <= 0) return undefined;
  const { message, client, credentials, status, error: code, errorDescription } = entry.failure;
  const error =
    credentials === undefined
      ? new AuthorizationServerUnavailableError(message, { client, status, retryAfterMs: leftMs })
      : new TokenRequestError(message, { client, status: status ?? 0, error: code, errorDescription });
  return new FlightFailure(error, now, leftMs, credentials);
}

/** The reason of a failed flight as a typed error. */
export function asOAuthClientError(reason: unknown, about: Whose): OAuthClientError {
  const { client, tenant } = about;
  if (reason instanceof OAuthClientError) return OAuthClientError.of(reason, tenant);
  const message = `A token request of OAuth client "${client}" failed unexpectedly.`;
  const error = new AuthorizationServerUnavailableError(message, { client, cause: reason });
  return OAuthClientError.of(error, tenant);
}

/** Whether credentials were refused. Servers do not agree on how to say so (RFC 6749 §5.2 asks for `invalid_client`). */
export function refusesCredentials(error: unknown): error is TokenRequestError {
  if (!(error instanceof TokenRequestError)) return false;
  return [undefined, 'invalid_client'].includes(error.error) || [401, 403].includes(error.status);
}

/** The server, or what else a flight waits for, took longer than a flight may. */
export function tooLate(client: string, what: string, whose = 'authorization server'): OAuthClientError {
  const message = `The ${whose} of OAuth client "${client}" ${what}.`;
  return new AuthorizationServerUnavailableError(message, { client, timedOut: true });
}

/** The failure of a flight, or of a wait, that has nothing left of `retry.totalMs`. */
export function flightIsLate(client: string, totalMs: number): OAuthClientError {
  return tooLate(client, `did not complete the flight within ${totalMs} ms`);
}
