import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { SignJWT } from 'jose';
import { OAuthClientError } from '../core/errors.js';
import { HMAC_ALGORITHMS, type AssertionOptions, type PrivateJwk } from '../options/client-options.js';
import { certificateFingerprint, certificateThumbprints, parseSigningKey } from '../options/keys.js';
import { readPem } from '../options/kinds.js';
import { fileSource, type Source } from '../options/source.js';
import type { Presented, ProtocolParts, RequestParts } from './protocol.js';

type Material = string | PrivateJwk;
type Parse<T> = (material: Material) => T;
type Named = Pick<ProtocolParts, 'client' | 'label'>;

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const ASSERTION_LIFETIME_MS = 60_000;
/** How long a function or file behind a credential may take: not every wait for one has a deadline of its own. */
const READ_TIMEOUT_MS = 4_000;

/** Reads the credentials as they are now; exactly one method per request (RFC 6749 §2.3). */
export async function clientAuthentication(parts: RequestParts): Promise<Presented> {
  const { clientId, tokenEndpointAuthMethod: method, basicEncoding, assertion } = parts.options;
  const fields = { client_id: clientId };
  if (method === 'none') return { fields };
  if (method.endsWith('tls_client_auth')) return { fields, credential: parts.certificate };
  if (method.endsWith('_jwt')) {
    const { jwt, credential } = await clientAssertion(parts);
    const client_assertion_type = assertion?.clientAssertionType ?? ASSERTION_TYPE;
    return { fields: { ...fields, client_assertion: jwt, client_assertion_type }, credential };
  }
  const credential = await readOption(parts, 'clientSecret', textOf);
  if (method === 'client_secret_post')
    return { fields: { ...fields, client_secret: credential }, credential };
  const encode = basicEncoding === 'raw' ? String : formEncode;
  const basic = Buffer.from(`${encode(clientId)}:${encode(credential)}`).toString('base64');
  return { fields: {}, header: { authorization: `Basic ${basic}` }, credential };
}

async function clientAssertion(parts: RequestParts) {
  const { clientId, assertion, tokenEndpointAuthMethod: method } = parts.options;
  if ((assertion?.token ?? assertion?.tokenFile) !== undefined) {
    const jwt = await readOption(parts, 'assertion.token', textOf);
    return { jwt, credential: jwt };
  }
  const claims = { ...assertion?.claims, iss: clientId, sub: clientId };
  return signJwt(parts, method === 'client_secret_jwt', { ...assertion, claims });
}

/**
 * Signs a JWT for the authorization server: `aud` is one plain string, `jti` is new each time (RFC 7523 §3).
 *
 * @returns the JWT, with the secret or the key's public part, to notice when the key is replaced
 */
export async function signJwt(parts: RequestParts, bySecret: boolean, content: AssertionOptions) {
  const { issuer, tokenEndpoint } = parts.server;
  const { audience = parts.options.issuer ? 'issuer' : 'token_endpoint', claims } = content;
  const { typ = 'client-authentication+jwt', lifetimeMs = ASSERTION_LIFETIME_MS } = content;
  const { key, header, credential } = await signerOf(parts, bySecret, content);
  const named = new Map(Object.entries({ issuer, token_endpoint: tokenEndpoint }));
  const iat = Math.floor(parts.clock.now() / 1000);
  const times = { iat, nbf: iat, exp: iat + Math.ceil(lifetimeMs / 1000) };
  const jwt = new SignJWT({ ...claims, aud: named.get(audience) ?? audience, jti: randomUUID(), ...times });
  return { jwt: await jwt.setProtectedHeader({ ...content.header, typ, ...header }).sign(key), credential };
}

/** The signing key, and the header members that describe it. */
async function signerOf(parts: ProtocolParts, bySecret: boolean, content: AssertionOptions) {
  const { signingAlgorithm, keyId } = parts.options;
  const kid = keyId !== undefined && { kid: keyId };
  if (bySecret) {
    const secret = await readOption(parts, 'clientSecret', textOf);
    const alg = HMAC_ALGORITHMS.find((name) => name === signingAlgorithm) ?? 'HS256';
    return { key: Buffer.from(secret), header: { alg, ...kid }, credential: secret };
  }
  const parse = (material: Material) => parseSigningKey(material, signingAlgorithm);
  const { key, algorithm: alg, keyId: own, publicJwk } = await readOption(parts, 'privateKey', parse);
  const isCertified = (content.certificate ?? content.certificateFile) !== undefined;
  const thumbprints = (pem: Material) => certificateThumbprints(pem, key);
  const x5t = isCertified && (await readOption(parts, 'assertion.certificate', thumbprints));
  const header = { alg, ...(own !== undefined && { kid: own }), ...kid, ...x5t };
  return { key, header, credential: JSON.stringify(publicJwk) };
}

