import { catchError, defer, firstValueFrom, map, of, throwError, type Observable } from 'rxjs';
import { type AccessToken, HeldToken, acquiredAt } from './access-token.js';
import { SleptError, elapsedMs, later, momentOf, type Moment } from './clock.js';
import { errorDuring, type Pause } from './backoff.js';
import type { TokenRequestReason, TokenStatus } from './events.js';
import type { FlightContext } from './flight-context.js';
import { FlightFailure } from './flight-failure.js';
import type { AcquiredToken } from './once-per-fleet.js';
import { RejectionLimit } from './rejection-limit.js';
import { tokenKeys, type TokenRequestDetails } from './token-request.js';
import {
  asOAuthClientError,
  acquireToken,
  leaseMsOf,
  orSpare,
  sharedWait,
  type Flight,
  type FlightPlan,
} from './token-flight.js';
import * as states from './token-state.js';
import type { Refused, TokenEvent } from './token-state.js';
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
    const { held, refresh } = this.#state;
    if (current !== undefined && held.kind === 'token') return held.token.settled;
    // The common wait needs no subscription of its own: its callers share the flight's promise.
    if (
      held.kind === 'none' &&
      refresh.kind === 'flying' &&
      !states.isOverdue(this.#state, momentOf(this.#context.clock), leaseMsOf(this.#context))
    )
      return refresh.flight.promise;
    return firstValueFrom(this.#next(force));
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
    const { client, clock, emit } = this.#context;
    const ageMs = elapsedMs(momentOf(clock), held.token.acquired);
    if (held.standing === 'successor' && ageMs < LAG_MS) return 'lagging';
    const limited = !(this.#rejections ??= new RejectionLimit(clock)).allow(held.standing === 'accepted');
    emit({ type: 'token_rejected', client, reason: 'rejected', limited, expiresAt: rejected.expiresAt });
    if (limited) return 'limited';
    this.drop('rejected');
    return 'replaceable';
  }

  /** Forgets the token in hand, here and in the store; one on its way is welcome. With `only`, just that token. */
  drop(because: 'rejected' | 'forced', only?: AccessToken): void {
    const { client, endpoint, fleet, emit } = this.#context;
    const { held } = this.#state;
    const token = held.kind === 'token' ? held.token.token : undefined;
    if (only && token?.value !== only.value) return;
    this.#apply({ type: 'dropped', because });
    this.#forgotten = tokenKeys(endpoint, this.#details)
      .then(({ key }) => fleet.forget(key, token?.value))
      .catch(() => undefined); // the next flight makes the keys again, and tells what is wrong with them
    emit({
      type: 'token_invalidated',
      client,
      reason: because,
      ...(token && { expiresAt: token.expiresAt }),
    });
  }

  /** Gives up whatever there is: the token in hand, one in the store, and one on its way. */
  giveUp(): void {
    this.drop('forced');
    this.#apply({ type: 'given_up', now: momentOf(this.#context.clock) });
  }

  /** How this token fares. */
  status(): TokenStatus {
    const now = momentOf(this.#context.clock);
    return states.statusOf(this.#state, now, this.#pause(now));
  }

  #apply(event: TokenEvent): void {
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
    const spare = () =>
      states.unexpired(this.#state, momentOf(clock))?.token === held ? held.token : undefined;
    const onSlow = () => this.#apply({ type: 'flies_on', flight, course: 'in_background' });
    return orSpare(flight.token$, held.remainingMs(now) / 2, clock.scheduler, spare, onSlow);
  }

  /** The flight under way, or a new one. */
  #join(reason: TokenRequestReason, now: Moment): Flight {
    const { refresh } = this.#state;
    if (refresh.kind !== 'flying') return this.#takeOff(reason, now);
    if (!states.isOverdue(this.#state, now, leaseMsOf(this.#context))) return refresh.flight;
    this.#apply({ type: 'abandoned', flight: refresh.flight });
    return this.#takeOff(reason, now);
  }

  #takeOff(reason: TokenRequestReason, now: Moment): Flight {
    const { client, clock, emit } = this.#context;
    const about = () => ({ client, reason, durationMs: clock.monotonic() - now.monotonic });
    const acquired$ = defer(() => acquireToken(this.#context, this.#plan(flight, reason)));
    const token$: Observable<AccessToken> = acquired$.pipe(
      map((acquired) => {
        const token = this.#land(flight, acquired);
        const { expiresAt, scope } = token;
        emit({ type: 'token_acquired', ...about(), source: acquired.source, expiresAt, scope });
        return token;
      }),
      catchError((cause: unknown) => {
        // A flight that another one has replaced hands its callers on to that one.
        const replaced = !states.isPresent(this.#state, flight) && this.#state.refresh.kind === 'flying';
        if (cause instanceof SleptError || replaced) return this.#next(false);
        const failure = cause instanceof FlightFailure ? cause : undefined;
        const error = failure ? failure.error : asOAuthClientError(cause, client);
        this.#apply(failure ? { type: 'crashed', flight, failure } : { type: 'abandoned', flight });
        const held = states.unexpired(this.#state, momentOf(clock));
        if (!held) emit({ type: 'token_request_failed', ...about(), error });
        else emit({ type: 'token_refresh_failed', ...about(), expiresAt: held.token.token.expiresAt, error });
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
    const forcedCold = reason === 'forced' && held.kind === 'none';
    const replaced: Refused = forcedCold
      ? { before: later(momentOf(clock), -1) }
      : states.refusing(this.#state);
    return {
      keys: async () => {
        await this.#forgotten;
        return tokenKeys(endpoint, this.#details);
      },
      details: this.#details,
      failures,
      acceptable: (stored) => {
        if (stored.failure || !states.allows(this.#state.refused, stored) || !states.allows(replaced, stored))
          return false;
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
    const { clock, refreshAhead } = this.#context;
    return new HeldToken(stored, acquiredAt(stored, momentOf(clock), started), refreshAhead, this.#jitter);
  }
}
