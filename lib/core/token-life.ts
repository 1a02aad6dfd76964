import { catchError, defer, firstValueFrom, map, of, throwError, timeout, type Observable } from 'rxjs';
import { type AccessToken, HeldToken, acquiredAt } from './access-token.js';
import { SleptError, elapsedMs, later, momentOf, type Moment } from './clock.js';
import { errorDuring, type Pause } from './backoff.js';
import type { TokenRequestReason, TokenStatus } from './events.js';
import type { FlightContext } from './flight-context.js';
import { FlightFailure } from './flight-failure.js';
import type { AcquiredToken } from './once-per-fleet.js';
import { RejectionLimit } from './rejection-limit.js';
import { tokenKeys, type TokenRequestDetails } from './token-request.js';
import { acquireToken, asOAuthClientError, leaseMsOf, sharedWait } from './token-flight.js';
import type { Flight, FlightPlan } from './token-flight.js';
import * as states from './token-state.js';
import type { StoredToken } from './token-store.js';

/** A token younger than this, and not yet accepted, may be unknown to an API that accepted the one before. */
const LAG_MS = 5_000;

/** What an API's 401 means: the token may not be known yet; there is a newer one; too soon for another; it is gone. */
export type Rejection = 'lagging' | 'superseded' | 'limited' | 'replaceable';

/** The life of one token: one key of one client, from the first request through refreshes, failures and rejections. */
export class TokenLife {
  readonly client: string;
  readonly #context: FlightContext;
  readonly #details: TokenRequestDetails;
  readonly #jitter: number;
  #state = states.COLD;
  #rejections: RejectionLimit | undefined;
  /** The removal of a dropped token from the store. */
  #forgotten: Promise<void> | undefined;

  constructor(context: FlightContext, details: TokenRequestDetails) {
    this.client = context.client;
    this.#context = context;
    this.#details = details;
    this.#jitter = 0.9 + 0.2 * context.clock.random();
  }

  /** Whether a token was ever asked for. */
  get used(): boolean {
    return this.#state !== states.COLD;
  }

