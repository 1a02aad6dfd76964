import type { Clock } from './clock.js';
import type { HeldToken } from './token-phase.js';
import type { StoredToken } from './token-store.js';

/** What is not to be used any more although it has not expired: what an API rejected, and what was given up. */
export class RefusedTokens {
  readonly #clock: Clock;
  #rejected: HeldToken | undefined;
  /** What was requested up to then is given up: by the wall clock, and by the monotonic one. */
  #givenUpAt = Number.NEGATIVE_INFINITY;
  #givenUpMonotonic = Number.NEGATIVE_INFINITY;
  #onItsWay = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  reject(held: HeldToken): void {
    this.#rejected = held;
  }

  /** @param onItsWay whether another one is on its way, which the store will hold some time from now */
  giveUp(onItsWay: boolean): void {
    this.#givenUpAt = this.#clock.now();
    this.#givenUpMonotonic = this.#clock.monotonic();
    this.#onItsWay ||= onItsWay;
  }

  /** A token is there that was asked for since. */
  renewed(): void {
    this.#onItsWay = false;
  }

  /** Whether a token of this process's own, requested at that time of the monotonic clock, was given up. */
  gaveUp(startedMonotonic: number | undefined): boolean {
    return startedMonotonic === undefined || startedMonotonic <= this.#givenUpMonotonic;
  }

  /** Whether a token from the store may be used. */
  allow({ value, issuedAt }: StoredToken): boolean {
    if (this.#onItsWay || issuedAt <= this.#givenUpAt) return false;
    const rejected = this.#rejected;
    // A store that was away may still hold what was rejected before that one.
    return rejected === undefined || (value !== rejected.token.value && issuedAt >= rejected.acquiredAt);
  }
}
