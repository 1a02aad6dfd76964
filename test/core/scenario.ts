import { afterEach } from '@jest/globals';
import type { AccessToken } from '../../lib/core/access-token.js';
import type { OAuthClientEvent } from '../../lib/core/events.js';
import { MemoryTokenStore } from '../../lib/core/memory-token-store.js';
import type { TokenLifeOptions } from '../../lib/core/flight-context.js';
import { OAuthClient, TokenRuntime } from '../../lib/core/oauth-client.js';
import type { TokenRequest, TokenRequestDetails } from '../../lib/core/token-request.js';
import type { TokenStore } from '../../lib/core/token-store.js';
import { ScriptedEndpoint } from './scripted-endpoint.js';
import { VirtualClock, settle } from './virtual-clock.js';

// Jest itself fails a test during which a rejection went unhandled; this gives Node time to notice it.
afterEach(settle);

export const DEFAULT_LIFE: TokenLifeOptions = {
  refreshAhead: { ratio: 0.25, maxMs: 300_000 },
  retry: { attempts: 3, minDelayMs: 200, maxDelayMs: 5_000, totalMs: 15_000 },
  timeoutMs: 5_000,
};

export interface ScenarioOptions {
  name?: string;
  clock?: VirtualClock;
  store?: TokenStore;
  identity?: string;
  details?: TokenRequestDetails;
  retry?: Partial<TokenLifeOptions['retry']>;
  refreshAhead?: Partial<TokenLifeOptions['refreshAhead']>;
  timeoutMs?: number;
  lifetimeMs?: number;
  latencyMs?: number;
  runtime?: TokenRuntime;
}

/** One client of one module instance, its scripted server and everything it told. */
export class Scenario {
  readonly clock: VirtualClock;
  readonly endpoint: ScriptedEndpoint;
  readonly runtime: TokenRuntime;
  readonly client: OAuthClient;
  readonly events: OAuthClientEvent[] = [];

  constructor(options: ScenarioOptions = {}) {
    this.clock = options.clock ?? new VirtualClock();
    this.endpoint = new ScriptedEndpoint(this.clock, options.identity);
    this.endpoint.lifetimeMs = options.lifetimeMs ?? 3_600_000;
    this.endpoint.latencyMs = options.latencyMs ?? 50;
    this.runtime = options.runtime ?? new TokenRuntime(options.store ?? new MemoryTokenStore(), this.clock);
    this.runtime.events$.subscribe((event) => this.events.push(event));
    const life: TokenLifeOptions = {
      refreshAhead: { ...DEFAULT_LIFE.refreshAhead, ...options.refreshAhead },
      retry: { ...DEFAULT_LIFE.retry, ...options.retry },
      timeoutMs: options.timeoutMs ?? DEFAULT_LIFE.timeoutMs,
    };
    const { name = 'buoy', details = {} } = options;
    this.client = OAuthClient.create({
      name,
      endpoint: this.endpoint,
      options: { ...details, ...life },
      runtime: this.runtime,
    });
  }

  /** A token, however much virtual time that takes. */
  async token(request?: TokenRequest): Promise<AccessToken> {
    return this.clock.until(this.client.getToken(request));
  }

  /** The error of a call that must fail, however much virtual time that takes. */
  async failure(request?: TokenRequest): Promise<unknown> {
    return this.clock.until(
      this.client.getToken(request).then(
        ({ expiresAt }) => Promise.reject(new Error(`a token came, good until ${expiresAt.toISOString()}`)),
        (error: unknown) => error,
      ),
    );
  }

  /** What the caller has without any time passing, or `waiting`. */
  async atOnce(request?: TokenRequest): Promise<AccessToken | 'waiting'> {
    let result: AccessToken | 'waiting' = 'waiting';
    let failed: unknown;
    this.client.getToken(request).then(
      (token) => (result = token),
      (error: unknown) => (failed = error),
    );
    await settle();
    if (failed !== undefined) throw failed;
    return result;
  }

  /** Types of the events so far. */
  get eventTypes(): string[] {
    return this.events.map((event) => event.type);
  }
}
