import { globalAgent, type Agent } from 'node:https';
import type { OnApplicationShutdown } from '@nestjs/common';
import type { CreateAxiosDefaults } from 'axios';
import type { ApiClient } from '../http/api-client.js';
import { Refusals } from '../http/refusals.js';
import { TokenHeader } from '../http/sealing.js';
import { closeIdle } from '../http/tls-agent.js';
import { systemClock } from '../core/clock.js';
import { OAuthClientError, OAuthConfigurationError } from '../core/errors.js';
import { OAuthClient, TokenRuntime, type OAuthClientParts } from '../core/oauth-client.js';
import { copyOf, inTurn } from '../core/tenant-answer.js';
import { TENANT_IS_OPTIONAL, TenantCache, Tenants } from '../core/tenants.js';
import type { TokenStore } from '../core/token-store.js';
import type { OAuthClientOptions } from '../options/client-options.js';
import { mergeClientOptions, withDefaults, type ResolvedClientOptions } from '../options/resolved-options.js';
import { connectClient, type ConnectionParts } from './client-connection.js';
import { standInEndpoint } from './stand-in-endpoint.js';
import {
  clientsFromEnvironment,
  variableLabel,
  variableOf,
  type EnvironmentSource,
} from '../options/environment.js';
import { moduleProblemsOf, type OAuthClientModuleOptions } from '../options/module-options.js';
import { OAuthClientLogger } from './oauth-client.logger.js';
import { isRecord, type TokenEndpoint, type TokenRequest } from '../core/token-request.js';
import { flatten } from '../options/option-schema.js';
import { problemsOf } from '../options/problems.js';

/** A client with everything that belongs to it. */
export interface RegisteredClient extends ApiClient {
  readonly options: ResolvedClientOptions;
}

/** All clients of one module instance, built once from valid options, and what they share. */
export class OAuthClientRegistry implements OnApplicationShutdown {
  readonly logger = new OAuthClientLogger();
  readonly runtime: TokenRuntime;
  readonly #shutdownGraceMs: number;
  readonly #clients = new Map<string, RegisteredClient>();
  readonly #tenants: TenantCache<RegisteredClient>;
  /** The agents in tenants' options, each with the number of tenants that use it. */
  readonly #agents = new Map<Agent, number>();
  readonly #connect: typeof connectClient;
  /** Makes the endpoint that gives a client its tokens in tests. */
  #standIn: ((name: string) => TokenEndpoint) | undefined;

  /**
   * @param connect connects a client to its servers
   * @throws {OAuthConfigurationError} with every problem of every client
   */
  constructor(
    options: OAuthClientModuleOptions,
    store: TokenStore,
    environment: EnvironmentSource,
    connect = connectClient,
  ) {
    this.#connect = connect;
    const clients = Object.entries(validClients(options, environment));
    this.runtime = new TokenRuntime(store, options.clock ?? systemClock);
    this.#shutdownGraceMs = options.shutdownGraceMs ?? 5_000;
    this.#tenants = new TenantCache(this.runtime, options.maxTenants ?? 1_000);
    this.logger.follow(this.runtime.events$);
    const inCode = options.clients !== undefined;
    for (const [name, own] of clients)
      this.#clients.set(name, this.#register(name, own, inCode ? undefined : variableLabel(name)));
  }

