import type { OAuthClientName, PerOAuthClient } from '../core/client-names.js';
import type { Clock } from '../core/clock.js';
import { isRecord } from '../core/token-request.js';
import type { TokenStore } from '../core/token-store.js';
import type { OAuthClientOptions } from './client-options.js';
import { nearest } from './nearest.js';

/** What `OAuthClientModule.forRoot()` takes. */
export interface OAuthClientModuleOptions {
  /** The clients by name. Default: those that the `OAUTH_*` variables describe. */
  clients?: PerOAuthClient<OAuthClientOptions> | undefined;
  /** Options under each client's own; `http` with its headers, `tokenRequestHeaders`, `retry`, `refreshAhead`, `assertion` and `unauthorized` merge one level deep. Or a function that gets a client's name and returns them. */
  defaults?: OAuthClientOptions | ((client: OAuthClientName) => OAuthClientOptions | undefined) | undefined;
  /** Where tokens are kept. Default: a `MemoryTokenStore`. */
  store?: TokenStore | undefined;
  /** How long a shutdown waits for token requests under way, in milliseconds. Default 5,000. */
  shutdownGraceMs?: number | undefined;
  /** How many tenants are kept with their options, tokens and connections, of all clients with `tenants` together; those used last. Default 1,000. */
  maxTenants?: number | undefined;
  /** Time and randomness, for tests. Default: the machine's own. */
  clock?: Clock | undefined;
}

/** For `forRootAsync({ useClass })` and `useExisting`. */
export interface OAuthClientOptionsFactory {
  createOAuthClientOptions(): OAuthClientModuleOptions | Promise<OAuthClientModuleOptions>;
}

/** Node runs a timer that is longer at once. */
export const LONGEST_TIMER_MS = 2_147_483_647;
const KNOWN = ['clients', 'defaults', 'store', 'shutdownGraceMs', 'maxTenants', 'clock', 'isGlobal'];
const STORE_METHODS = ['get', 'set', 'delete', 'withLock'];

/** Everything that is wrong with the module's own options. */
export function moduleProblemsOf(options: OAuthClientModuleOptions): string[] {
  const others = Object.keys(options).filter((name) => !KNOWN.includes(name));
  const problems = others.map((one) => `${one} is not a module option; did you mean ${nearest(one, KNOWN)}?`);
  const { clients, store, shutdownGraceMs = 0, maxTenants = 1 } = options;
  const defaults = typeof options.defaults === 'function' ? undefined : options.defaults;
  for (const [name, value] of Object.entries({ clients, defaults, store }))
    if (value !== undefined && !isRecord(value)) problems.push(`${name} must be an object.`);
  if (isRecord(store) && STORE_METHODS.some((method) => typeof store[method] !== 'function'))
    problems.push(`store must be a TokenStore, with the methods ${STORE_METHODS.join(', ')}.`);
  if (!(shutdownGraceMs >= 0 && shutdownGraceMs <= LONGEST_TIMER_MS))
    problems.push('shutdownGraceMs must be a number of milliseconds, 0 or more, and at most 24 days.');
  if (!Number.isInteger(maxTenants) || maxTenants < 1)
    problems.push('maxTenants must be a whole number of at least 1.');
  return problems;
}
