import { randomUUID, type KeyObject } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import { setTimeout } from 'node:timers/promises';
import { SignJWT } from 'jose';
import { OAuthClientError } from '../core/errors.js';
import type { OAuthClientOptions, PrivateJwk } from '../options/client-options.js';
import { certificateFingerprint, parseSigningKey } from '../options/keys.js';
import { fileSource, type Source } from '../options/source.js';
import type { KnownServer, ProtocolParts } from './protocol.js';

/** What one token request authenticates the client with. */
export interface ClientAuthentication {
  fields: Record<string, string>;
  header?: { authorization: string };
  /** To tell whether it has changed since: the secret, or the key's or certificate's public part. */
  credential?: string | undefined;
}

type Material = string | PrivateJwk;

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const ASSERTION_LIFETIME_S = 60;
/** How long a function or file behind a credential may take: not every wait for one has a deadline of its own. */
const READ_TIMEOUT_MS = 4_000;

/** Reads the credentials as they are now; exactly one method per request (RFC 6749 §2.3). */
export async function clientAuthentication(
  parts: ProtocolParts,
  server: KnownServer,
  certificate: string | undefined,
): Promise<ClientAuthentication> {
  const { client, options } = parts;
  const { clientId, tokenEndpointAuthMethod: method, signingAlgorithm } = options;
  const fields = { client_id: clientId };
  const signed = async (header: { alg: string; kid?: string | undefined }, key: KeyObject | Uint8Array) => {
    const jwt = await assertion(parts, server, header).sign(key);
    return { ...fields, client_assertion: jwt, client_assertion_type: ASSERTION_TYPE };
  };
  if (method === 'none') return { fields };
  if (method === 'tls_client_auth' || method === 'self_signed_tls_client_auth')
    return { fields, credential: certificate };
  if (method === 'private_key_jwt') {
    const parse = (key: Material) => parseSigningKey(key, signingAlgorithm);
    const source = sourceOf(options, 'privateKey');
    const { key, algorithm, keyId, publicJwk } = await readCredential(client, ...source, parse);
    const header = { alg: algorithm, kid: options.keyId ?? keyId };
    return { fields: await signed(header, key), credential: JSON.stringify(publicJwk) };
  }
  const credential = await readText(client, ...sourceOf(options, 'clientSecret'));
  switch (method) {
    case 'client_secret_basic':
      return { fields: {}, header: basic(clientId, credential, options.basicEncoding), credential };
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
  const named = new Map(Object.entries({ issuer: server.issuer, token_endpoint: server.tokenEndpoint }));
  const iat = Math.floor(clock.now() / 1000);
  const claims = { iss: clientId, sub: clientId, aud: named.get(audience) ?? audience, jti: randomUUID() };
  const jwt = new SignJWT({ ...claims, iat, nbf: iat, exp: iat + ASSERTION_LIFETIME_S });
  return jwt.setProtectedHeader({ ...header, typ: 'client-authentication+jwt' });
}

/** RFC 6749 §2.3.1, but most servers read Basic credentials raw: what URLs never need to escape stays as it is. */
function basic(id: string, secret: string, encoding: 'form' | 'raw'): { authorization: string } {
  const encode = encoding === 'raw' ? String : formEncode;
  return { authorization: `Basic ${Buffer.from(`${encode(id)}:${encode(secret)}`).toString('base64')}` };
}

/** Whether the encodings of Basic credentials differ for these, so that one of the two is wrong. */
export function isEncodingSensitive(
  { options: { clientId, tokenEndpointAuthMethod } }: Pick<ProtocolParts, 'options'>,
  { credential = '' }: Partial<Pick<ClientAuthentication, 'credential'>>,
): boolean {
  const text = clientId + credential;
  return tokenEndpointAuthMethod === 'client_secret_basic' && formEncode(text) !== text;
}

/** `application/x-www-form-urlencoded` with `-._~` kept; `URLSearchParams` would encode `~` and keep `*`. */
export function formEncode(value: string): string {
  return encodeURIComponent(value)
    .replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replace(/%20/g, '+');
}

/** The option and its value, or those of the file that takes its place. */
function sourceOf(
  options: OAuthClientOptions,
  option: 'clientSecret' | 'privateKey',
): [string, Source<Material>] {
  const { [option]: own, [`${option}File` as const]: file = '' } = options;
  return own === undefined ? [`${option}File`, fileSource(file)] : [option, own];
}

/** A client's certificate (RFC 8705), which rotates like a secret: it is read whenever the authorization server is asked. */
export class ClientCertificate {
  readonly #parts: ProtocolParts;
  #inUse = '';
  #fingerprint: string | undefined;

  constructor(parts: ProtocolParts) {
    this.#parts = parts;
  }

  /**
   * Reads certificate, key and authorities as they are now, and puts them to use if they fit: they may be being
   * replaced just now. Tokens that are bound to another fingerprint (RFC 8705 §3.1) are not used with them.
   */
  async read(): Promise<string | undefined> {
    const { client, options, useCertificate } = this.#parts;
    const material: SecureContextOptions = {};
    for (const member of ['cert', 'key', 'ca', 'passphrase'] as const) {
      const source = options.tls?.[member];
      if (source !== undefined) material[member] = await readText(client, `tls.${member}`, source);
    }
    const read = JSON.stringify(material);
    if (read === this.#inUse) return this.#fingerprint;
    const before = this.#fingerprint;
    try {
      this.#fingerprint = certificateFingerprint(material);
    } catch {
      const message = `The tls.cert and tls.key of OAuth client "${client}" are not a certificate and its own private key: check both, and the passphrase.`;
      throw new OAuthClientError('credentials_unavailable', message, { client, retryable: true });
    }
    this.#inUse = read;
    useCertificate(material, before !== undefined && before !== this.#fingerprint);
    return this.#fingerprint;
  }
}

/** Reads a secret, assertion or certificate from where it is kept. */
export function readText(client: string, option: string, source: Source<Material>): Promise<string> {
  return readCredential(client, option, source, (text) => {
    if (typeof text !== 'string' || text === '') throw new Error('There is no text.');
    return text;
  });
}

/** @throws {OAuthClientError} `credentials_unavailable`, which shows no more of the cause than a system error's code */
export async function readCredential<T>(
  client: string,
  option: string,
  source: Source<Material>,
  parse: (material: Material) => T,
): Promise<T> {
  const done = new AbortController();
  try {
    const value = typeof source === 'function' ? source() : source;
    const late = setTimeout(READ_TIMEOUT_MS, '', { ref: false, signal: done.signal });
    return parse(await Promise.race([value, late]));
  } catch (error) {
    const { code } = (error ?? {}) as NodeJS.ErrnoException;
    const why = typeof code === 'string' && /^E[A-Z]+$/.test(code) ? ` (${code})` : '';
    const message = `The ${option} of OAuth client "${client}" could not be read${why}: check that the function, file or key behind it works.`;
    throw new OAuthClientError('credentials_unavailable', message, { client, retryable: true });
  } finally {
    done.abort();
  }
}
