import { describe, expect, it } from '@jest/globals';
import { AccessToken, HeldToken, acquiredAt } from '../../lib/core/access-token.js';
import { momentOf } from '../../lib/core/clock.js';
import { MemoryTokenStore } from '../../lib/core/memory-token-store.js';
import { Scenario, type ScenarioOptions } from './scenario.js';
import { unavailable } from './scripted-endpoint.js';
import { START, VirtualClock, settle } from './virtual-clock.js';

const HOUR = 3_600_000;
const MINUTE = 60_000;

/** A scenario whose window jitter is exactly 1, holding `t1` of age `ageMs`. */
async function holding(ageMs: number, options: ScenarioOptions = {}): Promise<Scenario> {
  const scenario = new Scenario(options);
  scenario.clock.random = () => 0.5;
  const exact = new Scenario({ ...options, clock: scenario.clock });
  await exact.token();
  await exact.clock.advance(ageMs - exact.clock.elapsed);
  return exact;
}

describe('Windows', () => {
  it('18. Outside the window → the server is not contacted. Inside → the old token at once, one refresh behind.', async () => {
    const scenario = await holding(0, { latencyMs: 100 });
    const { clock, endpoint } = scenario;
    await clock.advance(54 * MINUTE);
    for (let i = 0; i < 20; i++) expect(await scenario.atOnce()).toMatchObject({ value: 't1' });
    await clock.advance(1_000);
    expect(endpoint.posts).toBe(1);

    await clock.advance(MINUTE);
    for (let i = 0; i < 20; i++) expect(await scenario.atOnce()).toMatchObject({ value: 't1' });
    expect(endpoint.posts).toBe(2);
    await clock.advance(100);
    expect(await scenario.atOnce()).toMatchObject({ value: 't2' });
    expect(endpoint.posts).toBe(2);
    expect(scenario.events[1]).toMatchObject({
      type: 'token_acquired',
      reason: 'refresh_ahead',
      durationMs: 100,
    });
  });

  it.each([
    ['3 s', 3_000],
    ['60 s', MINUTE],
    ['290 s', 290_000],
    ['1 h', HOUR],
    ['24 h', 24 * HOUR],
  ])('19. A lifetime of %s: 20 sequential calls cost one POST', async (_name, lifetimeMs) => {
    const scenario = new Scenario({ lifetimeMs });
    for (let i = 0; i < 20; i++) {
      await scenario.token();
      await scenario.clock.advance(10);
    }
    expect(scenario.endpoint.posts).toBe(1);
  });

  it.each([
    ['3 s', 3_000, 750],
    ['60 s', MINUTE, 15_000],
    ['290 s', 290_000, 72_500],
    ['1 h', HOUR, 300_000],
    ['24 h', 24 * HOUR, 300_000],
  ])(
    '20. A lifetime of %s: the refresh starts exactly at the window, not 1 ms earlier',
    async (_name, lifetimeMs, window) => {
      const scenario = await holding(lifetimeMs - window - 1, { lifetimeMs });
      expect(scenario.client.status().refreshAt!.getTime()).toBe(START + lifetimeMs - window);
      expect(await scenario.atOnce()).toMatchObject({ value: 't1' });
      expect(scenario.endpoint.posts).toBe(1);
      await scenario.clock.advance(1);
      expect(await scenario.atOnce()).toMatchObject({ value: 't1' });
      expect(scenario.endpoint.posts).toBe(2);
    },
  );

  it.each([
    ['3 s', 3_000, 150],
    ['60 s', MINUTE, 3_000],
    ['290 s', 290_000, 10_000],
    ['24 h', 24 * HOUR, 10_000],
  ])(
    '20. A lifetime of %s: 1 ms before the reserve nobody waits, from then on the caller does',
    async (_name, lifetimeMs, reserve) => {
      const before = await holding(lifetimeMs - reserve - 1, { lifetimeMs });
      expect(await before.atOnce()).toMatchObject({ value: 't1' });
      const within = await holding(lifetimeMs - reserve, { lifetimeMs });
      expect(await within.atOnce()).toBe('waiting');
      expect(within.endpoint.posts).toBe(2);
    },
  );

  it('20. 1 ms before expiry a token may still be used, from expiry on never', async () => {
    for (const [age, expected] of [
      [MINUTE - 1, 't1'],
      [MINUTE, 'token_request_rejected'],
      [MINUTE + 1, 'token_request_rejected'],
    ] as const) {
      const scenario = await holding(age, { lifetimeMs: MINUTE });
      scenario.endpoint.otherwise = { error: unavailable().error, latencyMs: 0 };
      const outcome = await scenario.clock.until(
        scenario.client.getToken().then(
          ({ value }) => value,
          (error: unknown) => error,
        ),
      );
      if (expected === 't1') expect(outcome).toBe('t1');
      else expect(outcome).toMatchObject({ code: 'authorization_server_unavailable' });
    }
  });

  it('20. Phases change at their ages to the millisecond, whatever the ratio', () => {
    const clock = new VirtualClock();
    const stored = { value: 't', tokenType: 'Bearer', issuedAt: START, expiresAt: START + 100_000 } as const;
    const phaseAt = (ageMs: number, ratio: number): string => {
      clock.scheduler.frame = 0;
      const held = new HeldToken(stored, acquiredAt(stored, momentOf(clock)), { ratio, maxMs: 300_000 }, 1);
      clock.scheduler.frame = ageMs;
      return held.phaseAt(momentOf(clock));
    };
    const boundaries = (ratio: number): string[] =>
      [0, 74_999, 75_000, 94_999, 95_000, 99_999, 100_000, 1e12].map((ageMs) => phaseAt(ageMs, ratio));
    const [f, d, r, e] = ['fresh', 'refresh_due', 'reserve', 'expired'];
    expect(boundaries(0.25)).toEqual([f, f, d, d, r, r, e, e]);
    expect(boundaries(0)).toEqual([f, f, f, f, r, r, e, e]);
    expect(boundaries(1)).toEqual([f, d, d, d, r, r, e, e]);
    expect([phaseAt(9_999, 1), phaseAt(10_000, 1)]).toEqual([f, d]);
  });

  it('24. The factor of an instance applies to the share of the lifetime and to its upper bound', () => {
    const clock = new VirtualClock();
    const stored = { value: 't', tokenType: 'Bearer', issuedAt: START, expiresAt: START + 100_000 } as const;
    const windowMs = (jitter: number, ratio: number, maxMs: number): number =>
      stored.expiresAt -
      new HeldToken(stored, acquiredAt(stored, momentOf(clock)), { ratio, maxMs }, jitter).refreshAt;
    expect([0.9, 1.1].map((jitter) => windowMs(jitter, 0.2, 300_000))).toEqual([18_000, 22_000]);
    expect([0.9, 1.1].map((jitter) => windowMs(jitter, 0.2, 10_000))).toEqual([9_000, 11_000]);
    expect(windowMs(1.00007, 0.2, 300_000)).toBe(20_002); // 20,001.4: a window begins at a whole millisecond
  });

  it('18. A token in its window that the store holds is used, and refreshed in the background', async () => {
    const store = new MemoryTokenStore();
    const one = new Scenario({ store });
    const two = new Scenario({ store, clock: one.clock });
    await one.token();
    await one.clock.advance(56 * MINUTE);
    two.endpoint.next({ token: { value: 'next' } });
    expect(await two.token()).toMatchObject({ value: 't1' });
    expect(two.endpoint.posts).toBe(0);
    expect(await two.atOnce()).toMatchObject({ value: 't1' });
    await two.clock.advance(50);
    expect(await two.atOnce()).toMatchObject({ value: 'next' });
  });

  it('18. A token in its last moments that the store holds is replaced', async () => {
    const store = new MemoryTokenStore();
    const one = new Scenario({ store });
    const two = new Scenario({ store, clock: one.clock });
    await one.token();
    await one.clock.advance(HOUR - 5_000);
    two.endpoint.next({ token: { value: 'next' } });
    expect(await two.token()).toMatchObject({ value: 'next' });
  });

  it('22. A window as long as the life → no refresh by every call', async () => {
    const scenario = new Scenario({ lifetimeMs: 60_000, refreshAhead: { ratio: 1 } });
    await scenario.token();
    for (let i = 0; i < 500; i++) {
      await scenario.token();
      await scenario.clock.advance(10);
    }
    expect(scenario.endpoint.posts).toBe(1);
  });

  it('20. A lifetime that is no number is over at once', () => {
    const clock = new VirtualClock();
    for (const expiresAt of [Number.NaN, START, START - 1]) {
      const stored = { value: 't', tokenType: 'Bearer', issuedAt: START, expiresAt } as const;
      expect(
        new HeldToken(
          stored,
          acquiredAt(stored, momentOf(clock)),
          { ratio: 0.25, maxMs: 300_000 },
          1,
        ).phaseAt(momentOf(clock)),
      ).toBe('expired');
    }
  });

  it('21. 500 requests per second over many 3 s lifetimes → no request waits for a token after the first, none gets 401', async () => {
    const scenario = new Scenario({ lifetimeMs: 3_000, latencyMs: 300 });
    const { clock, client, endpoint } = scenario;
    await scenario.token();
    let waited = 0;
    let invalid = 0;
    const check = ({ value: _, ...token }: { value: string }): void => void token;
    for (let i = 0; i < 500 * 60; i++) {
      const token = client.life().current();
      if (token === undefined) waited++;
      else if (!endpoint.isValid(token)) invalid++;
      else check(token);
      await clock.advance(2);
    }
    expect({ waited, invalid }).toEqual({ waited: 0, invalid: 0 });
    expect(endpoint.posts).toBeGreaterThan(20);
    expect(endpoint.posts).toBeLessThan(32);
  });

  it.each([
    ['the same token', (scenario: Scenario) => ({ value: 't1', ...lifeOf(scenario) })],
    ['another token that ends no later', (scenario: Scenario) => lifeOf(scenario)],
  ])('22. Server returns %s → used, next try by backoff, no hot loop', async (_what, answer) => {
    const scenario = new Scenario();
    const { clock, endpoint } = scenario;
    await scenario.token();
    await clock.advance(56 * MINUTE);
    endpoint.otherwise = { token: answer(scenario) };
    const until = clock.elapsed + 3 * MINUTE;
    while (clock.elapsed < until) {
      expect(await scenario.atOnce()).toMatchObject({
        authorization: expect.stringMatching(/^Bearer t\d+$/),
      });
      await clock.advance(100);
    }
    const pauses = endpoint.requests.slice(1).map(({ at }, i, all) => (i === 0 ? 0 : at - all[i - 1]!.at));
    expect(pauses.length).toBeGreaterThan(5);
    for (const [i, pause] of pauses.entries()) {
      if (i > 0) expect(pause).toBeGreaterThanOrEqual(Math.min(60_000, 1_000 * 2 ** (i - 1)) / 2);
    }
    expect(new Set(scenario.eventTypes)).toEqual(new Set(['token_acquired']));

    endpoint.otherwise = {};
    await clock.advance(MINUTE);
    await scenario.token();
    await clock.advance(1_000);
    expect(await scenario.atOnce()).toMatchObject({ value: `t${endpoint.posts}` });
    expect(scenario.client.status()).toMatchObject({ state: 'fresh' });
  });

  it.each([
    [0, [500, 1_000, 2_000, 4_000]],
    [0.5, [750, 1_500, 3_000, 6_000]],
  ])(
    '22. Pauses for a server with nothing fresher double, by chance (%d) from half of 1 s',
    async (chance, expected) => {
      const scenario = new Scenario({ latencyMs: 0 });
      const { clock, endpoint, client } = scenario;
      await scenario.token();
      await clock.advance(56 * MINUTE);
      clock.random = () => chance;
      endpoint.otherwise = { token: { value: 't1', ...lifeOf(scenario) } };
      for (const pauseMs of expected) {
        await scenario.atOnce();
        await clock.advance(0);
        expect(client.status().backoffUntil).toEqual(new Date(clock.now() + pauseMs));
        await clock.advance(pauseMs);
      }
      expect(endpoint.posts).toBe(expected.length + 1);
    },
  );

  it('22. A token that is over when it arrives is never handed out, and not asked for again and again', async () => {
    const scenario = new Scenario({ lifetimeMs: 1_000, latencyMs: 1_500 });
    const failure = await scenario.failure();
    expect(failure).toMatchObject({ code: 'authorization_server_unavailable' });
    expect(scenario.endpoint.posts).toBe(3);
    await expect(scenario.atOnce()).rejects.toMatchObject({ code: 'authorization_server_unavailable' });
    expect(scenario.client.status().state).toBe('down');
  });

  it('22. The machine slept while the answer was on its way → asked once more, no stale token', async () => {
    const scenario = new Scenario({ latencyMs: 100 });
    const waiting = scenario.client.getToken();
    await scenario.clock.advance(50);
    scenario.clock.suspend(2 * HOUR);
    const token = await scenario.clock.until(waiting);
    expect(token.value).toBe('t2');
    expect(scenario.endpoint.isValid(token)).toBe(true);
  });
});

