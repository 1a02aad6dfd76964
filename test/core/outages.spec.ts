import { describe, expect, it } from '@jest/globals';
import {
  AuthorizationServerUnavailableError,
  OAuthClientError,
  TokenRequestError,
  TokenResponseError,
} from '../../lib/core/errors.js';
import { MemoryTokenStore } from '../../lib/core/memory-token-store.js';
import { parseRetryAfter } from '../../lib/oauth/token-members.js';
import { LockingStore } from './locking-store.js';
import { Scenario } from './scenario.js';
import { rejected, unavailable, type Answer } from './scripted-endpoint.js';

const MINUTE = 60_000;

describe('Failures of the authorization server', () => {
  it.each<[string, Answer]>([
    ['5xx', unavailable({ status: 503 })],
    ['refused', { error: new Error('connect ECONNREFUSED'), latencyMs: 1 }],
    ['hung', { hang: true }],
    ['rejected', rejected()],
  ])(
    '25. In the window, %s → callers keep getting the valid token; one event per flight',
    async (_what, answer) => {
      const scenario = new Scenario({ lifetimeMs: 10 * MINUTE });
      const { clock, endpoint, client } = scenario;
      await scenario.token();
      endpoint.otherwise = answer;
      const managed = client.life();
      const seen = new Set<unknown>();
      while (clock.elapsed < 10 * MINUTE) {
        seen.add(managed.current()?.value);
        await clock.advance(250);
      }
      expect([...seen]).toEqual(['t1']);
      await clock.advance(20_000);
      const flights = endpoint.identities - 1; // each makes its keys once
      expect(flights).toBeGreaterThan(3);
      const failed = scenario.events.slice(1);
      expect(failed).toHaveLength(flights);
      const early = failed.slice(0, -1);
      expect(new Set(early.map(({ type }) => type))).toEqual(new Set(['token_refresh_failed']));
      expect(scenario.client.status().state).toBe('down');
    },
  );

  it('25. No unhandled rejection when expiry passes with nobody waiting', async () => {
    const scenario = new Scenario({ lifetimeMs: 10_000, retry: { attempts: 1 }, timeoutMs: 4_000 });
    const { clock, endpoint, client } = scenario;
    await scenario.token();
    await clock.advance(8_000);
    endpoint.otherwise = { hang: true };
    expect(client.life().current()).toMatchObject({ value: 't1' });
    await clock.advance(60_000);
    expect(scenario.eventTypes).toEqual(['token_acquired', 'token_request_failed']);
    expect(client.status()).toMatchObject({
      state: 'down',
      lastError: { code: 'authorization_server_unavailable' },
    });
  });

  it('25. A refresh that succeeds on its second attempt is one event, and nobody noticed', async () => {
    const scenario = new Scenario();
    const { clock, endpoint } = scenario;
    await scenario.token();
    await clock.advance(56 * MINUTE);
    endpoint.next(unavailable());
    expect(await scenario.atOnce()).toMatchObject({ value: 't1' });
    await clock.advance(1_000);
    expect(await scenario.atOnce()).toMatchObject({ value: 't3' });
    expect(scenario.eventTypes).toEqual(['token_acquired', 'token_acquired']);
    expect(scenario.client.status()).toMatchObject({ state: 'fresh', tokenRequests: 3 });
  });

  it.each<[string, Answer, boolean]>([
    ['unavailable', unavailable(), false],
    ['hung', { hang: true }, true],
  ])(
    '26. Expired and %s → typed error within the deadline; during cool-down at once',
    async (_what, answer, timedOut) => {
      const scenario = new Scenario({ lifetimeMs: MINUTE });
      const { clock, endpoint } = scenario;
      clock.random = () => 0.5;
      await scenario.token();
      await clock.advance(2 * MINUTE);
      endpoint.otherwise = answer;
      const started = clock.elapsed;
      const error = await scenario.failure();
      expect(error).toBeInstanceOf(AuthorizationServerUnavailableError);
      expect(error).toMatchObject({
        code: 'authorization_server_unavailable',
        client: 'buoy',
        retryable: true,
        timedOut,
      });
      expect(clock.elapsed - started).toBeLessThanOrEqual(15_000);

      const { posts } = endpoint;
      const { backoffUntil } = scenario.client.status();
      const again = await scenario.atOnce().catch((e: unknown) => e);
      expect(again).toBeInstanceOf(AuthorizationServerUnavailableError);
      expect(again).toMatchObject({ timedOut, retryAfterMs: backoffUntil!.getTime() - clock.now() });
      expect(endpoint.posts).toBe(posts);
    },
  );

  it('26. `totalMs` bounds attempts and pauses together', async () => {
    const scenario = new Scenario({ retry: { attempts: 100, totalMs: 12_000 } });
    scenario.endpoint.otherwise = { hang: true };
    const error = await scenario.failure();
    expect(error).toMatchObject({ timedOut: true });
    expect(scenario.clock.elapsed).toBeLessThanOrEqual(12_000);
    expect(scenario.endpoint.posts).toBe(3);
    expect(scenario.endpoint.requests.map(({ state }) => state)).not.toContain('open');
  });

  it('26. A deadline of a few milliseconds holds to the millisecond', async () => {
    const scenario = new Scenario({ timeoutMs: 5, retry: { attempts: 1 } });
    scenario.endpoint.next({ hang: true });
    expect(await scenario.failure()).toMatchObject({ timedOut: true });
    expect(scenario.clock.elapsed).toBe(5);
  });

  it('26. A request that runs into its deadline is aborted', async () => {
    const scenario = new Scenario({ timeoutMs: 1_000 });
    scenario.endpoint.next({ hang: true });
    expect((await scenario.token()).value).toBe('t2');
    expect(scenario.endpoint.requests).toMatchObject([{ state: 'aborted' }, { state: 'answered' }]);
    expect(scenario.endpoint.requests[1]!.at).toBeGreaterThanOrEqual(1_000);
  });

  it.each<[string, unknown]>([
    ['an unavailable server', unavailable().error],
    ['a retryable unusable answer', new TokenResponseError('an HTML page', { retryable: true })],
    ['an error of unknown kind', new TypeError('fetch failed')],
    ['a rejection without a reason', null],
  ])('27. %s → retried with full jitter up to `attempts`', async (_what, error) => {
    const scenario = new Scenario({ retry: { attempts: 4 }, latencyMs: 10 });
    const { clock, endpoint } = scenario;
    clock.random = () => 0.5;
    endpoint.otherwise = { error };
    expect(await scenario.failure()).toBeInstanceOf(OAuthClientError);
    expect(endpoint.requests.map(({ at }) => at)).toEqual([0, 110, 320, 730]);
    expect(scenario.client.status().tokenRequests).toBe(4);
    expect(scenario.eventTypes).toEqual(['token_request_failed']);
  });

  it.each([0, 0.25, 0.999])(
    '27. Pauses are the random share %d of 200 ms, 400 ms, … up to `maxDelayMs`',
    async (share) => {
      const scenario = new Scenario({ retry: { attempts: 7, maxDelayMs: 1_000 }, latencyMs: 0 });
      const { clock, endpoint } = scenario;
      clock.random = () => share;
      endpoint.otherwise = unavailable();
      await scenario.failure();
      const pauses = endpoint.requests.slice(1).map(({ at }, i) => at - endpoint.requests[i]!.at);
      for (const [i, bound] of [200, 400, 800, 1_000, 1_000, 1_000].entries()) {
        expect(pauses[i]).toBeCloseTo(share * bound, 6);
      }
    },
  );

  it.each<[string, unknown]>([
    ['invalid_client', rejected('invalid_client').error],
    ['invalid_scope', rejected('invalid_scope').error],
    ['unauthorized_client', rejected('unauthorized_client').error],
    ['invalid_grant', rejected('invalid_grant').error],
    ['invalid_target', rejected('invalid_target').error],
    ['an unusable answer', new TokenResponseError('a redirect')],
    ['an unreadable secret', new OAuthClientError('credentials_unavailable', 'no such file')],
  ])('27. %s → never retried', async (_what, error) => {
    const scenario = new Scenario();
    scenario.endpoint.next({ error });
    expect(await scenario.failure()).toBe(error);
    expect(scenario.endpoint.posts).toBe(1);
    expect(scenario.client.status()).toMatchObject({
      state: 'down',
      lastError: { code: (error as OAuthClientError).code },
    });
  });

  it('27. A retry that is rejected ends the flight', async () => {
    const scenario = new Scenario();
    scenario.endpoint.next(unavailable(), rejected());
    expect(await scenario.failure()).toBeInstanceOf(TokenRequestError);
    expect(scenario.endpoint.posts).toBe(2);
  });

  it('27. `attempts: 1` → one request per flight', async () => {
    const scenario = new Scenario({ retry: { attempts: 1 } });
    scenario.endpoint.next(unavailable());
    await scenario.failure();
    expect(scenario.endpoint.posts).toBe(1);
  });

  it('27. Cool-downs double from 1 s to 60 s in full jitter, and start over after a success', async () => {
    const scenario = new Scenario({ retry: { attempts: 1 } });
    const { clock, endpoint, client } = scenario;
    clock.random = () => 0.5;
    const coolDowns = async (count: number): Promise<number[]> => {
      const lengths: number[] = [];
      for (let i = 0; i < count; i++) {
        await scenario.failure();
        lengths.push(client.status().backoffUntil!.getTime() - clock.now());
        await clock.advance(lengths.at(-1)!);
      }
      return lengths;
    };
    endpoint.otherwise = unavailable();
    expect(await coolDowns(8)).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    endpoint.otherwise = {};
    await scenario.token();
    client.invalidate();
    endpoint.otherwise = unavailable();
    expect(await coolDowns(2)).toEqual([500, 1_000]);
  });

  it('28. `Retry-After` that fits into the flight → the retry comes no earlier', async () => {
    const scenario = new Scenario();
    scenario.endpoint.next(unavailable({ retryAfterMs: 2_000 }));
    expect((await scenario.token()).value).toBe('t2');
    expect(scenario.endpoint.requests.map(({ at }) => at)).toEqual([0, 2_050]);
  });

  it('28. `Retry-After` that outlasts the flight ends it; no instance asks earlier, and a caller learns how long', async () => {
    const scenario = new Scenario();
    const { clock, endpoint } = scenario;
    endpoint.next(unavailable({ retryAfterMs: 20_000 }));
    expect(await scenario.failure()).toMatchObject({ retryAfterMs: 20_000 });
    expect(clock.elapsed).toBe(50);
    for (let i = 0; i < 200; i++) {
      await expect(scenario.atOnce()).rejects.toMatchObject({ retryAfterMs: 20_000 - i * 100 });
      await clock.advance(100);
    }
    expect(endpoint.posts).toBe(1);
    expect((await scenario.token()).value).toBe('t2');
  });

  it('28. `Retry-After` holds for all tokens of the client', async () => {
    const scenario = new Scenario({ retry: { attempts: 1 }, lifetimeMs: 60_000 });
    const { client, clock, endpoint } = scenario;
    const other = new Scenario({ name: 'honeybee', runtime: scenario.runtime, clock });
    await scenario.token({ scope: 'held' });
    endpoint.next(unavailable({ retryAfterMs: 20_000, status: 429 }));
    await scenario.failure({ scope: 'a' });
    await clock.advance(5_000);
    expect(await scenario.failure({ scope: 'b' })).toMatchObject({ retryAfterMs: 15_000, status: 429 });
    expect(client.status().backoffUntil).toEqual(new Date(clock.now() + 15_000));
    await scenario.token({ scope: 'held' });
    expect(endpoint.posts).toBe(2);
    await other.token();
    await clock.advance(15_000);
    await scenario.token({ scope: 'b' });
    expect(endpoint.posts).toBe(3);
  });

  it('28. Without `Retry-After` a failure holds up no other token of the client', async () => {
    const scenario = new Scenario({ retry: { attempts: 1 } });
    scenario.endpoint.next(unavailable());
    await scenario.failure({ scope: 'a' });
    expect((await scenario.token({ scope: 'b' })).value).toBe('t2');
    await expect(scenario.atOnce({ scope: 'a' })).rejects.toMatchObject({ status: 503 });
  });

  it('23. Two hours of suspend → a pause that the server asked for is over', async () => {
    const scenario = new Scenario();
    scenario.endpoint.next(unavailable({ retryAfterMs: 3_600_000 }));
    await scenario.failure();
    await expect(scenario.atOnce()).rejects.toMatchObject({ retryAfterMs: 3_600_000 });
    scenario.clock.suspend(2 * 3_600_000);
    expect((await scenario.token()).value).toBe('t2');
  });

  it('28. `Retry-After: 0` or a date gone by asks for nothing, so the usual pauses hold', async () => {
    const scenario = new Scenario({ retry: { attempts: 1 } });
    scenario.clock.random = () => 0.5;
    scenario.endpoint.otherwise = unavailable({ retryAfterMs: 0 });
    await scenario.failure();
    expect(scenario.client.status().backoffUntil!.getTime()).toBe(scenario.clock.now() + 500);
  });

  it('28. While a token is valid, `Retry-After` holds for the refresh behind, and for a forced one', async () => {
    const scenario = new Scenario();
    const { clock, endpoint } = scenario;
    await scenario.token();
    await clock.advance(56 * MINUTE);
    endpoint.next(unavailable({ retryAfterMs: 30_000 }));
    await scenario.token();
    await clock.advance(100);
    for (let i = 0; i < 29; i++) {
      expect(await scenario.atOnce()).toMatchObject({ value: 't1' });
      await expect(scenario.atOnce({ forceRefresh: true })).rejects.toMatchObject({ retryable: true });
      await clock.advance(1_000);
    }
    expect(endpoint.posts).toBe(2);
    await clock.advance(1_000);
    await scenario.token();
    await clock.advance(100);
    expect(await scenario.atOnce()).toMatchObject({ value: 't3' });
  });

  const now = Date.UTC(1994, 10, 6, 8, 49, 0);
  it.each<[string, string | undefined, number | undefined]>([
    ['seconds', '120', 120_000],
    ['seconds with space around', ' 7 ', 7_000],
    ['zero', '0', 0],
    ['an IMF-fixdate', 'Sun, 06 Nov 1994 08:49:37 GMT', 37_000],
    ['an RFC 850 date', 'Sunday, 06-Nov-94 08:49:37 GMT', 37_000],
    ['an asctime date, which is GMT wherever we are', 'Sun Nov  6 08:49:37 1994', 37_000],
    ['a date gone by', 'Sun, 06 Nov 1994 08:48:00 GMT', 0],
    ['a year in seconds', '31536000', 3_600_000],
    ['more seconds than a number holds', '9'.repeat(400), 3_600_000],
    ['a year from now', 'Mon, 06 Nov 1995 08:49:37 GMT', 3_600_000],
    ['nothing', undefined, undefined],
    ['an empty value', '', undefined],
    ['a negative number', '-5', undefined],
    ['a fraction', '1.5', undefined],
    ['an exponent', '1e3', undefined],
    ['hexadecimal', '0x10', undefined],
    ['words', 'soon', undefined],
    ['words with a number', 'after 2030', undefined],
    ['a weekday that is none', 'Foo, 06 Nov 1994 08:49:37 GMT', undefined],
    ['a date without a time', 'Sun, 06 Nov 1994', undefined],
    ['a date of another kind', '1994-11-06T08:49:37Z', undefined],
    ['a date that does not exist', 'Sun, 99 Nov 1994 08:49:37 GMT', undefined],
    ['a number and more', '10, 20', undefined],
  ])('28. Retry-After of %s → read, capped or ignored', (_what, header, expected) => {
    expect(parseRetryAfter(header, now)).toBe(expected);
  });
});

