import { describe, expect, it } from '@jest/globals';
import { NEVER } from 'rxjs';
import { HeldToken } from '../../lib/core/access-token.js';
import { errorDuring } from '../../lib/core/backoff.js';
import { later, type Moment } from '../../lib/core/clock.js';
import { AuthorizationServerUnavailableError } from '../../lib/core/errors.js';
import type { Flight } from '../../lib/core/flight-context.js';
import { COLD, next, type TokenEvent, type TokenState } from '../../lib/core/token-state.js';
import { START } from './virtual-clock.js';

const T0: Moment = { wall: START, monotonic: 7_000 };

const flightOf = (): Flight => ({ token$: NEVER, promise: new Promise(() => undefined) });

function tokenOf(value: string, acquired: Moment): HeldToken {
  const { wall: issuedAt } = acquired;
  const stored = { value, tokenType: 'Bearer', issuedAt, expiresAt: issuedAt + 60_000 } as const;
  return new HeldToken(stored, acquired, { ratio: 0.25, maxMs: 300_000 }, 1);
}

const after = (...events: TokenEvent[]): TokenState => events.reduce(next, COLD);
const valueOf = ({ held }: TokenState) => (held.kind === 'token' ? held.token.token.value : held.because);

describe('A flight that was given up', () => {
  const [flight, another] = [flightOf(), flightOf()];
  const givenUp = [
    { type: 'took_off', flight, now: T0 },
    { type: 'given_up', now: later(T0, 100) },
  ] as const;
  const landing = (of: Flight, value: string, acquiredMs: number): TokenEvent => {
    const token = tokenOf(value, later(T0, acquiredMs));
    return { type: 'landed', flight: of, token, now: later(T0, 1_000), chance: 0.5 };
  };

  it('11. brings nothing that was asked for before', () => {
    for (const acquiredMs of [0, 99, 100])
      expect(after(...givenUp, landing(flight, 'old', acquiredMs))).toEqual(after(...givenUp));
  });

  it('11. is welcome with what was asked for since, and leaves a flight under way alone', () => {
    const took_off = { type: 'took_off', flight: another, now: later(T0, 200) } as const;
    const state = after(...givenUp, took_off, landing(flight, 'since', 101));
    expect(valueOf(state)).toBe('since');
    expect(state.refresh).toMatchObject({ kind: 'flying', flight: another });
  });

  it('11. takes the place of no token', () => {
    const took_off = { type: 'took_off', flight: another, now: later(T0, 200) } as const;
    const held = [...givenUp, took_off, landing(another, 'newer', 200)];
    expect(valueOf(after(...held, landing(flight, 'since', 300)))).toBe('newer');
  });
});

describe('A flight that met a failure', () => {
  const flight = flightOf();
  const courseAfter = (...events: TokenEvent[]) => {
    const { refresh } = after({ type: 'took_off', flight, now: T0 }, ...events);
    return refresh.kind === 'flying' ? [refresh.course, refresh.since] : refresh.kind;
  };
  const since = later(T0, 50);

  it('counts as failing until it ends, also when it begins again or proves slow', () => {
    const failing = { type: 'flies_on', flight, course: 'failing' } as const;
    expect(courseAfter({ type: 'flies_on', flight })).toEqual(['awaited', T0]);
    expect(courseAfter({ type: 'flies_on', flight, since })).toEqual(['awaited', since]);
    expect(courseAfter(failing)).toEqual(['failing', T0]);
    expect(courseAfter(failing, { type: 'flies_on', flight, since })).toEqual(['failing', since]);
    const slow = { type: 'flies_on', flight, course: 'in_background' } as const;
    expect(courseAfter(failing, slow)).toEqual(['failing', T0]);
    expect(courseAfter(slow, failing)).toEqual(['failing', T0]);
    expect(courseAfter(failing, { type: 'abandoned', flight })).toBe('idle');
  });
});

describe('A pause', () => {
  it('28. tells callers how long it lasts in whole milliseconds, never too few', () => {
    const about = { client: 'buoy', status: 503, timedOut: true };
    const error = new AuthorizationServerUnavailableError('busy', { ...about, retryAfterMs: 5_000 });
    const during = errorDuring({ until: later(T0, 100.2), error }, T0);
    expect(during).toMatchObject({ ...about, message: 'busy', retryAfterMs: 101 });
  });
});