  async onApplicationShutdown(): Promise<void> {
    await this.runtime.close(this.#shutdownGraceMs);
  }

  /** @throws {OAuthClientError} `unknown_client`, listing the known ones */
  get(name: string): RegisteredClient {
    const registered = this.#clients.get(name);
    if (registered !== undefined) return registered;
    const known = [...this.#clients.keys()].join(', ') || 'none';
    const message = `There is no OAuth client "${name}"; configured are: ${known}.`;
    throw new OAuthClientError('unknown_client', message, { client: name });
  }

  all(): Iterable<RegisteredClient> {
    return this.#clients.values();
  }

  /**
   * Gets all tokens from an object of a test, such as the one that overrides `OAuthTokenService`.
   *
   * @throws {OAuthConfigurationError} if that has no `getToken`
   */
  takeTokensFrom(standIn: unknown): void {
    const source = Object(standIn) as { getToken?: (name: string, request: TokenRequest) => unknown };
    if (typeof source.getToken !== 'function')
      throw new OAuthConfigurationError([
        'What overrides OAuthTokenService has no getToken(name, request): give it one, or override the providers of getOAuthHttpToken(name), getOAuthFetchToken(name) and getOAuthClientToken(name) instead.',
      ]);
    this.#standIn = (name) =>
      standInEndpoint(name, this.runtime.clock, (request) => source.getToken?.(name, request));
    for (const { client } of this.all()) client.askInstead(this.#standIn(client.name));
  }

  #register(name: string, own: OAuthClientOptions, label: ConnectionParts['label']): RegisteredClient {
    const warned = new Set<string>();
    const warn = (message: string) => {
      if (!warned.has(message)) this.logger.warn(name, message);
      warned.add(message);
    };
    const { rejectUnauthorized } = globalAgent.options;
    if (process.env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0' || rejectUnauthorized === false)
      warn(
        `Client "${name}" accepts any server, so that its credentials and tokens can be read on the way: unset NODE_TLS_REJECT_UNAUTHORIZED and rejectUnauthorized, and trust the server's authority with tls.ca.`,
      );
    const { tenants: ask, ...shared } = own;
    const whose = { warn, sent: { tokenRequests: 0 } };
    if (ask === undefined) return this.#build(name, own, { ...whose, label });
    const make = (tenant: string, answer: unknown) => {
      const options = validTenant(name, shared, answer);
      const made = this.#build(name, options, { ...whose, tenant });
      made.closers.push(this.#holdAgents(options, shared));
      return made;
    };
    const otherwise = () => (TENANT_IS_OPTIONAL in ask ? this.get(name) : undefined);
    const tenants = new Tenants({ name, ask: inTurn(ask), make, otherwise }, this.#tenants, this.runtime);
    return this.#build(name, own, { ...whose, label, tenants });
  }

  /** Counts the agents in a tenant's options. Returns a function that releases them, and closes those that no tenant uses any more. */
  #holdAgents(options: OAuthClientOptions, shared: OAuthClientOptions): () => void {
    const agentsOf = ({ http }: OAuthClientOptions) => [http?.['httpAgent'], http?.['httpsAgent']] as Agent[];
    const own = agentsOf(options).filter((agent) => agent?.freeSockets && !agentsOf(shared).includes(agent));
    const count = (agent: Agent, more: number) => {
      const uses = (this.#agents.get(agent) ?? 0) + more;
      this.#agents.set(agent, uses);
      if (uses === 0 && this.#agents.delete(agent)) closeIdle(agent);
    };
    for (const agent of own) count(agent, 1);
    return () => own.forEach((agent) => count(agent, -1));
  }

  #build(
    name: string,
    own: OAuthClientOptions,
    { warn, tenants, label, ...whose }: TenantParts,
  ): RegisteredClient {
    const options = withDefaults(own);
    const { runtime } = this;
    const { clock } = runtime;
    const { endpoint, ...connection } = this.#connect({
      name,
      options,
      clock,
      warn,
      label,
      // The present tokens may be bound to the previous certificate.
      onCertificateReplaced: () => {
        for (const life of client.lives()) life.doubt();
      },
    });
    const client = OAuthClient.create({ name, endpoint, options, runtime, tenants, ...whose });
    if (this.#standIn) client.askInstead(this.#standIn(name));
    const tokenHeader = new TokenHeader(options.tokenHeader);
    const distrusted = `OAuth client "${name}": its unauthorized.when threw, or returned no boolean, so that the answer counts as accepted. Have it return true or false.`;
    const refusals = new Refusals(options.unauthorized, () => warn(distrusted));
    const rules = { tokenHeader, refusals, unauthorizedRetry: options.unauthorized.retry };
    const { http, baseURL } = options;
    const defaults = { ...http, ...(baseURL !== undefined && { baseURL }) } as CreateAxiosDefaults;
    const closers = [() => connection.routes.close()];
    return { client, ...rules, ...connection, clock, options, tenants, defaults, closers };
  }
}

/** What the client of a tenant, or one with tenants, has besides its options. */
interface TenantParts
  extends Pick<OAuthClientParts, 'tenant' | 'sent'>, Pick<ConnectionParts, 'label' | 'warn'> {
  readonly tenants?: Tenants<RegisteredClient>;
}

/** A tenant's options on top of those of its client. @throws {OAuthConfigurationError} with every problem */
function validTenant(name: string, shared: OAuthClientOptions, answer: unknown): OAuthClientOptions {
  const { tenants: _, prefetch: __, ...own } = isRecord(answer) ? answer : {};
  const merged = mergeClientOptions(shared, own);
  const problems = isRecord(answer)
    ? problemsOf(name, merged, (path) => path, own)
    : [`Client "${name}": the options of a tenant must be an object.`];
  for (const path of ['tenants', 'prefetch', 'http.transformRequest', 'http.transformResponse'])
    if (flatten(Object(answer)).has(path))
      problems.push(`Client "${name}": ${path} is no option of a tenant; set it on the client.`);
  if (problems.length > 0) throw new OAuthConfigurationError(problems, name);
  return merged;
}

function validClients(
  options: OAuthClientModuleOptions,
  environment: EnvironmentSource,
): Record<string, OAuthClientOptions> {
  const unusable = 'OAuthClientModule: what the factory returns must be an object of options.';
  if (!isRecord(options)) throw new OAuthConfigurationError([unusable]);
  const inCode = options.clients !== undefined;
  const read = inCode ? { clients: options.clients, problems: [] } : clientsFromEnvironment(environment);
  const problems = [...moduleProblemsOf(options), ...read.problems];
  const { defaults } = options;
  const valid = Object.create(null) as Record<string, OAuthClientOptions>; // a client may be named __proto__
  for (const [name, own] of Object.entries<unknown>(isRecord(read.clients) ? read.clients : {})) {
    if (!isRecord(own)) {
      problems.push(`Client "${name}": its options must be an object.`);
      continue;
    }
    const under: unknown = typeof defaults === 'function' ? (defaults(name) ?? {}) : defaults;
    if (typeof defaults === 'function' && (!isRecord(under) || 'then' in under))
      problems.push(`Client "${name}": the defaults function must return an object, not a promise.`);
    valid[name] = copyOf(mergeClientOptions(isRecord(under) ? under : {}, own));
    const label = inCode ? (path: string) => path : (path: string) => variableOf(name, path);
    problems.push(...problemsOf(name, valid[name], label, own));
  }
  if (problems.length > 0) throw new OAuthConfigurationError(problems);
  return valid;
}
