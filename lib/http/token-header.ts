import type { AccessToken } from '../core/access-token.js';

/** The header that carries a client's token. */
export class TokenHeader {
  readonly name: string;
  /** The same, unless it is `Authorization`. */
  readonly ownName: string | undefined;
  readonly #scheme: string | undefined;

  /** @param scheme what precedes the token; by default its type in `Authorization`, and nothing elsewhere */
  constructor({ name = 'Authorization', scheme }: { name?: string; scheme?: string } = {}) {
    this.name = name;
    this.ownName = /^authorization$/i.test(name) ? undefined : name;
    this.#scheme = scheme ?? (this.ownName === undefined ? undefined : '');
  }

  valueFor(token: AccessToken): string {
    if (this.#scheme === undefined) return token.authorization;
    return this.#scheme === '' ? token.value : `${this.#scheme} ${token.value}`;
  }
}

/** Whether a header of that name holds a token or a proof. `ownName`: a client's header for tokens, if it has its own. */
export function isCredential(name: string, ownName: string | undefined): boolean {
  return /^(authorization|dpop)$/i.test(name) || name.toLowerCase() === ownName?.toLowerCase();
}