/** Whether the two encodings differ for the Basic credentials in this header, so that one of them is wrong. */
export function isEncodingSensitive(authorization = ''): boolean {
  const [, encoded] = /^Basic (.+)$/.exec(authorization) ?? [];
  return encoded !== undefined && /[^\w.~:-]/.test(Buffer.from(encoded, 'base64').toString());
}

/** RFC 6749 §2.3.1 with `-._~` kept, since most servers read Basic credentials raw; `URLSearchParams` would encode `~` and keep `*`. */
function formEncode(value: string): string {
  return encodeURIComponent(value)
    .replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replace(/%20/g, '+');
}

/**
 * A client's certificate (RFC 8705), which rotates like a secret: it is to be read whenever the authorization server is asked.
 *
 * @returns a function that reads certificate, key and authorities as they are now, puts them to use if they fit, since they
 * may be being replaced just now, and returns the fingerprint that tokens are bound to (§3.1)
 */
export function certificateReader({ client, options, label, useCertificate }: ProtocolParts) {
  let inUse = '';
  let fingerprint: string | undefined;
  return async (): Promise<string | undefined> => {
    if (options.tls === undefined) return undefined;
    const texts = Object.entries(await readTexts({ client, label }, 'tls', { ...options.tls }));
    const material = Object.fromEntries(texts.map(([name, text]) => [name, readPem(text)]));
    const read = JSON.stringify(material);
    if (read === inUse) return fingerprint;
    const before = fingerprint;
    try {
      fingerprint = certificateFingerprint(material);
    } catch {
      const message = `The tls.cert and tls.key of OAuth client "${client}" are not a certificate and its own private key: check both, and the passphrase.`;
      throw new OAuthClientError('credentials_unavailable', message, { client, retryable: true });
    }
    inUse = read;
    useCertificate(material, before !== undefined && before !== fingerprint);
    return fingerprint;
  };
}

/** Takes a secret, assertion or certificate as a text that is not empty. */
export function textOf(material: Material, isFit = (text: string): boolean => text !== ''): string {
  if (typeof material === 'string' && isFit(material)) return material;
  throw new Error('There is no such text.');
}

/** Reads the members of an option, such as `tokenRequestHeaders`, all at once; absent ones are left out. */
export async function readTexts(
  named: Named,
  option: string,
  sources: Readonly<Record<string, Source<string> | undefined>> = {},
  isFit?: (text: string) => boolean,
): Promise<Record<string, string>> {
  const texts = Object.entries(sources).flatMap(([name, source]) => {
    const parse = (text: Material) => [name, textOf(text, isFit)] as const;
    return source === undefined ? [] : readSource(named, `${option}.${name}`, source, parse);
  });
  return Object.fromEntries(await Promise.all(texts));
}

/** Reads an option, such as `assertion.token`, from its value or function, or from the file that takes its place. */
export async function readOption<T>({ options, ...named }: ProtocolParts, path: string, parse: Parse<T>) {
  const [name = '', group] = path.split('.').reverse();
  const all = (group ? Reflect.get(options, group) : options) as Record<string, Source<Material> | undefined>;
  const { [name]: own } = all;
  const source = own ?? fileSource(all[`${name}File`] as string);
  return readSource(named, own === undefined ? `${path}File` : path, source, parse);
}

/** @throws {OAuthClientError} `credentials_unavailable`, which shows no more of the cause than a system error's code */
async function readSource<T>(named: Named, option: string, source: Source<Material>, parse: Parse<T>) {
  const done = new AbortController();
  try {
    const value = typeof source === 'function' ? source() : source;
    const late = setTimeout(READ_TIMEOUT_MS, '', { ref: false, signal: done.signal });
    return parse(await Promise.race([value, late]));
  } catch (error) {
    const { code } = (error ?? {}) as NodeJS.ErrnoException;
    const why = typeof code === 'string' && /^E[A-Z]+$/.test(code) ? ` (${code})` : '';
    const message = `The ${named.label(option)} of OAuth client "${named.client}" could not be read${why}: check that the function, file or key behind it works.`;
    throw new OAuthClientError('credentials_unavailable', message, { client: named.client, retryable: true });
  } finally {
    done.abort();
  }
}
