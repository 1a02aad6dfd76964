import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import axios, {
  AxiosHeaders,
  type AxiosAdapter,
  type AxiosError,
  type AxiosResponse,
  type InternalAxiosRequestConfig,
} from 'axios';
import { EMPTY, from, merge, type Observable } from 'rxjs';
import { aborted$ } from '../core/aborted.js';
import { targetOf, type AllowedOrigins } from './allowed-origins.js';
import type { ApiAnswer, ApiClient, Credentials, OutgoingRequest } from './authorized-call.js';
import { redirectGuard } from './redirects.js';
import { sealAgent, sealRequest } from './sealing.js';

type Config = InternalAxiosRequestConfig & { [CARRIED]?: Credentials };
export type Adapter = InternalAxiosRequestConfig['adapter'];

/** On what was sent: the credentials in its headers. */
const CARRIED = Symbol('credentials');
/** On a 401: the client whose token it refused. */
const REFUSED = Symbol('refused client');
const MANUAL = Object.freeze({ redirect: 'manual' });

/** The client whose token an API rejected for good, if that is what `error` shows. */
export function rejectedClientOf(error: unknown): string | undefined {
  const { response } = (error ?? {}) as { response?: { [REFUSED]?: string } };
  return response?.[REFUSED];
}

/** Sends a request without a token of ours. */
export async function sendAsItIs(config: Config, adapter: Adapter): Promise<AxiosResponse> {
  try {
    const response = await resolve(adapter, config)(config);
    sealRequest(response.request);
    return response;
  } catch (error) {
    sealError(error, config);
    throw error;
  }
}

/** The request before another adapter of ours, above this one, put its token on: the one nearest to the wire does it. */
export function withoutOurs(config: Config): Config {
  const carried = config[CARRIED];
  if (carried === undefined) return config;
  carried.astray = true;
  const copy = { ...config, headers: new AxiosHeaders(config.headers) };
  delete copy[CARRIED];
  takeOff(copy);
  return copy;
}

/** An Axios request as it left all interceptors and transforms. */
export class AxiosRequest implements OutgoingRequest<AxiosResponse> {
  readonly #config: Config;
  readonly #adapter: Adapter;
  readonly #api: ApiClient;
  #boundary: string | undefined;

  constructor(config: Config, adapter: Adapter, api: ApiClient) {
    this.#config = config;
    this.#adapter = adapter;
    this.#api = api;
  }

  get method(): string {
    return this.#config.method ?? 'get';
  }

  get target(): URL | undefined {
    return targetOf(this.#config);
  }

  /** Streams are consumed by the first sending. */
  get replayable(): boolean {
    const data: unknown = this.#config.data;
    if (typeof data !== 'object' || data === null) return true;
    return !('pipe' in data || 'getReader' in data || 'pipeThrough' in data || Symbol.asyncIterator in data);
  }

  get cancelled$(): Observable<unknown> {
    const { signal, cancelToken } = this.#config;
    return merge(
      signal ? aborted$(signal as AbortSignal) : EMPTY,
      cancelToken ? from(cancelToken.promise) : EMPTY,
    );
  }

  isWithin(origins: AllowedOrigins): boolean {
    return origins.allow(this.#config);
  }

  /** Without credentials it still presents the client's certificate. */
  send(credentials?: Credentials): Promise<ApiAnswer<AxiosResponse>> {
    const config = this.#config;
    const copy = this.#carrying(credentials);
    const answered = (response: AxiosResponse, error?: unknown) => {
      sealRequest(response.request);
      response.config = config;
      if (credentials && response.status === 401)
        Object.defineProperty(response, REFUSED, { value: this.#api.client.name });
      if (response.data instanceof Readable) {
        sealRequest(response.data);
        takeOff(copy); // the stream's own errors show it
      }
      return answerOf(response, error);
    };
    const failed = (error: unknown) => {
      const response = sealError(error, config);
      if (response === undefined) throw error;
      return answered(response, error);
    };
    try {
      return resolve(this.#adapter, copy)(copy).then(answered, failed);
    } catch (error) {
      return Promise.resolve(error).then(failed);
    }
  }

  /** A copy to send, so that the credentials stand in no config that anybody else can see. */
  #carrying(credentials: Credentials | undefined): Config {
    const config = this.#config;
    const { tlsAgent } = this.#api;
    const copy = copyOf(config);
    const headers = Object.assign(new AxiosHeaders(), config.headers);
    if (credentials) {
      headers['Authorization'] = credentials.token.authorization;
      if (credentials.proof !== undefined) headers['DPoP'] = credentials.proof;
      copy[CARRIED] = credentials;
    }
    if (config.data instanceof FormData) this.#fixBoundary(headers);
    copy.headers = headers;
    copy.beforeRedirect = redirectGuard(this.#api, credentials, config.beforeRedirect);
    // The fetch adapter asks nobody before it follows.
    copy.fetchOptions = config.fetchOptions ? { ...config.fetchOptions, ...MANUAL } : MANUAL;
    if (tlsAgent) copy.httpsAgent ??= tlsAgent;
    sealAgent(copy.httpAgent);
    sealAgent(copy.httpsAgent);
    return copy;
  }

  /** A form is to be the same, byte by byte, when it is sent again; fetch adapters choose the boundary themselves. */
  #fixBoundary(headers: AxiosHeaders): void {
    const adapter = this.#adapter;
    const mayChoose = adapter === undefined || adapter === 'http' || Array.isArray(adapter);
    if (!mayChoose || /boundary=/i.test(String(headers.getContentType()))) return;
    headers.setContentType(`multipart/form-data; boundary=${(this.#boundary ??= randomUUID())}`);
  }
}

/** An answer, of which Axios may have made an error. */
function answerOf(response: AxiosResponse, error: unknown): ApiAnswer<AxiosResponse> {
  return {
    status: response.status,
    header: (name) => (response.headers as Record<string, unknown>)[name],
    surface: () => {
      if (error !== undefined) throw error as Error;
      return response;
    },
    discard: () => {
      if (response.data instanceof Readable) response.data.destroy();
    },
  };
}

function resolve(adapter: Adapter, config: Config): AxiosAdapter {
  return typeof adapter === 'function'
    ? adapter
    : axios.getAdapter(adapter ?? axios.defaults.adapter, config);
}

/** Member by member: to spread the dictionary that Axios makes of a config takes five times as long. */
function copyOf(config: Config): Config {
  const members = config as unknown as Record<string, unknown>;
  const copy: Record<string, unknown> = {};
  for (const name of Object.keys(members)) copy[name] = members[name];
  return copy as unknown as Config;
}

function takeOff({ headers }: Config): void {
  headers.delete('Authorization');
  headers.delete('DPoP');
}

/** Puts the caller's config in place of the one that was sent, also in wrapped errors; returns the response, if any. */
function sealError(error: unknown, config: Config): AxiosResponse | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const { request, response, cause } = error as Partial<AxiosError>;
  if ('config' in error) error.config = config;
  sealRequest(request);
  sealRequest(response?.request);
  if (response) response.config = config;
  if (axios.isAxiosError(cause)) sealError(cause, config);
  return response;
}