describe('60 s outage under 200 callers per second', () => {
  /** 200 calls in each second of the outage; returns how each of them ended. */
  async function outage(
    scenario: Scenario,
    answer: Answer,
  ): Promise<{ failed: number; served: number; invalid: number }> {
    const { clock, endpoint, client } = scenario;
    const outcomes = { failed: 0, served: 0, invalid: 0 };
    const codes = new Set<unknown>();
    const calls: Promise<unknown>[] = [];
    endpoint.otherwise = answer;
    const end = clock.elapsed + MINUTE;
    while (clock.elapsed < end) {
      const call = client.getToken().then(
        (token) => {
          outcomes.served++;
          if (!endpoint.isValid(token)) outcomes.invalid++;
        },
        (error: OAuthClientError) => {
          codes.add(error.code);
          outcomes.failed++;
        },
      );
      calls.push(call);
      await clock.advance(5);
    }
    endpoint.otherwise = {};
    await clock.until(Promise.all(calls));
    codes.delete('authorization_server_unavailable');
    expect([...codes]).toEqual([]);
    return outcomes;
  }

  /** Cool-downs as they were announced; no request may begin within one. */
  function watchCoolDowns(scenario: Scenario): { from: number; to: number }[] {
    const { clock, client, runtime } = scenario;
    const coolDowns: { from: number; to: number }[] = [];
    runtime.events$.subscribe(({ type }) => {
      if (!type.endsWith('_failed')) return;
      const { backoffUntil } = client.status();
      if (backoffUntil)
        coolDowns.push({ from: clock.elapsed, to: clock.elapsed + backoffUntil.getTime() - clock.now() });
    });
    return coolDowns;
  }

  function asked(scenario: Scenario, coolDowns: { from: number; to: number }[]): number {
    const { requests } = scenario.endpoint;
    return requests.filter(({ at }) => coolDowns.some(({ from, to }) => at > from && at < Math.floor(to)))
      .length;
  }

  it.each<[string, Answer]>([
    ['5xx', unavailable()],
    ['5xx with Retry-After: 0', unavailable({ retryAfterMs: 0 })],
    ['hung', { hang: true }],
  ])('29. %s, with no token → at most one flight per backoff slot at the server', async (_what, answer) => {
    const scenario = new Scenario();
    const coolDowns = watchCoolDowns(scenario);
    const outcomes = await outage(scenario, answer);
    expect(outcomes.failed).toBeGreaterThan(10_000);
    expect(outcomes.invalid).toBe(0);
    expect(coolDowns.length).toBeGreaterThan(2);
    expect(coolDowns.length).toBeLessThanOrEqual(12);
    expect(asked(scenario, coolDowns)).toBe(0);
    expect(scenario.endpoint.posts).toBeLessThanOrEqual(3 * (coolDowns.length + 1));
  });

  it.each([
    ['alone', new MemoryTokenStore()],
    ['with a shared store', new LockingStore()],
  ])(
    '29. Callers who give up the token again and again in an outage, %s → cool-downs hold, and double',
    async (_how, store) => {
      const scenario = new Scenario({ store, retry: { attempts: 1 } });
      const { client, clock, endpoint } = scenario;
      clock.random = () => 0.5;
      endpoint.otherwise = unavailable();
      while (clock.elapsed < 60_000) {
        client.invalidate();
        client.getToken().catch(() => undefined);
        await clock.advance(10);
      }
      // Slots of 0.5, 1, 2, 4, 8, 16 and 30 s, each with a flight and the one that took its place meanwhile.
      expect(endpoint.posts).toBeLessThanOrEqual(2 * 7);
      endpoint.otherwise = {};
      await clock.advance(30_000);
      await scenario.token();
    },
  );

  it('29. With Retry-After → exactly one request per asked-for pause', async () => {
    const scenario = new Scenario({ latencyMs: 0 });
    await outage(scenario, unavailable({ retryAfterMs: 20_000 }));
    expect(scenario.endpoint.requests.map(({ at }) => at)).toEqual([0, 20_000, 40_000]);
  });

  it('29. With a token valid throughout → no call fails', async () => {
    const scenario = new Scenario();
    await scenario.token();
    await scenario.clock.advance(56 * MINUTE);
    const coolDowns = watchCoolDowns(scenario);
    const outcomes = await outage(scenario, unavailable());
    expect(outcomes).toEqual({ served: 12_000, failed: 0, invalid: 0 });
    expect(coolDowns.length).toBeGreaterThan(2);
    expect(coolDowns.length).toBeLessThanOrEqual(12);
    expect(asked(scenario, coolDowns)).toBe(0);
  });

  it('29. With a token that ends during the outage → no call fails before that', async () => {
    const scenario = new Scenario({ lifetimeMs: 2 * MINUTE });
    await scenario.token();
    await scenario.clock.advance(90_000);
    const outcomes = await outage(scenario, unavailable());
    expect(outcomes.invalid).toBe(0);
    expect(outcomes.served).toBeGreaterThanOrEqual(5_990);
    expect(outcomes.served + outcomes.failed).toBe(12_000);
  });
});
