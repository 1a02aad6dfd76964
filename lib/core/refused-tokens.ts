import type { Moment } from './clock.js';
import type { HeldToken } from './held-token.js';
import type { StoredToken } from './token-store.js';

const NEVER: Moment = { wall: Number.NEGATIVE_INFINITY, monotonic: Number.NEGATIVE_INFINITY };

/** Tokens that are not to be used any more although they have not expired: what an API rejected, and what was given up. */
export class RefusedTokens {
  #rejected: HeldToken | undefined;
  /** What was requested up to then is given up. */
  #givenUp = NEVER;
  #onItsWay = false;

  reject(held: HeldToken): void {
    this.#rejected = held;
  }

  /** @param onItsWay whether another one is on its way, which the store will hold some time from now */
  giveUp(now: Moment, onItsWay: boolean): void {
    this.#givenUp = now;
    this.#onItsWay ||= onItsWay;
  }

  /** A token is there that was asked for since. */
  renewed(): void {
    this.#onItsWay = false;
  }

  /** Whether a token of this process's own, requested at that time, was given up. */
  gaveUp(started: Moment | undefined): boolean {
    return started === undefined || started.monotonic <= this.#givenUp.monotonic;
  }

  /** Whether a token from the store may be used. */
  allow({ value, issuedAt }: StoredToken): boolean {
    if (this.#onItsWay || issuedAt <= this.#givenUp.wall) return false;
    const rejected = this.#rejected;
    // A store that was away may still hold what was rejected before that one.
    return rejected === undefined || (value !== rejected.token.value && issuedAt >= rejected.acquired.wall);
  }
}
