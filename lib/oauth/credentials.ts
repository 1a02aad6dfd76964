import { createHash } from 'node:crypto';
import { OAuthClientError } from '../core/errors.js';
import type { PrivateJwk } from '../options/client-options.js';
import { parseSigningKey, type SigningKey } from '../options/keys.js';
import type { ResolvedClientOptions } from '../options/resolved-options.js';
import { readTextFile, valueOf, type Source } from '../options/source.js';

/** How long a function or file behind a credential may take. */
const READ_TIMEOUT_MS = 4_000;

/**
 * Reads a secret, key, assertion or certificate from where it is kept; only a private key may be an object.
 *
 * @throws {OAuthClientError} `credentials_unavailable`, naming the option; the cause is left out, it may hold the secret.
 */
export async function readCredential<T extends string | object>(
  client: string,
  option: string,
  source: Source<T> | undefined,
  file = '',
): Promise<T | string> {
  try {
    const value: unknown = await withinTime<unknown>(
      source === undefined ? readTextFile(file) : valueOf(source),
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
export async function readClientKey(client: string, options: ResolvedClientOptions): Promise<SigningKey> {
  const option = options.privateKey === undefined ? 'privateKeyFile' : 'privateKey';
  const { privateKey, privateKeyFile, signingAlgorithm, keyId } = options;
  const material = await readCredential<string | PrivateJwk>(client, option, privateKey, privateKeyFile);
  try {
    const key = parseSigningKey(material, signingAlgorithm);
    return keyId === undefined ? key : { ...key, keyId };
  } catch {
    throw unavailable(client, option);
  }
}

/** A short, public name for something secret, for cache keys. */
export function fingerprint(value: string): string {
  return createHash('sha256').update(value).digest('base64url');
}

/** The error for a credential that cannot be had; of its cause it shows only a system error's code. */
export function unavailable(client: string, option: string, cause?: unknown): OAuthClientError {
  const code: unknown = (cause as NodeJS.ErrnoException | undefined)?.code;
  const why = typeof code === 'string' && /^E[A-Z]+$/.test(code) ? ` (${code})` : '';
  return new OAuthClientError(
    'credentials_unavailable',
    `The ${option} of OAuth client "${client}" could not be read${why}: check that the function, file or key behind it works.`,
    { client, retryable: true },
  );
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
