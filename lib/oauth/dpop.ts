import { hash, randomUUID } from 'node:crypto';
import { SignJWT, calculateJwkThumbprint, decodeJwt, exportJWK, generateKeyPair } from 'jose';
import type { AccessToken } from '../core/access-token.js';
import type { Clock } from '../core/clock.js';
import { LruMap } from '../core/memory-token-store.js';
import type { DpopOptions } from '../options/client-options.js';
import { parseSigningKey, type SigningKey } from '../options/keys.js';
import { readKey } from './credentials.js';

/** The key that a client's tokens are bound to (RFC 9449), the proofs made with it, and the servers' nonces. */
export class DpopKey {
  readonly #client: string;
  readonly #options: DpopOptions;
  readonly #clock: Clock;
  readonly #nonces = new LruMap<string>(100);
  #key: Promise<SigningKey> | undefined;

  constructor(client: string, options: DpopOptions, clock: Clock) {
    this.#client = client;
    this.#options = options;
    this.#clock = clock;
  }

  /** RFC 7638 thumbprint: names the key in cache keys. */
  async thumbprint(): Promise<string> {
    return calculateJwkThumbprint((await this.#read()).publicJwk);
  }

  /** The newest nonce of an origin, as an API or as an authorization server: one may be both. */
  nonce(origin: string, ofApi = false): string | undefined {
    return this.#nonces.get(nonceKey(origin, ofApi));
  }

  /** A fresh proof for one request (RFC 9449 §4.2): to an API with its `token` (§7), to the token endpoint without (§5). */
  async proof(method: string, url: URL, token?: AccessToken): Promise<string> {
    const { key, publicJwk, algorithm } = await this.#read();
    const nonce = this.nonce(url.origin, token !== undefined);
    return new SignJWT({
      jti: randomUUID(),
      htm: method.toUpperCase(),
      htu: `${url.origin}${url.pathname}`,
      iat: Math.floor(this.#clock.now() / 1000),
      ...(token && { ath: hash('sha256', token.value, 'base64url') }),
      ...(nonce !== undefined && { nonce }),
    })
      .setProtectedHeader({ alg: algorithm, typ: 'dpop+jwt', jwk: publicJwk })
      .sign(key);
  }

  /**
   * Keeps the nonce that an answer carries (RFC 9449 §8.2, §9).
   *
   * @returns true when the request's `proof` was made with another, so that the request is worth another try
   */
  rememberNonce(origin: string, nonce: string | undefined, proof: string): boolean {
    if (!nonce) return false;
    const used = decodeJwt(proof);
    this.#nonces.set(nonceKey(origin, used['ath'] !== undefined), nonce);
    return nonce !== used['nonce'];
  }

  /** Read once: tokens are bound to it. A failure is not kept. */
  #read(): Promise<SigningKey> {
    return (this.#key ??= this.#make().catch((error: unknown) => {
      this.#key = undefined;
      throw error;
    }));
  }

  async #make(): Promise<SigningKey> {
    const { privateKey: given, algorithm } = this.#options;
    if (given !== undefined) return readKey(this.#client, 'dpop.privateKey', given, algorithm);
    const { privateKey } = await generateKeyPair(algorithm ?? 'ES256', { extractable: true });
    return parseSigningKey({ ...(await exportJWK(privateKey)) }, algorithm);
  }
}

function nonceKey(origin: string, ofApi: boolean): string {
  return `${ofApi ? 'api' : 'token'} ${origin}`;
}
