import { AxiosHeaders, type AxiosInstance, type AxiosResponse, type InternalAxiosRequestConfig } from 'axios';
import { targetOf } from './allowed-origins.js';
import { sendAuthorized, type ApiClient } from './authorized-call.js';
import { AxiosRequest, withoutOurs, sendAsItIs, type Adapter } from './axios-request.js';
import { SealedTokenRequest, type OAuthRequestConfig } from './request-config.js';

type Config = InternalAxiosRequestConfig;
type Selector = (config: Config, name: string | undefined) => ApiClient | undefined;

/** On an adapter of ours: the one below it. */
const BELOW = Symbol('adapter below');

/** The clients whose tokens requests may get. */
export interface ApiClients {
  /** @throws {OAuthClientError} `unknown_client` */
  get(name: string): ApiClient;
  all(): Iterable<ApiClient>;
}

/**
 * Puts tokens on the requests of `instance`, by an adapter around that of each request: the last place before the
 * socket, where no interceptor or transform can change the request any more, or see the token.
 *
 * @param client the client whose tokens they get; without a name, the one whose allowed origin fits best, and none
 * elsewhere
 * @returns takes the interceptor off again
 * @throws {OAuthClientError} `unknown_client`
 */
export function interceptTokens(instance: AxiosInstance, clients: ApiClients, client?: string): () => void {
  const own = client === undefined ? undefined : clients.get(client);
  const select: Selector = (config, name) =>
    name === undefined ? (own ?? clientFor(targetOf(config), clients.all())) : clients.get(name);
  let attached = true;
  const wrap = (config: Config): Config => {
    if (config.oauth) config.oauth = SealedTokenRequest.of(config.oauth);
    const asked = config.oauth;
    const below = adapterBelow(config.adapter);
    const adapter = (sent: Config): Promise<AxiosResponse> =>
      attached ? authorize(sent, below, asked, select) : sendAsItIs(sent, below);
    adapter[BELOW] = below;
    config.adapter = adapter;
    return config;
  };
  const id = instance.interceptors.request.use(wrap, undefined, { synchronous: true });
  return () => {
    attached = false;
    instance.interceptors.request.eject(id);
  };
}

/** A request that passes twice, as with retry libraries, has an adapter of ours already. */
function adapterBelow(adapter: Adapter): Adapter {
  return typeof adapter === 'function' && BELOW in adapter ? (adapter[BELOW] as Adapter) : adapter;
}

/** Sends a request with a token, unless it is to get none. */
function authorize(
  config: Config,
  below: Adapter,
  asked: OAuthRequestConfig | undefined,
  select: Selector,
): Promise<AxiosResponse> {
  try {
    config = withoutOurs(config);
    // Interceptors that rebuild a config lose the members that they do not know.
    const oauth = SealedTokenRequest.open(config.oauth ?? asked);
    const own = config.auth ?? AxiosHeaders.from(config.headers).get('Authorization');
    const api = select(config, oauth ? oauth.client : undefined);
    if (api === undefined) return sendAsItIs(config, below);
    const request = new AxiosRequest(config, below, api);
    if (oauth !== false && own === undefined) return sendAuthorized(request, api, oauth);
    if (api.tlsAgent === undefined || !request.isWithin(api.origins)) return sendAsItIs(config, below);
    return request.send().then((answer) => answer.surface());
  } catch (error) {
    return Promise.reject(error);
  }
}

/** The client whose allowed origin covers most of `target`. */
function clientFor(target: URL | undefined, clients: Iterable<ApiClient>): ApiClient | undefined {
  if (target === undefined) return undefined;
  let best: ApiClient | undefined;
  let most = 0;
  for (const api of clients) {
    const reach = api.origins.reach(target);
    if (reach > most) [best, most] = [api, reach];
  }
  return best;
}