function lifeOf(scenario: Scenario): { issuedAt: number; expiresAt: number } {
  const { acquiredAt, expiresAt } = scenario.client.status();
  return { issuedAt: acquiredAt!.getTime(), expiresAt: expiresAt!.getTime() };
}

describe('Clocks', () => {
  it('23. Clock set back an hour → no eternal token', async () => {
    const scenario = new Scenario();
    const { clock } = scenario;
    await scenario.token();
    await clock.advance(10 * MINUTE);
    clock.setBack(HOUR);
    expect(await scenario.atOnce()).toMatchObject({ value: 't1' });
    await clock.advance(50 * MINUTE - clock.elapsed + 10 * MINUTE);
    expect(await scenario.atOnce()).toBe('waiting');
    await clock.advance(1_000);
    expect(await scenario.atOnce()).toMatchObject({ value: 't2' });
  });

  it('23. Clock set back an hour → the refresh ahead still starts in time', async () => {
    const scenario = new Scenario();
    const { clock } = scenario;
    await scenario.token();
    clock.setBack(HOUR);
    await clock.advance(56 * MINUTE);
    expect(await scenario.atOnce()).toMatchObject({ value: 't1' });
    await clock.advance(100);
    expect(await scenario.atOnce()).toMatchObject({ value: 't2' });
  });

  it('23. Clock set back an hour → a token from before does not come back out of the store', async () => {
    const scenario = new Scenario();
    const { clock, endpoint } = scenario;
    await scenario.token();
    clock.setBack(HOUR);
    for (let minute = 0; minute < 6 * 60; minute++) {
      const token = await scenario.token();
      expect(endpoint.isValid(token)).toBe(true);
      await clock.advance(MINUTE);
    }
    expect(endpoint.posts).toBe(7);
  });

  it('23. Clock set back an hour → a refresh token that was rotated since is not lost', async () => {
    const scenario = new Scenario();
    const { clock, endpoint } = scenario;
    endpoint.rotates = true;
    await scenario.token();
    clock.setBack(HOUR);
    await scenario.token({ forceRefresh: true });
    await scenario.token({ forceRefresh: true });
    expect(endpoint.requests.map(({ refreshToken }) => refreshToken)).toEqual([undefined, 'r1', 'r2']);
  });

  it('23. Clock set back while the answer is on its way → the lifetime still counts from the request', async () => {
    const scenario = new Scenario({ lifetimeMs: 60_000, latencyMs: 4_000 });
    const { clock, endpoint } = scenario;
    const waiting = scenario.client.getToken();
    await clock.advance(2_000);
    clock.setBack(HOUR);
    const token = await clock.until(waiting);
    await clock.advance(60_000 - clock.elapsed);
    expect(endpoint.isValid(token)).toBe(false);
    expect(await scenario.atOnce()).toBe('waiting');
    await clock.advance(4_000);
  });

  it('23. Clock set back an hour → an old failure does not come back', async () => {
    const scenario = new Scenario({ lifetimeMs: 10 * MINUTE });
    const { clock, endpoint } = scenario;
    endpoint.next(unavailable({ retryAfterMs: 20_000 }));
    await scenario.failure();
    await clock.advance(20_000);
    await scenario.token();
    clock.setBack(HOUR);
    await clock.advance(10 * MINUTE);
    expect((await scenario.token()).value).toBe('t3');
  });

  it('23. Clock set back an hour → of two failures before and after it, neither comes back', async () => {
    const scenario = new Scenario({ lifetimeMs: MINUTE });
    const { clock, endpoint } = scenario;
    endpoint.next(unavailable({ retryAfterMs: 20_000 }), unavailable({ retryAfterMs: 20_000 }));
    await scenario.failure();
    await clock.advance(20_000);
    clock.setBack(HOUR);
    await scenario.failure();
    await clock.advance(20_000);
    await scenario.token();
    await clock.advance(HOUR - 30_000);
    expect((await scenario.token()).value).toBe('t4');
  });

  it('23. Clock set back an hour during the cool-down → it lasts no longer for that', async () => {
    const scenario = new Scenario();
    const { clock, endpoint } = scenario;
    endpoint.next(unavailable({ retryAfterMs: 20_000 }));
    await scenario.failure();
    clock.setBack(HOUR);
    await clock.advance(20_000);
    expect((await scenario.token()).value).toBe('t2');
  });

  it('23. Two hours of suspend → the first call refreshes', async () => {
    const scenario = new Scenario();
    await scenario.token();
    scenario.clock.suspend(2 * HOUR);
    expect(await scenario.atOnce()).toBe('waiting');
    expect(await scenario.token()).toMatchObject({ value: 't2' });
    expect(scenario.events.at(-1)).toMatchObject({ reason: 'expired' });
  });

  it('24. 100 instances → refresh times are spread; each instance’s own is stable', async () => {
    const windows: number[] = [];
    for (let seed = 0; seed < 100; seed++) {
      const scenario = new Scenario({ clock: new VirtualClock(seed) });
      await scenario.token();
      const refreshAt = scenario.client.status().refreshAt!.getTime();
      for (let i = 0; i < 3; i++) expect(scenario.client.status().refreshAt!.getTime()).toBe(refreshAt);
      windows.push(START + HOUR - refreshAt);
    }
    expect(Math.min(...windows)).toBeGreaterThanOrEqual(270_000);
    expect(Math.max(...windows)).toBeLessThanOrEqual(330_000);
    expect(Math.max(...windows) - Math.min(...windows)).toBeGreaterThan(50_000);
    expect(new Set(windows.map((window) => Math.floor(window / 6_000))).size).toBe(10);
  });

  it('24. An instance draws its factor once: each of its tokens is refreshed at the same age', async () => {
    const scenario = new Scenario({ lifetimeMs: MINUTE });
    const ages = new Set<number>();
    for (let i = 0; i < 10; i++) {
      await scenario.token({ forceRefresh: true });
      const { refreshAt, acquiredAt } = scenario.client.status();
      ages.add(refreshAt!.getTime() - acquiredAt!.getTime());
      await scenario.clock.advance(7_777);
    }
    expect(ages.size).toBe(1);
  });
});

