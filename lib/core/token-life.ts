import { Observable, catchError, firstValueFrom, map, of, throwError } from 'rxjs';
import { AccessToken } from './access-token.js';
import { SleptError } from './awake.js';
import { errorDuring, type Pause } from './backoff.js';
import { momentOf, elapsedMs, remainingMs, type Moment } from './clock.js';
import type { OAuthClientError } from './errors.js';
import type { OAuthClientStatus, TokenRequestReason } from './events.js';
import type { FlightContext } from './flight-context.js';
import { HeldToken, acquiredAt } from './held-token.js';
import type { AcquiredToken } from './once-per-fleet.js';
import { RefusedTokens } from './refused-tokens.js';
import { RejectionLimit } from './rejection-limit.js';
import { FlightFailure } from './shared-failure.js';
import { tokenKeys } from './token-endpoint.js';
import { SharedWait, acquireToken, leaseMsOf, waitAtMost } from './token-flight.js';
import type { TokenRequestDetails } from './token-request.js';
import {
  COLD,
  decide,
  isFailing,
  isOverdue,
  next,
  pauseAt,
  type Flight,
  type TokenEvent,
} from './token-state.js';
import type { StoredToken } from './token-store.js';

/** A token younger than this, and not yet accepted, may be unknown to an API that accepted the one before. */
const LAG_MS = 5_000;

/** What an API's 401 comes to: the token may not be known yet; there is a newer one; too soon for another; it is gone. */
export type Rejection = 'lagging' | 'superseded' | 'limited' | 'replaceable';

/** What an event tells of a flight. */
type FlightFacts = { client: string; reason: TokenRequestReason; durationMs: number };

