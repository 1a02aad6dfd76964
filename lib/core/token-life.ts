import { catchError, defer, firstValueFrom, map, mergeMap, of, throwError, timeout } from 'rxjs';
import type { Observable } from 'rxjs';
import type { AccessToken, HeldToken } from './access-token.js';
import { SleptError, elapsedMs, later, momentOf, type Moment } from './clock.js';
import { errorDuring } from './backoff.js';
import type { TokenRequestReason } from './events.js';
import type { Flight, FlightContext } from './flight-context.js';
import { FlightFailure, asOAuthClientError } from './flight-failure.js';
import { inTimeLeft } from './flight-time.js';
import type { AcquiredToken } from './once-per-fleet.js';
import { LAG_MS, RejectionLimit, type Rejection } from './rejection-limit.js';
import type { TokenRequestDetails } from './token-request.js';
import { SharedKey, acquireToken, leaseMsOf, sharedWait, type FlightPlan } from './token-flight.js';
import * as states from './token-state.js';

/** The life of one token: one key of one client, from the first request through refreshes, failures and rejections. */
export class TokenLife {
  readonly #context: FlightContext;
  readonly #key: SharedKey;
  #state = states.COLD;
  #rejections: RejectionLimit | undefined;
  /** When an API first accepted a token, the last time that happened; on the monotonic clock. */
  #acceptedAt = Number.NEGATIVE_INFINITY;

  constructor(context: FlightContext, details: TokenRequestDetails) {
    this.#context = context;
    this.#key = new SharedKey(context, details);
  }

  /** Whether it is one of that client's, or of that tenant's. */
  isOf(context: FlightContext): boolean {
    return this.#context === context;
  }

  /** `COLD` until a token is first requested. */
  get state(): states.TokenState {
    return this.#state;
  }

