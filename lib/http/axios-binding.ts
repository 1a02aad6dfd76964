import { randomUUID } from 'node:crypto';
import type { Agent } from 'node:https';
import { Readable } from 'node:stream';
import { AxiosHeaders } from 'axios';
import type { AxiosError, AxiosInstance, AxiosResponse, InternalAxiosRequestConfig as Config } from 'axios';
import { EMPTY, merge, type Observable } from 'rxjs';
import { aborted$ } from '../core/aborted.js';
import { checked } from '../core/request-snapshot.js';
import type { TokenRequest } from '../core/token-request.js';
import { checkTarget, clientFor, forTenant, sendAuthorized } from './authorized-call.js';
import type { ApiAnswer, Conclude, Credentials, OutgoingRequest } from './authorized-call.js';
import type { ApiClient, ApiClients } from './api-client.js';
import { buildOf } from './axios-instance.js';
import { withDefaultsOf } from './own-defaults.js';
import { fetchNoting, headOf, refuseProxyAnswer } from './protocol-transport.js';
import { followRedirect } from './redirects.js';
import { isReplayable, lowerCased, markRefused, readable } from './refusals.js';
import { SealedTokenRequest } from './request-config.js';
import {
  carry,
  copyPayload,
  copyToSend,
  sealAgent,
  sealConfig,
  sealError,
  sealOnSight,
  sealRequest,
  withoutOurs,
} from './sealing.js';

/** The adapter below ours, and the build of Axios that knows it by its name. */
type Below = { readonly adapter: Config['adapter']; readonly build: ReturnType<typeof buildOf> };

/** On an adapter of ours: the one below it. */
const BELOW = Symbol('adapter below');

/**
 * Puts tokens on the requests of `instance`, in an adapter around that of each request. That is the last place before
 * the socket, where no interceptor or transform can change the request any more, or see the token.
 *
 * @param client the client whose tokens the requests get; without it, the client whose allowed origin matches best
 * @param isOwn whether `instance` is the client's own, so that a tenant's defaults replace the client's
 * @returns whether the interceptor is on, which ends when the instance's interceptors are cleared, and what takes it off
 * @throws {OAuthClientError} `unknown_client`
 */
export function interceptTokens(
  instance: AxiosInstance,
  clients: ApiClients,
  client?: string,
  isOwn = false,
): { isOn: () => boolean; detach: () => void } {
  const own = client === undefined ? undefined : clients.get(client);
  const select = (config: Config, name?: string): ApiClient | undefined =>
    name === undefined ? (own ?? clientFor(config, clients.all())) : clients.get(name);
  const build = buildOf(instance);
  let attached = true;
  const wrap = (passed: Config): Config => {
    const config = Object.isFrozen(passed) ? { ...passed } : passed;
    copyPayload(config);
    const asked = sealConfig(config);
    const { adapter: given } = config;
    // A request that passes twice, as with retry libraries, has an adapter of ours already.
    const inner = typeof given === 'function' && BELOW in given ? (given[BELOW] as typeof given) : given;
    const below = { adapter: inner, build };
    const adapter = (sent: Config): Promise<AxiosResponse> =>
      attached
        ? authorize(sent, below, asked, select, isOwn ? instance.defaults : undefined)
        : sendAsItIs(sent, below);
    adapter[BELOW] = inner;
    config.adapter = adapter;
    return config;
  };
  const chain = instance.interceptors.request;
  chain.use(wrap, undefined, { synchronous: true });
  // Not the number that `use` returns: it is no place, and once the chain was cleared it may be another interceptor's.
  const place = () => chain.handlers?.findIndex((handler) => handler?.fulfilled === wrap) ?? -1;
  return {
    isOn: () => place() >= 0,
    detach: () => {
      attached = false;
      if (place() >= 0) chain.handlers?.splice(place(), 1, null as never);
    },
  };
}

/** Sends a request with a token, unless it is to get none. */
function authorize(
  config: Config,
  below: Below,
  asked: ReturnType<typeof sealConfig>,
  select: (config: Config, name?: string) => ApiClient | undefined,
  defaults: AxiosInstance['defaults'] | undefined,
): Promise<AxiosResponse> {
  try {
    config = withoutOurs(config);
    // Interceptors that rebuild a config lose the members that they do not know.
    const sealed = sealConfig(config) ?? asked;
    const snapshot = sealed && SealedTokenRequest.open(sealed);
    const api = select(config, snapshot ? snapshot.request.client : undefined);
    const oauth = snapshot && checked(api?.client.name, snapshot);
    if (api === undefined) return sendAsItIs(config, below);
    const request = new AxiosRequest(config, below, api);
    if (api.tenants === undefined) return sendOf(request, oauth);
    const isBare = oauth === false || request.hasOwnCredentials;
    return forTenant(request, api, oauth || {}, isBare, async (own) => {
      const present = { ...config, adapter: below.adapter ?? 'http' };
      // The defaults of another client's tenant do not belong on this instance.
      const isOwn = defaults !== undefined && select(config) === api;
      const given = isOwn ? await withDefaultsOf(present, defaults, own) : present;
      const { adapter } = given;
      // Our adapter stays on the config, since the request may be sent again.
      const sent = Object.assign(given, { adapter: config.adapter });
      return sendOf(new AxiosRequest(sent, { ...below, adapter }, own), oauth);
    });
  } catch (error) {
    return Promise.reject(error);
  }
}

/** Sends a request of a client, with a token unless it is to get none. */
function sendOf(request: AxiosRequest, oauth: TokenRequest | false | undefined): Promise<AxiosResponse> {
  const { api, config, below } = request;
  if (oauth !== false && !request.hasOwnCredentials) return sendAuthorized(request, api, oauth);
  if (!api.origins.allow(config)) return sendAsItIs(config, below, api.tokenHeader.ownName);
  return request.send(undefined, (answer) => answer.surface());
}

