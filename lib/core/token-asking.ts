import { Observable, defer, mergeMap, race, retry, tap, throwError, timer } from 'rxjs';
import { SleptError, whileAwake } from './awake.js';
import { retryDelayMs } from './backoff.js';
import { elapsedMs, momentOf, type Moment } from './clock.js';
import { AuthorizationServerUnavailableError, OAuthClientError } from './errors.js';
import type { FlightContext } from './flight-context.js';
import type { IssuedToken, KeptGrant } from './once-per-fleet.js';
import type { TokenRequestDetails } from './token-request.js';

/**
 * A token from the authorization server: up to `retry.attempts` requests, each within `timeoutMs`, all of them with
 * their pauses within `retry.totalMs`. Only time in which the process is awake counts.
 *
 * @param since when the flight began to wait for its turn; counts towards `retry.totalMs`
 * @param onFailing called when a request failed, before the next try
 * @throws {SleptError} when the process slept meanwhile
 */
export function askForToken(
  context: FlightContext,
  details: TokenRequestDetails,
  grant: KeptGrant | undefined,
  since: Moment,
  onFailing: (error: OAuthClientError) => void,
): Observable<IssuedToken> {
  const { client, clock, timeoutMs, retry: limits } = context;
  const leftMs = () => limits.totalMs - (clock.monotonic() - since.monotonic);
  const late = (what: string, ms: number) => () =>
    new AuthorizationServerUnavailableError(
      `The authorization server of OAuth client "${client}" did not complete ${what} within ${ms} ms.`,
      { client, timedOut: true },
    );
  const flightIsLate = late('the flight', limits.totalMs);
  const flight$ = oneRequest(context, details, grant).pipe(
    whileAwake(timeoutMs, clock, late('a token request', timeoutMs), isAnswer),
    tap({ error: (reason) => reason instanceof SleptError || onFailing(asOAuthClientError(reason, client)) }),
    retry({
      count: limits.attempts - 1,
      delay: (reason, failures) => {
        if (reason instanceof SleptError) return throwError(() => reason);
        const error = asOAuthClientError(reason, client);
        const pauseMs = retryDelayMs(failures, error, limits, clock.random());
        const again = error.retryable && pauseMs < leftMs();
        return again ? timer(pauseMs, clock.scheduler) : throwError(() => error);
      },
    }),
  );
  // The closing first, so that nothing is sent once the module is closed.
  return race(
    context.closed$,
    defer(() =>
      leftMs() > 0 ? flight$.pipe(whileAwake(leftMs(), clock, flightIsLate)) : throwError(flightIsLate),
    ),
  );
}

/** One token request; aborted when nobody wants it any more. */
function oneRequest(
  { client, clock, endpoint, around, onTokenRequest: onSend }: FlightContext,
  details: TokenRequestDetails,
  grant: KeptGrant | undefined,
): Observable<IssuedToken> {
  const request = async (signal: AbortSignal): Promise<IssuedToken> => {
    const started = momentOf(clock);
    const stored = await around(client, () =>
      endpoint.request(details, { signal, refreshToken: grant?.refreshToken, onSend }),
    );
    await grant?.keep(stored);
    const { issuedAt, expiresAt } = stored;
    // Not even with a wall clock that was set back is it older than its request.
    if (elapsedMs(momentOf(clock), { ...started, wall: issuedAt }) < expiresAt - issuedAt)
      return { stored, started };
    throw new AuthorizationServerUnavailableError(
      `The authorization server of OAuth client "${client}" took longer to answer than its token lives.`,
      { client, timedOut: true },
    );
  };
  return new Observable<AbortController>((subscriber) => {
    const controller = new AbortController();
    subscriber.next(controller);
    return () => controller.abort();
  }).pipe(mergeMap(({ signal }) => request(signal)));
}

/** Whether the server said to come back later: it did so however long this process slept. */
function isAnswer(error: unknown): boolean {
  return error instanceof AuthorizationServerUnavailableError && error.status !== undefined;
}

/** What a flight failed with, as an error that callers can tell from others. */
export function asOAuthClientError(reason: unknown, client: string): OAuthClientError {
  if (reason instanceof OAuthClientError) return reason;
  const message = `A token request of OAuth client "${client}" failed unexpectedly.`;
  return new AuthorizationServerUnavailableError(message, { client, cause: reason });
}
