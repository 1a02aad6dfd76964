import { holdMs } from './backoff.js';
import type { Clock } from './clock.js';

/** What an API's 401 means: the token may be unknown yet; a newer one exists; it is too soon for another; it was dropped. */
export type Rejection = 'lagging' | 'superseded' | 'limited' | 'replaceable';

/** A token younger than this, and not yet accepted, may be unknown to an API that accepted the one before. */
export const LAG_MS = 5_000;

const BURST = 10;
const REFILL_MS = 10_000;

/**
 * Limits how often one key's token is replaced because an API rejects it. New tokens that are rejected one after the
 * other are replaced less and less often. Tokens that an API had accepted are replaced ten times at once, then every 10 s.
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

  /** Whether about three tokens were rejected within seconds. */
  get repeated(): boolean {
    return this.#burst < BURST - 2;
  }

  /** Does not count a replacement that another instance had requested. */
  refund(): void {
    this.#burst++;
  }
}
