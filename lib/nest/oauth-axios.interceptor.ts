import { HttpService } from '@nestjs/axios';
import { Injectable } from '@nestjs/common';
import axios, { type AxiosInstance } from 'axios';
import { interceptTokens, type ClientSelector } from '../http/token-interceptor.js';
import { targetOf } from '../http/allowed-origins.js';
import { OAuthConfigurationError } from '../core/errors.js';
import { OAuthClientRegistry, type RegisteredClient } from './oauth-client-registry.js';

/** Puts tokens on the requests of Axios instances. */
@Injectable()
export class OAuthAxiosInterceptor {
  readonly #registry: OAuthClientRegistry;
  readonly #attached = new WeakMap<AxiosInstance, { client: string | undefined; detach: () => void }>();
  readonly #httpServices = new Map<string, HttpService>();

  constructor(registry: OAuthClientRegistry) {
    this.#registry = registry;
  }

  /**
   * Puts the tokens of the named client on every request of `http`; without a name, those of the client whose
   * allowed origin matches the request's URL. Attaching the same instance again changes nothing.
   *
   * @param http an `HttpService` or Axios instance of your own; not the process-wide one of a bare `HttpModule`
   * @returns takes the interceptors off again
   * @throws {OAuthClientError} `unknown_client`; `configuration_invalid` when it sends another client's tokens already
   * @example const detach = interceptor.attach(this.http, 'buoy');
   */
  attach(http: HttpService | AxiosInstance, client?: string): () => void {
    const instance = http instanceof HttpService ? http.axiosRef : http;
    const present = this.#attached.get(instance);
    if (present !== undefined) {
      if (present.client === client) return present.detach;
      throw new OAuthConfigurationError([
        `This Axios instance sends the tokens of ${present.client === undefined ? 'the client that fits' : `client "${present.client}"`} already; detach it first, or use another instance.`,
      ]);
    }
    // Only that one has the statics, whichever build of Axios it comes from.
    if ('isAxiosError' in instance)
      this.#registry.logger.warn(
        client,
        "OAuthAxiosInterceptor.attach() was given Axios's process-wide instance, which a bare HttpModule and new HttpService() share with everybody; give it one of HttpModule.register() or axios.create().",
      );
    const off = interceptTokens(instance, client === undefined ? this.#byOrigin() : this.#byName(client));
    const detach = () => {
      if (this.#attached.delete(instance)) off();
    };
    this.#attached.set(instance, { client, detach });
    return detach;
  }

  /** The named client's own `HttpService`, one for the whole module. */
  httpService(name: string): HttpService {
    let service = this.#httpServices.get(name);
    if (service === undefined) {
      const { options, tlsAgent } = this.#registry.get(name);
      const instance = axios.create({
        ...options.http,
        ...(options.baseURL !== undefined && { baseURL: options.baseURL }),
        ...(tlsAgent && { httpsAgent: tlsAgent }),
      });
      service = new HttpService(instance);
      this.attach(instance, name);
      this.#httpServices.set(name, service);
    }
    return service;
  }

  #byName(client: string): ClientSelector {
    const own = { api: this.#registry.get(client), strict: true };
    return ({ oauth }) =>
      oauth && oauth.client !== undefined ? { api: this.#registry.get(oauth.client), strict: true } : own;
  }

  #byOrigin(): ClientSelector {
    return (config) => {
      const { oauth } = config;
      if (oauth && oauth.client !== undefined) return { api: this.#registry.get(oauth.client), strict: true };
      const target = targetOf(config);
      if (target === undefined) return undefined;
      let best: { api: RegisteredClient; reach: number } | undefined;
      for (const api of this.#registry.all()) {
        const reach = api.origins.reach(target);
        if (reach > (best?.reach ?? 0)) best = { api, reach };
      }
      return best && { api: best.api, strict: false };
    };
  }
}
