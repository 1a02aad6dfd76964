import { createHash, createPrivateKey, createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { exportJWK, importPKCS8, type CryptoKey, type JWK } from 'jose';
import { OAuthClientError } from '../core/errors.js';
import { valueOf, type ResolvedClientOptions, type SigningAlgorithm, type Source } from './options.js';

/** A private key ready to sign with. */
export interface SigningKey {
  key: CryptoKey;
  algorithm: SigningAlgorithm;
  /** The public half, as it goes into DPoP proofs. */
  publicJwk: JWK;
  keyId: string | undefined;
}

/**
 * Reads a secret, key, assertion or certificate from where it is kept.
 *
 * @throws {OAuthClientError} `credentials_unavailable`, naming the option; the cause is left out, it may hold the secret.
 */
export async function readCredential<T extends string | object>(
  client: string,
  option: string,
  source: Source<T> | undefined,
  file?: string,
): Promise<T | string> {
  try {
    if (source !== undefined) {
      const value = await valueOf(source);
      if (value === '' || value === undefined || value === null) throw new Error('empty');
      return value;
    }
    return (await readFile(file!, 'utf8')).replace(/\r?\n$/, '');
  } catch {
    throw unavailable(client, option);
  }
}

/** The client secret as it is now. */
export async function readSecret(client: string, options: ResolvedClientOptions): Promise<string> {
  const option = options.clientSecret === undefined ? 'clientSecretFile' : 'clientSecret';
  return readCredential<string>(client, option, options.clientSecret, options.clientSecretFile);
}

/** The client's private key as it is now. */
export async function readSigningKey(client: string, options: ResolvedClientOptions): Promise<SigningKey> {
  const option = options.privateKey === undefined ? 'privateKeyFile' : 'privateKey';
  const material = await readCredential(client, option, options.privateKey, options.privateKeyFile);
  try {
    const key = await importSigningKey(material, options.signingAlgorithm);
    return options.keyId === undefined ? key : { ...key, keyId: options.keyId };
  } catch {
    throw unavailable(client, option);
  }
}

/** Imports a PEM or JWK private key; the algorithm follows from the key unless given. */
export async function importSigningKey(
  material: string | JWK,
  algorithm?: SigningAlgorithm,
): Promise<SigningKey> {
  const jwk =
    typeof material === 'string' && !material.trimStart().startsWith('{') ? undefined : parseJwk(material);
  const key = jwk
    ? createPrivateKey({ key: jwk as JsonWebKey, format: 'jwk' })
    : createPrivateKey(material as string);
  const alg = algorithm ?? (jwk?.alg as SigningAlgorithm | undefined) ?? algorithmOf(key);
  return {
    key: await importPKCS8(key.export({ type: 'pkcs8', format: 'pem' }) as string, alg),
    algorithm: alg,
    publicJwk: await exportJWK(createPublicKey(key)),
    keyId: jwk?.kid,
  };
}

/** A short, public name for something secret, for cache keys. */
export function fingerprint(value: string): string {
  return createHash('sha256').update(value).digest('base64url');
}

function parseJwk(material: string | JWK): JWK {
  return typeof material === 'string' ? (JSON.parse(material) as JWK) : material;
}

function algorithmOf(key: KeyObject): SigningAlgorithm {
  switch (key.asymmetricKeyType) {
    case 'ed25519':
      return 'EdDSA';
    case 'rsa-pss':
      return 'PS256';
    case 'ec': {
      const curve = key.asymmetricKeyDetails?.namedCurve;
      return curve === 'secp384r1' ? 'ES384' : curve === 'secp521r1' ? 'ES512' : 'ES256';
    }
    default:
      return 'RS256';
  }
}

function unavailable(client: string, option: string): OAuthClientError {
  return new OAuthClientError(
    'credentials_unavailable',
    `The ${option} of OAuth client "${client}" could not be read: check that the function, file or key behind it works.`,
    { client, retryable: true },
  );
}
