import {
  Observable,
  ReplaySubject,
  catchError,
  connectable,
  defer,
  firstValueFrom,
  mergeMap,
  of,
  race,
  retry,
  tap,
  throwError,
  timeout,
  timer,
  type SchedulerLike,
} from 'rxjs';
import type { AccessToken } from './access-token.js';
import { errorDuring, pauseMsAfter, retryAfterMsOf, retryDelayMs } from './backoff.js';
import { SleptError, elapsedMs, later, momentOf, remainingMs, whileAwake, type Moment } from './clock.js';
import { AuthorizationServerUnavailableError, OAuthClientError } from './errors.js';
import type { FlightContext } from './flight-context.js';
import { FlightFailure } from './flight-failure.js';
import type { Acceptable, AcquiredToken, FleetWork, KeptGrant } from './once-per-fleet.js';
import type { TokenKeys, TokenRequestDetails } from './token-request.js';

/** One shared wait for a token. */
export interface Flight {
  readonly token$: Observable<AccessToken>;
  readonly promise: Promise<AccessToken>;
}

/** What a flight is for. */
export interface FlightPlan {
  readonly keys: () => Promise<TokenKeys>;
  readonly details: TokenRequestDetails;
  /** Flights in a row that failed before this one. */
  readonly failures: number;
  readonly acceptable: Acceptable;
  /** Called when its turn begins, and when it begins again after a sleep; false when another flight took its place. */
  readonly onBegin: () => boolean;
  /** Called when a token request failed, before the next try. */
  readonly onFailing: () => void;
}

/**
 * A token for all who wait: once per fleet, from the store or from the authorization server.
 *
 * @throws {FlightFailure} why there is none; {@link SleptError} when the process slept and the flight is not wanted any more
 */
export function acquireToken(context: FlightContext, plan: FlightPlan): Observable<AcquiredToken> {
  return race(
    context.closed$,
    defer(() => context.fleet.track(fly(context, plan))),
  );
}

/** One wait, shared: it goes on when subscribers leave, and replays its end to those who come late. */
export function sharedWait(token$: Observable<AccessToken>): Flight & { start(): void } {
  const shared$ = connectable(token$, { connector: () => new ReplaySubject(1), resetOnDisconnect: false });
  const promise = firstValueFrom(shared$);
  // Nobody may be waiting: the state keeps the failure, and an event reports it.
  promise.catch(() => undefined);
  return { token$: shared$, promise, start: () => void shared$.connect() };
}

async function fly(context: FlightContext, plan: FlightPlan): Promise<AcquiredToken> {
  const { client, clock, fleet } = context;
  const failed = (reason: unknown): FlightFailure => {
    const error = asOAuthClientError(reason, client);
    return new FlightFailure(error, momentOf(clock), pauseMsAfter(error, plan.failures + 1, clock.random()));
  };
  const keys = await plan.keys().catch((reason: unknown) => {
    throw failed(reason);
  });
  const leaseMs = leaseMsOf(context);
  const work: FleetWork = async (grant, since) => {
    // Nobody waits that long for a turn while awake.
    if (elapsedMs(momentOf(clock), since) > leaseMs || !plan.onBegin()) throw new SleptError();
    respectClientPause(context);
    const onFailing = (error: OAuthClientError) => {
      pauseClient(context, error);
      plan.onFailing();
    };
    const asking = askForToken(context, plan.details, grant, since, onFailing);
    return firstValueFrom(asking).catch((reason: unknown) => {
      const failure = failed(reason);
      if (reason instanceof SleptError || failure.error.code === 'closed') throw reason;
      throw failure;
    });
  };
  for (;;) {
    try {
      return await fleet.once(keys, leaseMs, plan.acceptable, work);
    } catch (reason) {
      // Another instance may have had its turn meanwhile, so that all begins again.
      if (!(reason instanceof SleptError) || !plan.onBegin()) throw reason;
    }
  }
}

/** The server's word holds for all tokens of the client at once; of two pauses the longer one. */
function pauseClient(context: FlightContext, error: OAuthClientError): void {
  const until = later(momentOf(context.clock), retryAfterMsOf(error) ?? 0);
  if (!context.pause || elapsedMs(until, context.pause.until) > 0) context.pause = { until, error };
}

/** The server's pause may have begun while this flight waited for its turn. */
function respectClientPause({ pause, clock }: FlightContext): void {
  const now = momentOf(clock);
  const error = pause && errorDuring(pause, now);
  const leftMs = pause ? remainingMs(now, pause.until) : 0;
  if (error && leftMs > 0) throw new FlightFailure(error, now, leftMs);
}

/** `token$`, but after `waitMs` or when it fails the spare token, as long as there is one. */
export function orSpare<T>(
  token$: Observable<T>,
  waitMs: number,
  scheduler: SchedulerLike,
  spare: () => T | undefined,
  onSlow: () => void,
): Observable<T> {
  const orElse = (last$: Observable<T>) =>
    defer(() => {
      const token = spare();
      return token === undefined ? last$ : of(token);
    });
  return token$.pipe(
    timeout({ first: waitMs, scheduler, with: () => (onSlow(), orElse(token$)) }),
    catchError((error: unknown) => orElse(throwError(() => error))),
  );
}

/** The longest a flight can take while the process is awake, and a second. */
export function leaseMsOf({ retry: { attempts, maxDelayMs, totalMs }, timeoutMs }: FlightContext): number {
  return Math.min(attempts * timeoutMs + (attempts - 1) * maxDelayMs, totalMs) + 1_000;
}

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
): Observable<AcquiredToken> {
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
  { client, clock, endpoint, tracers, onTokenRequest: onSend }: FlightContext,
  details: TokenRequestDetails,
  grant: KeptGrant | undefined,
): Observable<AcquiredToken> {
  const request = async (signal: AbortSignal): Promise<AcquiredToken> => {
    const started = momentOf(clock);
    const send = () => endpoint.request(details, { signal, refreshToken: grant?.refreshToken, onSend });
    const stored = await tracers.reduce((inner, tracer) => () => tracer(client, inner), send)();
    await grant?.keep(stored);
    const { issuedAt, expiresAt } = stored;
    // Not even with a wall clock that was set back is it older than its request.
    if (elapsedMs(momentOf(clock), { ...started, wall: issuedAt }) < expiresAt - issuedAt)
      return { stored, started, source: 'authorization_server' };
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
