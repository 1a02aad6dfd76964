import { STATUS_CODES } from 'node:http';
import type { HttpService } from '@nestjs/axios';
import { Module, type DynamicModule } from '@nestjs/common';
import axios, { AxiosError, AxiosHeaders } from 'axios';
import type { AxiosInstance, AxiosResponse, InternalAxiosRequestConfig } from 'axios';
import type { OAuthClientName, PerOAuthClient } from '../core/client-names.js';
import { aborted$ } from '../core/aborted.js';
import { TENANT_IS_OPTIONAL } from '../core/tenants.js';
import { TokenStore } from '../core/token-store.js';
import type { TokenRequestDetails } from '../core/token-request.js';
import { AllowedOrigins } from '../http/allowed-origins.js';
import { clientFor, unlessCancelled } from '../http/authorized-call.js';
import { isBody } from '../http/fetch-transport.js';
import { lowerCased, readable } from '../http/refusals.js';
import { SealedTokenRequest } from '../http/request-config.js';
import { connectClient } from '../nest/client-connection.js';
import { ENVIRONMENT } from '../nest/config-environment.js';
import { OAuthAxiosInterceptor, axiosOf } from '../nest/oauth-axios.interceptor.js';
import { OAuthClientRegistry } from '../nest/oauth-client-registry.js';
import { OAuthClientModule } from '../nest/oauth-client.module.js';
import type { OAuthClientOptions } from '../options/client-options.js';
import type { EnvironmentSource } from '../options/environment.js';
import { JSON_TYPE, type FakeResponse } from './fake-answer.js';

/** An API request for a {@link FixedClient} to answer, as Axios would send it; requests of fetch look the same. */
export interface FixedRequest extends InternalAxiosRequestConfig {
  /** The token that it carries. */
  token: string | undefined;
  /** Its body; parsed where that is JSON. */
  body: unknown;
}

/**
 * Answers an API request instead of the network, with the data of a response or a whole one; may return a promise, and
 * throw what the network would.
 */
export type FixedAnswer = (request: FixedRequest) => unknown;

/** What a client of the {@link OAuthClientTestingModule} has. */
export interface FixedClient {
  /**
   * The access token, or a function that is asked whenever the application would request one. What it throws is the
   * failure; the next call asks again, without a pause. Default `test-token`.
   */
  token?: (string | ((request: TokenRequestDetails, client: string) => string | Promise<string>)) | undefined;
  /**
   * Answers all API requests of the client: a function, or the answer itself. That is the data of a response with status
   * 200, or a whole response: a `Response`, or an object with a numeric `status` and at most `headers` and `body`. Objects
   * and lists arrive as JSON does. Default: the requests fail, and the error says what to do.
   */
  answer?: FixedAnswer | FakeResponse | object | string | undefined;
  /** The base of relative URLs; an `attach` without a name finds the client by it. Default `https://<name>.test`. */
  baseURL?: string | undefined;
}

/**
 * `OAuthClientModule` for tests: everything is injectable as in the application, tokens and answers are those that you
 * give, and nothing reaches the network, whatever the URL and whatever sends it.
 *
 * @example
 * ```ts
 * const module = await Test.createTestingModule({
 *   imports: [OAuthClientTestingModule.forRoot({ buoy: { answer: { text: 'hip', suggestions: [] } } })],
 *   providers: [TriageService],
 * }).compile();
 * ```
 */
@Module({})
export class OAuthClientTestingModule {
  /** @param clients a list of names, or a token or {@link FixedClient} for each name; the module is global */
  static forRoot(clients: readonly OAuthClientName[] | PerOAuthClient<string | FixedClient>): DynamicModule {
    const named: [string, string | FixedClient][] = Array.isArray(clients)
      ? clients.map((name: string) => [name, {}])
      : Object.entries(clients);
    const fixed = new Map(named.map(([name, own]) => [name, typeof own === 'string' ? { token: own } : own]));
    const options = {
      clients: Object.fromEntries([...fixed].map(([name, own]) => [name, optionsOf(name, own)])),
    };
    const { providers = [], ...root } = OAuthClientModule.forRoot(options);
    const useFactory = (store: TokenStore, environment: EnvironmentSource) => {
      const registry = new OAuthClientRegistry(options, store, environment, connectToAnyOrigin);
      registry.takeTokensFrom({
        getToken: (name: string, request: TokenRequestDetails) => tokenOf(name, fixed.get(name), request),
      });
      return registry;
    };
    const replaced = {
      ...root,
      providers: [
        ...providers,
        { provide: OAuthClientRegistry, inject: [TokenStore, ENVIRONMENT], useFactory },
        {
          provide: OAuthAxiosInterceptor,
          inject: [OAuthClientRegistry],
          useFactory: (registry: OAuthClientRegistry) => new AnsweringInterceptor(registry, fixed),
        },
      ],
    };
    return { module: OAuthClientTestingModule, global: true, imports: [replaced], exports: [replaced] };
  }
}

function optionsOf(name: string, client: FixedClient): OAuthClientOptions {
  const { baseURL = `https://${name.replace(/[^a-z\d]+/gi, '-')}.test` } = client;
  // For fetch; Axios has an adapter for each request.
  const adapter = (config: InternalAxiosRequestConfig) => answerTo(config, name, client);
  const tenants = Object.assign(() => ({}), { [TENANT_IS_OPTIONAL]: true });
  return { baseURL, http: { adapter }, requestToken: () => ({ accessToken: '' }), tenants };
}

