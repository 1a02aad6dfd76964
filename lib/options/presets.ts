import { randomUUID } from 'node:crypto';
import type { OAuthClientOptions } from './client-options.js';
import { parseSigningKey } from './keys.js';
import { plainName } from './nearest.js';
import { accountOf, hostOf, jwkOf, required, smartKey, under, type Account } from './preset-parts.js';
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

/** Settings of {@link entra}. */
export interface EntraOptions extends OAuthClientOptions {
  /** ID or domain of the directory. */
  tenantId: string;
  /** Certificate of the private key, PEM or a function asked at each token request. */
  certificate?: Source<string> | undefined;
  /** Path of a PEM file with it, read at each token request. */
  certificateFile?: string | undefined;
  /** Path of a token that the platform projects, such as `AZURE_FEDERATED_TOKEN_FILE` names it; read at each token request. */
  federatedTokenFile?: string | undefined;
}

/** Settings of {@link googleServiceAccount}. */
export interface GoogleServiceAccountOptions extends OAuthClientOptions {
  /** Path of the JSON key file. Who the account is, is read at boot; the key, and its ID, at each token request. */
  keyFile: string;
  /** The Workspace user that the account acts for. */
  subject?: string | undefined;
}

/** Settings of {@link zoom}. */
export interface ZoomOptions extends OAuthClientOptions {
  /** Account ID of the server-to-server app. */
  accountId: string;
}

/** Settings of {@link shopify}. */
export interface ShopifyOptions extends OAuthClientOptions {
  /** Name of the shop, before `.myshopify.com`. */
  shop: string;
}

/**
 * Buoy Health: credentials in a JSON object, an audience, tokens of 24 hours.
 *
 * @param options `clientId`, `clientSecret`; `environment`: `production` or `sandbox`; anything else overrides the preset
 * @throws {OAuthConfigurationError} for an environment that Buoy does not document
 */
export function buoy({ environment, ...options }: PartnerOptions): OAuthClientOptions {
  const hosts = { production: 'buoyhealth.com', sandbox: 'sandbox.buoyhealth.com' };
  const host = hostOf('buoy', hosts, environment);
  return under(options, {
    tokenEndpoint: `https://auth.${host}/oauth/token`,
    tokenEndpointAuthMethod: 'client_secret_post',
    requestFormat: 'json',
    audience: `https://api.${host}`,
    baseURL: `https://api.${host}`,
    defaultLifetimeMs: 24 * 3_600_000,
  });
}

/**
 * Honeybee Health: credentials in a form body that names its charset; its API insists on `Accept: application/json`.
 *
 * @param options `clientId`, `clientSecret`, where an API needs one `scope`; anything else overrides the preset
 * @throws {OAuthConfigurationError} for an environment that Honeybee does not document
 */
export function honeybee({ environment, ...options }: PartnerOptions): OAuthClientOptions {
  const host = hostOf('honeybee', { production: 'honeybeehealth.com' }, environment);
  return under(options, {
    tokenEndpoint: `https://auth.${host}/oauth/token`,
    tokenEndpointAuthMethod: 'client_secret_post',
    tokenRequestHeaders: { 'Content-Type': 'application/x-www-form-urlencoded;charset=utf-8' },
    baseURL: `https://partners.${host}`,
    http: { headers: { Accept: 'application/json' } },
  });
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
  const { fhirBaseUrl, privateKey, privateKeyFile, ...others } = options;
  const baseURL = required('smartBackend', { fhirBaseUrl }).replace(/\/$/, '');
  const key = privateKeyFile === undefined ? privateKey : fileSource(privateKeyFile);
  return under(others, {
    metadataURL: `${baseURL}/.well-known/smart-configuration`,
    tokenEndpointAuthMethod: 'private_key_jwt',
    ...(key !== undefined && { privateKey: smartKey(key) }),
    assertion: { typ: 'JWT', audience: 'token_endpoint' },
    baseURL,
  });
}

/**
 * Microsoft Entra ID, for an application: a secret, a certificate with its key, or a federated token. Checked on 2026-11-28
 * against https://learn.microsoft.com/en-us/entra/identity-platform/certificate-credentials
 *
 * @param options `tenantId`, `clientId`, `scope` (`<resource>/.default`), and one of `clientSecret`, `privateKeyFile` with
 * `certificateFile`, `federatedTokenFile`; anything else overrides the preset
 * @throws {OAuthConfigurationError} without a tenant
 */
export function entra(options: EntraOptions): OAuthClientOptions {
  const { tenantId, certificate, certificateFile, federatedTokenFile: tokenFile, ...others } = options;
  const assertion = { certificate, certificateFile, tokenFile, ...others.assertion };
  const isCertified = (assertion.certificate ?? assertion.certificateFile) !== undefined;
  const isReady = (assertion.token ?? assertion.tokenFile) !== undefined;
  return under(others, {
    tokenEndpoint: `https://login.microsoftonline.com/${required('entra', { tenantId })}/oauth2/v2.0/token`,
    tokenEndpointAuthMethod: isCertified || isReady ? 'private_key_jwt' : 'client_secret_post',
    ...(isCertified && { signingAlgorithm: 'PS256', assertion: { typ: 'JWT', ...assertion } }),
    ...(isReady && { assertion }),
  });
}

