import { ReplaySubject, Subject, defer, firstValueFrom, from, race, timer } from 'rxjs';
import { catchError, finalize, map, retry, share, tap, type Observable } from 'rxjs';
import { HeldToken, acquiredAt, type AccessToken } from './access-token.js';
import { backoffSlotMs, errorDuring, longestPause, retryAfterMsOf, type Pause } from './backoff.js';
import { SleptError, elapsedMs, later, momentOf, remainingMs, whileAwake, type Moment } from './clock.js';
import { AuthorizationServerUnavailableError, TokenRequestError, type OAuthClientError } from './errors.js';
import type { Flight, FlightContext } from './flight-context.js';
import { allows, refusing, type TokenState } from './token-state.js';
import { FlightFailure, asOAuthClientError, flightIsLate, isFinal, tooLate } from './flight-failure.js';
import type { AcquiredToken, FleetTask, Turn } from './once-per-fleet.js';
import { tokenKeys, type TokenKeys } from './token-request.js';
import type { TokenRequestContext, TokenRequestDetails } from './token-request.js';
import type { StoredToken } from './token-store.js';

/** A turn, with what its flight had left of `retry.totalMs` when the wait for it began, in milliseconds. */
type TimedTurn = Turn & { readonly leftMs: number };
type OnSend = NonNullable<TokenRequestContext['onSend']>;

