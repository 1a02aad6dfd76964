import { Agent, globalAgent } from 'node:https';
import axios, { type AxiosRequestConfig } from 'axios';
import { OAuthConfigurationError } from '../core/errors.js';
import { LruMap } from '../core/memory-token-store.js';
import { TlsAgent, closeIdle, type Route, type TlsMaterial } from './tls-agent.js';
import { environmentProxy, proxyOf } from './tunnel.js';

/** How many agents are kept, with their idle connections, for proxies that change from request to request. */
const MAX_AGENTS = 16;

/** Rules that requests and the checks at boot share. */
export interface RouteRules {
  /** Whether a URL is http that does not leave this machine, and so goes through no proxy. */
  staysHere(url: string): boolean;
  /** Whether Axios will choose its fetch adapter or HTTP/2, which know neither agents nor proxies. */
  ignoresAgents(config: { adapter?: unknown; httpVersion?: unknown }): boolean;
}

/** How a client's requests reach their servers: with its certificate or without, directly or through a proxy. */
export class Routes {
  readonly #client: string;
  readonly #material: TlsMaterial | undefined;
  readonly #rules: RouteRules;
  readonly #environment = environmentProxy('https');
  /** Whether `lay` is needed for requests that name no proxy themselves. */
  readonly areNeeded: boolean;
  readonly #agents = new WeakMap<object, LruMap<TlsAgent>>();
  #made: TlsAgent[] = [];

  constructor(client: string, material: TlsMaterial | undefined, rules: RouteRules) {
    this.#client = client;
    this.#material = material;
    this.#rules = rules;
    this.areNeeded = Boolean(material ?? this.#environment ?? environmentProxy('http'));
  }

  /**
   * Gives a request that is about to be sent to `site` its agent and its proxy.
   *
   * @returns the agent to go on with where the client's certificate must not go
   * @throws {OAuthConfigurationError} if the certificate could not be presented
   */
  lay(config: AxiosRequestConfig, site: URL | undefined, adapter = config.adapter): Agent | undefined {
    const { proxy, httpVersion } = config;
    const given = (config.httpsAgent ?? undefined) as Agent | undefined;
    // An agent that has a certificate of its own keeps it.
    const material = given?.options?.cert || given?.options?.pfx ? undefined : this.#material;
    const hasAgents = !this.#rules.ignoresAgents({ adapter: adapter ?? axios.defaults.adapter, httpVersion });
    if (material && !(hasAgents && isReplaceable(given)) && site?.protocol === 'https:')
      throw new OAuthConfigurationError([
        `Client "${this.#client}": the fetch adapter, HTTP/2 and agents that connect in their own way cannot present its tls certificate; leave adapter, httpVersion and httpsAgent out of the request and its Axios instance.`,
      ]);
    if (site && this.#rules.staysHere(site.href)) config.proxy = false;
    if (!hasAgents || (given !== undefined && !(given instanceof Agent))) return given;
    const isFromEnvironment = !proxy && proxy !== false;
    // Node's own agents may read the proxy variables themselves.
    const isOurs = material !== undefined || !('proxyEnv' in (given ?? globalAgent).options);
    const through = proxy ? proxyOf(proxy) : isFromEnvironment && isOurs ? this.#environment : undefined;
    if (!material && !through) return given;
    if (site?.protocol === 'https:') config.proxy = false;
    const route = { given, proxy: through, isFromEnvironment };
    config.httpsAgent = this.#agent({ ...route, material });
    return through ? this.#agent({ ...route, material: undefined }) : given;
  }

  /** Closes idle connections; those in use are closed after their request. */
  close(): void {
    for (const agent of this.#made.splice(0)) closeIdle(Object.assign(agent, { keepAlive: false }));
  }

  #agent(route: Route): TlsAgent {
    const { given = this, proxy, isFromEnvironment, material } = route;
    const agents = this.#agents.get(given) ?? new LruMap(MAX_AGENTS);
    this.#agents.set(given, agents);
    const key = JSON.stringify([proxy?.href, isFromEnvironment, material !== undefined]);
    const present = agents.get(key);
    const agent = present ?? new TlsAgent(route);
    agents.set(key, agent);
    if (!present) this.#made = [...this.#made.slice(1 - MAX_AGENTS), agent];
    return agent;
  }
}

/** Whether one of ours may take the place of an agent: not if that connects in a way of its own. */
function isReplaceable(agent: Agent = Agent.prototype): boolean {
  const own = [Agent.prototype, TlsAgent.prototype];
  return own.some((its) => its.createConnection === agent.createConnection);
}
