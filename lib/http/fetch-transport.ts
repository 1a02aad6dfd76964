import { AxiosHeaders, type AxiosAdapter, type AxiosRequestConfig } from 'axios';
import { OAuthConfigurationError } from '../core/errors.js';
import type { AllowedOrigins } from './allowed-origins.js';
import type { TlsMaterial } from './tls-agent.js';
import { proxyOf } from './tunnel.js';

/** Sends one request of fetch, without looking at what it says. */
export interface FetchTransport {
  (url: string, init: RequestInit): Promise<Response>;
  /** Closes connections of its own, after the requests under way. */
  close?: () => void;
}

/** What decides how a client's requests travel. */
export interface FetchRoute {
  readonly client: string;
  readonly baseURL: string | undefined;
  /** Axios defaults, of which fetch takes `proxy` and an `adapter` that is a function. */
  readonly http: Record<string, unknown>;
  readonly material: TlsMaterial | undefined;
  readonly origins: AllowedOrigins;
  /** Whether a URL is http that does not leave this machine, and so goes through no proxy. */
  readonly staysHere: (url: string) => boolean;
}

/** Options that fetch cannot use. Ignoring them could send a request past a proxy or a check. */
const UNUSABLE = ['httpAgent', 'httpsAgent', 'socketPath', 'transport', 'lookup'];

/**
 * How a client's fetch sends: with Node's own fetch, or for `tls` or a proxy with undici's, which is loaded only then.
 *
 * @throws {OAuthConfigurationError} when undici is needed and missing, or `http` holds what fetch cannot use
 */
export async function fetchTransport(route: FetchRoute): Promise<FetchTransport> {
  const { client, http, baseURL, material } = route;
  if (typeof http['adapter'] === 'function') return byAdapter(http['adapter'] as AxiosAdapter, baseURL);
  for (const name of UNUSABLE) {
    if (http[name] === undefined) continue;
    throw new OAuthConfigurationError([
      `Client "${client}": http.${name} does not work with fetch; use tls or http.proxy, or send its requests by @InjectOAuthHttp.`,
    ]);
  }
  const given = http['proxy'] as AxiosRequestConfig['proxy'];
  const proxy = given ? proxyOf(given) : undefined;
  if (material === undefined && proxy === undefined) return (url, init) => globalThis.fetch(url, init);
  const undici = await import('./undici-fetch.js').catch(() => undefined);
  if (undici !== undefined) return undici.fetchByUndici(route, proxy);
  throw new OAuthConfigurationError([
    `Client "${client}": ${proxy ? 'http.proxy' : 'tls'} needs the package undici to work with fetch; install it, or send its requests by @InjectOAuthHttp.`,
  ]);
}

/** Sets members of a response and of its clones that only fetch itself can set otherwise. */
export function describe(response: Response, said: { url?: string; redirected?: boolean }): Response {
  const clone = response.clone.bind(response);
  const members = { ...said, clone: () => describe(clone(), said) };
  for (const [name, value] of Object.entries(members))
    Object.defineProperty(response, name, { value, configurable: true });
  return response;
}

/** Sends by an adapter that is a function, as tests have them. Its data is a text, bytes or a stream, or becomes JSON. */
function byAdapter(adapter: AxiosAdapter, baseURL = ''): FetchTransport {
  return async (url, { method = 'GET', headers: given, body, signal }) => {
    const { href } = new URL(url);
    const path = href.startsWith(`${baseURL}/`) && { baseURL, url: href.slice(baseURL.length) };
    const headers = AxiosHeaders.from(Object.fromEntries(new Headers(given)));
    const asked = { url: href, ...path, ...(signal && { signal }), method: method.toLowerCase(), headers };
    const sent = body ? { ...asked, data: await new Response(body).text() } : asked;
    const { data, status, statusText, headers: answered } = await adapter(sent);
    const type = !isBody(data) && { 'content-type': 'application/json' };
    const known = { ...type, ...(answered as Record<string, string>) };
    const isEmpty = [204, 205, 304].includes(status);
    const whole = isBody(data) ? data : JSON.stringify(data);
    return new Response(isEmpty ? null : whole, { status, statusText, headers: known });
  };
}

/** Whether an adapter's data is a text, bytes or a stream. Anything else becomes JSON. */
export function isBody(data: unknown): data is NonNullable<RequestInit['body']> {
  const isBytes = data instanceof Blob || data instanceof ArrayBuffer || ArrayBuffer.isView(data);
  return typeof data === 'string' || isBytes || Symbol.asyncIterator in Object(data);
}
