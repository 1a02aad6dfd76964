import type { Readable } from 'node:stream';
import { inspect } from 'node:util';
import axios, {
  AxiosHeaders,
  type AxiosError,
  type AxiosProxyConfig,
  type AxiosRequestConfig,
  type AxiosResponse,
  type InternalAxiosRequestConfig,
} from 'axios';
import type { AccessToken } from '../core/access-token.js';
import type { OAuthRequestConfig } from '../core/token-request.js';
import { SealedTokenRequest } from './request-config.js';

type Part = Record<PropertyKey, unknown>;

/** On a config that is sent: the credentials in its headers, and the name of the token's header. */
const CARRIED = Symbol('credentials');
/** The members that link the parts of a sent request. */
const PARTS = ['req', 'res', '_redirectable', '_currentRequest', '_options', 'socket'];
/** The members that lead to connections, which other requests may be using. */
const SHARED = ['agent', 'agents', 'nativeProtocols', 'socket', 'client'];

/** The header that carries a client's token. */
export class TokenHeader {
  readonly name: string;
  /** The same, unless it is `Authorization`. */
  readonly ownName: string | undefined;
  readonly #scheme: string | undefined;
  /** The last one sent, since the next request most often sends the same. */
  #sent: { token: AccessToken; value: string } | undefined;

  /** @param scheme what precedes the token; by default its type in `Authorization`, and nothing elsewhere */
  constructor({ name = 'Authorization', scheme }: { [part in 'name' | 'scheme']?: string | undefined } = {}) {
    this.name = name;
    this.ownName = /^authorization$/i.test(name) ? undefined : name;
    this.#scheme = scheme ?? (this.ownName === undefined ? undefined : '');
  }

  valueFor(token: AccessToken): string {
    if (this.#sent?.token !== token) this.#sent = { token, value: this.#join(token) };
    return this.#sent.value;
  }

  #join(token: AccessToken): string {
    if (this.#scheme === undefined) return token.authorization;
    return this.#scheme === '' ? token.value : `${this.#scheme} ${token.value}`;
  }
}

type Carried = { readonly token: AccessToken; readonly proof: string | undefined; astray: boolean };
type Sent = InternalAxiosRequestConfig & { [CARRIED]?: readonly [credentials: Carried, header: string] };

/** Puts credentials on a request that is about to be sent. */
export function carry(sent: Sent, credentials: Carried, header: TokenHeader): void {
  sent.headers[header.name] = header.valueFor(credentials.token);
  if (credentials.proof !== undefined) sent.headers['DPoP'] = credentials.proof;
  sent[CARRIED] = [credentials, header.name];
}

/** The request without the token of an outer adapter of ours, since the innermost adds it. */
export function withoutOurs<C extends Sent>(config: C): C {
  const carried = config[CARRIED];
  if (carried === undefined) return config;
  const [credentials, header] = carried;
  credentials.astray = true;
  const copy = { ...config, headers: new AxiosHeaders(config.headers) };
  delete copy[CARRIED];
  for (const name of [header, 'DPoP']) copy.headers.delete(name);
  return copy;
}

/** Whether a header of that name holds a token or a proof. `ownName`: a client's header for tokens, if it has its own. */
export function isCredential(name: string, ownName: string | undefined): boolean {
  return /^((proxy-)?authorization|dpop)$/i.test(name) || name.toLowerCase() === ownName?.toLowerCase();
}

/**
 * Takes token and proof out of a request that was sent. Copies of its headers stand in Node's request
 * and its socket, in what follows redirects, in an HTTP/2 stream or in a `Request` of fetch.
 *
 * @param ownName the client's header for tokens, if that is not `Authorization`
 */
export function sealRequest(request: unknown, ownName?: string, seen = new Set<unknown>()): void {
  if (!isPart(request) || seen.has(request)) return;
  seen.add(request);
  const { headers, outputData } = request;
  if (isPart(headers) && typeof headers['delete'] === 'function') {
    for (const name of ['authorization', 'dpop', ownName ?? 'dpop']) headers['delete'](name);
    return;
  }
  for (const part of PARTS) sealRequest(request[part], ownName, seen);
  for (const symbol of Object.getOwnPropertySymbols(request)) stripHeaders(request[symbol], ownName);
  if (Object.hasOwn(request, 'headers')) stripHeaders(headers, ownName);
  stripText(request, '_header', ownName);
  stripText(request, '_pendingData', ownName);
  if (Array.isArray(outputData)) for (const chunk of outputData as Part[]) stripText(chunk, 'data', ownName);
  for (const name of SHARED) hide(request, name);
}

/** Seals the request of a response when somebody first reads it: few do, and sealing takes longer than all the rest. */
export function sealOnSight(response: AxiosResponse, ownName?: string): void {
  const request: unknown = response.request;
  if (!isPart(request)) return;
  let [shown, seal] = [request as unknown, () => sealRequest(request, ownName)];
  const set = (value: unknown) => void ([shown, seal] = [value, () => undefined]);
  const get = () => {
    seal();
    set(shown);
    return shown;
  };
  Object.defineProperty(response, 'request', { enumerable: true, configurable: true, get, set });
}

/** Puts the caller's config in place of the one that was sent, also in wrapped errors; returns the response, if any. */
export function sealError(
  error: unknown,
  config: InternalAxiosRequestConfig,
  ownName?: string,
): AxiosResponse | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const { request, response, cause } = error as Partial<AxiosError>;
  if ('config' in error) error.config = config;
  sealRequest(request, ownName);
  sealRequest(response?.request, ownName);
  if (response) response.config = config;
  if (axios.isAxiosError(cause)) sealError(cause, config, ownName);
  return response;
}