/** The purpose of a flight. */
export interface FlightPlan {
  readonly key: SharedKey;
  /** Flights in a row that failed before this one. */
  readonly failures: number;
  readonly acceptable: FleetTask['acceptable'];
  /** Called when its turn begins, also again after a sleep. Returns false if another flight has replaced it. */
  readonly onBegin: () => boolean;
  readonly pauseAt: (now: Moment) => Pause | undefined;
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

/** One shared wait. It goes on when subscribers leave, and later subscribers get its result, each in its own asynchronous context. */
export function sharedWait(token$: Observable<AccessToken>): Flight & { start(): void } {
  const result$ = new Subject<AccessToken>();
  const promise = firstValueFrom(result$);
  // There may be no subscriber: the state keeps the failure, and an event reports it.
  promise.catch(() => undefined);
  return { token$: defer(() => promise), promise, start: () => void token$.subscribe(result$) };
}

async function fly(context: FlightContext, plan: FlightPlan): Promise<AcquiredToken> {
  const { client, about, clock, fleet, options } = context;
  for (let leftMs = options.retry.totalMs; ;) {
    try {
      return await fleet.once({
        client,
        keys: await plan.key.keys(),
        leaseMs: leaseMsOf(context),
        acceptable: plan.acceptable,
        apart: context.ailing && fleet.store.shared, // alone, a second lock would let two ask at once
        work: (turn) => takeTurn(context, plan, { ...turn, leftMs }),
      });
    } catch (reason) {
      if (!isFinal(reason)) throw FlightFailure.after(reason, about, clock, plan.failures);
      // Another instance may have had its turn meanwhile, so that all begins again.
      if (!(reason instanceof SleptError) || !plan.onBegin()) throw reason;
      leftMs = reason.leftMs ?? options.retry.totalMs;
    }
  }
}

/** Requests the token, unless the process slept, the flight was replaced, or a pause began meanwhile. */
function takeTurn(context: FlightContext, plan: FlightPlan, turn: TimedTurn): Observable<AcquiredToken> {
  const { clock } = context;
  const now = momentOf(clock);
  checkAwake(context, turn);
  if (!plan.onBegin()) throw new SleptError(leftMsOf(context, turn));
  const pause = plan.pauseAt(now); // it began during the wait for this turn
  const error = pause && errorDuring(pause, now);
  if (pause && error) throw new FlightFailure(error, now, remainingMs(now, pause.until));
  let credentials: string | undefined;
  const onSend: OnSend = (presented) => {
    const { rejection } = turn;
    if (rejection && rejection.credentials === presented) throw rejection;
    context.sent.tokenRequests++;
    credentials = presented;
  };
  return askForToken(context, plan, turn, onSend).pipe(
    catchError((reason: unknown) => {
      if (isFinal(reason)) throw reason;
      throw FlightFailure.after(reason, context.about, clock, plan.failures, credentials);
    }),
  );
}

/** What a flight has left of `retry.totalMs`, in milliseconds. The wait for its turn counts as well. */
function leftMsOf({ clock }: FlightContext, { since, leftMs }: TimedTurn): number {
  return leftMs - (clock.monotonic() - since.monotonic);
}

/** Ends a turn of a flight that is older than any in an awake process: callers may have begun another one, or joined it. */
function checkAwake(context: FlightContext, turn: TimedTurn): void {
  if (elapsedMs(momentOf(context.clock), turn.since) <= leaseMsOf(context)) return;
  const leftMs = leftMsOf(context, turn);
  throw new SleptError(leftMs > 0 ? leftMs : undefined);
}

/** A `Retry-After` holds for all tokens of the client. Of two pauses, the longer one counts. */
function pauseClient(context: FlightContext, error: OAuthClientError): void {
  const now = momentOf(context.clock);
  context.pause = longestPause(now, context.pause, { until: later(now, retryAfterMsOf(error) ?? 0), error });
}

/** The longest a flight can take while the process is awake, and a second. */
export function leaseMsOf({ options: { retry: limits, timeoutMs } }: FlightContext): number {
  const { attempts, maxDelayMs, totalMs } = limits;
  return Math.min(attempts * timeoutMs + (attempts - 1) * maxDelayMs, totalMs) + 1_000;
}

/**
 * A token from the authorization server: up to `retry.attempts` requests, each within `timeoutMs`, all of them with
 * their pauses within `retry.totalMs`. Only time in which the process is awake counts.
 *
 * @param turn the wait for which counts towards `retry.totalMs`
 * @throws {SleptError} when the process slept meanwhile
 */
function askForToken(context: FlightContext, plan: FlightPlan, turn: TimedTurn, onSend: OnSend) {
  const { client, clock, closed$ } = context;
  const { timeoutMs, retry: limits } = context.options;
  const leftMs = () => leftMsOf(context, turn);
  const requestIsLate = () => tooLate(client, `did not complete a token request within ${timeoutMs} ms`);
  const isOver = () => flightIsLate(client, limits.totalMs);
  const pause$ = (reason: unknown, failures: number): Observable<unknown> => {
    if (isFinal(reason)) throw reason;
    const error = asOAuthClientError(reason, context.about);
    pauseClient(context, error);
    plan.onFailing();
    const jitteredMs = clock.random() * backoffSlotMs(failures, limits.minDelayMs, limits.maxDelayMs);
    const pauseMs = Math.max(jitteredMs, retryAfterMsOf(error) ?? 0);
    const endsAfterMs = turn.leftMs - leftMs() + Math.min(pauseMs + timeoutMs, leftMs());
    const isInTime = pauseMs < leftMs() && endsAfterMs < leaseMsOf(context); // after its lease, others would ask
    if (!error.retryable || failures >= limits.attempts || !isInTime) throw error;
    return timer(pauseMs, clock.scheduler).pipe(tap(() => checkAwake(context, turn)));
  };
  const flight$ = oneRequest(context, plan.key.details, turn, onSend).pipe(
    whileAwake(timeoutMs, clock, requestIsLate, isAnswer),
    retry({ delay: pause$ }),
  );
  const inTime$ = defer(() => {
    if (leftMs() <= 0) throw isOver();
    return flight$.pipe(whileAwake(leftMs(), clock, isOver));
  });
  let ailing = true; // unless the server answers before another instance has a token
  const heard$ = inTime$.pipe(
    tap({
      next: () => (ailing = false),
      error: (reason: unknown) => {
        const heard = isAnswer(reason) || reason instanceof TokenRequestError;
        ailing = reason instanceof SleptError ? context.ailing : !heard; // a sleep says nothing about the connection to the server
      },
    }),
    finalize(() => (context.ailing = ailing)),
  );
  return race(closed$, heard$); // the closing first, so that nothing is sent once the module is closed
}

/** One token request, aborted when its flight ends. */
function oneRequest(context: FlightContext, details: TokenRequestDetails, { grant }: Turn, onSend: OnSend) {
  const { client, clock, endpoint, tracers } = context;
  const request = async (signal: AbortSignal): Promise<AcquiredToken> => {
    const started = momentOf(clock);
    const send = () => endpoint.request(details, { signal, refreshToken: grant?.refreshToken, onSend });
    const stored = await tracers.reduce((inner, tracer) => () => tracer(client, inner), send)();
    await grant?.keep(stored);
    const { issuedAt, expiresAt } = stored;
    // Not even with a wall clock that was set back is it older than its request.
    if (elapsedMs(momentOf(clock), { ...started, wall: issuedAt }) < expiresAt - issuedAt)
      return { stored, started, source: 'authorization_server' };
    throw tooLate(client, 'took longer to answer than its token lives');
  };
  return defer(() => {
    const controller = new AbortController();
    return from(request(controller.signal)).pipe(finalize(() => controller.abort()));
  });
}

/** Whether the server answered that it is unavailable, which counts even if this process slept. */
function isAnswer(error: unknown): boolean {
  return error instanceof AuthorizationServerUnavailableError && error.status !== undefined;
}

/** How long one look at the store serves all callers. */
const LOOK_MS = 50;

/** One key that the fleet shares: its place in the store, and the tokens found there, with their times by this instance's clock. */
export class SharedKey {
  readonly details: TokenRequestDetails;
  readonly #context: FlightContext;
  readonly #jitter: number;
  /** The removal of a dropped token from the store. */
  #forgotten: Promise<void> | undefined;
  #stored$: Observable<StoredToken | undefined> | undefined;

