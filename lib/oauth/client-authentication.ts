import {
  ClientSecretJwt,
  ClientSecretPost,
  None,
  PrivateKeyJwt,
  TlsClientAuth,
  modifyAssertion,
  type ClientAuth,
  type ModifyAssertionFunction,
} from 'openid-client';
import { readSecret, readSigningKey } from './credentials.js';
import type { ResolvedClientOptions } from '../options/client-options.js';

/** How one token request authenticates the client. */
export interface ClientAuthentication {
  authenticate: ClientAuth;
  /** What it authenticates with, to tell whether that has changed since: the secret, or the key's or certificate's public part. */
  credential?: string | undefined;
}

/** Reads the credentials as they are now; exactly one method per request (RFC 6749 §2.3). */
export async function clientAuthentication(
  client: string,
  options: ResolvedClientOptions,
  assertionAudience: string,
  certificate: () => Promise<string | undefined>,
): Promise<ClientAuthentication> {
  switch (options.tokenEndpointAuthMethod) {
    case 'client_secret_basic': {
      const credential = await readSecret(client, options);
      return { authenticate: basic(credential, options.basicEncoding), credential };
    }
    case 'client_secret_post': {
      const credential = await readSecret(client, options);
      return { authenticate: ClientSecretPost(credential), credential };
    }
    case 'client_secret_jwt': {
      const credential = await readSecret(client, options);
      return { authenticate: ClientSecretJwt(credential, assertion('HS256', assertionAudience)), credential };
    }
    case 'private_key_jwt': {
      const { key, algorithm, keyId, publicJwk } = await readSigningKey(client, options);
      const signer = keyId === undefined ? key : { key, kid: keyId };
      const authenticate = PrivateKeyJwt(signer, assertion(algorithm, assertionAudience));
      return { authenticate, credential: JSON.stringify(publicJwk) };
    }
    case 'tls_client_auth':
    case 'self_signed_tls_client_auth':
      return { authenticate: TlsClientAuth(), credential: await certificate() };
    case 'none':
      return { authenticate: None() };
  }
}

/** RFC 7523 §3 and its successor: `aud` is one plain string, and the header says what the JWT is for. */
function assertion(alg: string, aud: string): { [modifyAssertion]: ModifyAssertionFunction } {
  return {
    [modifyAssertion](header, payload) {
      Object.assign(header, { alg, typ: 'client-authentication+jwt' });
      payload['aud'] = aud;
    },
  };
}

/**
 * RFC 6749 §2.3.1, but with the characters left alone that URLs never need to escape: most servers read Basic
 * credentials raw, and for such ids and secrets both readings then agree.
 */
function basic(secret: string, encoding: 'form' | 'raw'): ClientAuth {
  const encode = encoding === 'raw' ? (value: string) => value : formEncode;
  return (_server, { client_id: id }, _body, headers) => {
    headers.set(
      'authorization',
      `Basic ${Buffer.from(`${encode(id)}:${encode(secret)}`).toString('base64')}`,
    );
  };
}

/** `application/x-www-form-urlencoded` with `-._~` kept; `URLSearchParams` would encode `~` and keep `*`. */
export function formEncode(value: string): string {
  return encodeURIComponent(value)
    .replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replace(/%20/g, '+');
}
