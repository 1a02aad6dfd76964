import { Observable, concatMap, mergeMap, race, retry, tap, throwError, timeout, timer } from 'rxjs';
import { retryDelayMs } from './backoff.js';
import type { FlightContext } from './client-context.js';
import { AuthorizationServerUnavailableError, OAuthClientError } from './errors.js';
import type { RefreshGrant } from './refresh-grant.js';
import type { TokenRequestDetails } from './token-request.js';
import type { StoredToken } from './token-store.js';

/** What the authorization server gave, and when its request began on the monotonic clock. */
export interface IssuedToken {
  stored: StoredToken;
  startedMonotonic: number;
}

/**
 * A token from the authorization server: up to `retry.attempts` requests, each within `timeoutMs`, all of them with
 * their pauses within `retry.totalMs`.
 *
 * @param onTrouble called when a request failed, before the next try
 * @param since when the flight began to wait for its turn, on the monotonic clock; counts towards `retry.totalMs`
 */
export function tokenAttempts(
  context: FlightContext,
  details: TokenRequestDetails,
  grant: RefreshGrant | undefined,
  onTrouble: () => void,
  since: number,
): Observable<IssuedToken> {
  const { client, clock, endpoint, timeoutMs } = context;
  const limits = context.retry;
  const deadline = since + limits.totalMs;
  const leftMs = deadline - clock.monotonic();
  const timedOut = (what: string, ms: number) =>
    throwError(
      () =>
        new AuthorizationServerUnavailableError(
          `The authorization server of OAuth client "${client}" did not complete ${what} within ${ms} ms.`,
          { client, timedOut: true },
        ),
    );
  if (leftMs <= 0) return timedOut('the flight', limits.totalMs);
  const request$ = abortable(async (signal): Promise<IssuedToken> => {
    const startedMonotonic = clock.monotonic();
    const { onTokenRequest: onSend } = context;
    const stored = await endpoint.request(details, { signal, refreshToken: grant?.refreshToken, onSend });
    return { stored, startedMonotonic };
  }).pipe(
    timeout({
      first: timeoutMs,
      scheduler: clock.scheduler,
      with: () => timedOut('a token request', timeoutMs),
    }),
    concatMap(async (issued) => {
      await grant?.keep(issued.stored);
      return inTime(context, issued);
    }),
    tap({ error: () => onTrouble() }),
    retry({
      count: limits.attempts - 1,
      delay: (reason, failures) => {
        const error = asOAuthClientError(reason, client);
        const pause = retryDelayMs(failures, error, limits, clock);
        const tooLate = clock.monotonic() + pause >= deadline;
        return !error.retryable || tooLate ? throwError(() => error) : timer(pause, clock.scheduler);
      },
    }),
    timeout({
      first: leftMs,
      scheduler: clock.scheduler,
      with: () => timedOut('the flight', limits.totalMs),
    }),
  );
  // First, so that nothing is sent once the module is closed.
  return race(context.closed$, request$);
}

/** @throws {AuthorizationServerUnavailableError} when the token has expired on its way */
function inTime({ client, clock }: FlightContext, issued: IssuedToken): IssuedToken {
  const { stored, startedMonotonic } = issued;
  const ageMs = Math.max(clock.now() - stored.issuedAt, clock.monotonic() - startedMonotonic);
  if (ageMs < stored.expiresAt - stored.issuedAt) return issued;
  throw new AuthorizationServerUnavailableError(
    `The authorization server of OAuth client "${client}" took longer to answer than its token lives.`,
    { client, timedOut: true },
  );
}

/** A promise that learns by its signal when nobody wants it any more. */
function abortable<T>(work: (signal: AbortSignal) => Promise<T>): Observable<T> {
  return new Observable<AbortController>((subscriber) => {
    const controller = new AbortController();
    subscriber.next(controller);
    return () => controller.abort();
  }).pipe(mergeMap((controller) => work(controller.signal)));
}

/** Whatever a flight failed with, as an error that callers can tell. */
export function asOAuthClientError(reason: unknown, client: string): OAuthClientError {
  if (reason instanceof OAuthClientError) return reason;
  return new AuthorizationServerUnavailableError(
    `A token request of OAuth client "${client}" failed unexpectedly.`,
    {
      client,
      cause: reason,
    },
  );
}
