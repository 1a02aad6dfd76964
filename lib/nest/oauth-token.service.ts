import { Injectable, type OnApplicationBootstrap, type OnModuleInit } from '@nestjs/common';
import { throwError, type Observable } from 'rxjs';
import type { AccessToken } from '../core/access-token.js';
import type { OAuthClientName } from '../core/client-names.js';
import { OAuthConfigurationError } from '../core/errors.js';
import type { OAuthClientEvent, OAuthClientStatus } from '../core/events.js';
import type { OAuthClient } from '../core/oauth-client.js';
import { checked, snapshotOf } from '../core/request-snapshot.js';
import type { TokenRequest } from '../core/token-request.js';
import { OAuthClientRegistry } from './oauth-client-registry.js';

/** Access tokens of all configured clients, by name. */
@Injectable()
export class OAuthTokenService implements OnModuleInit, OnApplicationBootstrap {
  readonly #registry: OAuthClientRegistry;
  readonly #prefetching = new Set<string>();

  constructor(registry: OAuthClientRegistry) {
    this.#registry = registry;
  }

  /** What happens to the tokens of all clients; completes at shutdown. */
  get events$(): Observable<OAuthClientEvent> {
    return this.#registry.runtime.events$.asObservable();
  }

  /**
   * An access token of the named client: the present one, or a new one that all waiting callers share.
   *
   * @throws {OAuthClientError} `unknown_client`, or the reason why there is no token
   */
  getToken(name: OAuthClientName, request?: TokenRequest): Promise<AccessToken> {
    try {
      return this.client(name).getToken(request);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** The same as an observable: one token, then it completes. */
  token$(name: OAuthClientName, request?: TokenRequest): Observable<AccessToken> {
    try {
      return this.client(name).token$(request);
    } catch (error) {
      return throwError(() => error);
    }
  }

  /** Forgets the token an API rejected, if it is still the present one; without `rejected`, every token of the client. */
  invalidate(name: OAuthClientName, rejected?: AccessToken): void {
    this.client(name).invalidate(rejected);
  }

  /**
   * Forgets the options and tokens of a client's tenant, or of all its tenants: the next request asks for the options
   * again. Resolves once the tokens are gone from the store as well. What other instances have in memory stays there.
   *
   * @throws {OAuthClientError} `unknown_client`; `configuration_invalid` for a client without `tenants`, and for a
   * tenant that is no text
   */
  async forgetTenant(name: OAuthClientName, tenant?: string): Promise<void> {
    const { tenants } = this.#registry.get(name);
    const problem = `Client "${name}" has no tenants to forget; set that option, or use invalidate().`;
    if (tenants === undefined) throw new OAuthConfigurationError([problem], name);
    await tenants.forget(checked(name, snapshotOf({ tenant })).tenant);
  }

  /** @throws {OAuthClientError} `unknown_client`, listing the known ones */
  client(name: OAuthClientName): OAuthClient {
    return this.#registry.get(name).client;
  }

  /** The status of each client. Sends no request. */
  status(): OAuthClientStatus[] {
    return [...this.#registry.all()].map(({ client }) => client.status());
  }

  /** @internal Whether the client's prefetch is under way. */
  isPrefetching(name: string): boolean {
    return this.#prefetching.has(name);
  }

  /** Connects the store, so that no call has to wait for that. */
  async onModuleInit(): Promise<void> {
    await this.#registry.runtime.fleet.open();
  }

  /** Fetches the tokens of clients with `prefetch`; with `required` a failure ends the boot. */
  async onApplicationBootstrap(): Promise<void> {
    const required: Promise<AccessToken>[] = [];
    for (const { client, options } of this.#registry.all()) {
      if (options.prefetch === 'off') continue;
      this.#prefetching.add(client.name);
      const token = client.getToken().finally(() => this.#prefetching.delete(client.name));
      if (options.prefetch === 'required') required.push(token);
      // An event reports the failure, and the next call that needs a token asks again.
      else token.catch(() => undefined);
    }
    await Promise.all(required);
  }
}