describe('The reserve: the last 5 % of a lifetime, 10 s at most', () => {
  it('A caller waits for the new token instead of using the old one', async () => {
    const scenario = await holding(58_000, { lifetimeMs: MINUTE });
    expect((await scenario.token()).value).toBe('t2');
    expect(scenario.clock.elapsed).toBe(58_050);
  });

  it('When the refresh fails the old token is used until its real expiry, and then never', async () => {
    const scenario = await holding(57_000, { lifetimeMs: MINUTE });
    const { clock, endpoint } = scenario;
    endpoint.otherwise = unavailable();
    expect((await scenario.token()).value).toBe('t1');
    expect(clock.elapsed).toBeLessThan(59_000);
    while (clock.elapsed < MINUTE) {
      expect(await scenario.atOnce()).toMatchObject({ value: 't1' });
      await clock.advance(50);
    }
    await expect(scenario.failure()).resolves.toMatchObject({ code: 'authorization_server_unavailable' });
    expect(new Set(scenario.eventTypes.slice(1))).toEqual(new Set(['token_refresh_failed']));
    await clock.advance(MINUTE);
    await scenario.failure();
    expect(scenario.eventTypes.at(-1)).toBe('token_request_failed');
  });

  it('When the refresh hangs nobody waits longer than half of what remains', async () => {
    const scenario = await holding(57_000, { lifetimeMs: MINUTE });
    const { clock, endpoint, client } = scenario;
    endpoint.otherwise = { hang: true };
    const promised = client.getToken();
    const observed: string[] = [];
    client.token$().subscribe(({ value }) => observed.push(value));
    expect((await clock.until(promised)).value).toBe('t1');
    await clock.advance(0);
    expect(observed).toEqual(['t1']);
    expect(clock.elapsed).toBe(58_500);
    expect(await scenario.atOnce()).toMatchObject({ value: 't1' });
    expect(endpoint.posts).toBe(2);
  });

  it('A refresh that began in the window and is still under way costs nobody a wait', async () => {
    const scenario = await holding(56_000, { lifetimeMs: MINUTE });
    const { clock, endpoint } = scenario;
    endpoint.next({ latencyMs: 3_000 });
    expect(await scenario.atOnce()).toMatchObject({ value: 't1' });
    await clock.advance(2_000);
    expect(await scenario.atOnce()).toMatchObject({ value: 't1' });
    await clock.advance(1_000);
    expect(await scenario.atOnce()).toMatchObject({ value: 't2' });
  });

  it('A refresh that failed once and goes on trying costs nobody else a wait', async () => {
    const scenario = await holding(57_000, { lifetimeMs: MINUTE });
    const { clock, endpoint } = scenario;
    endpoint.next(unavailable(), { latencyMs: 1_000 });
    expect(await scenario.atOnce()).toBe('waiting');
    await clock.advance(60);
    expect(await scenario.atOnce()).toMatchObject({ value: 't1' });
    expect(scenario.client.status()).toMatchObject({ state: 'degraded' });
    expect(scenario.client.status().backoffUntil).toBeUndefined(); // it goes on trying
    await clock.advance(1_200);
    expect(await scenario.atOnce()).toMatchObject({ value: 't3' });
  });

  it('A token that is rejected while a caller waits is not handed to that caller', async () => {
    const scenario = await holding(57_000, { lifetimeMs: MINUTE });
    const { clock, endpoint, client } = scenario;
    endpoint.next({ latencyMs: 4_000 });
    const spare = new AccessToken({ value: 't1', tokenType: 'Bearer', expiresAt: clock.now() });
    const waiting = client.getToken();
    await settle();
    expect(client.life().reject(spare)).toBe('replaceable');
    expect((await clock.until(waiting)).value).toBe('t2');
  });

  it('A token that expires by the wall clock while a caller waits is not handed to that caller', async () => {
    const scenario = await holding(57_000, { lifetimeMs: MINUTE });
    const { clock, endpoint, client } = scenario;
    endpoint.next({ hang: true });
    const waiting = client.getToken();
    await settle();
    clock.suspend(30_000);
    expect((await clock.until(waiting)).value).toBe('t3');
  });
});