/** Sends a request without a token of ours. */
async function sendAsItIs(config: Config, below: Below, ownName?: string): Promise<AxiosResponse> {
  try {
    const response = await transmit(copyToSend(config), below);
    response.config = config;
    sealOnSight(response, ownName);
    return response;
  } catch (error) {
    sealError(error, config, ownName);
    throw error;
  }
}

/** An Axios request as it left all interceptors and transforms. */
class AxiosRequest implements OutgoingRequest<AxiosResponse> {
  readonly config: Config;
  readonly below: Below;
  readonly api: ApiClient;
  #boundary: string | undefined;

  constructor(config: Config, below: Below, api: ApiClient) {
    this.config = config;
    this.below = below;
    this.api = api;
  }

  get hasOwnCredentials(): boolean {
    const { name, ownName } = this.api.tokenHeader;
    const given = AxiosHeaders.from(this.config.headers).get(name);
    return (ownName === undefined ? (this.config.auth ?? given) : given) !== undefined;
  }

  get cancelled$(): Observable<unknown> {
    const { signal, cancelToken } = this.config;
    return merge(signal ? aborted$(signal as AbortSignal) : EMPTY, cancelToken?.promise ?? EMPTY);
  }

  /** Without credentials it still presents the client's certificate. */
  send<T>(credentials: Credentials | undefined, conclude: Conclude<AxiosResponse, T>): Promise<T> {
    const [config, { ownName }] = [this.config, this.api.tokenHeader];
    const copy = this.#carrying(credentials);
    const answered = (response: AxiosResponse, error?: unknown) => {
      response.config = config;
      refuseProxyAnswer(response.request);
      if (response.data instanceof Readable) {
        // Errors of the stream itself show the request.
        for (const part of [response.data, response.request, copy]) sealRequest(part, ownName);
      } else if (config.data && !isReplayable(config.data))
        sealRequest(response.request, ownName); // the caller's stream leads to it
      else sealOnSight(response, ownName);
      return answerOf(response, error);
    };
    const failed = (error: unknown) => {
      // The body may have broken off, stalled or been too large, but the head says whether the token was refused.
      const head = this.below.build.isCancel(error) ? undefined : headOf(Object(error) as AxiosError);
      const response = sealError(error, config, ownName) ?? (head as AxiosResponse | undefined);
      if (response === undefined) throw error;
      return answered(response, error);
    };
    try {
      return transmit(copy, this.below).then(answered, failed).then(conclude);
    } catch (error) {
      return Promise.resolve(error).then(failed).then(conclude);
    }
  }

  /** A copy to send, so that no config that others can see holds the credentials. */
  #carrying(credentials: Credentials | undefined): Config {
    const [{ config, below }, { origins, routes, tokenHeader }] = [this, this.api];
    const copy = copyToSend(config);
    copy.headers = Object.assign(new AxiosHeaders(), config.headers);
    if (credentials) {
      checkTarget(copy, this.api); // `config` may have changed meanwhile, or have accessors
      carry(copy, credentials, tokenHeader);
      // The fetch adapter follows redirects without calling `beforeRedirect`.
      copy.fetchOptions = { ...config.fetchOptions, redirect: 'manual' };
    }
    const isForm = Object.prototype.toString.call(config.data) === '[object FormData]';
    if (isForm && isReplayable(config.data)) this.#fixBoundary(copy.headers);
    let outside = config.httpsAgent as Agent | undefined;
    if (routes.areNeeded || config.proxy) outside = routes.lay(copy, origins.siteOf(copy), below.adapter);
    const agents = { inside: copy.httpsAgent as Agent | undefined, outside };
    copy.beforeRedirect = (...redirect) =>
      followRedirect(this.api, agents, credentials, config.beforeRedirect, ...redirect);
    if ([below.adapter].flat().includes('fetch')) copy.env = { fetch: fetchNoting, ...config.env };
    for (const agent of [copy.httpAgent, copy.httpsAgent, outside]) sealAgent(agent);
    return copy;
  }

  /** Makes a form the same, byte by byte, when it is sent again. Fetch adapters choose the boundary themselves. */
  #fixBoundary(headers: AxiosHeaders): void {
    const { adapter } = this.below;
    const mayChoose = adapter === undefined || adapter === 'http' || Array.isArray(adapter);
    // Axios replaces any other boundary by one of its own.
    if (!mayChoose || /boundary=[-\w]{10,70}/i.test(String(headers.getContentType()))) return;
    headers.setContentType(`multipart/form-data; boundary=${(this.#boundary ??= randomUUID())}`);
  }
}

/** An answer, which Axios may have turned into an error. */
function answerOf(response: AxiosResponse<unknown>, error: unknown): ApiAnswer<AxiosResponse> {
  const { status, data } = response;
  const headers = () => lowerCased(response.headers ?? {}); // mock adapters leave them out
  return {
    status,
    headers,
    data: () => readable(data, headers()),
    surface: (refused) => {
      if (refused !== undefined) markRefused(refused, response, error); // which has no response where the body broke off
      if (error !== undefined) throw error as Error;
      return response;
    },
    discard: () => {
      if (data instanceof Readable) data.destroy();
    },
  };
}

function transmit(copy: Config, { adapter, build }: Below): Promise<AxiosResponse> {
  if (typeof adapter === 'function') return adapter(copy);
  return build.getAdapter(adapter ?? build.defaults.adapter, copy)(copy);
}
