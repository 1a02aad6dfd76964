import { describe, expect, it } from '@jest/globals';
import { NEVER } from 'rxjs';
import { HeldToken } from '../../lib/core/access-token.js';
import { errorDuring } from '../../lib/core/backoff.js';
import { later, type Moment } from '../../lib/core/clock.js';
import { AuthorizationServerUnavailableError } from '../../lib/core/errors.js';
import type { Flight } from '../../lib/core/flight-context.js';
import { FlightFailure } from '../../lib/core/flight-failure.js';
import { COLD, decide, next, pauseAt, type TokenEvent, type TokenState } from '../../lib/core/token-state.js';
import { statusOf } from '../../lib/core/token-status.js';
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

  it('29. has failed for nothing once another one landed after it', () => {
    const error = new AuthorizationServerUnavailableError('down', { client: 'partner' });
    const failure = new FlightFailure(error, later(T0, 300), 5_000);
    const again = { type: 'took_off', flight: another, now: later(T0, 200) } as const;
    const state = after(
      ...givenUp,
      again,
      { type: 'given_up', now: later(T0, 250) },
      { type: 'crashed', flight, failure },
      landing(another, 'since', 260),
    );
    expect(statusOf(state, undefined, later(T0, 400))).toMatchObject({ state: 'fresh' });
    expect(state).toMatchObject({ failures: 0, failure: undefined });
  });

  it('29. fails into a pause that is not over before the longest one is', () => {
    const error = new AuthorizationServerUnavailableError('down', { client: 'partner' });
    const crash = (of: Flight, pauseMs: number): TokenEvent => {
      return { type: 'crashed', flight: of, failure: new FlightFailure(error, later(T0, 300), pauseMs) };
    };
    const again = { type: 'took_off', flight: another, now: later(T0, 200) } as const;
    const until = (ms: number, ...events: TokenEvent[]) =>
      pauseAt(after(...givenUp, again, ...events), undefined, later(T0, ms))?.until.wall;
    // The present one's pause is over, that of the one given up is not.
    for (const crashes of [
      [crash(another, 200), crash(flight, 5_000)],
      [crash(flight, 8_000), crash(another, 5_000)],
    ])
      expect(until(1_000, ...crashes)).toBeGreaterThanOrEqual(START + 5_300);
    const third = { type: 'took_off', flight: flightOf(), now: later(T0, 250) } as const;
    const longFirst = [crash(another, 1), crash(flight, 8_000), third, crash(third.flight, 300)];
    expect(until(1_000, ...longFirst)).toBe(START + 8_300);
  });

  it('11. takes the place of no token', () => {
    const took_off = { type: 'took_off', flight: another, now: later(T0, 200) } as const;
    const held = [...givenUp, took_off, landing(another, 'newer', 200)];
    expect(valueOf(after(...held, landing(flight, 'since', 300)))).toBe('newer');
  });

  it('29. begins a pause when it fails after others, which ends when a token lands, and not when that is given up', () => {
    const error = new AuthorizationServerUnavailableError('down', { client: 'partner' });
    const crash = (of: Flight) =>
      ({ type: 'crashed', flight: of, failure: new FlightFailure(error, later(T0, 300), 5_000) }) as const;
    const again = [
      { type: 'took_off', flight: another, now: later(T0, 200) },
      { type: 'given_up', now: later(T0, 250) },
    ] as const;
    const pauseAfter = (...events: TokenEvent[]) =>
      pauseAt(after(...givenUp, ...again, ...events), undefined, later(T0, 400));
    expect(pauseAfter(crash(flight))).toBeUndefined();
    const pause = { until: later(T0, 5_300), error };
    expect(pauseAfter(crash(flight), crash(another))).toMatchObject(pause);
    expect(pauseAfter(crash(flight), crash(another), ...again)).toMatchObject(pause);
    expect(pauseAfter(crash(flight), crash(another), landing(flight, 'since', 260))).toBeUndefined();
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

describe('A token that may be bound to a certificate which was replaced', () => {
  const [flight, another] = [flightOf(), flightOf()];
  const now = later(T0, 10);
  const landing = (of: Flight, token: HeldToken): TokenEvent => ({ type: 'landed', flight: of, token, now, chance: 0.5 }); // prettier-ignore
  const doubted = [
    { type: 'took_off', flight, now: T0 },
    landing(flight, tokenOf('first', T0)),
    { type: 'doubted' },
  ] as const;
  const took_off = { type: 'took_off', flight: another, now } as const;
  const decided = (...events: TokenEvent[]) => {
    const state = after(...doubted, ...events);
    return decide(state, now, pauseAt(state, undefined, now));
  };
  const error = new AuthorizationServerUnavailableError('down', { client: 'partner' });
  const failure = new FlightFailure(error, now, 5_000);

  it('25. is used only while no other can be had', () => {
    expect(decided()).toBe('wait');
    expect(decided(took_off)).toBe('wait');
    expect(decided(took_off, { type: 'flies_on', flight: another, course: 'failing' })).toBe(
      'use_and_refresh',
    );
    expect(decided(took_off, { type: 'crashed', flight: another, failure })).toBe('use');
    expect(decided(took_off, landing(another, tokenOf('second', now)))).toBe('use');
  });

  it('25. has callers wait for a refresh that began in the background', () => {
    const due = later(T0, 50_000);
    const state = after(...doubted.slice(0, 2), { ...took_off, now: due }, { type: 'doubted' });
    expect(state.refresh).toMatchObject({ course: 'awaited' });
    expect(decide(state, due, undefined)).toBe('wait');
  });

  it('25. is in no doubt any more once an API accepts it, or the server has no other', () => {
    expect(decided({ type: 'accepted' })).toBe('use');
    expect(decided(took_off, landing(another, tokenOf('first', T0)))).toBe('use');
  });

  it('25. is not used once it has expired', () => {
    const state = after(...doubted);
    expect(decide(state, later(T0, 60_000), undefined)).toBe('wait');
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
