import {
  X509Certificate,
  createPrivateKey,
  createPublicKey,
  type JsonWebKey,
  type KeyObject,
} from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import type { PrivateJwk, SigningAlgorithm } from './client-options.js';

/** A private key ready to sign with. */
export interface SigningKey {
  key: KeyObject;
  algorithm: SigningAlgorithm;
  keyId: string | undefined;
  publicJwk: JsonWebKey;
}

/** The key's type or curve that each algorithm signs with; of those that share one, the first is a key's default. */
const KEY_OF: Readonly<Record<SigningAlgorithm, string>> = {
  RS256: 'rsa', RS384: 'rsa', RS512: 'rsa', PS256: 'rsa', PS384: 'rsa', PS512: 'rsa',
  ES256: 'prime256v1', ES384: 'secp384r1', ES512: 'secp521r1', EdDSA: 'ed25519',
}; // prettier-ignore
const RSA_MIN_BITS = 2048;

/**
 * Reads a PEM or JWK private key; the algorithm follows from the key unless given.
 *
 * @throws {Error} when it is none, does not fit the algorithm, or is too short to be safe (RFC 7518 §3.3)
 */
export function parseSigningKey(material: string | PrivateJwk, algorithm?: SigningAlgorithm): SigningKey {
  const jwk = typeof material === 'object' ? material : parseJwk(material);
  const key = createPrivateKey(jwk ? { key: jwk, format: 'jwk' } : (material as string));
  const { namedCurve, modulusLength = RSA_MIN_BITS } = key.asymmetricKeyDetails ?? {};
  const type = namedCurve ?? key.asymmetricKeyType;
  const fitting = Object.entries(KEY_OF).filter(([, wanted]) => wanted === type);
  // RFC 9864 calls EdDSA Ed25519 in a JWK, a name that few servers know.
  const named = algorithm ?? (type === 'ed25519' ? undefined : jwk?.alg) ?? fitting[0]?.[0];
  const fit = fitting.find(([name]) => name === named);
  if (fit === undefined || modulusLength < RSA_MIN_BITS) throw new Error('The key is unfit to sign.');
  const publicJwk = createPublicKey(key).export({ format: 'jwk' });
  return { key, algorithm: fit[0] as SigningAlgorithm, keyId: jwk?.kid, publicJwk };
}

/**
 * The certificate's SHA-256 fingerprint, if there is one.
 *
 * @throws {Error} unless the material holds a certificate and its own private key
 */
export function certificateFingerprint(material: SecureContextOptions): string | undefined {
  const { cert, key = '', passphrase } = material as Record<string, string | undefined>;
  if (cert === undefined) return undefined;
  const certificate = new X509Certificate(cert);
  const privateKey = createPrivateKey({ key, ...(passphrase !== undefined && { passphrase }) });
  if (!certificate.checkPrivateKey(privateKey)) throw new Error('The key is not that of the certificate.');
  return certificate.fingerprint256;
}

function parseJwk(material: string): PrivateJwk | undefined {
  return material.trimStart().startsWith('{') ? (JSON.parse(material) as PrivateJwk) : undefined;
}
