import { AccessToken } from './access-token.js';
import type { Clock } from './clock.js';
import type { StoredToken } from './token-store.js';

/** When a refresh starts behind the callers' backs. */
export interface RefreshAheadOptions {
  /** Share of the lifetime before expiry, 0 to 1. Default 0.25. */
  ratio: number;
  /** Upper bound of that window, in milliseconds. Default 300,000. */
  maxMs: number;
}

/**
 * Where a token is in its life.
 * `none`: there is none. `fresh`: used as it is. `refresh_due`: used, and a refresh starts behind.
 * `reserve`: the last moments; used only while the refresh fails. `expired`: never sent again.
 */
export type TokenPhase = 'none' | 'fresh' | 'refresh_due' | 'reserve' | 'expired';

/** A token younger than this, and not yet accepted, may be unknown to a lagging API. */
const LAG_AGE_MS = 5_000;
/** The window's largest share of the lifetime. */
const MAX_RATIO = 0.9;
const RESERVE_RATIO = 0.05;
const RESERVE_MAX_MS = 10_000;

/** A token in hand, with the ages (milliseconds since the token request began) at which its phase changes. */
export class HeldToken {
  readonly token: AccessToken;
  /** Whether an API has answered this token with anything but 401. */
  accepted = false;
  /** Whether this one took the place of a token that an API accepted, so that it may lag in learning of it. */
  mayLag = false;
  /** Start of its token request, epoch milliseconds. */
  readonly acquiredAt: number;
  readonly #clock: Clock;
  readonly #startedMonotonic: number;
  readonly #refreshAge: number;
  readonly #reserveAge: number;
  readonly #lifetime: number;
  readonly #freshUntil: number;
  readonly #freshUntilMonotonic: number;
  /** Seen to have expired: ten thousand who wait for the next one need not look again. */
  #over = false;

  /**
   * @param jitter factor on the refresh window, 0.9 to 1.1, drawn once per key and instance.
   * @param startedMonotonic when the token request began; by default worked out from the wall clock.
   */
  constructor(
    stored: StoredToken,
    clock: Clock,
    refreshAhead: RefreshAheadOptions,
    jitter: number,
    startedMonotonic = clock.monotonic() - Math.max(0, clock.now() - stored.issuedAt),
  ) {
    this.token = new AccessToken(stored);
    this.#clock = clock;
    this.acquiredAt = stored.issuedAt;
    this.#startedMonotonic = startedMonotonic;
    this.#lifetime = stored.expiresAt - stored.issuedAt;
    // A token that was in its window from the start would be refreshed by every call.
    const share = Math.min(refreshAhead.ratio * jitter, MAX_RATIO);
    const window = Math.min(share * this.#lifetime, refreshAhead.maxMs * jitter);
    this.#refreshAge = Math.floor(this.#lifetime - window);
    this.#reserveAge = Math.floor(this.#lifetime - Math.min(RESERVE_RATIO * this.#lifetime, RESERVE_MAX_MS));
    const freshAge = Math.min(this.#refreshAge, this.#reserveAge);
    this.#freshUntil = stored.issuedAt + freshAge;
    this.#freshUntilMonotonic = startedMonotonic + freshAge;
  }

  /** Whether the phase is `fresh`, in less time. */
  get fresh(): boolean {
    if (this.#over) return false;
    return this.#clock.now() < this.#freshUntil && this.#clock.monotonic() < this.#freshUntilMonotonic;
  }

  /** When a refresh falls due, epoch milliseconds. */
  get refreshAt(): number {
    return this.acquiredAt + this.#refreshAge;
  }

  /** By whichever clock says more: the wall clock may be set back, the monotonic one may sleep. */
  get ageMs(): number {
    return Math.max(this.#clock.now() - this.acquiredAt, this.#clock.monotonic() - this.#startedMonotonic);
  }

  /** Whether an API that rejects it may just not have heard of it yet. */
  get mayBeUnknown(): boolean {
    return this.mayLag && !this.accepted && this.ageMs < LAG_AGE_MS;
  }

  /** Milliseconds until real expiry. */
  get remainingMs(): number {
    return this.#lifetime - this.ageMs;
  }

  get phase(): TokenPhase {
    if (this.#over) return 'expired';
    const age = this.ageMs;
    if (age < Math.min(this.#refreshAge, this.#reserveAge)) return 'fresh';
    this.#over = !(age < this.#lifetime); // so is a lifetime that is no number
    if (this.#over) return 'expired';
    return age >= this.#reserveAge ? 'reserve' : 'refresh_due';
  }
}

/** What a caller gets: the token in hand, the same while a refresh goes on behind, a wait for the flight, or the last error. */
export type TokenDecision = 'use' | 'use_and_refresh' | 'wait' | 'fail';

/**
 * The table of design.md §5. `coolingDown`: no flight may start yet. `failing`: the last flight failed, or the
 * present one is in trouble, so waiting for it would only cost the caller a token that is still good.
 */
export function decide(phase: TokenPhase, coolingDown: boolean, failing: boolean): TokenDecision {
  switch (phase) {
    case 'fresh':
      return 'use';
    case 'refresh_due':
      return coolingDown ? 'use' : 'use_and_refresh';
    case 'reserve':
      if (coolingDown) return 'use';
      return failing ? 'use_and_refresh' : 'wait';
    case 'none':
    case 'expired':
      return coolingDown && failing ? 'fail' : 'wait';
  }
}
