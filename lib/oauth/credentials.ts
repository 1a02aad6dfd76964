import { randomUUID, type KeyObject } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { SignJWT } from 'jose';
import { OAuthClientError } from '../core/errors.js';
import type { OAuthClientOptions, PrivateJwk, SigningAlgorithm } from '../options/client-options.js';
import { parseSigningKey, type SigningKey } from '../options/keys.js';
import { fileSource, type Source } from '../options/source.js';
import type { KnownServer, ProtocolParts } from './protocol.js';

/** What one token request authenticates the client with. */
export interface ClientAuthentication {
  /** Goes into the body. */
  fields: Record<string, string>;
  /** The `Authorization` header. */
  authorization?: string;
  /** To tell whether it has changed since: the secret, or the key's or certificate's public part. */
  credential?: string | undefined;
}

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const ASSERTION_LIFETIME_S = 60;

/**
 * Reads the credentials as they are now; exactly one method per request (RFC 6749 §2.3).
 *
 * @param certificate names the client certificate in use, if any
 */
export async function clientAuthentication(
  parts: ProtocolParts,
  server: KnownServer,
  certificate: string | undefined,
): Promise<ClientAuthentication> {
  const { client, options } = parts;
  const { clientId, tokenEndpointAuthMethod: method } = options;
  const fields = { client_id: clientId };
  const signed = async (header: { alg: string; kid?: string }, key: KeyObject | Uint8Array) => {
    const jwt = await assertion(parts, server, header).sign(key);
    return { ...fields, client_assertion: jwt, client_assertion_type: ASSERTION_TYPE };
  };
  if (method === 'none') return { fields };
  if (method === 'tls_client_auth' || method === 'self_signed_tls_client_auth')
    return { fields, credential: certificate };
  if (method === 'private_key_jwt') {
    const { key, algorithm, keyId, publicJwk } = await readClientKey(client, options);
    const header = { alg: algorithm, ...(keyId !== undefined && { kid: keyId }) };
    return { fields: await signed(header, key), credential: JSON.stringify(publicJwk) };
  }
  const credential = await readSecret(client, options);
  switch (method) {
    case 'client_secret_basic':
      return { fields: {}, authorization: basic(clientId, credential, options.basicEncoding), credential };
    case 'client_secret_post':
      return { fields: { ...fields, client_secret: credential }, credential };
    case 'client_secret_jwt':
      return { fields: await signed({ alg: 'HS256' }, new TextEncoder().encode(credential)), credential };
  }
}

/** RFC 7523 §3 and its successor: `aud` is one plain string, and the header says what the JWT is for. */
function assertion({ options, clock }: ProtocolParts, server: KnownServer, header: { alg: string }): SignJWT {
  const { clientId, issuer } = options;
  const audience = options.assertion?.audience ?? (issuer ? 'issuer' : 'token_endpoint');
  const named = new Map([
    ['issuer', server.issuer],
    ['token_endpoint', server.tokenEndpoint],
  ]);
  const iat = Math.floor(clock.now() / 1000);
  const claims = { iss: clientId, sub: clientId, aud: named.get(audience) ?? audience, jti: randomUUID() };
  const jwt = new SignJWT({ ...claims, iat, nbf: iat, exp: iat + ASSERTION_LIFETIME_S });
  return jwt.setProtectedHeader({ ...header, typ: 'client-authentication+jwt' });
}

/** RFC 6749 §2.3.1, but most servers read Basic credentials raw: what URLs never need to escape stays as it is. */
function basic(id: string, secret: string, encoding: 'form' | 'raw'): string {
  const encode = encoding === 'raw' ? String : formEncode;
  return `Basic ${Buffer.from(`${encode(id)}:${encode(secret)}`).toString('base64')}`;
}

/** `application/x-www-form-urlencoded` with `-._~` kept; `URLSearchParams` would encode `~` and keep `*`. */
export function formEncode(value: string): string {
  return encodeURIComponent(value)
    .replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replace(/%20/g, '+');
}

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
