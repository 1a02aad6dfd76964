import { AuthorizationServerUnavailableError } from '../core/errors.js';
import type { ProtocolParts } from './protocol.js';

const MAX_RETRY_AFTER_MS = 3_600_000;

/** The error for a server that asks to come back later. `said`: what else it says, cleaned. */
export function unavailableNow(
  { client, clock }: ProtocolParts,
  what: string,
  { status, headers }: Pick<Response, 'status' | 'headers'>,
  said?: () => string | undefined,
): Error {
  const retryAfterMs = parseRetryAfter(headers.get('retry-after') ?? undefined, clock.now());
  const reason = said?.()?.replace(/\.$/, '');
  const message = `The ${what} of OAuth client "${client}" is unavailable: it answered ${status}${reason ? ` and said: ${reason}` : ''}.`;
  return new AuthorizationServerUnavailableError(message, { client, status, retryAfterMs });
}

/** Milliseconds to wait (RFC 9110 §10.2.3: seconds or an HTTP date), 1 hour at most; `undefined` for garbage. */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  const value = header?.trim();
  if (!value) return undefined;
  if (/^\d+$/.test(value)) return Math.min(Number(value) * 1000, MAX_RETRY_AFTER_MS);
  // Date.parse would read a date into almost anything with a number in it.
  if (!/^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? .* \d\d:\d\d:\d\d( |$)/.test(value)) return undefined;
  const at = Date.parse(value.endsWith('GMT') ? value : `${value} GMT`); // asctime's form names no zone
  return Number.isNaN(at) ? undefined : Math.min(Math.max(0, at - now), MAX_RETRY_AFTER_MS);
}