/** The life of one token: one key of one client, from the first request through refreshes, failures and rejections. */
export class TokenLife {
  readonly client: string;
  readonly #context: FlightContext;
  readonly #details: TokenRequestDetails;
  readonly #jitter: number;
  #state = COLD;
  #refused: RefusedTokens | undefined;
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
    return this.#state !== COLD;
  }

  /** The token at hand, without any wait; starts a refresh in the background when one is due. */
  current(): AccessToken | undefined {
    const { held } = this.#state;
    if (held.kind === 'none') return undefined;
    if (held.token.isFresh(this.#context.clock)) return held.token.token;
    const now = momentOf(this.#context.clock);
    if (held.token.phaseAt(now) === 'expired') {
      this.#refuse(held.token);
      this.#apply({ type: 'expired' });
      return undefined;
    }
    const decision = decide(this.#state, now, this.#pause(now));
    if (decision === 'use_and_refresh') this.#join('refresh_ahead', now);
    return decision === 'use' || decision === 'use_and_refresh' ? held.token.token : undefined;
  }

  /** The token at hand as a promise that is already settled, or the shared wait. */
  get(force: boolean): Promise<AccessToken> {
    const { held } = this.#state;
    const current = force ? undefined : this.current();
    if (current !== undefined && held.kind === 'token') return held.token.settled;
    // The common wait needs no subscription of its own: its callers share the flight's promise.
    const { refresh } = this.#state;
    if (held.kind === 'none' && refresh.kind === 'flying' && !this.#isOverdue(momentOf(this.#context.clock)))
      return refresh.flight.promise;
    return firstValueFrom(this.#next(force));
  }

  /** One token, then completes; each subscription decides anew. */
  token$(force: boolean): Observable<AccessToken> {
    return new Observable<AccessToken>((subscriber) => this.#next(force).subscribe(subscriber));
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
    const age = elapsedMs(momentOf(clock), held.token.acquired);
    if (held.standing === 'successor' && age < LAG_MS) return 'lagging';
    const limited = !(this.#rejections ??= new RejectionLimit(clock)).allow(held.standing === 'accepted');
    emit({ type: 'token_rejected', client, reason: 'rejected', limited, expiresAt: rejected.expiresAt });
    if (limited) return 'limited';
    this.drop('rejected');
    return 'replaceable';
  }

  /** Forgets the token in hand, here and in the store; one on its way is welcome. With `only`, just that token. */
  drop(because: 'rejected' | 'forced', only?: AccessToken): void {
    const { endpoint, fleet, emit } = this.#context;
    const { held } = this.#state;
    const token = held.kind === 'token' ? held.token : undefined;
    if (only && token?.token.value !== only.value) return;
    if (token) this.#refuse(token);
    this.#apply({ type: 'dropped', because });
    this.#forgotten = tokenKeys(endpoint, this.#details)
      .then(({ key }) => fleet.forget(key, token?.token.value))
      .catch(() => undefined); // the next flight makes the keys again, and tells what is wrong with them
    const about = { client: this.client, reason: because };
    emit({ type: 'token_invalidated', ...about, ...(token && { expiresAt: token.token.expiresAt }) });
  }

  /** Gives up whatever there is: the token in hand, one in the store, and one on its way. */
  giveUp(): void {
    const { refresh } = this.#state;
    (this.#refused ??= new RefusedTokens()).giveUp(momentOf(this.#context.clock), refresh.kind === 'flying');
    this.drop('forced');
    this.#apply({ type: 'given_up' });
  }

  /** How this token fares. */
  status(): Omit<OAuthClientStatus, 'client' | 'tokenRequests'> {
    const now = momentOf(this.#context.clock);
    const { held, refresh, failure } = this.#state;
    const token = held.kind === 'token' ? held.token : undefined;
    const usable = token !== undefined && token.phaseAt(now) !== 'expired';
    const pause = this.#pause(now);
    const calm = refresh.kind === 'flying' ? 'refreshing' : usable ? 'fresh' : 'idle';
    return {
      state: isFailing(this.#state) ? (usable ? 'degraded' : 'down') : calm,
      ...(token && {
        expiresAt: token.token.expiresAt,
        acquiredAt: new Date(token.acquired.wall),
        refreshAt: new Date(token.refreshAt),
      }),
      ...(pause && { backoffUntil: new Date(now.wall + remainingMs(now, pause.until)) }),
      ...(failure && { lastError: { code: failure.error.code, at: new Date(failure.at) } }),
    };
  }

  #apply(event: TokenEvent): void {
    this.#state = next(this.#state, event);
  }

  /** So that a store does not bring it back. */
  #refuse(token: HeldToken): void {
    (this.#refused ??= new RefusedTokens()).reject(token);
  }

  #pause(now: Moment): Pause | undefined {
    return pauseAt(this.#state, this.#context.pause, now);
  }

  #isOverdue(now: Moment): boolean {
    return isOverdue(this.#state.refresh, now, leaseMsOf(this.#context));
  }

  #next(force: boolean): Observable<AccessToken> {
    const current = force ? undefined : this.current();
    if (current !== undefined) return of(current);
    const { held } = this.#state;
    const now = momentOf(this.#context.clock);
    const pause = this.#pause(now);
    const decision = force
      ? decide({ ...this.#state, held: COLD.held }, now, pause)
      : decide(this.#state, now, pause);
    if (decision === 'fail' && pause?.error) {
      const error = errorDuring(pause, pause.error, now);
      return throwError(() => error);
    }
    if (force) return this.#join('forced', now).token$;
    if (held.kind === 'none') return this.#join(held.because, now).token$;
    return this.#spared(held.token, this.#join('refresh_ahead', now), now);
  }

  /** In its last moments the token in hand still beats an error, and a wait that would outlast it. */
  #spared(held: HeldToken, flight: Flight, now: Moment): Observable<AccessToken> {
    const { clock } = this.#context;
    const spare = () => {
      const { held: present } = this.#state;
      const stillThere = present.kind === 'token' && present.token === held;
      return stillThere && held.phaseAt(momentOf(clock)) !== 'expired' ? held.token : undefined;
    };
    const onTooSlow = () => this.#apply({ type: 'slow', flight });
    return waitAtMost(flight.token$, held.remainingMs(now) / 2, clock.scheduler, spare, onTooSlow);
  }

  /** The flight under way, or a new one. */
  #join(reason: TokenRequestReason, now: Moment): Flight {
    const { refresh } = this.#state;
    if (refresh.kind !== 'flying') return this.#takeOff(reason, now);
    if (!this.#isOverdue(now)) return refresh.flight;
    this.#apply({ type: 'abandoned', flight: refresh.flight });
    return this.#takeOff(reason, now);
  }

  #takeOff(reason: TokenRequestReason, now: Moment): Flight {
    const { clock, endpoint, emit } = this.#context;
    const { held, failures, failure } = this.#state;
    const replaced = held.kind === 'token' ? held.token : undefined;
    // A forced refresh is for a token that is newer than what there is, here or in the store.
    const after =
      replaced?.acquired.wall ?? (reason === 'forced' ? clock.now() - 1 : Number.NEGATIVE_INFINITY);
    const acquired$ = acquireToken(this.#context, {
      keys: async () => {
        await this.#forgotten;
        return tokenKeys(endpoint, this.#details);
      },
      details: this.#details,
      failures,
      failedAt: failure?.at,
      acceptable: (stored) => this.#acceptable(stored, replaced, after),
      onBegin: () => {
        this.#apply({ type: 'began', flight, now: momentOf(clock) });
        return this.#isCurrent(flight);
      },
      onFailing: () => this.#apply({ type: 'failing', flight }),
    });
    const about = () => ({ client: this.client, reason, durationMs: clock.monotonic() - now.monotonic });
    const flight: Flight = new SharedWait(
      acquired$.pipe(
        map((acquired) => {
          const token = this.#land(flight, acquired);
          const { expiresAt, scope } = token;
          emit({ type: 'token_acquired', ...about(), source: acquired.source, expiresAt, scope });
          return token;
        }),
        catchError((cause: unknown) => this.#crash(flight, cause, about)),
      ),
    );
    this.#apply({ type: 'took_off', flight, now });
    void flight.promise; // it goes on without its callers
    return flight;
  }

  #isCurrent(flight: Flight): boolean {
    const { refresh } = this.#state;
    return refresh.kind === 'flying' && refresh.flight === flight;
  }

  #land(flight: Flight, { stored, started }: AcquiredToken): AccessToken {
    // What was asked for before it was given up serves those who wait for it, and nobody else.
    if (!this.#isCurrent(flight) && this.#refused?.gaveUp(started) !== false) return new AccessToken(stored);
    const { clock } = this.#context;
    const now = momentOf(clock);
    this.#refused?.renewed();
    this.#apply({
      type: 'landed',
      flight,
      token: this.#hold(stored, started, now),
      now,
      chance: clock.random(),
    });
    const { held } = this.#state;
    return held.kind === 'token' ? held.token.token : new AccessToken(stored);
  }

  /** The state after a flight that failed; a flight that another one has replaced hands its callers on to that one. */
  #crash(flight: Flight, cause: unknown, about: () => FlightFacts): Observable<AccessToken> {
    const current = this.#isCurrent(flight);
    const now = momentOf(this.#context.clock);
    if (cause instanceof SleptError || (!current && this.#state.refresh.kind === 'flying'))
      return this.#next(false);
    const { error, pauseMs } =
      cause instanceof FlightFailure ? cause : { error: cause as OAuthClientError, pauseMs: 0 };
    if (cause instanceof FlightFailure)
      this.#apply({ type: 'crashed', flight, error, pauseMs, now: cause.at });
    else this.#apply({ type: 'abandoned', flight });
    const { held } = this.#state;
    if (held.kind === 'token' && held.token.phaseAt(now) !== 'expired') {
      const { expiresAt } = held.token.token;
      this.#context.emit({ type: 'token_refresh_failed', ...about(), expiresAt, error });
    } else this.#context.emit({ type: 'token_request_failed', ...about(), error });
    return throwError(() => error);
  }

  #hold(stored: StoredToken, started: Moment | undefined, now: Moment): HeldToken {
    const { refreshAhead } = this.#context;
    return new HeldToken(stored, acquiredAt(stored, now, started), refreshAhead, this.#jitter);
  }

  #acceptable(stored: StoredToken, replaced: HeldToken | undefined, after: number): boolean {
    if (stored.failure || this.#refused?.allow(stored) === false) return false;
    const now = momentOf(this.#context.clock);
    const phase = this.#hold(stored, undefined, now).phaseAt(now);
    if (phase === 'expired' || phase === 'reserve') return false;
    return stored.issuedAt > after && stored.value !== replaced?.token.value;
  }
}
