import type { ClientRequest, IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { inspect } from 'node:util';
import axios, {
  type AxiosError,
  type AxiosProxyConfig,
  type AxiosResponse,
  type InternalAxiosRequestConfig,
} from 'axios';
import { proxyError } from './tunnel.js';

type Part = Record<PropertyKey, unknown>;

/** On a 401: the client whose token it refused. */
const REFUSED = Symbol('refused client');
/** The members by which the parts of a sent request know each other. */
const PARTS = ['req', 'res', '_redirectable', '_currentRequest', '_options', 'socket'];
/** What leads on to connections, which other requests of ours may be using just now. */
const SHARED = ['agent', 'agents', 'nativeProtocols', 'socket', 'client'];
const CREDENTIAL = /^((proxy-)?authorization|dpop)$/i;
const CREDENTIAL_LINES = /^((proxy-)?authorization|dpop):.*\r\n/gim;

/**
 * Takes token and proof out of what a request shows after it was sent. Copies of its headers stand in Node's request
 * and its socket, in what follows redirects, in an HTTP/2 stream or in a `Request` of fetch.
 */
export function sealRequest(request: unknown, seen = new Set<unknown>()): void {
  if (!isPart(request) || seen.has(request)) return;
  seen.add(request);
  const { headers, outputData } = request;
  if (isPart(headers) && typeof headers['delete'] === 'function') {
    for (const name of ['authorization', 'dpop']) headers['delete'](name);
    return;
  }
  for (const part of PARTS) sealRequest(request[part], seen);
  for (const symbol of Object.getOwnPropertySymbols(request)) stripHeaders(request[symbol]);
  if (Object.hasOwn(request, 'headers')) stripHeaders(headers);
  stripText(request, '_header');
  stripText(request, '_pendingData');
  if (Array.isArray(outputData)) for (const chunk of outputData as Part[]) stripText(chunk, 'data');
  for (const name of SHARED) hide(request, name);
}

/** Puts the caller's config in place of the one that was sent, also in wrapped errors; returns the response, if any. */
export function sealError(error: unknown, config: InternalAxiosRequestConfig): AxiosResponse | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const { request, response, cause } = error as Partial<AxiosError>;
  if ('config' in error) error.config = config;
  sealRequest(request);
  sealRequest(response?.request);
  if (response) response.config = config;
  if (axios.isAxiosError(cause)) sealError(cause, config);
  return response;
}

/**
 * Agents of other libraries hand on what a proxy answers in place of a tunnel as if it were the server's answer.
 *
 * @param request what an answer says that it belongs to
 * @throws if that was sent over https, and the answer came without TLS
 */
export function refuseProxyAnswer(request: unknown): void {
  const { protocol, host, res } = (request ?? {}) as Partial<ClientRequest & { res: IncomingMessage }>;
  if (protocol !== 'https:' || !(res?.socket instanceof Socket) || 'encrypted' in res.socket) return;
  throw proxyError('', `opened no tunnel to ${host}: it answered ${res.statusCode}`);
}

/** Notes on a 401 whose token it refused; an error that anybody makes of that response keeps the note. */
export function markRefused(response: object, client: string): void {
  Object.defineProperty(response, REFUSED, { value: client });
}

/** The client whose token an API rejected for good, if that is what `error` shows. */
export function rejectedClientOf(error: unknown): string | undefined {
  const { response } = (error ?? {}) as { response?: { [REFUSED]?: string } };
  return response?.[REFUSED];
}

/** An agent shows its keys, and all requests under way. */
export function sealAgent(agent: unknown): void {
  if (!isPart(agent) || Object.hasOwn(agent, 'toJSON')) return;
  const shown = `[${agent.constructor.name}]`;
  for (const name of ['toJSON', inspect.custom]) {
    Object.defineProperty(agent, name, { value: () => shown, configurable: true, writable: true });
  }
}

/** A proxy that shows no credentials, to stand in configs; what is sent has the one behind it. */
export class SealedProxy {
  readonly host: string;
  readonly port: number;
  readonly protocol: string;
  readonly #proxy: AxiosProxyConfig;

  private constructor(proxy: AxiosProxyConfig) {
    ({ host: this.host, port: this.port, protocol: this.protocol = 'http' } = proxy);
    this.#proxy = proxy;
  }

  static seal(config: { proxy?: AxiosProxyConfig | false }): void {
    const { proxy } = config;
    if (proxy && !(proxy instanceof SealedProxy)) config.proxy = new SealedProxy(proxy);
  }

  static open<C extends { proxy?: AxiosProxyConfig | false }>(config: C): C {
    if (config.proxy instanceof SealedProxy) config.proxy = config.proxy.#proxy;
    return config;
  }
}

function isPart(value: unknown): value is Part {
  return typeof value === 'object' && value !== null;
}

/** `value` may be the headers, or the options that hold them. */
function stripHeaders(value: unknown): void {
  if (!isPart(value)) return;
  for (const name of Object.keys(value)) if (CREDENTIAL.test(name)) Reflect.deleteProperty(value, name);
  if (Object.hasOwn(value, 'headers')) stripHeaders(value['headers']);
}

function stripText(owner: Part, name: string): void {
  const text = owner[name];
  // Never empty, since Node would take that for headers that it has yet to send.
  if (typeof text === 'string') owner[name] = text.replace(CREDENTIAL_LINES, '');
}

/** Leaves a member in place, but out of sight of anything that lists members. */
function hide(owner: Part, name: string): void {
  const { value, configurable } = Object.getOwnPropertyDescriptor(owner, name) ?? {};
  if (!isPart(value) || !configurable) return;
  let kept: unknown = value;
  const accessors = { get: () => kept, set: (replaced: unknown) => void (kept = replaced) };
  Object.defineProperty(owner, name, { ...accessors, enumerable: false, configurable: true });
}
