import { holdMs } from './backoff.js';
import type { Clock } from './clock.js';

/** What an API's 401 means: the token may not be known yet; there is a newer one; too soon for another; it is gone. */
export type Rejection = 'lagging' | 'superseded' | 'limited' | 'replaceable';

/** A token younger than this, and not yet accepted, may be unknown to an API that accepted the one before. */
export const LAG_MS = 5_000;

const BURST = 10;
const REFILL_MS = 10_000;

/**
 * How often one key's token may be replaced because an API rejects it. New tokens that are rejected one after the
 * other are replaced at growing distances; tokens that work elsewhere, ten times at once and then every 10 s.
 */
export class RejectionLimit {
  readonly #clock: Clock;
  #inARow = 0;
  #until = Number.NEGATIVE_INFINITY;
  #burst = BURST;
  #countedAt: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#countedAt = clock.monotonic();
  }

  /** Whether a rejected token may be replaced now; counts it if so. `accepted`: an API took that token before. */
  allow(accepted: boolean): boolean {
    const now = this.#clock.monotonic();
    this.#burst = Math.min(BURST, this.#burst + (now - this.#countedAt) / REFILL_MS);
    this.#countedAt = now;
    if (this.#burst < 1 || (!accepted && now < this.#until)) return false;
    this.#burst--;
    this.#inARow = accepted ? 1 : this.#inARow + 1;
    this.#until = now + holdMs(this.#inARow, this.#clock.random());
    return true;
  }

  /** Whether this is about the third within seconds. */
  get repeated(): boolean {
    return this.#burst < BURST - 2;
  }

  /** The replacement came from another instance, so that it cost no token request. */
  refund(): void {
    this.#burst++;
  }
}
