import { randomUUID, type KeyObject } from 'node:crypto';
import { SignJWT } from 'jose';
import { readClientKey, readSecret } from './credentials.js';
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
