import { inspect } from 'node:util';
import { elapsedMs, type Clock, type Moment } from './clock.js';
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
  /** The other members of the token response, such as `instance_url`, without tokens; deeply frozen. `undefined` when there are none. */
  readonly details: Readonly<Record<string, unknown>> | undefined;
  readonly #value: string;
  readonly #expiresAt: number;

  constructor(token: Pick<StoredToken, 'value' | 'tokenType' | 'scope' | 'details' | 'expiresAt'>) {
    this.tokenType = token.tokenType;
    this.scope = token.scope;
    this.details = deeplyFrozen(token.details);
    this.#value = token.value;
    this.#expiresAt = token.expiresAt;
    Object.freeze(this);
  }

  /** The token itself: opaque to the client (RFC 9068 §6). */
  get value(): string {
    return this.#value;
  }

  /** The `Authorization` header's value (RFC 6750 §2.1, RFC 9449 §7.1). */
  get authorization(): string {
    return `${this.tokenType} ${this.#value}`; // joined at each use: kept, it would take as much memory as the token
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

function deeplyFrozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const member of Object.values(value)) deeplyFrozen(member);
  return Object.freeze(value);
}

/** When a refresh starts in the background. */
export interface RefreshAheadOptions {
  /** Share of the lifetime before expiry, 0 to 1. Default 0.25. */
  ratio: number;
  /** Upper bound of that window, in milliseconds. Default 300,000. */
  maxMs: number;
}

/**
 * Where a token is in its life. `fresh`: used as it is. `refresh_due`: used, and a refresh starts in the background.
 * `reserve`: the last moments; used only while the refresh fails. `expired`: never sent again.
 */
export type TokenPhase = 'fresh' | 'refresh_due' | 'reserve' | 'expired';

/** The window's largest share of the lifetime. */
const MAX_RATIO = 0.9;
const RESERVE_RATIO = 0.05;
const RESERVE_MAX_MS = 10_000;
const LONGEST_WAIT_MS = 5_000;

/** A token in hand, with the ages (milliseconds since its request began) at which its phase changes. Immutable. */
export class HeldToken {
  readonly token: AccessToken;
  /** Start of its token request. */
  readonly acquired: Moment;
  /** When a refresh falls due, epoch milliseconds. */
  readonly refreshAt: number;
  readonly #freshAge: number;
  readonly #reserveAge: number;
  readonly #lifetime: number;
  #settled: Promise<AccessToken> | undefined;

  /** @param jitter factor on the refresh window, 0.9 to 1.1, drawn once per key and instance */
  constructor(stored: StoredToken, acquired: Moment, refreshAhead: RefreshAheadOptions, jitter: number) {
    this.token = new AccessToken(stored);
    this.acquired = acquired;
    const lifetime = stored.expiresAt - stored.issuedAt;
    // A token that was in its window from the start would be refreshed by every call.
    const share = Math.min(refreshAhead.ratio * jitter, MAX_RATIO);
    const refreshAge = Math.floor(lifetime - Math.min(share * lifetime, refreshAhead.maxMs * jitter));
    const reserveAge = Math.floor(lifetime - Math.min(RESERVE_RATIO * lifetime, RESERVE_MAX_MS));
    this.refreshAt = acquired.wall + refreshAge;
    this.#freshAge = Math.min(refreshAge, reserveAge);
    this.#reserveAge = reserveAge;
    this.#lifetime = lifetime;
  }

  /** A settled promise of the token, always the same one. */
  get settled(): Promise<AccessToken> {
    return (this.#settled ??= Promise.resolve(this.token));
  }

  /** Whether its phase is `fresh`, in less time. */
  isFresh(clock: Clock): boolean {
    const { wall, monotonic } = this.acquired;
    return clock.now() < wall + this.#freshAge && clock.monotonic() < monotonic + this.#freshAge;
  }

  phaseAt(now: Moment): TokenPhase {
    const age = elapsedMs(now, this.acquired);
    if (age < this.#freshAge) return 'fresh';
    if (!(age < this.#lifetime)) return 'expired'; // so is a lifetime that is no number
    return age < this.#reserveAge ? 'refresh_due' : 'reserve';
  }

  /** How long a caller waits for a new token before this one, still valid, is used; in milliseconds. */
  patienceMs(now: Moment): number {
    return Math.min((this.#lifetime - elapsedMs(now, this.acquired)) / 2, LONGEST_WAIT_MS);
  }
}

/** When the token's request began. For a token from a store, only the wall clock says so. */
export function acquiredAt({ issuedAt }: StoredToken, now: Moment, started?: Moment): Moment {
  const monotonic = started?.monotonic ?? now.monotonic - Math.max(0, now.wall - issuedAt);
  return { wall: issuedAt, monotonic };
}
