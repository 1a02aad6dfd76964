import { inspect } from 'node:util';
import { elapsedMs, later, type Clock, type Moment } from './clock.js';
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

/** A token in hand, with the ages (milliseconds since its token request began) at which its phase changes. Immutable. */
export class HeldToken {
  readonly token: AccessToken;
  /** Start of its token request. */
  readonly acquired: Moment;
  readonly #refreshAge: number;
  readonly #reserveAge: number;
  readonly #lifetime: number;
  readonly #freshUntil: Moment;
  #settled: Promise<AccessToken> | undefined;

  /**
   * @param acquired start of the token request
   * @param jitter factor on the refresh window, 0.9 to 1.1, drawn once per key and instance
   */
  constructor(stored: StoredToken, acquired: Moment, refreshAhead: RefreshAheadOptions, jitter: number) {
    this.token = new AccessToken(stored);
    this.acquired = acquired;
    this.#lifetime = stored.expiresAt - stored.issuedAt;
    // A token that was in its window from the start would be refreshed by every call.
    const share = Math.min(refreshAhead.ratio * jitter, MAX_RATIO);
    const window = Math.min(share * this.#lifetime, refreshAhead.maxMs * jitter);
    this.#refreshAge = Math.floor(this.#lifetime - window);
    this.#reserveAge = Math.floor(this.#lifetime - Math.min(RESERVE_RATIO * this.#lifetime, RESERVE_MAX_MS));
    this.#freshUntil = later(acquired, Math.min(this.#refreshAge, this.#reserveAge));
  }

  /** The token as a promise, the same each time. */
  get settled(): Promise<AccessToken> {
    return (this.#settled ??= Promise.resolve(this.token));
  }

  /** When a refresh falls due, epoch milliseconds. */
  get refreshAt(): number {
    return this.acquired.wall + this.#refreshAge;
  }

  /** Whether its phase is `fresh`, in less time. */
  isFresh(clock: Clock): boolean {
    return clock.now() < this.#freshUntil.wall && clock.monotonic() < this.#freshUntil.monotonic;
  }

  phaseAt(now: Moment): TokenPhase {
    const age = elapsedMs(now, this.acquired);
    if (age < Math.min(this.#refreshAge, this.#reserveAge)) return 'fresh';
    if (!(age < this.#lifetime)) return 'expired'; // so is a lifetime that is no number
    return age < this.#reserveAge ? 'refresh_due' : 'reserve';
  }

  /** Milliseconds until expiry. */
  remainingMs(now: Moment): number {
    return this.#lifetime - elapsedMs(now, this.acquired);
  }
}

/** When the request for a token began; for one out of a store its wall clock is all there is to tell. */
export function acquiredAt({ issuedAt }: StoredToken, now: Moment, started?: Moment): Moment {
  const monotonic = started?.monotonic ?? now.monotonic - Math.max(0, now.wall - issuedAt);
  return { wall: issuedAt, monotonic };
}
