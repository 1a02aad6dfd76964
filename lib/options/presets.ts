import { OAuthConfigurationError } from '../core/errors.js';
import { defined, type OAuthClientOptions } from './client-options.js';

/** A partner's own settings; whatever else is given wins over the preset. */
export interface PartnerOptions extends OAuthClientOptions {
  /** Default `production`. */
  environment?: string;
}

/** Settings that fit on top of each other one level deep. */
const NESTED = ['http', 'retry', 'refreshAhead'] as const;

/** Options of which one takes the place of the other. */
const ALTERNATIVES = [
  ['clientSecret', 'clientSecretFile'],
  ['clientSecretFile', 'clientSecret'],
  ['privateKey', 'privateKeyFile'],
  ['privateKeyFile', 'privateKey'],
] as const;

/** `over` on top of `under`; `http` with its headers, `retry` and `refreshAhead` merge member by member. */
export function mergeClientOptions(under: OAuthClientOptions, over: OAuthClientOptions): OAuthClientOptions {
  const merged: OAuthClientOptions = { ...under, ...defined(over) };
  for (const [given, other] of ALTERNATIVES) {
    if (over[given] !== undefined && over[other] === undefined) delete merged[other];
  }
  for (const name of NESTED) {
    if (under[name] && over[name])
      Object.assign(merged, { [name]: { ...under[name], ...defined(over[name]) } });
  }
  const headers = [under.http?.['headers'], over.http?.['headers']] as const;
  if (headers[0] && headers[1]) merged.http = { ...merged.http, headers: Object.assign({}, ...headers) };
  return merged;
}

/**
 * Buoy Health: credentials in a JSON object, an audience, tokens of 24 hours.
 *
 * @param options `clientId`, `clientSecret`; `environment`: `production` or `sandbox`; anything else overrides the preset
 * @throws {OAuthConfigurationError} for an environment that Buoy does not document
 */
export function buoy({ environment = 'production', ...options }: PartnerOptions): OAuthClientOptions {
  const host = hostOf('buoy', environment, {
    production: 'buoyhealth.com',
    sandbox: 'sandbox.buoyhealth.com',
  });
  return mergeClientOptions(
    {
      tokenEndpoint: `https://auth.${host}/oauth/token`,
      tokenEndpointAuthMethod: 'client_secret_post',
      requestFormat: 'json',
      audience: `https://api.${host}`,
      baseURL: `https://api.${host}`,
      defaultLifetimeMs: 24 * 3_600_000,
    },
    options,
  );
}

/**
 * Honeybee Health: credentials in the form body; its API insists on `Accept: application/json`.
 *
 * @param options `clientId`, `clientSecret`, where an API needs one `scope`; anything else overrides the preset
 * @throws {OAuthConfigurationError} for an environment that Honeybee does not document
 */
export function honeybee({ environment = 'production', ...options }: PartnerOptions): OAuthClientOptions {
  const host = hostOf('honeybee', environment, { production: 'honeybeehealth.com' });
  return mergeClientOptions(
    {
      tokenEndpoint: `https://auth.${host}/oauth/token`,
      tokenEndpointAuthMethod: 'client_secret_post',
      baseURL: `https://partners.${host}`,
      http: { headers: { Accept: 'application/json' } },
    },
    options,
  );
}

/** The presets by the name that `OAUTH_<NAME>_PARTNER` takes. */
export const presets: Readonly<Record<string, (options: PartnerOptions) => OAuthClientOptions>> = {
  buoy,
  honeybee,
};

function hostOf(partner: string, environment: string, hosts: Record<string, string>): string {
  const host = Object.hasOwn(hosts, environment) ? hosts[environment] : undefined;
  if (host !== undefined) return host;
  throw new OAuthConfigurationError([
    `Partner "${partner}" has no such environment: use ${Object.keys(hosts).join(' or ')}, or set tokenEndpoint and baseURL yourself.`,
  ]);
}
