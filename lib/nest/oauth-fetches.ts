import { Injectable, type OnModuleInit } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { OAuthConfigurationError } from '../core/errors.js';
import type { ApiClient } from '../http/api-client.js';
import { authorizedFetch, type Fetch, type FetchParts } from '../http/fetch-binding.js';
import { fetchTransport } from '../http/fetch-transport.js';
import { isLoopback } from '../options/option-schema.js';
import { OAuthClientRegistry } from './oauth-client-registry.js';

/** The fetch functions of the clients, one each for the whole module. */
@Injectable()
export class OAuthFetches implements OnModuleInit {
  readonly #registry: OAuthClientRegistry;
  readonly #modules: ModulesContainer;
  readonly #fetches = new Map<string, Promise<Fetch>>();
  readonly #ofTenants = new WeakMap<ApiClient, Promise<FetchParts>>();
  readonly #unusable = new Map<unknown, OAuthConfigurationError>();

  constructor(registry: OAuthClientRegistry, modules: ModulesContainer) {
    this.#registry = registry;
    this.#modules = modules;
  }

  /** The named client's fetch. If it cannot work, it rejects each call, since the application may never use it. */
  fetch(name: string): Promise<Fetch> {
    const present = this.#fetches.get(name) ?? this.#make(name);
    this.#fetches.set(name, present);
    return present;
  }

  /** @throws {OAuthConfigurationError} when one that cannot work is injected somewhere */
  onModuleInit(): void {
    const problems = [...this.#injected()].flatMap((value) => this.#unusable.get(value)?.problems ?? []);
    if (problems.length > 0) throw new OAuthConfigurationError([...new Set(problems)]);
  }

  async #make(name: string): Promise<Fetch> {
    try {
      return authorizedFetch(await this.#partsOf(this.#registry.get(name)));
    } catch (error) {
      const unusable = () => Promise.reject(error);
      if (error instanceof OAuthConfigurationError) this.#unusable.set(unusable, error);
      return unusable;
    }
  }

  async #partsOf(api: ApiClient): Promise<FetchParts> {
    const { client, origins, material, defaults, closers } = api;
    const route = {
      client: client.name,
      http: { ...defaults },
      baseURL: defaults.baseURL,
      origins,
      material,
    };
    const transport = await fetchTransport({ ...route, staysHere: isLoopback });
    if (transport.close) closers.push(transport.close);
    const partsOf = (own: ApiClient) => {
      const parts = this.#ofTenants.get(own) ?? this.#partsOf(own);
      this.#ofTenants.set(own, parts);
      return parts;
    };
    return { api, transport, partsOf, other: (name) => this.fetch(name) };
  }

  /** What is injected into providers, controllers and the like. */
  *#injected(): Iterable<unknown> {
    for (const { providers, controllers, injectables } of this.#modules.values())
      for (const wrapper of [...providers.values(), ...controllers.values(), ...injectables.values()]) {
        // Nest leaves holes for what is optional and missing.
        for (const parameter of wrapper.getCtorMetadata() ?? []) yield parameter?.instance;
        for (const { wrapper: property } of wrapper.getPropertiesMetadata() ?? []) yield property.instance;
      }
  }
}
