import type { Agent } from 'node:https';
import { HttpService } from '@nestjs/axios';
import { Injectable } from '@nestjs/common';
import type { AxiosInstance, CreateAxiosDefaults } from 'axios';
import type { OAuthClientName } from '../core/client-names.js';
import type { CommonJsAxiosInstance } from '../http/axios-commonjs.cjs';
import { interceptTokens } from '../http/axios-binding.js';
import { buildOf, createInstance } from '../http/axios-instance.js';
import { sealAgent, sealConfig, sealedAtOnce } from '../http/sealing.js';
import { OAuthConfigurationError } from '../core/errors.js';
import { OAuthClientRegistry } from './oauth-client-registry.js';

/** Puts tokens on the requests of Axios instances. */
@Injectable()
export class OAuthAxiosInterceptor {
  readonly #registry: OAuthClientRegistry;
  readonly #attached = new WeakMap<
    AxiosInstance,
    ReturnType<typeof interceptTokens> & { client?: string | undefined }
  >();
  readonly #httpServices = new Map<string, HttpService>();

  constructor(registry: OAuthClientRegistry) {
    this.#registry = registry;
  }

  /**
   * Puts the tokens of the named client on every request of `http`; without a name, those of the client whose
   * allowed origin matches the request's URL. Attaching the same instance again changes nothing.
   *
   * @param http an `HttpService` or Axios instance of your own; not the process-wide one of a bare `HttpModule`
   * @returns a function that detaches the interceptor
   * @throws {OAuthClientError} `unknown_client`; `configuration_invalid` if it is neither, or sends another client's tokens
   * @example const detach = interceptor.attach(this.http, 'buoy');
   */
  attach(http: HttpService | AxiosInstance | CommonJsAxiosInstance, client?: OAuthClientName): () => void {
    const instance = axiosOf(http);
    if (!('interceptors' in instance))
      throw new OAuthConfigurationError([
        'OAuthAxiosInterceptor.attach() needs an HttpService or an Axios instance. If a test replaces that, override OAuthAxiosInterceptor with { attach: () => () => {} } as well.',
      ]);
    const present = this.#attached.get(instance);
    if (present?.isOn()) {
      if (present.client === client) return present.detach;
      throw new OAuthConfigurationError([
        `This Axios instance sends the tokens of ${present.client === undefined ? 'the client that fits' : `client "${present.client}"`} already; detach it first, or use another instance.`,
      ]);
    }
    // Only the process-wide instance has the static members, in every build of Axios.
    if ('isAxiosError' in instance)
      this.#registry.logger.warn(
        client,
        "OAuthAxiosInterceptor.attach() was given Axios's process-wide instance, which a bare HttpModule and new HttpService() share with everybody; give it one of HttpModule.register() or axios.create().",
      );
    const { options } = (instance.defaults.httpsAgent ?? {}) as Partial<Agent>;
    if (options?.rejectUnauthorized === false)
      this.#registry.logger.warn(
        client,
        `OAuthAxiosInterceptor.attach() was given an Axios instance whose httpsAgent accepts any server (rejectUnauthorized: false)${client === undefined ? '' : `, for client "${client}"`}; trust the server's authority with its ca instead.`,
      );
    const isOwn = client !== undefined && this.#httpServices.get(client)?.axiosRef === instance;
    const interception = interceptTokens(instance, this.#registry, client, isOwn);
    this.#attached.set(instance, { client, ...interception });
    return interception.detach;
  }

  /** The named client's own `HttpService`, one for the whole module. */
  httpService(name: OAuthClientName): HttpService {
    const present = this.#httpServices.get(name);
    if (present !== undefined) return present;
    const api = this.#registry.get(name);
    const defaults: CreateAxiosDefaults = { ...api.defaults };
    sealConfig(defaults);
    for (const agent of [defaults.httpAgent, defaults.httpsAgent]) sealAgent(agent);
    const build = buildOf(new HttpService().axiosRef);
    const service = new HttpService(createInstance(name, defaults, api.tenants === undefined, build));
    service['makeObservable'] = sealedAtOnce(service['makeObservable']);
    this.#httpServices.set(name, service);
    this.attach(service, name);
    return service;
  }
}

/** The instance of an `HttpService`, which may come from another copy of `@nestjs/axios`. */
export function axiosOf(http: HttpService | AxiosInstance | CommonJsAxiosInstance): AxiosInstance {
  return ('axiosRef' in http ? http.axiosRef : http) as AxiosInstance;
}
