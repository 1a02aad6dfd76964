import { globalAgent } from 'node:https';
import type { ApiClient } from '../http/authorized-call.js';
import { Refusals } from '../http/refusals.js';
import { TokenHeader } from '../http/sealing.js';
import type { TlsMaterial } from '../http/tls-agent.js';
import { systemClock } from '../core/clock.js';
import { OAuthClientError, OAuthConfigurationError } from '../core/errors.js';
import { OAuthClient, TokenRuntime } from '../core/oauth-client.js';
import type { TokenStore } from '../core/token-store.js';
import type { OAuthClientOptions } from '../options/client-options.js';
import { mergeClientOptions, withDefaults, type ResolvedClientOptions } from '../options/resolved-options.js';
import { connectClient } from './client-connection.js';
import { StandInEndpoint } from './stand-in-endpoint.js';
import { clientsFromEnvironment, variableOf, type EnvironmentSource } from '../options/environment.js';
import { moduleProblemsOf, type OAuthClientModuleOptions } from '../options/module-options.js';
import { OAuthClientLogger } from './oauth-client.logger.js';
import { isRecord, type TokenRequest } from '../core/token-request.js';
import { problemsOf } from '../options/problems.js';

/** A client with everything that belongs to it. */
export interface RegisteredClient extends ApiClient {
  readonly options: ResolvedClientOptions;
  /** What fetch presents. */
  readonly material: TlsMaterial | undefined;
}

/** All clients of one module instance, built once from valid options, and what they share. */
export class OAuthClientRegistry {
  readonly logger = new OAuthClientLogger();
  readonly runtime: TokenRuntime;
  readonly shutdownGraceMs: number;
  readonly #clients = new Map<string, RegisteredClient>();
  readonly #connect: typeof connectClient;

  /**
   * @param connect how clients reach the world
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
    this.shutdownGraceMs = options.shutdownGraceMs ?? 5_000;
    this.logger.follow(this.runtime.events$);
    for (const [name, own] of clients) this.#clients.set(name, this.#register(name, own));
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
   * Takes all tokens from what an application's tests put in place of `OAuthTokenService`.
   *
   * @throws {OAuthConfigurationError} if that has no `getToken`
   */
  takeTokensFrom(standIn: unknown): void {
    const source = Object(standIn) as { getToken?: (name: string, request: TokenRequest) => unknown };
    if (typeof source.getToken !== 'function') {
      throw new OAuthConfigurationError([
        'What overrides OAuthTokenService has no getToken(name, request): give it one, or override the providers of getOAuthHttpToken(name), getOAuthFetchToken(name) and getOAuthClientToken(name) instead.',
      ]);
    }
    for (const { client } of this.all()) {
      const ask = (request: TokenRequest) => source.getToken?.(client.name, request);
      client.askInstead(new StandInEndpoint(client.name, this.runtime.clock, ask));
    }
  }

  #register(name: string, own: OAuthClientOptions): RegisteredClient {
    const options = withDefaults(own);
    const { clock } = this.runtime;
    const warn = (message: string) => this.logger.warn(name, message);
    if (
      process.env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0' ||
      globalAgent.options.rejectUnauthorized === false
    )
      warn(
        `Client "${name}" accepts any server, so that its credentials and tokens can be read on the way: unset NODE_TLS_REJECT_UNAUTHORIZED and rejectUnauthorized, and trust the server's authority with tls.ca.`,
      );
    const { endpoint, ...connection } = this.#connect({
      name,
      options,
      clock,
      warn,
      onCertificateReplaced: () => client.renew(),
    });
    const client = OAuthClient.create({ name, endpoint, options, runtime: this.runtime });
    const tokenHeader = new TokenHeader(options.tokenHeader);
    const distrusted = `OAuth client "${name}": its unauthorized.when threw, or returned no boolean, so that the answer counts as accepted. Have it return true or false.`;
    const refusals = new Refusals(options.unauthorized, () => warn(distrusted));
    const rules = { tokenHeader, refusals, unauthorizedRetry: options.unauthorized.retry };
    return { client, ...rules, ...connection, clock, options };
  }
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
  const defaults = isRecord(options.defaults) ? options.defaults : {};
  const valid: Record<string, OAuthClientOptions> = {};
  for (const [name, own] of Object.entries<unknown>(isRecord(read.clients) ? read.clients : {})) {
    if (!isRecord(own)) {
      problems.push(`Client "${name}": its options must be an object.`);
      continue;
    }
    valid[name] = mergeClientOptions(defaults, own);
    const label = inCode ? (path: string) => path : (path: string) => variableOf(name, path);
    problems.push(...problemsOf(name, valid[name], label, own));
  }
  if (problems.length > 0) throw new OAuthConfigurationError(problems);
  return valid;
}
