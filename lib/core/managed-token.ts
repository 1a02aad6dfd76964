import { Observable, firstValueFrom, of, throwError } from 'rxjs';
import { AccessToken } from './access-token.js';
import { CoolDown } from './backoff.js';
import type { ManagedTokenContext } from './client-context.js';
import type { TokenRequestReason } from './events.js';
import { RefusedTokens } from './refused-tokens.js';
import { RejectionLimit } from './rejection-limit.js';
import { tokenFlight, waitAtMost, type Flight } from './token-flight.js';
import { HeldToken, decide, type TokenDecision, type TokenPhase } from './token-phase.js';
import { tokenKeys } from './token-endpoint.js';
import type { TokenRequestDetails } from './token-request.js';
import type { StoredToken } from './token-store.js';

/** The life of one token: one key of one client, from the first request through refreshes, failures and rejections. */
export class ManagedToken {
  readonly client: string;
  readonly #context: ManagedTokenContext;
  readonly #details: TokenRequestDetails;
  readonly #jitter: number;
  readonly #coolDown: CoolDown;
  #refused: RefusedTokens | undefined;
  #rejections: RejectionLimit | undefined;
  held: HeldToken | undefined;
  #promise: Promise<AccessToken> | undefined;
  #flight: Flight | undefined;
  #forgotten: Promise<void> | undefined;
  #missing: TokenRequestReason = 'cold';
  #everAccepted = false;

  constructor(context: ManagedTokenContext, details: TokenRequestDetails) {
    this.client = context.client;
    this.#context = context;
    this.#details = details;
    this.#jitter = 0.9 + 0.2 * context.clock.random();
    this.#coolDown = new CoolDown(context.clock);
  }

  /** Whether a token was ever asked for. */
  get used(): boolean {
    return this.held !== undefined || this.#flight !== undefined || this.#coolDown.error !== undefined;
  }

  /** Why no flight starts, and for how long: this token's own failures, or a pause that holds for the whole client. */
  get coolDown(): CoolDown {
    return this.#coolDown.or(this.#context.retryAfter);
  }

  get phase(): TokenPhase {
    return this.held?.phase ?? 'none';
  }

  /** Whether the last try came to nothing. */
  get failing(): boolean {
    return this.#coolDown.error !== undefined || this.#flight?.failing === true;
  }

  get inFlight(): boolean {
    return this.#flight !== undefined;
  }

  /** The token at hand, without any wait; starts a refresh behind when one is due. */
  current(): AccessToken | undefined {
    const held = this.held;
    if (held === undefined) return undefined;
    if (held.fresh) return held.token;
    const decision = this.#decide(held.phase);
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
    if (this.held?.token === token) this.held.accepted = this.#everAccepted = true;
  }

  /** Whether the API that rejected `token` may just not know of it yet, so that it deserves a second try. */
  mayBeLagging(token: AccessToken): boolean {
    return this.held?.token === token && this.held.mayBeUnknown;
  }

  /** The second try failed as well: from now on a rejection of the token in hand is meant. */
  ruleOutLag(token: AccessToken): void {
    if (this.held?.token === token) this.held.mayLag = false;
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

  /** Gives up whatever there is: the token in hand, one in the store, and one on its way. */
  giveUp(): void {
    (this.#refused ??= new RefusedTokens(this.#context.clock)).giveUp(this.inFlight);
    this.#flight = undefined;
    this.invalidate('forced');
  }

  /** Forgets the token in hand, here and in the store. */
  invalidate(reason: 'rejected' | 'forced'): void {
    const { client, clock, store, emit } = this.#context;
    const held = this.held;
    this.#missing = reason;
    if (held) (this.#refused ??= new RefusedTokens(clock)).reject(held);
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
    const { client, clock, endpoint, emit } = this.#context;
    const startedAt = clock.monotonic();
    const about = () => ({ client, reason, durationMs: clock.monotonic() - startedAt });
    const replaced = this.held;
    // Who forces wants a token that is newer than what there is, here or in the store.
    const after = replaced?.acquiredAt ?? (reason === 'forced' ? clock.now() - 1 : Number.NEGATIVE_INFINITY);
    const token$ = tokenFlight(
      this.#context,
      {
        keys: async () => {
          await this.#forgotten;
          return tokenKeys(endpoint, this.#details);
        },
        details: this.#details,
        coolDown: this.#coolDown,
        acceptable: (stored) => this.#acceptable(stored, replaced, after),
        onTrouble: () => {
          flight.failing = flight.inTrouble = true;
        },
      },
      ({ stored, source, startedMonotonic }) => {
        // What was asked for before it was given up serves those who wait for it, and nobody else.
        const wanted = this.#end(flight) || this.#refused?.gaveUp(startedMonotonic) === false;
        const token = wanted ? this.#land(stored, startedMonotonic) : new AccessToken(stored);
        const { expiresAt, scope } = token;
        emit({ type: 'token_acquired', ...about(), source, expiresAt, scope });
        return token;
      },
      (error) => {
        this.#end(flight);
        const held = this.#unexpired;
        if (held) emit({ type: 'token_refresh_failed', ...about(), expiresAt: held.token.expiresAt, error });
        else emit({ type: 'token_request_failed', ...about(), error });
      },
    );
    const promise = firstValueFrom(token$);
    const flight: Flight = {
      token$,
      promise,
      failing: false,
      inTrouble: this.phase === 'refresh_due',
    };
    // Nobody may be waiting: the failure is kept in the cool-down and told in an event.
    promise.catch(() => undefined);
    return flight;
  }

  /** True when it was the present one. */
  #end(flight: Flight): boolean {
    if (this.#flight !== flight) return false;
    this.#flight = undefined;
    return true;
  }

  #land(stored: StoredToken, startedMonotonic: number | undefined): AccessToken {
    const { clock, refreshAhead } = this.#context;
    this.#refused?.renewed();
    const previous = this.#unexpired;
    const fresher = previous === undefined || stored.expiresAt > previous.token.expiresAt.getTime();
    const same = previous?.token.value === stored.value;
    if (fresher || !same) {
      this.held = new HeldToken(stored, clock, refreshAhead, this.#jitter, startedMonotonic);
      this.held.accepted = same && previous.accepted;
      this.held.mayLag = this.#everAccepted;
      this.#promise = undefined;
    }
    if (fresher) this.#coolDown.end();
    else this.#coolDown.hold();
    return this.held!.token;
  }

  get #unexpired(): HeldToken | undefined {
    return this.held?.phase === 'expired' ? undefined : this.held;
  }

  #acceptable(stored: StoredToken, replaced: HeldToken | undefined, after: number): boolean {
    if (stored.failure || this.#refused?.allow(stored) === false) return false;
    const { phase } = new HeldToken(stored, this.#context.clock, this.#context.refreshAhead, this.#jitter);
    if (phase === 'expired' || phase === 'reserve') return false;
    return stored.issuedAt > after && stored.value !== replaced?.token.value;
  }
}
