import { createHash, createPublicKey, randomUUID, type KeyObject } from 'node:crypto';
import {
  SignJWT,
  calculateJwkThumbprint,
  decodeJwt,
  exportJWK,
  generateKeyPair,
  type CryptoKey,
  type JWK,
} from 'jose';
import type { AccessToken } from '../core/access-token.js';
import type { Clock } from '../core/clock.js';
import { LruMap } from '../core/memory-token-store.js';
import type { DpopOptions } from '../options/client-options.js';
import { parseSigningKey } from '../options/keys.js';
import { valueOf } from '../options/source.js';

interface ProofKey {
  key: CryptoKey | KeyObject;
  publicJwk: JWK;
  algorithm: string;
}

/** The key that a client's tokens are bound to (RFC 9449), the proofs made with it, and the servers' nonces. */
export class DpopKey {
  readonly #options: DpopOptions;
  readonly #clock: Clock;
  readonly #nonces = new LruMap<string>(100);
  #key: Promise<ProofKey> | undefined;

  constructor(options: DpopOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  /** RFC 7638 thumbprint: names the key in cache keys. */
  async thumbprint(): Promise<string> {
    return calculateJwkThumbprint((await this.#read()).publicJwk);
  }

  /** A fresh proof for one request (RFC 9449 §4.2): to an API with its `token` (§7), to the token endpoint without (§5). */
  async proof(method: string, url: URL, token?: AccessToken): Promise<string> {
    const { key, publicJwk, algorithm } = await this.#read();
    const nonce = this.#nonces.get(nonceKey(url.origin, token !== undefined));
    return new SignJWT({
      jti: randomUUID(),
      htm: method.toUpperCase(),
      htu: `${url.origin}${url.pathname}`,
      iat: Math.floor(this.#clock.now() / 1000),
      ...(token && { ath: createHash('sha256').update(token.value).digest('base64url') }),
      ...(nonce !== undefined && { nonce }),
    })
      .setProtectedHeader({ alg: algorithm, typ: 'dpop+jwt', jwk: publicJwk })
      .sign(key);
  }

  /**
   * Keeps the nonce that an answer carries (RFC 9449 §8.2, §9).
   *
   * @param proof the request's, to tell whether it should have had that nonce
   * @returns true when the request is worth another try
   */
  rememberNonce(origin: string, nonce: string | undefined, proof?: string): boolean {
    if (!nonce) return false;
    const made: { nonce?: unknown; ath?: unknown } = proof === undefined ? { ath: '' } : decodeJwt(proof);
    const key = nonceKey(origin, made.ath !== undefined);
    const used = proof === undefined ? this.#nonces.get(key) : made.nonce;
    this.#nonces.set(key, nonce);
    return nonce !== used;
  }

  /** Read once: tokens are bound to it. A failure is not kept. */
  #read(): Promise<ProofKey> {
    return (this.#key ??= this.#make().catch((error: unknown) => {
      this.#key = undefined;
      throw error;
    }));
  }

  async #make(): Promise<ProofKey> {
    const { privateKey: given, algorithm = 'ES256' } = this.#options;
    if (given !== undefined) {
      const key = parseSigningKey(await valueOf(given), this.#options.algorithm);
      const publicJwk = createPublicKey(key.key).export({ format: 'jwk' }) as JWK;
      return { key: key.key, publicJwk, algorithm: key.algorithm };
    }
    const { privateKey, publicKey } = await generateKeyPair(algorithm);
    return { key: privateKey, publicJwk: await exportJWK(publicKey), algorithm };
  }
}

/** One server may be both, with nonces of two kinds. */
function nonceKey(origin: string, ofApi: boolean): string {
  return `${ofApi ? 'api' : 'token'} ${origin}`;
}
