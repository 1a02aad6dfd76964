import { createHash, randomUUID } from 'node:crypto';
import {
  SignJWT,
  calculateJwkThumbprint,
  generateKeyPair,
  exportJWK,
  importJWK,
  type CryptoKey,
  type JWK,
} from 'jose';
import { getDPoPHandle, modifyAssertion, type Configuration, type DPoPHandle } from 'openid-client';
import type { AccessToken } from '../core/access-token.js';
import type { Clock } from '../core/clock.js';
import { LruMap } from '../core/lru-map.js';
import { importSigningKey } from './credentials.js';
import type { DpopOptions } from './options.js';

interface KeyPair {
  privateKey: CryptoKey;
  publicKey: CryptoKey;
  publicJwk: JWK;
  algorithm: string;
  thumbprint: string;
}

/** The key that a client's tokens are bound to (RFC 9449), the proofs made with it, and the servers' nonces. */
export class DpopKey {
  readonly #options: DpopOptions;
  readonly #clock: Clock;
  readonly #nonces = new LruMap<string>(100);
  #pair: Promise<KeyPair> | undefined;
  #handle: DPoPHandle | undefined;

  constructor(options: DpopOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  /** RFC 7638 thumbprint: names the key in cache keys. */
  async thumbprint(): Promise<string> {
    return (await this.#key()).thumbprint;
  }

  /** For token requests: openid-client makes the proofs and keeps the authorization server's nonces. */
  async handle(config: Configuration): Promise<DPoPHandle> {
    const { privateKey, publicKey, algorithm } = await this.#key();
    return (this.#handle ??= getDPoPHandle(
      config,
      { privateKey, publicKey },
      { [modifyAssertion]: (header) => Object.assign(header, { alg: algorithm }) },
    ));
  }

  /** A fresh proof for one API request (RFC 9449 §4.2, §7.1). */
  async proof(method: string, url: URL, token: AccessToken): Promise<string> {
    const { privateKey, publicJwk, algorithm } = await this.#key();
    const nonce = this.#nonces.get(url.origin);
    return new SignJWT({
      jti: randomUUID(),
      htm: method.toUpperCase(),
      htu: `${url.origin}${url.pathname}`,
      iat: Math.floor(this.#clock.now() / 1000),
      ath: createHash('sha256').update(token.value).digest('base64url'),
      ...(nonce !== undefined && { nonce }),
    })
      .setProtectedHeader({ alg: algorithm, typ: 'dpop+jwt', jwk: publicJwk })
      .sign(privateKey);
  }

  /** Keeps the nonce that an API's answer carries; true when it is a new one (RFC 9449 §8.2, §9). */
  rememberNonce(origin: string, nonce: string | undefined): boolean {
    if (!nonce || this.#nonces.get(origin) === nonce) return false;
    this.#nonces.set(origin, nonce);
    return true;
  }

  #key(): Promise<KeyPair> {
    return (this.#pair ??= this.#options.privateKey === undefined ? this.#generate() : this.#import());
  }

  async #generate(): Promise<KeyPair> {
    const algorithm = this.#options.algorithm ?? 'ES256';
    const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
    return this.#describe(privateKey, await exportJWK(publicKey), algorithm);
  }

  async #import(): Promise<KeyPair> {
    const { key, publicJwk, algorithm } = await importSigningKey(
      this.#options.privateKey!,
      this.#options.algorithm,
    );
    return this.#describe(key, publicJwk, algorithm);
  }

  async #describe(privateKey: CryptoKey, publicJwk: JWK, algorithm: string): Promise<KeyPair> {
    const publicKey = (await importJWK(publicJwk, algorithm, { extractable: true })) as CryptoKey;
    return {
      privateKey,
      publicKey,
      publicJwk,
      algorithm,
      thumbprint: await calculateJwkThumbprint(publicJwk),
    };
  }
}
