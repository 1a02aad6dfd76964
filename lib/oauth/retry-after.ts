const MAX_MS = 3_600_000;

/**
 * Milliseconds a `Retry-After` header asks to wait (RFC 9110 §10.2.3: seconds or an HTTP date), 1 hour at most;
 * `undefined` when there is none or it is garbage.
 */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  const value = header?.trim();
  if (!value) return undefined;
  if (/^\d+$/.test(value)) return Math.min(Number(value) * 1000, MAX_MS);
  // Date.parse would read a date into almost anything with a number in it.
  if (!/^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? .* \d\d:\d\d:\d\d( |$)/.test(value)) return undefined;
  const at = Date.parse(value.endsWith('GMT') ? value : `${value} GMT`); // asctime's form names no zone
  return Number.isNaN(at) ? undefined : Math.min(Math.max(0, at - now), MAX_MS);
}
