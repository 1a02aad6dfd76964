import { hash, randomUUID } from 'node:crypto';
import { SignJWT, calculateJwkThumbprint, decodeJwt, exportJWK, generateKeyPair } from 'jose';
import type { AccessToken } from '../core/access-token.js';
import { LruMap } from '../core/memory-token-store.js';
import type { DpopOptions, PrivateJwk } from '../options/client-options.js';
import { parseSigningKey, type SigningKey } from '../options/keys.js';
import { readOption } from './credentials.js';
import type { ProtocolParts } from './protocol.js';

/** The key that a client's tokens are bound to (RFC 9449), the proofs made with it, and the servers' nonces. */
export class DpopKey {
  readonly #parts: ProtocolParts;
  readonly #nonces = new LruMap<string>(100);
  #key: Promise<SigningKey> | undefined;

  constructor(parts: ProtocolParts) {
    this.#parts = parts;
  }

  /** RFC 7638 thumbprint: names the key in cache keys. */
  async thumbprint(): Promise<string> {
    return calculateJwkThumbprint((await this.#read()).publicJwk);
  }

  /** The newest nonce of an origin, as an API or as an authorization server: one may be both. */
  nonce(origin: string, ofApi = false): string | undefined {
    return this.#nonces.get(`${origin} ${ofApi}`);
  }

  /** A fresh proof for one request (RFC 9449 §4.2): to an API with its `token` (§7), to the token endpoint without (§5). */
  async proof(method: string, url: URL, token?: AccessToken): Promise<string> {
    const { key, publicJwk, algorithm } = await this.#read();
    const nonce = this.nonce(url.origin, token !== undefined);
    const jwt = new SignJWT({
      jti: randomUUID(),
      htm: method.toUpperCase(),
      htu: `${url.origin}${url.pathname}`,
      iat: Math.floor(this.#parts.clock.now() / 1000),
      ...(token && { ath: hash('sha256', token.value, 'base64url') }),
      ...(nonce !== undefined && { nonce }),
    });
    return jwt.setProtectedHeader({ alg: algorithm, typ: 'dpop+jwt', jwk: publicJwk }).sign(key);
  }

  /** Keeps an answer's nonce (RFC 9449 §8.2, §9). True when `proof` has another: the request is worth another try. */
  rememberNonce(origin: string, nonce: string | null | undefined, proof: string): boolean {
    if (!nonce) return false;
    const used = decodeJwt(proof);
    this.#nonces.set(`${origin} ${used['ath'] !== undefined}`, nonce);
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
    const { dpop } = this.#parts.options;
    const { privateKey: given, algorithm }: DpopOptions = typeof dpop === 'object' ? dpop : {};
    const parse = (key: string | PrivateJwk) => parseSigningKey(key, algorithm);
    if (given !== undefined) return readOption(this.#parts, 'dpop.privateKey', parse);
    const { privateKey } = await generateKeyPair(algorithm ?? 'ES256', { extractable: true });
    return parse({ ...(await exportJWK(privateKey)) });
  }
}
