import type { OAuthClientOptions, PrivateJwk } from './client-options.js';
import { parseSigningKey } from './keys.js';
import { PresetError, required } from './preset-settings.js';
import { mergeClientOptions } from './resolved-options.js';
import { fileSource, type Source } from './source.js';

/** A partner's own settings; any other option given wins over the preset. */
export interface PartnerOptions extends OAuthClientOptions {
  /** Default `production`. */
  environment?: string | undefined;
}

/** Settings of {@link smartBackend}. */
export interface SmartBackendOptions extends OAuthClientOptions {
  /** Base URL of the FHIR server; `/.well-known/smart-configuration` below it names the token endpoint. */
  fhirBaseUrl: string;
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

/**
 * SMART Backend Services, as Epic, Redox and other FHIR servers have them: the client signs an assertion with RS384 or
 * ES384, as its key allows. Checked on 2026-11-28 against https://developer.redoxengine.com/redox-source-auth-v2/, which follows
 * https://hl7.org/fhir/smart-app-launch/STU2/client-confidential-asymmetric.html
 *
 * @param options `fhirBaseUrl`, `clientId`, `privateKeyFile` or `privateKey`, `keyId`, `scope`; anything else overrides the preset
 * @throws {OAuthConfigurationError} without a base URL
 */
export function smartBackend(options: SmartBackendOptions): OAuthClientOptions {
  const { fhirBaseUrl: _, privateKey, privateKeyFile, ...others } = options;
  const base = required('smartBackend', options, 'fhirBaseUrl').replace(/\/$/, '');
  const key = privateKeyFile === undefined ? privateKey : fileSource(privateKeyFile);
  const preset: OAuthClientOptions = {
    metadataURL: `${base}/.well-known/smart-configuration`,
    tokenEndpointAuthMethod: 'private_key_jwt',
    ...(key !== undefined && { privateKey: smartKey(key) }),
    assertion: { typ: 'JWT', audience: 'token_endpoint' },
    baseURL: base,
  };
  return mergeClientOptions(preset, others);
}

/** The key with the one algorithm of the two that it can sign with. A text that is no key stays, to be reported at boot. */
function smartKey(source: Source<string | PrivateJwk>): Source<string | PrivateJwk> {
  if (typeof source === 'function') return async () => withAlgorithm(await source());
  try {
    return withAlgorithm(source);
  } catch {
    return source;
  }
}

function withAlgorithm(material: string | PrivateJwk): PrivateJwk {
  const { key, keyId } = parseSigningKey(material);
  const alg = key.asymmetricKeyType === 'rsa' ? 'RS384' : 'ES384';
  return { ...key.export({ format: 'jwk' }), alg, ...(keyId !== undefined && { kid: keyId }) };
}

function hostOf(partner: string, environment: string, hosts: Record<string, string>): string {
  const host = Object.hasOwn(hosts, environment) ? hosts[environment] : undefined;
  if (host !== undefined) return host;
  const known = Object.keys(hosts).join(' or ');
  throw new PresetError(
    partner,
    'environment',
    `has no such environment: use ${known}, or set tokenEndpoint and baseURL yourself`,
  );
}
