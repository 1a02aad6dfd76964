import type { Clock } from '../core/clock.js';
import { AuthorizationServerUnavailableError, TokenResponseError } from '../core/errors.js';
import { parseRetryAfter } from './retry-after.js';

/** One HTTP request of the protocol: never follows a redirect, and answers whatever the status. */
export interface ProtocolRequest {
  url: string;
  method: 'GET' | 'POST';
  headers: Record<string, string>;
  data?: string;
  signal: AbortSignal;
}

/**
 * Port: how protocol requests travel; implemented by `http/`. Rejects with an `OAuthClientError`, and answers
 * with the body read whole, within its bound.
 */
export type ProtocolTransport = (request: ProtocolRequest) => Promise<Response>;

/** What requests to an authorization server need beside their client's options. */
export interface ProtocolParts {
  transport: ProtocolTransport;
  clock: Clock;
  /** Called with a sentence on each thing that a server leaves out or contradicts. */
  warn: (message: string) => void;
}

/**
 * A redirected POST would turn into a GET, or hand the credentials on (RFC 9110 §15.4).
 *
 * @throws {TokenResponseError} naming the origin that the server at `url` pointed to
 */
export function refuseRedirect(client: string, url: string, response: Response): void {
  if (response.status < 300 || response.status >= 400) return;
  const location = response.headers.get('location') ?? '';
  const target = URL.canParse(location, url) ? new URL(location, url).origin : 'nowhere';
  throw new TokenResponseError(
    `The authorization server of OAuth client "${client}" redirects to ${target}; redirects are refused, since credentials may not follow. Configure the final URL.`,
    { client },
  );
}

/** Whether a server says with its status that asking again later can help. */
export function isOutage(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

/** The error for an answer that asks to come back later; `what` names what was asked for. */
export function unavailableNow(
  client: string,
  what: string,
  { status, headers }: Response,
  now: number,
): AuthorizationServerUnavailableError {
  const retryAfterMs = parseRetryAfter(headers.get('retry-after') ?? undefined, now);
  const message = `The ${what} of OAuth client "${client}" is unavailable: it answered ${status}.`;
  return new AuthorizationServerUnavailableError(message, { client, status, retryAfterMs });
}
