import { Observable, firstValueFrom, of, throwError } from 'rxjs';
import type { AccessToken } from './access-token.js';
import { CoolDown } from './backoff.js';
import type { ManagedTokenContext } from './client-context.js';
import type { OAuthClientError } from './errors.js';
import type { TokenRequestReason } from './events.js';
import { RejectionLimit } from './rejection-limit.js';
import { tokenFlight, waitAtMost, type Acquired } from './token-flight.js';
import { HeldToken, decide, type TokenDecision, type TokenPhase } from './token-phase.js';
import { tokenKeys } from './token-endpoint.js';
import type { TokenRequestDetails } from './token-request.js';
import type { StoredToken } from './token-store.js';

interface Flight {
  /** A request of it failed, and it goes on trying. */
  failing: boolean;
  readonly token$: Observable<AccessToken>;
  readonly promise: Promise<AccessToken>;
  /** It is failing or slow, or began while the token was in no hurry: no reason to wait for it. */
  inTrouble: boolean;
}

/** The life of one token: one key of one client, from the first request through refreshes, failures and rejections. */
export class ManagedToken {
  readonly client: string;
  readonly #context: ManagedTokenContext;
  readonly #details: TokenRequestDetails;
  readonly #jitter: number;
  readonly coolDown: CoolDown;
  #rejections: RejectionLimit | undefined;
  held: HeldToken | undefined;
  #promise: Promise<AccessToken> | undefined;
  #flight: Flight | undefined;
  #forgotten: Promise<void> | undefined;
  #missing: TokenRequestReason = 'cold';
  /** The newest token that an API rejected. */
  #rejected: HeldToken | undefined;

  constructor(context: ManagedTokenContext, details: TokenRequestDetails) {
    this.client = context.client;
    this.#context = context;
    this.#details = details;
    this.#jitter = 0.9 + 0.2 * context.clock.random();
    this.coolDown = new CoolDown(context.clock);
  }

  /** Whether a token was ever asked for. */
  get used(): boolean {
    return this.held !== undefined || this.#flight !== undefined || this.coolDown.error !== undefined;
  }

  get phase(): TokenPhase {
    return this.held?.phase ?? 'none';
  }

  /** Whether the last try came to nothing. */
  get failing(): boolean {
    return this.coolDown.error !== undefined || this.#flight?.failing === true;
  }

  get inFlight(): boolean {
    return this.#flight !== undefined;
  }

  /** The token at hand, without any wait; starts a refresh behind when one is due. */
  current(): AccessToken | undefined {
    const held = this.held;
    if (held === undefined) return undefined;
    const phase = held.phase;
    if (phase === 'fresh') return held.token;
    const decision = this.#decide(phase);
    if (decision === 'use_and_refresh') this.#join('refresh_ahead');
    return decision === 'use' || decision === 'use_and_refresh' ? held.token : undefined;
  }