  /** The present token, without any wait. Starts a refresh in the background when one is due. */
  current(): AccessToken | undefined {
    const { held } = this.#state;
    if (held.kind === 'none') return undefined;
    if (held.standing !== 'doubtful' && held.token.isFresh(this.#context.clock)) return held.token.token;
    const now = momentOf(this.#context.clock);
    if (!states.unexpired(this.#state, now)) {
      this.#apply({ type: 'dropped', because: 'expired' });
      return undefined;
    }
    const decision = states.decide(this.#state, now, states.pauseAt(this.#state, this.#context.pause, now));
    if (decision === 'use_and_refresh') this.#join('refresh_ahead', now);
    return decision === 'use' || decision === 'use_and_refresh' ? held.token.token : undefined;
  }

  /** A settled promise of the present token, or the shared wait. */
  get(force: boolean): Promise<AccessToken> {
    const current = force ? undefined : this.current();
    const { held } = this.#state;
    if (current !== undefined && held.kind === 'token') return held.token.settled;
    // Most waiting callers share the flight's promise, without a subscription each.
    const flight = held.kind === 'none' ? this.#underWay(momentOf(this.#context.clock)) : undefined;
    return flight?.promise ?? firstValueFrom(this.#next(force));
  }

  /** Emits one token and completes. Each subscription decides anew, and gets what it waits for in its own asynchronous context. */
  token$(force: boolean): Observable<AccessToken> {
    return defer(() => this.#next(force));
  }

  /** An API accepted the token, so earlier rejections no longer count. */
  accept(token: AccessToken): void {
    const { held } = this.#state;
    if (held.kind === 'none' || held.standing === 'accepted' || held.token.token !== token) return;
    this.#acceptedAt = this.#context.clock.monotonic();
    this.#apply({ type: 'accepted' });
  }

  /**
   * An API answered 401 to `rejected`. Forgets exactly that token, unless that is too soon, or the API may have learnt
   * of it only since the request went out (`sentAt`, monotonic).
   */
  reject(rejected: AccessToken, sentAt = Number.POSITIVE_INFINITY): Rejection {
    const { held } = this.#state;
    if (held.kind === 'none' || !states.holds(this.#state, rejected)) return 'superseded';
    const { about, clock, events$, fleet } = this.#context;
    const ageMs = elapsedMs(momentOf(clock), held.token.acquired);
    if ((held.standing === 'successor' || sentAt < this.#acceptedAt) && ageMs < LAG_MS) return 'lagging';
    const accepted = held.standing === 'accepted';
    const rejections = (this.#rejections ??= new RejectionLimit(clock));
    const limited = !rejections.allow(accepted);
    const unshared = accepted && rejections.repeated && !fleet.store.shared;
    const { expiresAt } = rejected;
    events$.next({ type: 'token_rejected', reason: 'rejected', ...about, limited, unshared, expiresAt });
    if (limited) return 'limited';
    void this.drop('rejected');
    return 'replaceable';
  }

  /** The token that replaced a refused one, or is about to, here or in the store. Makes no token request. */
  async successorOf(refused: AccessToken): Promise<AccessToken | undefined> {
    const isHeld = () => states.holds(this.#state, refused);
    const flight = isHeld() && this.#underWay(momentOf(this.#context.clock));
    if (flight) await flight.promise.catch(() => undefined); // an event reports it
    const better = isHeld() && (await firstValueFrom(this.#key.found(() => this.#state)));
    if (better && isHeld()) {
      this.#apply({ type: 'dropped', because: 'rejected' });
      this.#apply({ type: 'found', token: better });
    }
    return isHeld() ? undefined : this.get(false);
  }

  /**
   * Drops the present token, here and in the store; with `only`, just that one. A flight under way may still bring another,
   * unless `why` is `given_up`, or `forgotten`, which also removes what the flight stores. Resolves once the store has neither.
   */
  async drop(why: 'rejected' | 'given_up' | 'forgotten', only?: AccessToken): Promise<void> {
    const { about, clock, events$ } = this.#context;
    const token = this.#state.held.kind === 'token' ? this.#state.held.token.token : undefined;
    if (only && token?.value !== only.value) return;
    const flight = this.#underWay(momentOf(clock));
    const reason = why === 'rejected' ? why : 'forced';
    this.#apply({ type: 'dropped', because: reason });
    const removed = this.#key.forget(token?.value);
    const lost = token && { expiresAt: token.expiresAt };
    events$.next({ type: 'token_invalidated', ...about, reason, ...lost });
    if (why !== 'rejected') this.#apply({ type: 'given_up', now: momentOf(clock) });
    await removed;
    if (why !== 'forgotten') return;
    await flight?.promise.catch(() => undefined); // its callers see the failure
    await this.#key.forget(undefined);
  }

  /** The API may no longer accept the present token: it is used only while there is no other. */
  doubt(): void {
    this.#apply({ type: 'doubted' });
  }

  #apply(event: states.TokenEvent): void {
    this.#state = states.next(this.#state, event);
  }

  #next(force: boolean): Observable<AccessToken> {
    const current = force ? undefined : this.current();
    if (current !== undefined) return of(current);
    const now = momentOf(this.#context.clock);
    const pause = states.pauseAt(this.#state, this.#context.pause, now);
    const held = force ? states.COLD.held : this.#state.held;
    if (states.decide({ ...this.#state, held }, now, pause) === 'fail' && pause) {
      const failed$ = throwError(() => errorDuring(pause, now));
      return !force && this.#context.fleet.store.shared ? this.#found(failed$) : failed$;
    }
    if (held.kind === 'none') return this.#join(force ? 'forced' : held.because, now).token$;
    return this.#spared(held.token, this.#join('refresh_ahead', now), now);
  }

  /** During a pause, this instance uses the tokens that others store. */
  #found(failed$: Observable<never>): Observable<AccessToken> {
    const found$ = defer(() => firstValueFrom(this.#key.found(() => this.#state)));
    return found$.pipe(
      mergeMap((token) => {
        if (token) this.#apply({ type: 'found', token });
        const held = states.unexpired(this.#state, momentOf(this.#context.clock));
        return held ? of(held.token.token) : failed$;
      }),
      catchError(() => failed$),
    );
  }

  /** In its last moments, the present token is better than an error, or than a wait that would outlast it. */
  #spared(held: HeldToken, flight: Flight, now: Moment): Observable<AccessToken> {
    const { clock } = this.#context;
    const isUsable = () => states.unexpired(this.#state, momentOf(clock))?.token === held;
    const slow$ = defer(() => {
      this.#apply({ type: 'flies_on', flight, course: 'in_background' });
      return isUsable() ? of(held.token) : flight.token$;
    });
    const first = held.patienceMs(now);
    return flight.token$.pipe(
      timeout({ first, scheduler: clock.scheduler, with: () => slow$ }),
      catchError((error: unknown) => (isUsable() ? of(held.token) : throwError(() => error))),
    );
  }

  #underWay(now: Moment): Flight | undefined {
    return states.underWay(this.#state, now, leaseMsOf(this.#context));
  }

  #join(reason: TokenRequestReason, now: Moment): Flight {
    const present = this.#underWay(now);
    if (present !== undefined) return present;
    const { about: whom, clock, events$ } = this.#context;
    const about = () => ({ ...whom, reason, durationMs: clock.monotonic() - now.monotonic });
    const acquired$ = defer(() => acquireToken(this.#context, this.#plan(flight, reason)));
    const token$: Observable<AccessToken> = acquired$.pipe(
      map((acquired) => {
        if (reason === 'rejected' && acquired.source === 'store') this.#rejections?.refund();
        const token = this.#land(flight, acquired);
        const { expiresAt, scope } = token;
        events$.next({ type: 'token_acquired', ...about(), source: acquired.source, expiresAt, scope });
        return token;
      }),
      catchError((cause: unknown) => {
        if (cause instanceof SleptError)
          return this.#next(reason === 'forced').pipe(inTimeLeft(this.#context, cause));
        const failure = cause instanceof FlightFailure ? cause : undefined;
        const error = failure ? failure.error : asOAuthClientError(cause, whom);
        this.#apply(failure ? { type: 'crashed', flight, failure } : { type: 'abandoned', flight });
        const held = states.unexpired(this.#state, momentOf(clock));
        const type = held ? 'token_refresh_failed' : 'token_request_failed';
        events$.next({ type, ...about(), ...(held && { expiresAt: held.token.token.expiresAt }), error });
        return throwError(() => error);
      }),
    );
    const flight = sharedWait(token$);
    this.#apply({ type: 'took_off', flight, now });
    this.#context.forAll(() => flight.start());
    return flight;
  }

  #plan(flight: Flight, reason: TokenRequestReason): FlightPlan {
    const { clock } = this.#context;
    const replaced = states.refusing(this.#state);
    // A forced refresh needs a token that is newer than any, here or in the store.
    const before = reason === 'forced' ? later(momentOf(clock), -1) : replaced.before;
    return {
      key: this.#key,
      failures: this.#state.failures,
      acceptable: (stored) =>
        [{ ...replaced, before }, this.#state.refused].every((refused) => states.allows(refused, stored)) &&
        ['fresh', 'refresh_due'].includes(this.#key.hold(stored).phaseAt(momentOf(clock))),
      onBegin: () => {
        this.#apply({ type: 'flies_on', flight, since: momentOf(clock) });
        return states.isPresent(this.#state, flight);
      },
      pauseAt: (now) => states.pauseAt(this.#state, this.#context.pause, now),
      onFailing: () => this.#apply({ type: 'flies_on', flight, course: 'failing' }),
    };
  }

  #land(flight: Flight, { stored, started }: AcquiredToken): AccessToken {
    const { clock } = this.#context;
    const current = states.isPresent(this.#state, flight);
    const token = this.#key.hold(stored, started);
    this.#apply({ type: 'landed', flight, token, now: momentOf(clock), chance: clock.random() });
    const { held } = this.#state;
    // A flight from before the token was given up serves only the callers who wait for it.
    return current && held.kind === 'token' ? held.token.token : token.token;
  }
}
