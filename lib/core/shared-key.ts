import { ReplaySubject, defer, share, timer, type Observable } from 'rxjs';
import { HeldToken, acquiredAt, type TokenPhase } from './access-token.js';
import { momentOf, type Moment } from './clock.js';
import type { FlightContext } from './flight-context.js';
import { tokenKeys, type TokenKeys, type TokenRequestDetails } from './token-request.js';
import type { StoredToken } from './token-store.js';

/** How long one look at the store serves all callers. */
const LOOK_MS = 50;

/** One key as the fleet shares it: its place in the store, and what is found there as this instance counts its life. */
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

  /** The keys, once what was dropped is gone from the store. */
  async keys(): Promise<TokenKeys> {
    await this.#forgotten;
    return tokenKeys(this.#context.endpoint, this.details);
  }

  /** Removes the token of that value, or any, from the store. */
  forget(value: string | undefined): void {
    this.#forgotten = tokenKeys(this.#context.endpoint, this.details)
      .then(({ key }) => this.#context.fleet.forget(key, value))
      .catch(() => undefined); // the next flight makes the keys again, and tells what is wrong with them
  }

  /** What the store holds, now or a moment ago. Asks nobody for a token. */
  get stored$(): Observable<StoredToken | undefined> {
    const { clock, fleet } = this.#context;
    return (this.#stored$ ??= defer(() => this.keys().then(({ key }) => fleet.look(key))).pipe(
      share({
        connector: () => new ReplaySubject(1),
        resetOnComplete: () => timer(LOOK_MS, clock.scheduler),
        resetOnRefCountZero: false,
      }),
    ));
  }

  /** Where a token out of the store is in its life. */
  phaseOf(stored: StoredToken): TokenPhase {
    return this.hold(stored).phaseAt(momentOf(this.#context.clock));
  }

  /** @param started when its request began, if this instance made it */
  hold(stored: StoredToken, started?: Moment): HeldToken {
    const acquired = acquiredAt(stored, momentOf(this.#context.clock), started);
    return new HeldToken(stored, acquired, this.#context.options.refreshAhead, this.#jitter);
  }
}
