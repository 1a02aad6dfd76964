import { Logger } from '@nestjs/common';
import type { ConfigService } from '@nestjs/config';
import { AllowedOrigins } from '../axios/allowed-origins.js';
import type { TlsAgent } from '../axios/tls-agent.js';
import type { ApiClient } from '../axios/token-interceptor.js';
import { systemClock } from '../core/clock.js';
import { OAuthClientError, OAuthConfigurationError } from '../core/errors.js';
import { OAuthClient } from '../core/oauth-client.js';
import { TokenRuntime } from '../core/token-runtime.js';
import type { TokenStore } from '../core/token-store.js';
import { withDefaults, type OAuthClientOptions, type ResolvedClientOptions } from '../oauth/options.js';
import { mergeClientOptions } from '../oauth/presets.js';
import type { AmbientTokenRequests } from './ambient-token-requests.js';
import { connectClient } from './client-connection.js';
import { clientsFromEnvironment, variableOf, type EnvironmentSource } from './environment.js';
import type { OAuthClientModuleOptions } from './module-options.js';
import { problemsOf } from './validation.js';

/** A client with everything that belongs to it. */
export interface RegisteredClient extends ApiClient {
  readonly options: ResolvedClientOptions;
  readonly tlsAgent: TlsAgent | undefined;
}

/** All clients of one module instance, built once from valid options. */
export class OAuthClientRegistry {
  readonly runtime: TokenRuntime;
  readonly shutdownGraceMs: number;
  readonly #clients: ReadonlyMap<string, RegisteredClient>;

  private constructor(
    runtime: TokenRuntime,
    shutdownGraceMs: number,
    clients: Map<string, RegisteredClient>,
  ) {
    this.runtime = runtime;
    this.shutdownGraceMs = shutdownGraceMs;
    this.#clients = clients;
  }

  /** @throws {OAuthConfigurationError} with every problem of every client */
  static async create(
    options: OAuthClientModuleOptions,
    store: TokenStore,
    config: ConfigService,
    ambient: AmbientTokenRequests,
  ): Promise<OAuthClientRegistry> {
    const clients = await validClients(options, config);
    const runtime = new TokenRuntime(store, options.clock ?? systemClock, ambient.requestOf);
    const registered = Object.entries(clients).map(
      ([name, own]) => [name, register(name, own, runtime)] as const,
    );
    return new OAuthClientRegistry(runtime, options.shutdownGraceMs ?? 5_000, new Map(registered));
  }

  /** @throws {OAuthClientError} `unknown_client`, listing the known ones */
  get(name: string): RegisteredClient {
    const registered = this.#clients.get(name);
    if (registered !== undefined) return registered;
    const known = [...this.#clients.keys()].join(', ') || 'none';
    throw new OAuthClientError(
      'unknown_client',
      `There is no OAuth client "${name}"; configured are: ${known}.`,
      {
        client: name,
      },
    );
  }

  all(): Iterable<RegisteredClient> {
    return this.#clients.values();
  }
}

async function validClients(
  { clients, defaults = {}, shutdownGraceMs = 0 }: OAuthClientModuleOptions,
  config: ConfigService,
): Promise<Record<string, OAuthClientOptions>> {
  const configured = clients
    ? {
        clients: Object.fromEntries(
          Object.entries(clients).map(([name, own]) => [name, mergeClientOptions(defaults, own)]),
        ),
        problems: [],
      }
    : clientsFromEnvironment(environmentOf(config), defaults);
  const problems = [...configured.problems];
  if (!(shutdownGraceMs >= 0)) problems.push('shutdownGraceMs must be a number of milliseconds, 0 or more.');
  for (const [name, own] of Object.entries(configured.clients)) {
    problems.push(
      ...(await problemsOf(name, own, clients ? (path) => path : (path) => variableOf(name, path))),
    );
  }
  if (problems.length > 0) throw new OAuthConfigurationError(problems);
  return configured.clients;
}

function environmentOf(config: ConfigService): EnvironmentSource {
  return { get: (variable) => config.get<unknown>(variable), names: () => Object.keys(process.env) };
}

function register(name: string, own: OAuthClientOptions, runtime: TokenRuntime): RegisteredClient {
  const options = withDefaults(own);
  const { clock } = runtime;
  const connection = connectClient(name, options, clock, (message) =>
    new Logger('OAuthClient').warn(message),
  );
  const client = new OAuthClient(name, connection.endpoint, options, options, runtime);
  const origins = new AllowedOrigins(options.baseURL, options.allowedOrigins);
  const { dpop, tlsAgent } = connection;
  return { client, origins, unauthorizedRetry: options.unauthorizedRetry, dpop, clock, options, tlsAgent };
}
