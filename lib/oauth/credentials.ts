import { setTimeout } from 'node:timers/promises';
import { OAuthClientError } from '../core/errors.js';
import type { OAuthClientOptions, PrivateJwk, SigningAlgorithm } from '../options/client-options.js';
import { parseSigningKey, type SigningKey } from '../options/keys.js';
import { fileSource, type Source } from '../options/source.js';

/** How long a function or file behind a credential may take: not every wait for one has a deadline of its own. */
const READ_TIMEOUT_MS = 4_000;

/**
 * Reads a secret, assertion or certificate from where it is kept.
 *
 * @throws {OAuthClientError} `credentials_unavailable`, naming the option; the cause is left out, it may hold the secret.
 */
export async function readCredential(
  client: string,
  option: string,
  source: Source<string>,
): Promise<string> {
  const value = await read(client, option, source);
  if (typeof value === 'string' && value !== '') return value;
  throw unavailable(client, option);
}

/** Reads a private key likewise. */
export async function readKey(
  client: string,
  option: string,
  source: Source<string | PrivateJwk>,
  algorithm: SigningAlgorithm | undefined,
): Promise<SigningKey> {
  const material = await read(client, option, source);
  try {
    return parseSigningKey(material as string | PrivateJwk, algorithm);
  } catch {
    throw unavailable(client, option);
  }
}

/** The client's secret, or what its file holds. */
export function readSecret(client: string, options: OAuthClientOptions): Promise<string> {
  const { clientSecret, clientSecretFile = '' } = options;
  if (clientSecret !== undefined) return readCredential(client, 'clientSecret', clientSecret);
  return readCredential(client, 'clientSecretFile', fileSource(clientSecretFile));
}

/** The client's private key, or what its file holds. */
export async function readClientKey(client: string, options: OAuthClientOptions): Promise<SigningKey> {
  const { privateKey, privateKeyFile = '', signingAlgorithm } = options;
  const option = privateKey === undefined ? 'privateKeyFile' : 'privateKey';
  const key = await readKey(client, option, privateKey ?? fileSource(privateKeyFile), signingAlgorithm);
  return { ...key, keyId: options.keyId ?? key.keyId };
}

async function read(client: string, option: string, source: Source<string | PrivateJwk>): Promise<unknown> {
  const done = new AbortController();
  try {
    const value = typeof source === 'function' ? source() : source;
    return await Promise.race([value, setTimeout(READ_TIMEOUT_MS, '', { ref: false, signal: done.signal })]);
  } catch (error) {
    throw unavailable(client, option, error);
  } finally {
    done.abort();
  }
}

/** Of the cause the error shows only a system error's code. */
function unavailable(client: string, option: string, cause?: unknown): OAuthClientError {
  const code: unknown = (cause as NodeJS.ErrnoException | undefined)?.code;
  const why = typeof code === 'string' && /^E[A-Z]+$/.test(code) ? ` (${code})` : '';
  return new OAuthClientError(
    'credentials_unavailable',
    `The ${option} of OAuth client "${client}" could not be read${why}: check that the function, file or key behind it works.`,
    { client, retryable: true },
  );
}
