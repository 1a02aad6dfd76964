import { createPrivateKey, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { OAuthClientOptions, PrivateJwk } from './client-options.js';
import { PresetError, required } from './preset-settings.js';
import { mergeClientOptions } from './resolved-options.js';
import { fileSource, type Source } from './source.js';

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
 * Microsoft Entra ID, for an application: a secret, a certificate with its key, or a federated token. Checked on 2026-11-28
 * against https://learn.microsoft.com/en-us/entra/identity-platform/certificate-credentials
 *
 * @param options `tenantId`, `clientId`, `scope` (`<resource>/.default`), and one of `clientSecret`, `privateKeyFile` with
 * `certificateFile`, `federatedTokenFile`; anything else overrides the preset
 * @throws {OAuthConfigurationError} without a tenant
 */
export function entra(options: EntraOptions): OAuthClientOptions {
  const { tenantId: _, certificate, certificateFile, federatedTokenFile, ...others } = options;
  const tenant = required('entra', { tenantId: options.tenantId }, 'tenantId');
  const isCertified = (certificate ?? certificateFile) !== undefined;
  const preset: OAuthClientOptions = {
    tokenEndpoint: `https://login.microsoftonline.com/${tenant}/oauth2/v2.0/token`,
    tokenEndpointAuthMethod: 'client_secret_post',
    ...(isCertified && { tokenEndpointAuthMethod: 'private_key_jwt', signingAlgorithm: 'PS256' }),
    ...(certificate !== undefined && { assertion: { typ: 'JWT', certificate } }),
    ...(certificateFile !== undefined && { assertion: { typ: 'JWT', certificateFile } }),
    ...(federatedTokenFile !== undefined && {
      tokenEndpointAuthMethod: 'private_key_jwt',
      assertion: { tokenFile: federatedTokenFile },
    }),
  };
  return mergeClientOptions(preset, others);
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
  const file = required('googleServiceAccount', { keyFile }, 'keyFile');
  const { client_email: issuer, token_uri: tokenEndpoint } = accountOf(file);
  const refuse = (setting: string, says: string) => new PresetError('googleServiceAccount', setting, says);
  if (!issuer || !tokenEndpoint)
    throw refuse(
      'keyFile',
      'needs another keyFile; set it to the path of a service account’s key file in JSON, which can be read',
    );
  if (!scope) throw refuse('scope', 'needs scope; set it to the scopes of the API');
  const grant = { type: 'jwt_bearer', issuer, ...(subject !== undefined && { subject }), claims: { scope } };
  const privateKey = async () => signingKey(await fileSource(file)());
  return mergeClientOptions(
    { tokenEndpoint, tokenEndpointAuthMethod: 'none', grant, privateKey, defaultLifetimeMs: 3_600_000 },
    others,
  );
}

/**
 * A Zoom server-to-server app: a grant of Zoom's own. Checked on 2026-11-28 against
 * https://developers.zoom.us/docs/internal-apps/s2s-oauth/
 *
 * @param options `accountId`, `clientId`, `clientSecret`; anything else overrides the preset
 * @throws {OAuthConfigurationError} without an account
 */
export function zoom({ accountId, ...others }: ZoomOptions): OAuthClientOptions {
  const account_id = required('zoom', { accountId }, 'accountId');
  const preset: OAuthClientOptions = {
    tokenEndpoint: 'https://zoom.us/oauth/token',
    grant: { type: 'account_credentials', parameters: { account_id } },
    baseURL: 'https://api.zoom.us/v2',
    defaultLifetimeMs: 3_600_000,
  };
  return mergeClientOptions(preset, others);
}

/**
 * The Admin API of one Shopify shop, for an app of the shop's own organization. Checked on 2026-11-28 against
 * https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/client-credentials-grant
 *
 * @param options `shop`, `clientId`, `clientSecret`; anything else overrides the preset
 * @throws {OAuthConfigurationError} without the name of a shop
 */
export function shopify({ shop, ...others }: ShopifyOptions): OAuthClientOptions {
  const name = required('shopify', { shop }, 'shop').replace(/\.myshopify\.com$/i, '');
  const host = `https://${name}.myshopify.com`;
  const preset: OAuthClientOptions = {
    tokenEndpoint: `${host}/admin/oauth/access_token`,
    tokenEndpointAuthMethod: 'client_secret_post',
    tokenHeader: { name: 'X-Shopify-Access-Token' },
    baseURL: host,
    defaultLifetimeMs: 24 * 3_600_000,
  };
  return mergeClientOptions(preset, others);
}

/**
 * Walmart Marketplace: each request has a service name and a correlation ID of its own. Checked on 2026-11-28 against
 * https://developer.walmart.com/global-marketplace/reference/tokenapi
 *
 * @param options `clientId`, `clientSecret`; anything else overrides the preset
 */
export function walmart(options: OAuthClientOptions): OAuthClientOptions {
  const preset: OAuthClientOptions = {
    tokenEndpoint: 'https://marketplace.walmartapis.com/v3/token',
    tokenHeader: { name: 'WM_SEC.ACCESS_TOKEN' },
    baseURL: 'https://marketplace.walmartapis.com',
    http: {
      headers: {
        Accept: 'application/json',
        'WM_SVC.NAME': 'Walmart Marketplace',
        'WM_QOS.CORRELATION_ID': () => randomUUID(),
      },
    },
    defaultLifetimeMs: 900_000,
  };
  return mergeClientOptions(preset, options);
}

type Account = Partial<Record<'client_email' | 'token_uri' | 'private_key' | 'private_key_id', string>>;

/** What a key file says; nothing where it cannot be read: an error would show some of its text. */
function accountOf(file: string): Account {
  try {
    return (JSON.parse(readFileSync(file, 'utf8')) ?? {}) as Account;
  } catch {
    return {};
  }
}

function signingKey(text: string): PrivateJwk {
  const { private_key: pem = '', private_key_id: kid } = JSON.parse(text) as Account;
  return {
    ...createPrivateKey(pem).export({ format: 'jwk' }),
    alg: 'RS256',
    ...(kid !== undefined && { kid }),
  };
}
