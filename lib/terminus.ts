/**
 * Health of the clients; needs `@nestjs/terminus`.
 *
 * @module nestjs-oauth-client/terminus
 */

import { Injectable } from '@nestjs/common';
import { HealthIndicatorService, type HealthIndicatorResult } from '@nestjs/terminus';
import type { OAuthClientName } from './core/client-names.js';
import type { OAuthClientState, OAuthClientStatus } from './core/events.js';
import { OAuthTokenService } from './nest/oauth-token.service.js';

/** What {@link OAuthClientHealthIndicator.isHealthy} looks at. */
export interface OAuthClientHealthOptions {
  /** The clients that count. Default all. */
  clients?: readonly OAuthClientName[] | undefined;
  /**
   * For a readiness probe: down only while a client with `prefetch` fetches its first token. An outage counts as
   * degraded: an instance without traffic makes no calls, and would never notice the end of the outage.
   * Default false.
   */
  readiness?: boolean | undefined;
}

/** What a health check shows of one client. */
export type OAuthClientHealth = Pick<
  OAuthClientStatus,
  'state' | 'expiresAt' | 'acquiredAt' | 'backoffUntil' | 'lastError' | 'tenants'
>;

/**
 * Health of the OAuth clients for `@nestjs/terminus` 11 and 12: up, degraded (refreshing fails, the token is still
 * valid; with Terminus 11 that is up), down (no valid token, and asking failed). Makes no token request of its own.
 *
 * @example
 * ```ts
 * health.check([() => oauth.isHealthy('partners'), () => oauth.isHealthy('buoy', { clients: ['buoy'] })]);
 * ```
 */
@Injectable()
export class OAuthClientHealthIndicator {
  readonly #indicators: HealthIndicatorService;
  readonly #tokens: OAuthTokenService;

  constructor(indicators: HealthIndicatorService, tokens: OAuthTokenService) {
    this.#indicators = indicators;
    this.#tokens = tokens;
  }

  /**
   * The health of the clients: each has its state, the token's expiry and the last failure's code.
   *
   * @param key the name in the health check's result
   * @param options which clients count, and for which probe
   * @throws {OAuthClientError} `unknown_client`, listing the known ones
   */
  isHealthy<const Key extends string>(
    key: Key,
    { clients, readiness = false }: OAuthClientHealthOptions = {},
  ): HealthIndicatorResult<Key> {
    const statuses = clients?.map((name) => this.#tokens.client(name).status()) ?? this.#tokens.status();
    const healths = new Map<string, OAuthClientHealth>();
    for (const { client, tokenRequests: _, refreshAt: __, ...health } of statuses)
      healths.set(client, health);
    const shown = { clients: Object.fromEntries(healths) };
    const states = statuses.map((status) => (readiness ? this.#readiness(status) : status.state));
    const session = this.#indicators.check(key);
    if (states.includes('down')) return session.down(shown);
    // Terminus 11 knows no degraded.
    const degraded = states.includes('degraded') && 'degraded' in session;
    return degraded ? session.degraded(shown) : session.up(shown);
  }

  #readiness({ client, state }: OAuthClientStatus): OAuthClientState {
    if (this.#tokens.isPrefetching(client)) return 'down';
    return state === 'down' ? 'degraded' : state;
  }
}