/**
 * A Google service account, from its key file as Google hands it out:
 * https://developers.google.com/identity/protocols/oauth2/service-account (its claims checked on 2026-11-28 in other descriptions)
 *
 * @param options `keyFile`, `scope`, `baseURL` of the API, `subject` for domain-wide delegation; anything else overrides the preset
 * @throws {OAuthConfigurationError} for a file that is none of a service account, or without a scope
 */
export function googleServiceAccount(options: GoogleServiceAccountOptions): OAuthClientOptions {
  const { keyFile, subject, scope, ...others } = options;
  const partner = 'googleServiceAccount';
  const file = required(partner, { keyFile });
  const { client_email: issuer = '', token_uri: tokenEndpoint = '' } = accountOf(file);
  required(partner, { keyFile: issuer && tokenEndpoint });
  const claims = { scope: required(partner, { scope }) };
  return under(others, {
    tokenEndpoint,
    tokenEndpointAuthMethod: 'none',
    grant: { type: 'jwt_bearer', issuer, ...(subject !== undefined && { subject }), claims },
    privateKey: async () => {
      const account = JSON.parse(await fileSource(file)()) as Account;
      return jwkOf(parseSigningKey(account.private_key ?? '').key, 'RS256', account.private_key_id);
    },
    defaultLifetimeMs: 3_600_000,
  });
}

/**
 * A Zoom server-to-server app: a grant of Zoom's own. Checked on 2026-11-28 against
 * https://developers.zoom.us/docs/internal-apps/s2s-oauth/
 *
 * @param options `accountId`, `clientId`, `clientSecret`; anything else overrides the preset
 * @throws {OAuthConfigurationError} without an account
 */
export function zoom({ accountId, ...others }: ZoomOptions): OAuthClientOptions {
  return under(others, {
    tokenEndpoint: 'https://zoom.us/oauth/token',
    grant: { type: 'account_credentials', parameters: { account_id: required('zoom', { accountId }) } },
    baseURL: 'https://api.zoom.us/v2',
    defaultLifetimeMs: 3_600_000,
  });
}

/**
 * The Admin API of one Shopify shop, for an app of the shop's own organization. Checked on 2026-11-28 against
 * https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/client-credentials-grant
 *
 * @param options `shop`, `clientId`, `clientSecret`; anything else overrides the preset
 * @throws {OAuthConfigurationError} without the name of a shop
 */
export function shopify({ shop, ...others }: ShopifyOptions): OAuthClientOptions {
  const baseURL = `https://${required('shopify', { shop }).replace(/\.myshopify\.com$/i, '')}.myshopify.com`;
  return under(others, {
    tokenEndpoint: `${baseURL}/admin/oauth/access_token`,
    tokenEndpointAuthMethod: 'client_secret_post',
    tokenHeader: { name: 'X-Shopify-Access-Token' },
    baseURL,
    defaultLifetimeMs: 24 * 3_600_000,
  });
}

/**
 * Walmart Marketplace: each request has a service name and a correlation ID of its own. Checked on 2026-11-28 against
 * https://developer.walmart.com/global-marketplace/reference/tokenapi
 *
 * @param options `clientId`, `clientSecret`; anything else overrides the preset
 */
export function walmart(options: OAuthClientOptions): OAuthClientOptions {
  const correlated = { 'WM_SVC.NAME': 'Walmart Marketplace', 'WM_QOS.CORRELATION_ID': () => randomUUID() };
  return under(options, {
    tokenEndpoint: 'https://marketplace.walmartapis.com/v3/token',
    tokenHeader: { name: 'WM_SEC.ACCESS_TOKEN' },
    baseURL: 'https://marketplace.walmartapis.com',
    http: { headers: { Accept: 'application/json', ...correlated } },
    defaultLifetimeMs: 900_000,
  });
}

/** A preset, and the settings that only presets know. */
type Preset = { readonly settings: readonly string[]; make(input: OAuthClientOptions): OAuthClientOptions };

/** The presets by the names of their functions. */
export const PRESETS: ReadonlyMap<string, Preset> = new Map<string, Preset>([
  ['buoy', { settings: ['environment'], make: buoy }],
  ['honeybee', { settings: ['environment'], make: honeybee }],
  ['smartBackend', { settings: ['fhirBaseUrl'], make: smartBackend }],
  ['entra', { settings: ['tenantId', 'certificateFile', 'federatedTokenFile'], make: entra }],
  ['googleServiceAccount', { settings: ['keyFile', 'subject'], make: googleServiceAccount }],
  ['zoom', { settings: ['accountId'], make: zoom }],
  ['shopify', { settings: ['shop'], make: shopify }],
  ['walmart', { settings: [], make: walmart }],
]);

/** The preset that `OAUTH_<NAME>_PARTNER` names, in any case and with any separators. */
export function presetOf(partner: string): Preset | undefined {
  return [...PRESETS].find(([name]) => plainName(name) === plainName(partner))?.[1];
}
