import { createPublicKey, randomUUID, type KeyObject } from 'node:crypto';
import { SignJWT } from 'jose';
import type { ResolvedClientOptions } from '../options/resolved-options.js';
import { readClientKey, readSecret } from './credentials.js';

/** What one token request authenticates the client with. */
export interface ClientAuthentication {
  /** Goes into the body. */
  fields: Record<string, string>;
  /** The `Authorization` header. */
  authorization?: string;
  /** To tell whether it has changed since: the secret, or the key's or certificate's public part. */
  credential?: string | undefined;
}

interface AssertionHeader {
  alg: string;
  kid?: string;
}

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const ASSERTION_LIFETIME_S = 60;

/**
 * Reads the credentials as they are now; exactly one method per request (RFC 6749 §2.3).
 *
 * @param audience of an assertion
 * @param now wall clock, for an assertion's lifetime
 * @param certificate names the client certificate in use, if any
 */
export async function clientAuthentication(
  client: string,
  options: ResolvedClientOptions,
  { audience, now, certificate }: { audience: string; now: number; certificate: string | undefined },
): Promise<ClientAuthentication> {
  const { clientId, tokenEndpointAuthMethod: method } = options;
  const fields = { client_id: clientId };
  const sign = (header: AssertionHeader, key: KeyObject | Uint8Array) =>
    assertion(header, { iss: clientId, sub: clientId, aud: audience }, now, key);
  switch (method) {
    case 'client_secret_basic': {
      const credential = await readSecret(client, options);
      return { fields: {}, authorization: basic(clientId, credential, options.basicEncoding), credential };
    }
    case 'client_secret_post': {
      const credential = await readSecret(client, options);
      return { fields: { ...fields, client_secret: credential }, credential };
    }
    case 'client_secret_jwt': {
      const credential = await readSecret(client, options);
      const signed = await sign({ alg: 'HS256' }, new TextEncoder().encode(credential));
      return { fields: { ...fields, ...signed }, credential };
    }
    case 'private_key_jwt': {
      const { key, algorithm, keyId } = await readClientKey(client, options);
      const header = { alg: algorithm, ...(keyId !== undefined && { kid: keyId }) };
      const credential = JSON.stringify(createPublicKey(key).export({ format: 'jwk' }));
      return { fields: { ...fields, ...(await sign(header, key)) }, credential };
    }
    case 'tls_client_auth':
    case 'self_signed_tls_client_auth':
      return { fields, credential: certificate };
    case 'none':
      return { fields };
  }
}

/** RFC 7523 §3 and its successor: `aud` is one plain string, and the header says what the JWT is for. */
async function assertion(
  header: AssertionHeader,
  claims: { iss: string; sub: string; aud: string },
  now: number,
  key: KeyObject | Uint8Array,
): Promise<Record<string, string>> {
  const iat = Math.floor(now / 1000);
  const times = { iat, nbf: iat, exp: iat + ASSERTION_LIFETIME_S };
  const jwt = new SignJWT({ ...claims, jti: randomUUID(), ...times });
  jwt.setProtectedHeader({ ...header, typ: 'client-authentication+jwt' });
  return { client_assertion: await jwt.sign(key), client_assertion_type: ASSERTION_TYPE };
}

/**
 * RFC 6749 §2.3.1, but with the characters left alone that URLs never need to escape: most servers read Basic
 * credentials raw, and for such ids and secrets both readings then agree.
 */
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
