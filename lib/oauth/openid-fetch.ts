import type { CustomFetch } from 'openid-client';
import { TokenResponseError } from '../core/errors.js';
import type { TransportRequest } from './http-transport.js';

/** Gives openid-client a transport of ours as its `fetch`. */
export function openidFetch(
  send: (url: string, request: Omit<TransportRequest, 'signal'>) => Promise<Response>,
): CustomFetch {
  return (url, { method, headers, body }) =>
    send(url, { method, headers, body: body === undefined || body === null ? undefined : String(body) });
}

/**
 * A redirected POST would turn into a GET, or hand the credentials on (RFC 9110 §15.4).
 *
 * @throws {TokenResponseError} naming the origin that the server pointed to
 */
export function refuseRedirect(client: string, response: Response): void {
  if (response.status < 300 || response.status >= 400) return;
  const location = response.headers.get('location') ?? '';
  const target = URL.canParse(location) ? new URL(location).origin : 'another path of the same origin';
  throw new TokenResponseError(
    `The authorization server of OAuth client "${client}" redirects to ${target}; redirects are refused, since credentials may not follow. Configure the final URL.`,
    { client },
  );
}
