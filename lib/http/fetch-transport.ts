import axios, { AxiosHeaders, type AxiosAdapter, type InternalAxiosRequestConfig } from 'axios';
import { OAuthConfigurationError } from '../core/errors.js';
import type { AllowedOrigins } from './allowed-origins.js';
import type { TlsAgent } from './tls-agent.js';

/** Sends one request of fetch, without looking at what it says. */
export type FetchTransport = (input: URL | Request, init: RequestInit) => Promise<Response>;

/** What decides how a client's requests travel. */
export interface FetchRoute {
  readonly client: string;
  readonly baseURL: string | undefined;
  /** Axios defaults, of which fetch takes `proxy` and an `adapter` that is a function. */
  readonly http: Record<string, unknown>;
  readonly tlsAgent: TlsAgent | undefined;
  readonly origins: AllowedOrigins;
}

/** A proxy as Axios takes it. */
export interface Proxy {
  protocol?: string;
  host: string;
  port?: number;
  auth?: { username: string; password: string };
}

/** What Axios takes and fetch cannot: to ignore it could send a request past a proxy or a check. */
const UNUSABLE = ['httpAgent', 'httpsAgent', 'socketPath', 'transport', 'lookup'];

/**
 * How a client's fetch sends: by Node's own fetch; with `tls` or a proxy by that of undici, which is loaded only then.
 *
 * @throws {OAuthConfigurationError} when undici is needed and missing, or `http` holds what fetch cannot use
 */
export async function fetchTransport(route: FetchRoute): Promise<FetchTransport> {
  const { client, http, baseURL, tlsAgent } = route;
  if (typeof http['adapter'] === 'function') return byAdapter(http['adapter'] as AxiosAdapter, baseURL);
  for (const name of UNUSABLE) {
    if (http[name] === undefined) continue;
    throw new OAuthConfigurationError([
      `Client "${client}": http.${name} does not work with fetch; use tls or http.proxy, or send its requests by @InjectOAuthHttp.`,
    ]);
  }
  const proxy = (http['proxy'] || undefined) as Proxy | undefined;
  if (tlsAgent === undefined && proxy === undefined) return (input, init) => globalThis.fetch(input, init);
  const undici = await import('./undici-fetch.js').catch(() => undefined);
  if (undici !== undefined) return undici.fetchByUndici(route, proxy);
  throw new OAuthConfigurationError([
    `Client "${client}": ${proxy ? 'http.proxy' : 'tls'} needs the package undici to work with fetch; install it, or send its requests by @InjectOAuthHttp.`,
  ]);
}

/** Lets an adapter answer that is a function, as those of tests are. */
function byAdapter(adapter: AxiosAdapter, baseURL = ''): FetchTransport {
  return async (input, init) => {
    const request = new Request(input, init);
    const below = request.url.startsWith(`${baseURL}/`);
    const config = {
      ...(below && { baseURL }),
      url: below ? request.url.slice(baseURL.length) : request.url,
      method: request.method.toLowerCase(),
      headers: AxiosHeaders.from(Object.fromEntries(request.headers)),
      data: (await request.text()) || undefined,
      signal: request.signal,
    } as InternalAxiosRequestConfig;
    const { data, status, statusText, headers } = await adapter(config).catch((error: unknown) => {
      if (axios.isAxiosError(error) && error.response) return error.response;
      throw error;
    });
    const isJson = typeof data === 'object' && !(data instanceof ArrayBuffer || ArrayBuffer.isView(data));
    const known = new Headers({
      ...(isJson && { 'content-type': 'application/json' }),
      ...AxiosHeaders.from(headers as AxiosHeaders).toJSON(true),
    });
    const body = [204, 205, 304].includes(status) ? null : isJson ? JSON.stringify(data) : data;
    return new Response(body as ConstructorParameters<typeof Response>[0], {
      status,
      statusText,
      headers: known,
    });
  };
}
