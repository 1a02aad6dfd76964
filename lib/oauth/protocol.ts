import type { CustomFetch } from 'openid-client';
import type { Clock } from '../core/clock.js';
import { TokenResponseError } from '../core/errors.js';

/** One HTTP request of the protocol: never follows a redirect, and answers whatever the status. */
export interface TransportRequest {
  method: string;
  headers: Record<string, string>;
  body: string | undefined;
  signal: AbortSignal | undefined;
}

/**
 * Port: how protocol requests travel; implemented by `axios/`. Rejects with an `OAuthClientError`, and answers
 * with the body read whole, within its bound.
 */
export type HttpTransport = (url: string, request: TransportRequest) => Promise<Response>;

/** What requests to an authorization server need beside their client's options. */
export interface ProtocolParts {
  transport: HttpTransport;
  clock: Clock;
  /** Told of what a server leaves out or contradicts, in a sentence each. */
  warn: (message: string) => void;
}

/** Gives openid-client a transport of ours as its `fetch`. */
export function openidFetch(
  send: (url: string, request: Omit<TransportRequest, 'signal'>) => Promise<Response>,
): CustomFetch {
  return (url, { method, headers, body }) =>
    send(url, { method, headers, body: body instanceof URLSearchParams ? body.toString() : undefined });
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
