import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { NEVER } from 'rxjs';
import { later, type Moment } from '../../lib/core/clock.js';
import { OAuthClientError } from '../../lib/core/errors.js';
import { FlightFailure } from '../../lib/core/flight-failure.js';
import { HeldToken } from '../../lib/core/access-token.js';
import {
  COLD,
  decide,
  next,
  pauseAt,
  underWay,
  type TokenEvent,
  type TokenState,
} from '../../lib/core/token-state.js';
import type { Flight } from '../../lib/core/flight-context.js';
import { START } from './virtual-clock.js';

const LIMIT_MS = 16_000;
const LONGEST_PAUSE_MS = 3_600_000;
const AHEAD = { ratio: 0.25, maxMs: 300_000 };

/** What may happen next; flights and tokens are chosen by number among those there have been. */
type Step =
  | { do: 'call' }
  | { do: 'land' | 'crash' | 'fail' | 'slow' | 'begin'; flight: number; ms: number }
  | { do: 'accept' | 'doubt' | 'expire' | 'give_up' }
  | { do: 'find'; ms: number }
  | { do: 'drop'; because: 'rejected' | 'forced' }
  | { do: 'pass' | 'set_back' | 'sleep'; ms: number };

/** Plays steps against the pure functions as a token's life does, and notes every promise that was broken. */
class Life {
  state: TokenState = COLD;
  now: Moment = { wall: START, monotonic: 7_000 };
  readonly broken: string[] = [];
  readonly #flights: Flight[] = [];
  #tokens = 0;

