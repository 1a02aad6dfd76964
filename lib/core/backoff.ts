import type { Clock } from './clock.js';
import type { OAuthClientError } from './errors.js';
import { AuthorizationServerUnavailableError } from './errors.js';

/** Tries inside one flight, that is for one shared wait. */
export interface RetryOptions {
  /** Token requests at most. Default 3. */
  attempts: number;
  /** Upper bound of the first pause, doubling from there, in milliseconds. Default 200. */
  minDelayMs: number;
  /** Upper bound of any pause, in milliseconds. Default 5,000. */
  maxDelayMs: number;
  /** Deadline of the whole flight, pauses included, in milliseconds. Default 15,000. */
  totalMs: number;
}

const COOL_DOWN_MIN_MS = 1_000;
const COOL_DOWN_MAX_MS = 60_000;
const TERMINAL_COOL_DOWN_MS = 5_000;
/** Full jitter may come out as next to nothing, which would be no pause. */
const MIN_JITTER = 0.1;

/** Upper bound of the pause after the `failures`-th failure in a row: doubling from `minMs` to `maxMs`. */
export function backoffSlotMs(failures: number, minMs: number, maxMs: number): number {
  return Math.min(maxMs, minMs * 2 ** (failures - 1));
}

/** The pause before the next try inside a flight: full jitter, but never earlier than the server asked. */
export function retryDelayMs(
  failures: number,
  error: OAuthClientError,
  retry: RetryOptions,
  clock: Clock,
): number {
  const jittered = clock.random() * backoffSlotMs(failures, retry.minDelayMs, retry.maxDelayMs);
  return Math.max(jittered, retryAfterMsOf(error) ?? 0);
}

/** What the server asked for with `Retry-After`, if anything. */
export function retryAfterMsOf(error: OAuthClientError): number | undefined {
  return error instanceof AuthorizationServerUnavailableError ? error.retryAfterMs : undefined;
}

/** The time after a failed flight in which no other one starts; remembers why. */
export class CoolDown {
  readonly #clock: Clock;
  #failures = 0;
  /** By the monotonic clock, and by the wall clock: a machine that was suspended has waited. */
  #until = Number.NEGATIVE_INFINITY;
  #wallUntil = Number.NEGATIVE_INFINITY;
  #error: OAuthClientError | undefined;
  #failedAt = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Why flights fail at present; `undefined` since the last success. */
  get error(): OAuthClientError | undefined {
    return this.#error;
  }

  /** The error for who comes while it lasts: tells how long that will be. */
  errorNow(): OAuthClientError {
    const error = this.#error!;
    if (!(error instanceof AuthorizationServerUnavailableError)) return error;
    const { message, client, status, timedOut, cause } = error;
    const retryAfterMs = Math.ceil(this.remainingMs);
    return new AuthorizationServerUnavailableError(message, {
      client,
      status,
      timedOut,
      retryAfterMs,
      cause,
    });
  }

  /** When the last flight failed, epoch milliseconds. */
  get failedAt(): number {
    return this.#failedAt;
  }

  /** Milliseconds until the next flight may start; 0 when it may now. */
  get remainingMs(): number {
    return Math.max(0, Math.min(this.#until - this.#clock.monotonic(), this.#wallUntil - this.#clock.now()));
  }

  /** Whichever of the two lasts longer. */
  or(other: CoolDown): CoolDown {
    return other.remainingMs > this.remainingMs ? other : this;
  }

  /** Starts after a failed flight and returns its length; `atLeastMs` is what another instance was told. */
  begin(error: OAuthClientError, atLeastMs = 0): number {
    this.#failures++;
    this.#error = error;
    this.#failedAt = this.#clock.now();
    const own = error.retryable
      ? // A Retry-After of 0 asks for nothing.
        retryAfterMsOf(error) ||
        Math.max(this.#clock.random(), MIN_JITTER) *
          backoffSlotMs(this.#failures, COOL_DOWN_MIN_MS, COOL_DOWN_MAX_MS)
      : TERMINAL_COOL_DOWN_MS;
    const length = atLeastMs > 0 ? atLeastMs : own;
    this.#last(length);
    return length;
  }

  /** The pause the server's answers ask for although none failed: it hands out nothing fresher. */
  hold(): void {
    this.#failures++;
    this.#error = undefined;
    const slotMs = backoffSlotMs(this.#failures, COOL_DOWN_MIN_MS, COOL_DOWN_MAX_MS);
    this.#last((0.5 + this.#clock.random() / 2) * slotMs);
  }

  end(): void {
    this.#failures = 0;
    this.#until = Number.NEGATIVE_INFINITY;
    this.#error = undefined;
  }

  #last(lengthMs: number): void {
    this.#until = this.#clock.monotonic() + lengthMs;
    this.#wallUntil = this.#clock.now() + lengthMs;
  }
}
