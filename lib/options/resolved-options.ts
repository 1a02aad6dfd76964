import type { TokenLifeOptions } from '../core/flight-context.js';
import { isRecord } from '../core/token-request.js';
import type { OAuthClientOptions, UnauthorizedOptions } from './client-options.js';

const DEFAULTS = {
  clientId: '',
  basicEncoding: 'form',
  grant: { type: 'client_credentials' },
  requestFormat: 'form',
  allowInsecureRequests: false,
  defaultLifetimeMs: 300_000,
  refreshAhead: { ratio: 0.25, maxMs: 300_000 },
  timeoutMs: 5_000,
  retry: { attempts: 3, minDelayMs: 200, maxDelayMs: 5_000, totalMs: 15_000 },
  unauthorized: { statuses: [401], retry: true },
  prefetch: 'off',
} as const satisfies OAuthClientOptions;

/** A client's options with every default in place. */
export type ResolvedClientOptions = OAuthClientOptions &
  TokenLifeOptions &
  Given<OAuthClientOptions, keyof typeof DEFAULTS | 'tokenEndpointAuthMethod'> &
  Record<'unauthorized', UnauthorizedOptions & Given<UnauthorizedOptions, 'statuses' | 'retry'>> & {
    http?: { headers?: object };
  };
type Given<T, Name extends keyof T> = { [name in Name]-?: NonNullable<T[name]> };

/** Groups that merge member by member. All other options replace those below them. */
const MERGED: readonly string[] = ['http', 'headers', 'tokenRequestHeaders', 'retry', 'refreshAhead', 'assertion', 'unauthorized']; // prettier-ignore

/** Adds the defaults to options that were found valid. */
export function withDefaults(given: OAuthClientOptions): ResolvedClientOptions {
  const { privateKey, privateKeyFile, assertion } = given;
  const keyed = (privateKey ?? privateKeyFile ?? assertion?.token ?? assertion?.tokenFile) !== undefined;
  const tokenEndpointAuthMethod = keyed ? 'private_key_jwt' : 'client_secret_basic';
  return mergeClientOptions({ ...DEFAULTS, tokenEndpointAuthMethod }, given) as ResolvedClientOptions;
}

/** `over` on top of `under`; `http` with its headers, `tokenRequestHeaders` and the other groups of settings merge member by member, and a secret and its file take each other's place. */
export function mergeClientOptions(under: OAuthClientOptions, over: OAuthClientOptions): OAuthClientOptions {
  return merge({ ...under }, { ...over });
}

/** Members that are undefined say nothing, and must not hide a default. */
function merge(under: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  const merged = { ...under };
  for (const [name, value] of Object.entries(over)) {
    const { [name]: below } = under;
    if (MERGED.includes(name) && isRecord(below) && isRecord(value)) merged[name] = merge(below, value);
    else if (value !== undefined) merged[name] = value;
  }
  for (const value of ['clientSecret', 'privateKey', 'certificate', 'token']) {
    const file = `${value}File`;
    if (over[value] !== undefined && over[file] === undefined) delete merged[file];
    if (over[file] !== undefined && over[value] === undefined) delete merged[value];
  }
  return merged;
}
