import { remainingMs, type Moment } from './clock.js';
import { AuthorizationServerUnavailableError, type OAuthClientError } from './errors.js';

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

/** A time in which no flight starts, and the error that began it, if one did. */
export interface Pause {
  readonly until: Moment;
  readonly error?: OAuthClientError;
}

const PAUSE_MIN_MS = 1_000;
const PAUSE_MAX_MS = 60_000;
const TERMINAL_PAUSE_MS = 5_000;
/** Full jitter may come out as next to nothing, which would be no pause. */
const MIN_JITTER = 0.1;

/** Upper bound of the pause after the `failures`-th failure in a row: doubling from `minMs` to `maxMs`. */
export function backoffSlotMs(failures: number, minMs: number, maxMs: number): number {
  return Math.min(maxMs, minMs * 2 ** (failures - 1));
}

/** The pause after the `failures`-th failed flight in a row: full jitter by `chance`, or the server's `Retry-After`. */
export function pauseMsAfter(error: OAuthClientError, failures: number, chance: number): number {
  if (!error.retryable) return TERMINAL_PAUSE_MS;
  const jittered = Math.max(chance, MIN_JITTER) * backoffSlotMs(failures, PAUSE_MIN_MS, PAUSE_MAX_MS);
  return retryAfterMsOf(error) || jittered; // a Retry-After of 0 asks for nothing
}

/** The pause after the `failures`-th token in a row that was no better than the one before it. */
export function holdMs(failures: number, chance: number): number {
  return (0.5 + chance / 2) * backoffSlotMs(failures, PAUSE_MIN_MS, PAUSE_MAX_MS);
}

export function retryAfterMsOf(error: OAuthClientError): number | undefined {
  return error instanceof AuthorizationServerUnavailableError ? error.retryAfterMs : undefined;
}

/** The pause that ends last, of those that are not over. */
export function longestPause(now: Moment, ...pauses: (Pause | undefined)[]): Pause | undefined {
  const leftMs = (pause: Pause | undefined) => (pause ? remainingMs(now, pause.until) : 0);
  return pauses.reduce((longest, pause) => (leftMs(pause) > leftMs(longest) ? pause : longest), undefined);
}

/** The error for a caller who comes while `pause` lasts: it says how long that will be. */
export function errorDuring({ until, error }: Pause, now: Moment): OAuthClientError | undefined {
  if (!(error instanceof AuthorizationServerUnavailableError)) return error;
  const { message, client, status, timedOut, cause } = error;
  const retryAfterMs = Math.ceil(remainingMs(now, until));
  return new AuthorizationServerUnavailableError(message, { client, status, timedOut, retryAfterMs, cause });
}