  /** The token at hand, without any wait; starts a refresh in the background when one is due. */
  current(): AccessToken | undefined {
    const { held } = this.#state;
    if (held.kind === 'none') return undefined;
    if (held.token.isFresh(this.#context.clock)) return held.token.token;
    const now = momentOf(this.#context.clock);
    if (!states.unexpired(this.#state, now)) {
      this.#apply({ type: 'dropped', because: 'expired' });
      return undefined;
    }
    const decision = states.decide(this.#state, now, this.#pause(now));
    if (decision === 'use_and_refresh') this.#join('refresh_ahead', now);
    return decision === 'use' || decision === 'use_and_refresh' ? held.token.token : undefined;
  }

  /** The token at hand as a promise that is already settled, or the shared wait. */
  get(force: boolean): Promise<AccessToken> {
    const current = force ? undefined : this.current();
    const { held } = this.#state;
    if (current !== undefined && held.kind === 'token') return held.token.settled;
    // The common wait needs no subscription of its own: its callers share the flight's promise.
    const flight = held.kind === 'none' ? this.#underWay(momentOf(this.#context.clock)) : undefined;
    return flight?.promise ?? firstValueFrom(this.#next(force));
  }

  /** One token, then completes; each subscription decides anew. */
  token$(force: boolean): Observable<AccessToken> {
    return defer(() => this.#next(force));
  }

  /** An API accepted the token: what was held against its predecessors is over. */
  accept(token: AccessToken): void {
    const { held } = this.#state;
    if (held.kind === 'token' && held.standing !== 'accepted' && held.token.token === token)
      this.#apply({ type: 'accepted' });
  }

  /** An API answered 401 to `rejected`. Forgets exactly that token, unless that is too soon. */
  reject(rejected: AccessToken): Rejection {
    const { held } = this.#state;
    if (held.kind === 'none' || held.token.token.value !== rejected.value) return 'superseded';
    const { client, clock, events$ } = this.#context;
    const ageMs = elapsedMs(momentOf(clock), held.token.acquired);
    if (held.standing === 'successor' && ageMs < LAG_MS) return 'lagging';
    const limited = !(this.#rejections ??= new RejectionLimit(clock)).allow(held.standing === 'accepted');
    const { expiresAt } = rejected;
    events$.next({ type: 'token_rejected', client, reason: 'rejected', limited, expiresAt });
    if (limited) return 'limited';
    this.drop('rejected');
    return 'replaceable';
  }

  /** Forgets the token in hand, here and in the store; one on its way is welcome. With `only`, just that token. */
  drop(reason: 'rejected' | 'forced', only?: AccessToken): void {
    const { client, endpoint, fleet, events$ } = this.#context;
    const { held } = this.#state;
    const token = held.kind === 'token' ? held.token.token : undefined;
    if (only && token?.value !== only.value) return;
    this.#apply({ type: 'dropped', because: reason });
    this.#forgotten = tokenKeys(endpoint, this.#details)
      .then(({ key }) => fleet.forget(key, token?.value))
      .catch(() => undefined); // the next flight makes the keys again, and tells what is wrong with them
    const about = token && { expiresAt: token.expiresAt };
    events$.next({ type: 'token_invalidated', client, reason, ...about });
  }

  /** Gives up whatever there is: the token in hand, one in the store, and one on its way. */
  giveUp(): void {
    this.drop('forced');
    this.#apply({ type: 'given_up', now: momentOf(this.#context.clock) });
  }

  status(): TokenStatus {
    const now = momentOf(this.#context.clock);
    return states.statusOf(this.#state, now, this.#pause(now));
  }

  #apply(event: states.TokenEvent): void {
    this.#state = states.next(this.#state, event);
  }

  #pause(now: Moment): Pause | undefined {
    return states.pauseAt(this.#state, this.#context.pause, now);
  }

  #next(force: boolean): Observable<AccessToken> {
    const current = force ? undefined : this.current();
    if (current !== undefined) return of(current);
    const now = momentOf(this.#context.clock);
    const pause = this.#pause(now);
    const held = force ? states.COLD.held : this.#state.held;
    if (states.decide({ ...this.#state, held }, now, pause) === 'fail' && pause)
      return throwError(() => errorDuring(pause, now));
    if (held.kind === 'none') return this.#join(force ? 'forced' : held.because, now).token$;
    return this.#spared(held.token, this.#join('refresh_ahead', now), now);
  }

  /** In its last moments the token in hand still beats an error, and a wait that would outlast it. */
  #spared(held: HeldToken, flight: Flight, now: Moment): Observable<AccessToken> {
    const { clock } = this.#context;
    const isUsable = () => states.unexpired(this.#state, momentOf(clock))?.token === held;
    const slow$ = defer(() => {
      this.#apply({ type: 'flies_on', flight, course: 'in_background' });
      return isUsable() ? of(held.token) : flight.token$;
    });
    return flight.token$.pipe(
      timeout({ first: held.remainingMs(now) / 2, scheduler: clock.scheduler, with: () => slow$ }),
      catchError((error: unknown) => (isUsable() ? of(held.token) : throwError(() => error))),
    );
  }

  /** The flight that callers may wait for. */
  #underWay(now: Moment): Flight | undefined {
    const { refresh } = this.#state;
    const overdue = states.isOverdue(this.#state, now, leaseMsOf(this.#context));
    return refresh.kind === 'flying' && !overdue ? refresh.flight : undefined;
  }

  #join(reason: TokenRequestReason, now: Moment): Flight {
    return this.#underWay(now) ?? this.#takeOff(reason, now);
  }

  #takeOff(reason: TokenRequestReason, now: Moment): Flight {
    const { client, clock, events$ } = this.#context;
    const about = () => ({ client, reason, durationMs: clock.monotonic() - now.monotonic });
    const acquired$ = defer(() => acquireToken(this.#context, this.#plan(flight, reason)));
    const token$: Observable<AccessToken> = acquired$.pipe(
      map((acquired) => {
        const token = this.#land(flight, acquired);
        const { expiresAt, scope } = token;
        events$.next({ type: 'token_acquired', ...about(), source: acquired.source, expiresAt, scope });
        return token;
      }),
      catchError((cause: unknown) => {
        // The process slept, and another flight took this one's place: its callers get what that one brings.
        if (cause instanceof SleptError) return this.#next(false);
        const failure = cause instanceof FlightFailure ? cause : undefined;
        const error = failure ? failure.error : asOAuthClientError(cause, client);
        this.#apply(failure ? { type: 'crashed', flight, failure } : { type: 'abandoned', flight });
        const held = states.unexpired(this.#state, momentOf(clock));
        const kept = held && { expiresAt: held.token.token.expiresAt };
        const type = held ? 'token_refresh_failed' : 'token_request_failed';
        events$.next({ type, ...about(), ...kept, error });
        return throwError(() => error);
      }),
    );
    const flight = sharedWait(token$);
    this.#apply({ type: 'took_off', flight, now });
    flight.start();
    return flight;
  }

  #plan(flight: Flight, reason: TokenRequestReason): FlightPlan {
    const { clock, endpoint } = this.#context;
    const { held, failures } = this.#state;
    // A forced refresh is for a token that is newer than what there is, here or in the store.
    const anew = reason === 'forced' && held.kind === 'none';
    const replaced: states.Refused = anew
      ? { before: later(momentOf(clock), -1) }
      : states.refusing(this.#state);
    return {
      keys: () => Promise.resolve(this.#forgotten).then(() => tokenKeys(endpoint, this.#details)),
      details: this.#details,
      failures,
      acceptable: (stored) => {
        if (!states.allows(this.#state.refused, stored) || !states.allows(replaced, stored)) return false;
        const phase = this.#hold(stored, undefined).phaseAt(momentOf(clock));
        return phase === 'fresh' || phase === 'refresh_due';
      },
      onBegin: () => {
        this.#apply({ type: 'flies_on', flight, since: momentOf(clock) });
        return states.isPresent(this.#state, flight);
      },
      onFailing: () => this.#apply({ type: 'flies_on', flight, course: 'failing' }),
    };
  }

  #land(flight: Flight, { stored, started }: AcquiredToken): AccessToken {
    const { clock } = this.#context;
    const current = states.isPresent(this.#state, flight);
    const token = this.#hold(stored, started);
    this.#apply({ type: 'landed', flight, token, now: momentOf(clock), chance: clock.random() });
    const { held } = this.#state;
    // What was asked for before it was given up serves the callers who wait for it, and no others.
    return current && held.kind === 'token' ? held.token.token : token.token;
  }

  #hold(stored: StoredToken, started: Moment | undefined): HeldToken {
    const acquired = acquiredAt(stored, momentOf(this.#context.clock), started);
    return new HeldToken(stored, acquired, this.#context.options.refreshAhead, this.#jitter);
  }
}
