import { X509Certificate, createPrivateKey, createPublicKey, hash, type KeyObject } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import { KEY_OF, type PrivateJwk, type SigningAlgorithm } from './client-options.js';
import { readPem } from './kinds.js';

/** A private key, or a certificate: PEM or JWK. */
export type Material = string | PrivateJwk;

/** A private key ready to sign with. */
export type SigningKey = ReturnType<typeof parseSigningKey>;

const RSA_MIN_BITS = 2048;

/** Reads a PEM or JWK private key. Its algorithm follows from the key unless one is given. Throws if the key cannot sign (RFC 7518 §3.3). */
export function parseSigningKey(material: Material, algorithm?: string) {
  const isJson = typeof material === 'string' && material.trimStart().startsWith('{');
  const given = isJson ? (JSON.parse(material) as PrivateJwk) : material;
  const jwk = typeof given === 'object' ? given : undefined;
  const key = createPrivateKey(typeof given === 'object' ? { key: given, format: 'jwk' } : readPem(given));
  const { namedCurve, modulusLength = RSA_MIN_BITS } = key.asymmetricKeyDetails ?? {};
  const type = namedCurve ?? key.asymmetricKeyType;
  const fitting = (Object.keys(KEY_OF) as SigningAlgorithm[]).filter((name) => KEY_OF[name] === type);
  // RFC 9864 calls EdDSA Ed25519 in a JWK, a name that few servers know.
  const named = algorithm?.startsWith('HS') ? undefined : algorithm;
  const wanted = named ?? (type === 'ed25519' ? undefined : jwk?.alg) ?? fitting[0];
  const fit = fitting.find((name) => name === wanted);
  if (fit === undefined || modulusLength < RSA_MIN_BITS) throw new Error('The key is unfit to sign.');
  return { key, algorithm: fit, keyId: jwk?.kid, publicJwk: createPublicKey(key).export({ format: 'jwk' }) };
}

/** The certificate's SHA-256 fingerprint, if there is one. Throws unless the private key is its own. */
export function certificateFingerprint(material: SecureContextOptions): string | undefined {
  const { cert, key = '', passphrase } = material as Record<string, string | undefined>;
  if (cert === undefined) return undefined;
  const privateKey = createPrivateKey({ key: readPem(key), ...(passphrase !== undefined && { passphrase }) });
  return certificateOf(cert, privateKey).fingerprint256;
}

/** The header members that name a certificate (RFC 7515 §4.1.7, §4.1.8). Throws unless the private key, if known, is its own. */
export function certificateThumbprints(pem: Material, key?: KeyObject): Record<string, string> {
  const { raw } = certificateOf(pem, key);
  return { x5t: hash('sha1', raw, 'base64url'), 'x5t#S256': hash('sha256', raw, 'base64url') };
}

/** Reads a certificate in PEM. Throws unless the private key, if known, is its own. */
export function certificateOf(pem: Material, key?: KeyObject): X509Certificate {
  const certificate = new X509Certificate(typeof pem === 'string' ? readPem(pem) : '');
  if (key && !certificate.checkPrivateKey(key)) throw new Error('The key is not that of the certificate.');
  return certificate;
}
