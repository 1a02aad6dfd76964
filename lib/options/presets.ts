import { OAuthConfigurationError } from '../core/errors.js';
import type { OAuthClientOptions } from './client-options.js';
import { mergeClientOptions } from './resolved-options.js';

/** A partner's own settings; any other option given wins over the preset. */
export interface PartnerOptions extends OAuthClientOptions {
  /** Default `production`. */
  environment?: string;
}

/**
 * Buoy Health: credentials in a JSON object, an audience, tokens of 24 hours.
 *
 * @param options `clientId`, `clientSecret`; `environment`: `production` or `sandbox`; anything else overrides the preset
 * @throws {OAuthConfigurationError} for an environment that Buoy does not document
 */
export function buoy({ environment = 'production', ...options }: PartnerOptions): OAuthClientOptions {
  const hosts = { production: 'buoyhealth.com', sandbox: 'sandbox.buoyhealth.com' };
  const host = hostOf('buoy', environment, hosts);
  const preset: OAuthClientOptions = {
    tokenEndpoint: `https://auth.${host}/oauth/token`,
    tokenEndpointAuthMethod: 'client_secret_post',
    requestFormat: 'json',
    audience: `https://api.${host}`,
    baseURL: `https://api.${host}`,
    defaultLifetimeMs: 24 * 3_600_000,
  };
  return mergeClientOptions(preset, options);
}

/**
 * Honeybee Health: credentials in a form body that names its charset; its API insists on `Accept: application/json`.
 *
 * @param options `clientId`, `clientSecret`, where an API needs one `scope`; anything else overrides the preset
 * @throws {OAuthConfigurationError} for an environment that Honeybee does not document
 */
export function honeybee({ environment = 'production', ...options }: PartnerOptions): OAuthClientOptions {
  const host = hostOf('honeybee', environment, { production: 'honeybeehealth.com' });
  const preset: OAuthClientOptions = {
    tokenEndpoint: `https://auth.${host}/oauth/token`,
    tokenEndpointAuthMethod: 'client_secret_post',
    tokenRequestHeaders: { 'Content-Type': 'application/x-www-form-urlencoded;charset=utf-8' },
    baseURL: `https://partners.${host}`,
    http: { headers: { Accept: 'application/json' } },
  };
  return mergeClientOptions(preset, options);
}

/** The presets by the name that `OAUTH_<NAME>_PARTNER` takes. */
export const PRESETS: ReadonlyMap<string, typeof buoy> = new Map([['buoy', buoy], ['honeybee', honeybee]]); // prettier-ignore

function hostOf(partner: string, environment: string, hosts: Record<string, string>): string {
  const host = Object.hasOwn(hosts, environment) ? hosts[environment] : undefined;
  if (host !== undefined) return host;
  const problem = `Partner "${partner}" has no such environment: use ${Object.keys(hosts).join(' or ')}, or set tokenEndpoint and baseURL yourself.`;
  throw new OAuthConfigurationError([problem]);
}
