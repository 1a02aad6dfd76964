import type { InternalAxiosRequestConfig } from 'axios';
import type { Agent } from 'node:https';
import type { AccessToken } from '../core/access-token.js';
import type { ApiClient } from './api-client.js';
import type { Credentials } from './authorized-call.js';
import { isReplayable } from './refusals.js';
import { isCredential, type TokenHeader } from './sealing.js';

type BeforeRedirect = NonNullable<InternalAxiosRequestConfig['beforeRedirect']>;
type Options = Parameters<BeforeRedirect>[0];

/** What says where a redirected request goes. */
const TARGET = ['href', 'protocol', 'hostname', 'host', 'port', 'path', 'socketPath'];

/**
 * Redirects are followed below Axios, where only `beforeRedirect` can take the token off, or put it back: at a
 * change of host it is lost, allowed or not (RFC 9110 §15.4).
 *
 * @param agents the agent with the client's certificate, and the one to go on with outside the allowed origins
 * @param credentials what the request carries; without them, only the client's certificate is kept within the
 * allowed origins
 * @param own the caller's own `beforeRedirect`, which runs first and does not see the credentials
 */
export function followRedirect(
  { origins, tokenHeader: header }: Pick<ApiClient, 'origins' | 'tokenHeader'>,
  { inside, outside }: Record<'inside' | 'outside', Agent | undefined>,
  credentials: Credentials | undefined,
  own: BeforeRedirect | undefined,
  ...[options, answer, sent]: Parameters<BeforeRedirect>
): void {
  const before = targetIn(options);
  if (credentials) for (const shown of [options, sent]) setCredentials(shown, header, undefined);
  own?.(options, answer, sent);
  const href = String(options['href']);
  const moved = targetIn(options) !== before || !URL.canParse(href);
  if (credentials) credentials.astray ||= moved;
  const mayFollow = !moved && (credentials?.mayFollow(new URL(href)) ?? origins.reach(new URL(href)) > 0);
  if (credentials) setCredentials(options, header, mayFollow ? credentials.token : undefined);
  const agents = options['agents'] as { https?: Agent | undefined } | undefined;
  // Axios may have set one that tunnels without the certificate.
  if (agents && inside !== outside) agents.https = mayFollow ? inside : outside;
}

function targetIn(options: Options): string {
  return TARGET.map((name) => String(options[name])).join('\n');
}

function setCredentials(options: Options, header: TokenHeader, token: AccessToken | undefined): void {
  const headers = (options['headers'] ??= {}) as Record<string, string>;
  for (const name of Object.keys(headers)) if (isCredential(name, header.ownName)) delete headers[name];
  if (token !== undefined) headers[header.name] = header.valueFor(token);
}

/** What a redirect may change about a request of fetch. */
export interface Hop {
  readonly url: string;
  /** As the caller gave it; without any it is `GET`. */
  readonly method: string | undefined;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: RequestInit['body'];
}

/** As many as fetch follows. */
const MAX_REDIRECTS = 20;
const ABOUT_THE_BODY = /^content-(encoding|language|location|type|length)$/i;
const FOR_THE_ORIGIN = /^(authorization|proxy-authorization|cookie|host)$/i;

/**
 * The request that follows an answer (Fetch Standard, HTTP-redirect fetch); `undefined` if that is no redirect.
 *
 * @param followed how many redirects led here
 * @throws {TypeError} as fetch does
 */
export function nextHop(hop: Hop, answer: Response, followed: number): Hop | undefined {
  const { status } = answer;
  const { method = 'GET' } = hop;
  const location = [301, 302, 303, 307, 308].includes(status) ? answer.headers.get('location') : null;
  if (location === null) return undefined;
  const to = Buffer.from(location, 'latin1').toString(); // UTF-8 in practice
  if (!URL.canParse(to, hop.url)) throw failedFetch('the redirect has no valid URL');
  const url = new URL(to, hop.url);
  if (!/^https?:$/.test(url.protocol)) throw failedFetch('the redirect leads to a URL that is not HTTP(S)');
  if (followed === MAX_REDIRECTS) throw failedFetch('redirect count exceeded');
  const becomesGet = status === 303 ? !/^(get|head)$/i.test(method) : status < 303 && /^post$/i.test(method);
  if (status !== 303 && !isReplayable(hop.body))
    throw failedFetch('a stream cannot be sent again after a redirect');
  const goes = ([name]: [string, string]) =>
    !(becomesGet && ABOUT_THE_BODY.test(name)) &&
    (url.origin === new URL(hop.url).origin || !FOR_THE_ORIGIN.test(name));
  const headers = Object.fromEntries(Object.entries(hop.headers).filter(goes));
  const changed = becomesGet && { method: 'GET', body: null };
  return { ...hop, ...changed, url: url.href, headers };
}

/** What fetch rejects with when there is no answer. */
function failedFetch(why: string): TypeError {
  return new TypeError('fetch failed', { cause: new Error(why) });
}