/** Keeps an agent's keys, and all requests under way, out of JSON, inspection and lists of members. */
export function sealAgent(agent: unknown): void {
  if (!isPart(agent) || Object.hasOwn(agent, 'toJSON')) return;
  for (const name of ['options', 'sockets', 'freeSockets', 'requests']) hide(agent, name);
  const shown = `[${agent.constructor.name}]`;
  for (const name of ['toJSON', inspect.custom]) {
    Object.defineProperty(agent, name, { value: () => shown, configurable: true, writable: true });
  }
}

/** Stands in configs for a proxy, without its credentials. What is sent has the real one. */
class SealedProxy {
  readonly host: string;
  readonly port: number;
  readonly protocol: string;
  readonly #proxy: AxiosProxyConfig;

  constructor(proxy: AxiosProxyConfig) {
    ({ host: this.host, port: this.port, protocol: this.protocol = 'http' } = proxy);
    this.#proxy = proxy;
  }

  /** The real one. */
  open(): AxiosProxyConfig {
    return this.#proxy;
  }
}

/** Replaces the `oauth` member and the proxy of a request by sealed copies, and returns the former. Its stream may fail from now on. */
export function sealConfig(
  config: Pick<AxiosRequestConfig, 'data' | 'oauth' | 'proxy'>,
): OAuthRequestConfig | undefined {
  const { data, oauth, proxy } = config;
  mayFail(data);
  if (oauth !== undefined && oauth !== false) config.oauth = SealedTokenRequest.of(oauth);
  if (proxy && !(proxy instanceof SealedProxy)) config.proxy = new SealedProxy(proxy);
  return config.oauth;
}

/** Does so when the request is made: Nest's `HttpService` reads its config, the last argument, when somebody subscribes. */
export function sealedAtOnce<S extends (...args: never[]) => unknown>(send: S): S {
  const sealed = (...args: unknown[]) => {
    const config = { ...(args.pop() as AxiosRequestConfig | undefined) };
    sealConfig(config);
    return send(...(args as never[]), config as never);
  };
  return sealed as unknown as S;
}

/** A copy with the proxy's credentials. Member by member: to spread what Axios makes of a config takes five times as long. */
export function copyToSend<C extends InternalAxiosRequestConfig>(config: C): C {
  const members = config as unknown as Record<string, unknown>;
  const copy: Record<string, unknown> & { [name in 'url' | 'baseURL']?: string | URL } = {};
  for (const name of Object.keys(members)) copy[name] = members[name];
  checkStream(copy['data']);
  // An object may be another text each time.
  for (const name of ['url', 'baseURL'] as const) if (copy[name]) copy[name] = String(copy[name]);
  if (copy['proxy'] instanceof SealedProxy) copy['proxy'] = copy['proxy'].open();
  return copy as unknown as C;
}

/** Copies what a caller could change before its request is sent, or sent again, and Axios does not copy. */
export function copyPayload(config: Pick<AxiosRequestConfig, 'data' | 'params'>): void {
  const { data, params } = config as Record<'data' | 'params', unknown>;
  if (Buffer.isBuffer(data)) config.data = Buffer.from(data);
  else if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) config.data = structuredClone(data);
  else if (data instanceof FormData) {
    config.data = new FormData();
    for (const entry of data) (config.data as FormData).append(...(entry as [string, string]));
  }
  if (params instanceof URLSearchParams) config.params = new URLSearchParams(params);
}

const ignore = () => undefined;

/** Lets a stream fail while its request waits. If nobody listened to its error, that would end the process. */
export function mayFail(body: unknown): void {
  if (isStream(body) && !body.listeners('error').includes(ignore)) body.on('error', ignore);
}

/** @throws what a stream failed with meanwhile, since it would never come to its end */
export function checkStream(body: unknown): void {
  if (!isStream(body) || !body.destroyed) return;
  throw body.errored ?? Object.assign(new Error('Premature close'), { code: 'ERR_STREAM_PREMATURE_CLOSE' });
}

/** Whether it is a stream of Node's kind, as other libraries make them, too. */
function isStream(body: unknown): body is Pick<Readable, 'destroyed' | 'errored' | 'listeners' | 'on'> {
  return isPart(body) && ['pipe', 'on', 'listeners'].every((name) => typeof body[name] === 'function');
}

function isPart(value: unknown): value is Part {
  return typeof value === 'object' && value !== null;
}

/** `value` may be the headers, or the options that hold them. */
function stripHeaders(value: unknown, ownName: string | undefined): void {
  if (!isPart(value)) return;
  for (const name of Object.keys(value)) if (isCredential(name, ownName)) Reflect.deleteProperty(value, name);
  if (Object.hasOwn(value, 'headers')) stripHeaders(value['headers'], ownName);
}

function stripText(owner: Part, member: string, ownName: string | undefined): void {
  const text = owner[member];
  if (typeof text !== 'string') return;
  // Never empty, since Node would take that for headers that it has yet to send.
  owner[member] = text.replace(/^([^:\r\n]+):.*\r\n/gm, (line, name: string) =>
    isCredential(name, ownName) ? '' : line,
  );
}

/** Leaves a member in place, but out of sight of anything that lists members. */
function hide(owner: Part, name: string): void {
  const { value, configurable } = Object.getOwnPropertyDescriptor(owner, name) ?? {};
  if (!isPart(value) || !configurable) return;
  let kept: unknown = value;
  const accessors = { get: () => kept, set: (replaced: unknown) => void (kept = replaced) };
  Object.defineProperty(owner, name, { ...accessors, enumerable: false, configurable: true });
}
