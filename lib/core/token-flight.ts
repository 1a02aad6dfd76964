import {
  ReplaySubject,
  catchError,
  connectable,
  defer,
  firstValueFrom,
  of,
  race,
  throwError,
  timeout,
} from 'rxjs';
import type { Observable, SchedulerLike } from 'rxjs';
import type { AccessToken } from './access-token.js';
import { SleptError } from './awake.js';
import { errorDuring, pauseMsAfter, retryAfterMsOf } from './backoff.js';
import { elapsedMs, later, momentOf, remainingMs } from './clock.js';
import type { OAuthClientError } from './errors.js';
import type { FlightContext } from './flight-context.js';
import type { Acceptable, AcquiredToken, FleetWork } from './once-per-fleet.js';
import { FlightFailure } from './flight-failure.js';
import { asOAuthClientError, askForToken } from './token-asking.js';
import type { TokenKeys } from './token-endpoint.js';
import type { TokenRequestDetails } from './token-request.js';

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
    defer(() => {
      const work = fly(context, plan);
      context.track(work.catch(() => undefined));
      return work;
    }),
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