function tokenOf(name: string, { token = 'test-token' }: FixedClient = {}, request: TokenRequestDetails) {
  if (typeof token === 'function') return token(request, name);
  return request.tenant === undefined ? token : `${token}-${encodeURIComponent(request.tenant)}`;
}

const connectToAnyOrigin: typeof connectClient = (parts) => ({
  ...connectClient(parts),
  origins: new EveryOrigin(parts.options.baseURL),
});

/** Allows every origin, since no request reaches the network. */
class EveryOrigin extends AllowedOrigins {
  override allow(): boolean {
    return true;
  }

  override detours(): boolean {
    return false;
  }

  override reach(target: URL): number {
    return super.reach(target) || Number.MIN_VALUE;
  }
}

/** Also answers the requests of the instances that it is attached to. */
class AnsweringInterceptor extends OAuthAxiosInterceptor {
  readonly #registry: OAuthClientRegistry;
  readonly #clients: ReadonlyMap<string, FixedClient>;
  readonly #answering = new WeakMap<object, number>();

  constructor(registry: OAuthClientRegistry, clients: ReadonlyMap<string, FixedClient>) {
    super(registry);
    this.#registry = registry;
    this.#clients = clients;
  }

  override attach(http: HttpService | AxiosInstance, client?: OAuthClientName): () => void {
    const detach = super.attach(http, client);
    const { request } = axiosOf(http).interceptors;
    // Axios runs the last interceptor first, and the one that adds the token wraps the adapter that is set here.
    request.eject(this.#answering.get(request) ?? -1);
    const answering = (config: InternalAxiosRequestConfig) => {
      const own = config.adapter;
      config.adapter = (sent) => {
        const name = this.#nameOf(sent, client);
        return answerTo(sent, name, this.#clients.get(name ?? ''), own);
      };
      return config;
    };
    this.#answering.set(request, request.use(answering, undefined, { synchronous: true }));
    return detach;
  }

  #nameOf(sent: InternalAxiosRequestConfig, attached: string | undefined): string | undefined {
    const asked = sent.oauth && SealedTokenRequest.open(sent.oauth).request.client;
    return (asked || attached) ?? clientFor(sent, this.#registry.all())?.client.name;
  }
}

/** @param own the adapter of the request or its instance; if a test set a mock there, it answers for a client without an answer */
async function answerTo(
  config: InternalAxiosRequestConfig,
  name: string | undefined,
  { answer }: FixedClient = {},
  own?: InternalAxiosRequestConfig['adapter'],
): Promise<AxiosResponse> {
  if (answer === undefined) {
    const isMock =
      typeof own === 'function' && ['http', 'fetch'].every((kind) => axios.getAdapter(kind) !== own);
    if (isMock) return own(config);
    const request = `${(config.method ?? 'get').toUpperCase()} ${config.url ?? ''}`;
    throw new Error(
      name === undefined
        ? `No network in tests: ${request} of an attached instance has no absolute URL, so that no client answers it.`
        : `No network in tests: ${request} of client "${name}" has no answer. Give OAuthClientTestingModule.forRoot({ '${name}': { answer } }), or overrideProvider(getOAuthHttpToken('${name}')).`,
    );
  }
  const { signal = new AbortController().signal } = config;
  const ask = async () => (typeof answer === 'function' ? (answer as FixedAnswer)(read(config)) : answer);
  const given: unknown = await unlessCancelled(aborted$(signal as AbortSignal), ask);
  const { status, headers = {}, body } = await wholeOf(given);
  const isJson = body !== undefined && !isBody(body);
  // As text, for Axios to parse: each request has a copy of its own.
  const data = isJson ? JSON.stringify(body) : body;
  const known = new AxiosHeaders({ ...(isJson && JSON_TYPE), ...lowerCased(headers) });
  const response = { data, status, statusText: STATUS_CODES[status] ?? '', headers: known, config };
  if (!config.validateStatus || config.validateStatus(status)) return response;
  const code = status < 500 ? AxiosError.ERR_BAD_REQUEST : AxiosError.ERR_BAD_RESPONSE;
  throw new AxiosError(`Request failed with status code ${status}`, code, config, undefined, response);
}

function read(config: InternalAxiosRequestConfig): FixedRequest {
  const { headers, data } = config;
  const [, token] = /^\S+ (.+)$/.exec(String(headers.get('authorization') ?? '')) ?? [];
  return { ...config, token, body: readable(data, { 'content-type': headers.getContentType() }) };
}

async function wholeOf(given: unknown): Promise<Omit<FakeResponse, 'body'> & { body?: unknown }> {
  if (given instanceof Response) {
    const { status, headers } = given;
    return { status, headers: Object.fromEntries(headers), body: await given.clone().text() };
  }
  const { status, ...others } = Object(given) as Partial<FakeResponse>;
  const isStatus = Number.isInteger(status) && status !== undefined && status >= 200 && status < 600;
  const isWhole = isStatus && Object.keys(others).every((name) => name === 'headers' || name === 'body');
  return isWhole ? { status, ...others } : { status: 200, body: given };
}
