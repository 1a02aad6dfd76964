import {
  ReplaySubject,
  catchError,
  defer,
  firstValueFrom,
  of,
  race,
  share,
  throwError,
  timeout,
  type Observable,
  type SchedulerLike,
} from 'rxjs';
import type { AccessToken } from './access-token.js';
import { SleptError } from './awake.js';
import { errorDuring, pauseMsAfter, retryAfterMsOf } from './backoff.js';
import { elapsedMs, later, momentOf, remainingMs, type Moment } from './clock.js';
import type { FlightContext } from './flight-context.js';
import type { AcquiredToken, IssuedToken, KeptGrant } from './once-per-fleet.js';
import { FlightFailure } from './shared-failure.js';
import { asOAuthClientError, askForToken } from './token-asking.js';
import type { TokenKeys } from './token-endpoint.js';
import type { TokenRequestDetails } from './token-request.js';
import type { Flight } from './token-state.js';
import type { StoredToken } from './token-store.js';

/** What a flight is for. */
export interface FlightPlan {
  readonly keys: () => Promise<TokenKeys>;
  readonly details: TokenRequestDetails;
  /** Flights in a row that failed before this one, and when the last of them did (epoch milliseconds). */
  readonly failures: number;
  readonly failedAt: number | undefined;
  /** Whether a token found in the store is as good as a new one. */
  readonly acceptable: (stored: StoredToken) => boolean;
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
export class SharedWait implements Flight {
  readonly token$: Observable<AccessToken>;
  #promise: Promise<AccessToken> | undefined;

  constructor(token$: Observable<AccessToken>) {
    this.token$ = token$.pipe(
      share({
        connector: () => new ReplaySubject(1),
        resetOnRefCountZero: false,
        resetOnComplete: false,
        resetOnError: false,
      }),
    );
  }

  get promise(): Promise<AccessToken> {
    if (this.#promise === undefined) {
      this.#promise = firstValueFrom(this.token$);
      // Nobody may be waiting: the failure is kept in the state and told in an event.
      this.#promise.catch(() => undefined);
    }
    return this.#promise;
  }
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
  const work = async (grant: KeptGrant | undefined, since: Moment): Promise<IssuedToken> => {
    // Nobody waits that long for a turn while awake.
    if (elapsedMs(momentOf(clock), since) > leaseMs || !plan.onBegin()) throw new SleptError();
    respectClientPause(context);
    const asking = askForToken(context, plan.details, grant, since, plan.onFailing);
    return firstValueFrom(asking).catch((reason: unknown) => {
      const failure = failed(reason);
      if (reason instanceof SleptError || failure.error.code === 'closed') throw reason;
      if (retryAfterMsOf(failure.error))
        context.pause = { until: later(failure.at, failure.pauseMs), error: failure.error };
      throw failure;
    });
  };
  const { failedAt, acceptable } = plan;
  const errand = { client, keys, leaseMs, failedAt, acceptable, work };
  for (;;) {
    try {
      return await fleet.once(errand);
    } catch (reason) {
      // Another instance may have had its turn meanwhile, so that all begins again.
      if (!(reason instanceof SleptError) || !plan.onBegin()) throw reason;
    }
  }
}

/** The server's pause may have begun while this flight waited for its turn. */
function respectClientPause({ pause, clock }: FlightContext): void {
  const now = momentOf(clock);
  const leftMs = pause ? remainingMs(now, pause.until) : 0;
  if (pause?.error && leftMs > 0) throw new FlightFailure(errorDuring(pause, pause.error, now), now, leftMs);
}

/** `token$`, but after `waitMs` or when it fails the spare token, as long as there is one. */
export function waitAtMost<T>(
  token$: Observable<T>,
  waitMs: number,
  scheduler: SchedulerLike,
  spare: () => T | undefined,
  onTooSlow: () => void,
): Observable<T> {
  const orElse = (last$: Observable<T>) =>
    defer(() => {
      const token = spare();
      return token === undefined ? last$ : of(token);
    });
  return token$.pipe(
    timeout({ first: waitMs, scheduler, with: () => defer(() => (onTooSlow(), orElse(token$))) }),
    catchError((error: unknown) => orElse(throwError(() => error))),
  );
}

/** The longest a flight can take while the process is awake, and a second. */
export function leaseMsOf({ retry: { attempts, maxDelayMs, totalMs }, timeoutMs }: FlightContext): number {
  return Math.min(attempts * timeoutMs + (attempts - 1) * maxDelayMs, totalMs) + 1_000;
}