  constructor(context: FlightContext, details: TokenRequestDetails) {
    this.details = details;
    this.#context = context;
    this.#jitter = 0.9 + 0.2 * context.clock.random();
  }

  /** The keys, once a dropped token is removed from the store. */
  async keys(): Promise<TokenKeys> {
    await this.#forgotten;
    return this.#context.forAll(() => tokenKeys(this.#context.endpoint, this.details));
  }

  /** Removes the token of that value, or any, from the store. Never rejects. */
  forget(value: string | undefined): Promise<void> {
    return (this.#forgotten = this.keys()
      .then(({ key }) => this.#context.fleet.store.delete(key, value))
      .catch(() => undefined)); // the next flight makes the keys again, and reports the problem
  }

  #stored(): Observable<StoredToken | undefined> {
    const { clock, fleet } = this.#context;
    return (this.#stored$ ??= defer(() => this.keys().then(({ key }) => fleet.store.get(key))).pipe(
      share({
        connector: () => new ReplaySubject(1),
        resetOnComplete: () => timer(LOOK_MS, clock.scheduler),
        resetOnRefCountZero: false,
      }),
    ));
  }

  /** Another instance's token, in the store now or a moment ago, that may replace the present one. */
  found(state: () => TokenState): Observable<HeldToken | undefined> {
    return this.#stored().pipe(
      map((stored) => {
        const token = stored && allows(refusing(state()), stored) ? this.hold(stored) : undefined;
        return token?.phaseAt(momentOf(this.#context.clock)) === 'expired' ? undefined : token;
      }),
    );
  }

  /** @param started when the token's request began, if this instance made it */
  hold(stored: StoredToken, started?: Moment): HeldToken {
    const acquired = acquiredAt(stored, momentOf(this.#context.clock), started);
    return new HeldToken(stored, acquired, this.#context.options.refreshAhead, this.#jitter);
  }
}