  play(step: Step): void {
    const before = this.state;
    switch (step.do) {
      case 'call':
        return this.#call();
      case 'pass':
        this.now = later(this.now, step.ms);
        return;
      case 'set_back':
        this.now = { ...this.now, wall: this.now.wall - step.ms };
        return;
      case 'sleep':
        this.now = { ...this.now, wall: this.now.wall + step.ms };
        return;
      case 'accept':
        return this.#apply({ type: 'accepted' });
      case 'doubt':
        this.#apply({ type: 'doubted' });
        if (this.#valid(before) !== this.#valid(this.state)) this.broken.push('a doubt displaced the token');
        return;
      case 'expire':
        if (before.held.kind === 'token' && !this.#valid(before))
          this.#apply({ type: 'dropped', because: 'expired' });
        return;
      case 'find':
        this.#apply({ type: 'found', token: this.#token(step.ms) });
        if (before.held.kind === 'token' && this.state !== before)
          this.broken.push('what was found displaced a token');
        if (this.state.refresh !== before.refresh) this.broken.push('what was found changed the refresh');
        return;
      case 'drop':
        return this.#apply({ type: 'dropped', because: step.because });
      case 'give_up':
        return this.#apply({ type: 'given_up', now: this.now });
      default: {
        const flight = this.#flights[step.flight % Math.max(1, this.#flights.length)];
        if (flight) this.#fly(step.do, flight, step.ms);
      }
    }
  }

  /** What a caller does: use the token, wait for a flight or start one. */
  #call(): void {
    const decision = decide(this.state, this.now, pauseAt(this.state, undefined, this.now));
    if (decision.startsWith('use') && !this.#valid(this.state)) this.broken.push('an expired token is used');
    if (decision === 'wait' && this.#fresh(this.state)) this.broken.push('a caller waits with a fresh token');
    if (decision === 'fail' && this.#valid(this.state)) this.broken.push('a caller fails with a valid token');
    if (decision !== 'wait' && decision !== 'use_and_refresh') return;
    const { refresh } = this.state;
    if (refresh.kind === 'flying') {
      if (underWay(this.state, this.now, LIMIT_MS)) return;
      this.#apply({ type: 'abandoned', flight: refresh.flight });
    }
    this.#takeOff();
  }

  #takeOff(): void {
    const flight: Flight = { token$: NEVER, promise: new Promise(() => undefined) };
    this.#flights.push(flight);
    if (this.state.refresh.kind === 'flying') this.broken.push('a second flight');
    this.#apply({ type: 'took_off', flight, now: this.now });
  }

  #fly(what: string, flight: Flight, ms: number): void {
    const { now, state: before } = this;
    const current = before.refresh.kind === 'flying' && before.refresh.flight === flight;
    switch (what) {
      case 'land':
        this.#apply({ type: 'landed', flight, token: this.#token(ms), now, chance: 0.5 });
        if (current && !this.#valid(this.state)) this.broken.push('no valid token after a landing');
        break;
      case 'crash': {
        const error = new OAuthClientError('token_response_invalid', 'no');
        const failure = new FlightFailure(error, now, Math.min(ms, LONGEST_PAUSE_MS));
        this.#apply({ type: 'crashed', flight, failure });
        if (this.state.held !== before.held) this.broken.push('a failure displaced the token');
        break;
      }
      case 'begin':
        this.#apply({ type: 'flies_on', flight, since: now });
        break;
      default:
        this.#apply({ type: 'flies_on', flight, course: what === 'fail' ? 'failing' : 'in_background' });
    }
    if (!current && this.state.refresh !== before.refresh)
      this.broken.push('an old flight changed the refresh');
  }

  /** After the longest pause, once the server is well, the next call has a token. */
  end(): void {
    this.now = later(this.now, LONGEST_PAUSE_MS + 1);
    if (this.state.held.kind === 'token' && !this.#valid(this.state))
      this.#apply({ type: 'dropped', because: 'expired' });
    this.#call();
    const { refresh } = this.state;
    if (refresh.kind === 'flying')
      this.#apply({
        type: 'landed',
        flight: refresh.flight,
        token: this.#token(60_000),
        now: this.now,
        chance: 0.5,
      });
    if (!this.#valid(this.state)) this.broken.push('a state without a way out');
    const ends = pauseAt(this.state, undefined, later(this.now, 60_001));
    if (ends) this.broken.push('a pause without an end');
  }

  #apply(event: TokenEvent): void {
    this.state = next(this.state, event);
  }

  #token(lifetimeMs: number): HeldToken {
    const stored = {
      value: `t${++this.#tokens}`,
      tokenType: 'Bearer' as const,
      issuedAt: this.now.wall,
      expiresAt: this.now.wall + Math.max(1, lifetimeMs),
    };
    return new HeldToken(stored, this.now, AHEAD, 1);
  }

  #valid({ held }: TokenState): boolean {
    return held.kind === 'token' && held.token.phaseAt(this.now) !== 'expired';
  }

  #fresh({ held }: TokenState): boolean {
    if (held.kind === 'none' || held.standing === 'doubtful') return false;
    return held.token.phaseAt(this.now) === 'fresh';
  }
}

const ms = fc.oneof(fc.integer({ min: 0, max: 20_000 }), fc.integer({ min: 0, max: 4_000_000 }));
const flight = fc.nat({ max: 7 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.constant({ do: 'call' as const }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom('land', 'crash', 'fail', 'slow', 'begin'),
      flight,
      ms,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('find' as const), ms }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('pass', 'pass', 'set_back', 'sleep'), ms }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('accept', 'doubt', 'expire', 'give_up') }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('drop' as const),
      because: fc.constantFrom('rejected', 'forced'),
    }),
  },
);

describe('Whatever happens to the states of a token', () => {
  it('no expired token is used, no failure displaces a valid one, one flight at most, and every state has a way out', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const life = new Life();
        for (const taken of steps) life.play(taken);
        life.end();
        expect(life.broken).toEqual([]);
      }),
      { numRuns: 3_000 },
    );
  });

  it('a state is replaced and never changed', () => {
    const frozen = (state: TokenState): TokenState => {
      Object.freeze(state.held);
      Object.freeze(state.refresh);
      return Object.freeze(state);
    };
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const life = new Life();
        for (const taken of steps) {
          life.state = frozen(life.state);
          life.play(taken);
        }
      }),
    );
  });
});
