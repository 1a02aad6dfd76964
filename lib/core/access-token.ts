import { inspect } from 'node:util';
import type { AccessTokenType, StoredToken } from './token-store.js';

/**
 * An access token. Immutable; `toString()`, `toJSON()` and `util.inspect()` never show its value, so it may be
 * logged by accident without harm.
 */
export class AccessToken {
  /** `Bearer` or `DPoP`, in exactly this case, whatever case the server used (RFC 6749 §5.1). */
  readonly tokenType: AccessTokenType;
  /** The granted scope, or `undefined` when the server named none and none was asked for. */
  readonly scope: string | undefined;
  readonly #value: string;
  readonly #authorization: string;
  readonly #expiresAt: number;

  constructor(token: Pick<StoredToken, 'value' | 'tokenType' | 'scope' | 'expiresAt'>) {
    this.tokenType = token.tokenType;
    this.scope = token.scope;
    this.#value = token.value;
    this.#authorization = `${token.tokenType} ${token.value}`;
    this.#expiresAt = token.expiresAt;
    Object.freeze(this);
  }

  /** The token itself: opaque to the client (RFC 9068 §6). */
  get value(): string {
    return this.#value;
  }

  /** The `Authorization` header's value (RFC 6750 §2.1, RFC 9449 §7.1). */
  get authorization(): string {
    return this.#authorization;
  }

  /** When the token expires, counted from the start of the token request. */
  get expiresAt(): Date {
    return new Date(this.#expiresAt);
  }

  toString(): string {
    return `AccessToken(${this.tokenType}, expires ${this.expiresAt.toISOString()})`;
  }

  toJSON(): { tokenType: AccessTokenType; scope: string | undefined; expiresAt: string } {
    return { tokenType: this.tokenType, scope: this.scope, expiresAt: this.expiresAt.toISOString() };
  }

  /** @hidden */
  [inspect.custom](): string {
    return this.toString();
  }
}
