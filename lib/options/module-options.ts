import type { Clock } from '../core/clock.js';
import type { TokenStore } from '../core/token-store.js';
import type { OAuthClientOptions } from './client-options.js';

/** What `OAuthClientModule.forRoot()` takes. */
export interface OAuthClientModuleOptions {
  /** The clients by name. Default: those that the `OAUTH_*` variables describe. */
  clients?: Record<string, OAuthClientOptions>;
  /** Options under each client's own; `http` with its headers, `retry` and `refreshAhead` merge one level deep. */
  defaults?: OAuthClientOptions;
  /** Where tokens are kept. Default: a `MemoryTokenStore`. */
  store?: TokenStore;
  /** How long a shutdown waits for token requests under way, in milliseconds. Default 5,000. */
  shutdownGraceMs?: number;
  /** Time and randomness, for tests. Default: the machine's own. */
  clock?: Clock;
}

/** For `forRootAsync({ useClass })` and `useExisting`. */
export interface OAuthClientOptionsFactory {
  createOAuthClientOptions(): OAuthClientModuleOptions | Promise<OAuthClientModuleOptions>;
}
