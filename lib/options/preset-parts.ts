import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { OAuthConfigurationError } from '../core/errors.js';
import type { OAuthClientOptions, PrivateJwk, SigningAlgorithm } from './client-options.js';
import { parseSigningKey, type Material } from './keys.js';
import { mergeClientOptions } from './resolved-options.js';
import type { Source } from './source.js';

/** A setting that a preset cannot work with. */
export class PresetError extends OAuthConfigurationError {
  /** The setting, or the option. */
  readonly setting: string;

  constructor(partner: string, setting: string, says: string) {
    super([`Partner "${partner}" ${says}.`]);
    this.setting = setting;
  }
}

/** What presets cannot do without: how to get it, and the text that it takes. */
const REQUIRED: Readonly<Record<string, readonly [says: string, fits?: RegExp]>> = {
  fhirBaseUrl: ['set it to the base URL of the FHIR server', /^https?:\/\/[^\s?#]+$/],
  tenantId: ['set it to the ID or the domain of the directory', /^\w[\w.-]*$/],
  accountId: ['set it to the account ID among the app’s credentials'],
  shop: ['set it to the name before .myshopify.com', /^[a-z\d][a-z\d-]*(\.myshopify\.com)?$/i],
  keyFile: ['set it to the path of a service account’s key file in JSON, which can be read'],
  scope: ['set it to the scopes of the API'],
};

/** The one setting in `given`, without which the preset cannot work. @throws {PresetError} unless its value fits */
export function required(partner: string, given: Record<string, unknown>): string {
  const [name, value] = Object.entries(given)[0] ?? ['', undefined];
  const { [name]: [says, fits = /./] = [''] } = REQUIRED;
  if (typeof value === 'string' && fits.test(value)) return value;
  throw new PresetError(partner, name, `needs ${value === undefined ? '' : 'another '}${name}; ${says}`);
}

/** The host of a partner's environment. @throws {PresetError} for one that the partner does not document */
export function hostOf(partner: string, hosts: Record<string, string>, environment = 'production'): string {
  const host = Object.hasOwn(hosts, environment) ? hosts[environment] : undefined;
  if (host !== undefined) return host;
  const known = Object.keys(hosts).join(' or ');
  const says = `has no such environment: use ${known}, or set tokenEndpoint and baseURL yourself`;
  throw new PresetError(partner, 'environment', says);
}

/** The options of a preset below the client's own. */
export function under(own: OAuthClientOptions, preset: OAuthClientOptions): OAuthClientOptions {
  return mergeClientOptions(preset, own);
}

/** A private key as a JWK that names its algorithm and its ID. */
export function jwkOf(key: KeyObject, alg: SigningAlgorithm, kid?: string): PrivateJwk {
  return { ...key.export({ format: 'jwk' }), alg, ...(kid !== undefined && { kid }) };
}

/** The key with the one algorithm of SMART's two that it can sign with. A text that is no key stays, to be reported at boot. */
export function smartKey(source: Source<Material>): Source<Material> {
  const named = (material: Material) => {
    try {
      const { key, keyId } = parseSigningKey(material);
      return jwkOf(key, key.asymmetricKeyType === 'rsa' ? 'RS384' : 'ES384', keyId);
    } catch {
      return material;
    }
  };
  return typeof source === 'function' ? async () => named(await source()) : named(source);
}

/** What Google's key file says. */
export type Account = { [name in 'client_email' | 'token_uri' | 'private_key' | 'private_key_id']?: string };

/** The content of a key file; empty if it cannot be read, since an error would show some of its text. */
export function accountOf(file: string): Account {
  try {
    return (JSON.parse(readFileSync(file, 'utf8')) ?? {}) as Account;
  } catch {
    return {};
  }
}
