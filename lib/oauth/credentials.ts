import { createHash, createPrivateKey, createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { exportJWK, importPKCS8, type CryptoKey, type JWK } from 'jose';
import { OAuthClientError } from '../core/errors.js';
import type { ResolvedClientOptions, SigningAlgorithm, Source } from '../options/client-options.js';

/** A private key ready to sign with. */
export interface SigningKey {
  key: CryptoKey;
  algorithm: SigningAlgorithm;
  /** The public half, as it goes into DPoP proofs. */
  publicJwk: JWK;
  keyId: string | undefined;
}

/** How long a function or file behind a credential may take. */
const READ_TIMEOUT_MS = 4_000;
const RSA_MIN_BITS = 2048;

/**
 * Reads a secret, key, assertion or certificate from where it is kept; only a private key may be an object.
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
    const value: unknown = await withinTime(
      source === undefined ? readText(file!) : typeof source === 'function' ? source() : source,
    );
    if (typeof value === 'string' && value !== '') return value;
    if (typeof value === 'object' && value !== null && option.endsWith('rivateKey')) return value as T;
  } catch (error) {
    throw unavailable(client, option, error);
  }
  throw unavailable(client, option);
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

/**
 * Imports a PEM or JWK private key; the algorithm follows from the key unless given.
 *
 * @throws {Error} when it is none, does not fit the algorithm, or is too short to be safe (RFC 7518 §3.3)
 */
export async function importSigningKey(
  material: string | JWK,
  algorithm?: SigningAlgorithm,
): Promise<SigningKey> {
  const jwk = typeof material === 'object' ? material : parseJwk(material);
  const key = createPrivateKey(
    jwk ? { key: jwk as JsonWebKey, format: 'jwk' } : { key: material as string, format: 'pem' },
  );
  const alg = algorithm ?? algorithmOf(key, jwk?.alg);
  const imported = await importPKCS8(key.export({ type: 'pkcs8', format: 'pem' }) as string, alg);
  const { modulusLength = RSA_MIN_BITS } = key.asymmetricKeyDetails ?? {};
  if (modulusLength < RSA_MIN_BITS || !imported.usages.includes('sign')) throw new Error('unfit to sign');
  return {
    key: imported,
    algorithm: alg,
    publicJwk: await exportJWK(createPublicKey(key)),
    keyId: jwk?.kid,
  };
}

/** A short, public name for something secret, for cache keys. */
export function fingerprint(value: string): string {
  return createHash('sha256').update(value).digest('base64url');
}

/** The error for a credential that cannot be had; of its cause only a system error's code is told. */
export function unavailable(client: string, option: string, cause?: unknown): OAuthClientError {
  const code: unknown = (cause as NodeJS.ErrnoException | undefined)?.code;
  const why = typeof code === 'string' && /^E[A-Z]+$/.test(code) ? ` (${code})` : '';
  return new OAuthClientError(
    'credentials_unavailable',
    `The ${option} of OAuth client "${client}" could not be read${why}: check that the function, file or key behind it works.`,
    { client, retryable: true },
  );
}

function parseJwk(material: string): JWK | undefined {
  return material.trimStart().startsWith('{') ? (JSON.parse(material) as JWK) : undefined;
}

function algorithmOf(key: KeyObject, named: string | undefined): SigningAlgorithm {
  if (key.asymmetricKeyType === 'ed25519') return 'EdDSA'; // RFC 9864 says Ed25519, which few servers know
  if (named !== undefined) return named as SigningAlgorithm;
  if (key.asymmetricKeyType !== 'ec') return 'RS256';
  const curve = key.asymmetricKeyDetails?.namedCurve;
  return curve === 'secp384r1' ? 'ES384' : curve === 'secp521r1' ? 'ES512' : 'ES256';
}

async function readText(path: string): Promise<string> {
  return (await readFile(path, 'utf8')).replace(/\r?\n$/, '');
}

/** Not every wait for a credential has a deadline of its own. */
async function withinTime<T>(value: T | Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('late')), READ_TIMEOUT_MS).unref();
  });
  try {
    return await Promise.race([value, late]);
  } finally {
    clearTimeout(timer);
  }
}