  /** The token at hand as a promise that is already settled, or the shared wait. */
  get(force: boolean): Promise<AccessToken> {
    const current = force ? undefined : this.current();
    if (current !== undefined) return (this.#promise ??= Promise.resolve(current));
    // The common wait needs no subscription of its own: its callers share the flight's promise.
    if (this.#flight && this.phase !== 'reserve') return this.#flight.promise;
    return firstValueFrom(this.#next(force));
  }

  /** One token, then completes; each subscription decides anew. */
  token$(force: boolean): Observable<AccessToken> {
    return new Observable<AccessToken>((subscriber) => this.#next(force).subscribe(subscriber));
  }

  #next(force: boolean): Observable<AccessToken> {
    const current = force ? undefined : this.current();
    if (current !== undefined) return of(current);
    const { phase } = this;
    if (this.#decide(force ? 'none' : phase) === 'fail') return throwError(() => this.coolDown.errorNow());
    if (phase === 'reserve' && !force) return this.#spared(this.#join('refresh_ahead'));
    return this.#join(force ? 'forced' : phase === 'expired' ? 'expired' : this.#missing).token$;
  }

  /** In its last moments the token in hand still beats an error, and a wait that would outlast it. */
  #spared(flight: Flight): Observable<AccessToken> {
    const held = this.held!;
    const spare = () => (this.held === held && held.phase !== 'expired' ? held.token : undefined);
    const { scheduler } = this.#context.clock;
    return waitAtMost(flight.token$, held.remainingMs / 2, scheduler, spare, () => (flight.inTrouble = true));
  }

  /** An API accepted the token: whatever was held against its predecessors is over. */
  accept(token: AccessToken): void {
    if (this.held?.token === token) this.held.accepted = true;
  }

  /** Whether the API that rejected `token` may just not know of it yet, so that it deserves a second try. */
  mayBeLagging(token: AccessToken): boolean {
    return this.held?.token === token && this.held.mayBeUnknown;
  }

  /** The second try failed as well: from now on a rejection of the token in hand is meant. */
  ruleOutLag(token: AccessToken): void {
    if (this.held?.token === token) this.held.lagRuledOut = true;
  }

  /**
   * An API answered 401 to `rejected`. Forgets exactly that token, unless tokens are being rejected faster than
   * new ones make sense.
   */
  reject(rejected: AccessToken): 'replaceable' | 'superseded' | 'limited' {
    const held = this.held;
    if (held?.token.value !== rejected.value) return 'superseded';
    const { client, emit } = this.#context;
    const limited = !(this.#rejections ??= new RejectionLimit(this.#context.clock)).allow(held.accepted);
    emit({ type: 'token_rejected', client, reason: 'rejected', limited, expiresAt: rejected.expiresAt });
    if (limited) return 'limited';
    this.invalidate('rejected');
    return 'replaceable';
  }

  /** Forgets the token in hand, here and in the store. */
  invalidate(reason: 'rejected' | 'forced'): void {
    const { client, store, emit } = this.#context;
    const held = this.held;
    this.#missing = reason;
    this.#rejected = held ?? this.#rejected;
    this.held = this.#promise = undefined;
    this.#forgotten = tokenKeys(this.#context.endpoint, this.#details)
      .then(({ key }) => store.delete(key, held?.token.value))
      .catch(() => undefined); // the next flight makes the keys again, and tells what is wrong with them
    emit({ type: 'token_invalidated', client, reason, ...(held && { expiresAt: held.token.expiresAt }) });
  }

  #decide(phase: TokenPhase): TokenDecision {
    const { error, remainingMs } = this.coolDown;
    return decide(
      phase,
      remainingMs > 0 && !this.#flight,
      error !== undefined || this.#flight?.inTrouble === true,
    );
  }

  /** The flight under way, or a new one. */
  #join(reason: TokenRequestReason): Flight {
    return (this.#flight ??= this.#takeOff(reason));
  }

  #takeOff(reason: TokenRequestReason): Flight {
    const { clock, track } = this.#context;
    const startedAt = clock.monotonic();
    const replaced = this.held;
    // Who forces wants a token that is newer than what there is, here or in the store.
    const after = replaced?.acquiredAt ?? (reason === 'forced' ? clock.now() - 1 : Number.NEGATIVE_INFINITY);
    const token$ = tokenFlight(
      this.#context,
      {
        keys: async () => {
          await this.#forgotten;
          return tokenKeys(this.#context.endpoint, this.#details);
        },
        details: this.#details,
        coolDown: this.coolDown,
        acceptable: (stored) => this.#acceptable(stored, replaced, after),
        onTrouble: () => {
          flight.failing = flight.inTrouble = true;
        },
      },
      (acquired) => this.#land(acquired, reason, clock.monotonic() - startedAt),
      (error) => this.#crash(error, reason, clock.monotonic() - startedAt),
    );
    const promise = firstValueFrom(token$);
    const flight: Flight = { token$, promise, failing: false, inTrouble: this.phase === 'refresh_due' };
    // Nobody may be waiting: the failure is kept in the cool-down and told in an event.
    track(promise.catch(() => undefined));
    return flight;
  }

  #land(
    { stored, source, startedMonotonic }: Acquired,
    reason: TokenRequestReason,
    durationMs: number,
  ): AccessToken {
    const { client, clock, refreshAhead, emit } = this.#context;
    const previous = this.#unexpired;
    const fresher = previous === undefined || stored.expiresAt > previous.token.expiresAt.getTime();
    const same = previous?.token.value === stored.value;
    this.#flight = undefined;
    if (previous === undefined || fresher || !same) {
      this.held = new HeldToken(stored, clock, refreshAhead, this.#jitter, startedMonotonic);
      this.held.accepted = same && previous.accepted;
      this.#promise = undefined;
    }
    if (fresher) this.coolDown.end();
    else this.coolDown.hold();
    const { token } = this.held!;
    const { expiresAt, scope } = token;
    emit({ type: 'token_acquired', client, reason, source, durationMs, expiresAt, scope });
    return token;
  }

  #crash(error: OAuthClientError, reason: TokenRequestReason, durationMs: number): void {
    const { client, emit } = this.#context;
    this.#flight = undefined;
    const held = this.#unexpired;
    emit({
      type: held ? 'token_refresh_failed' : 'token_request_failed',
      client,
      reason,
      durationMs,
      ...(held && { expiresAt: held.token.expiresAt }),
      error,
    });
  }

  get #unexpired(): HeldToken | undefined {
    return this.held?.phase === 'expired' ? undefined : this.held;
  }

  #acceptable(stored: StoredToken, replaced: HeldToken | undefined, after: number): boolean {
    const rejected = this.#rejected;
    // A store that was away may still hold what was rejected before that one.
    const outdated =
      rejected && (stored.value === rejected.token.value || stored.issuedAt < rejected.acquiredAt);
    if (stored.failure || outdated) return false;
    const { phase } = new HeldToken(stored, this.#context.clock, this.#context.refreshAhead, this.#jitter);
    if (phase === 'expired' || phase === 'reserve') return false;
    return stored.issuedAt > after && stored.value !== replaced?.token.value;
  }
}
