import { describe, expect, it } from '@jest/globals';
import { MemoryTokenStore } from '../../lib/core/memory-token-store.js';
import { Scenario } from './scenario.js';
import { rejected, unavailable, type Answer } from './scripted-endpoint.js';
import { VirtualClock, settle } from './virtual-clock.js';

const WAYS = ['freeze', 'suspend'] as const;
const HOUR = 3_600_000;

/** A caller waits for a token request that was 200 ms old when the process fell asleep. */
async function asleep(way: (typeof WAYS)[number], ms: number, lost: Answer, attempts = 3) {
  const scenario = new Scenario({ latencyMs: 300, retry: { attempts } });
  scenario.endpoint.next(lost);
  const waiting = scenario.client.getToken();
  await scenario.clock.advance(200);
  scenario.clock[way](ms);
  return { scenario, waiting };
}

function expectNoFailure({ client, eventTypes }: Scenario): void {
  expect(new Set(eventTypes)).toEqual(new Set(['token_acquired']));
  const { state, lastError, backoffUntil } = client.status();
  expect({ state, lastError, backoffUntil }).toEqual({ state: 'fresh' });
}

describe.each(WAYS)('A process that sleeps in the middle of a token request (%s)', (way) => {
  it.each<[string, number, Answer, number]>([
    ['hung', 20_000, { hang: true }, 3],
    ['hung, with one attempt', 20_000, { hang: true }, 1],
    ['hung, for less than a flight may take', 7_000, { hang: true }, 1],
    ['hung, for two seconds', 2_000, { hang: true }, 1],
    ['reset the connection', 20_000, { error: new Error('ECONNRESET'), latencyMs: 20_210 }, 1],
    ['found our assertion expired', 20_000, { ...rejected(), latencyMs: 20_210 }, 1],
  ])(
    '79. The server %s → both callers are served by one more request, and nothing failed',
    async (_, ms, lost, attempts) => {
      const { scenario, waiting } = await asleep(way, ms, lost, attempts);
      const woke = scenario.clock.elapsed;
      const first = scenario.client.getToken();
      const tokens = await scenario.clock.until(Promise.all([waiting, first]));
      expect(tokens.map(({ value }) => value)).toEqual(['t2', 't2']);
      // Two of the steps in which the clock is looked at, what arrived is read, and one token request.
      expect(scenario.clock.elapsed - woke).toBeLessThanOrEqual(way === 'freeze' ? 350 : 850);
      expect(scenario.endpoint.posts).toBe(2);
      expectNoFailure(scenario);
    },
  );

  it('79. The server answered meanwhile → that answer serves both', async () => {
    const { scenario, waiting } = await asleep(way, 20_000, {});
    const first = scenario.client.getToken();
    const tokens = await scenario.clock.until(Promise.all([waiting, first]));
    expect(tokens.map(({ value }) => value)).toEqual(['t1', 't1']);
    expect(scenario.endpoint.posts).toBe(1);
    expectNoFailure(scenario);
  });

  it('79. The answer arrives within 50 ms after the sleep was noticed → it serves both', async () => {
    const latencyMs = way === 'freeze' ? 20_240 : 540;
    const { scenario, waiting } = await asleep(way, 20_000, { latencyMs });
    await scenario.clock.advance(0);
    expect((await scenario.clock.until(waiting)).value).toBe('t1');
    expect(scenario.endpoint.posts).toBe(1);
    expectNoFailure(scenario);
  });

  it('79. The request that is sent again shows as a refresh, not as trouble', async () => {
    const { scenario, waiting } = await asleep(way, 20_000, { hang: true });
    const seen: string[] = [];
    scenario.endpoint.onRequest = () => seen.push(scenario.client.status().state);
    await scenario.clock.until(waiting);
    expect(seen).toEqual(['refreshing']);
  });

  it('79. The server answered meanwhile, with a token that has expired since → one more request', async () => {
    const { scenario, waiting } = await asleep(way, 2 * HOUR, {}, 1);
    expect((await scenario.clock.until(waiting)).value).toBe('t2');
    expect(scenario.endpoint.posts).toBe(2);
    expectNoFailure(scenario);
  });

  it('79. A refresh in the background → the valid token serves on, and no failure is reported', async () => {
    const scenario = new Scenario({ retry: { attempts: 1 } });
    await scenario.token();
    await scenario.clock.advance(0.93 * HOUR);
    scenario.endpoint.next({ hang: true });
    expect(await scenario.atOnce()).toMatchObject({ value: 't1' });
    await scenario.clock.advance(200);
    scenario.clock[way](60_000);
    expect(await scenario.atOnce()).toMatchObject({ value: 't1' });
    await scenario.clock.advance(1_000);
    expect(await scenario.atOnce()).toMatchObject({ value: 't3' });
    expect(scenario.eventTypes).toEqual(['token_acquired', 'token_acquired']);
  });

  it('79. The token was given up meanwhile → the waiting caller is served by one more request', async () => {
    const { scenario, waiting } = await asleep(way, 20_000, { hang: true });
    scenario.client.invalidate();
    expect((await scenario.clock.until(waiting)).value).toBe('t2');
    expect(scenario.endpoint.posts).toBe(2);
    expect(new Set(scenario.eventTypes)).toEqual(new Set(['token_invalidated', 'token_acquired']));
  });

  it('79. Another instance had its turn meanwhile → its token serves, without another request', async () => {
    const store = new MemoryTokenStore();
    const one = new Scenario({ store });
    const two = new Scenario({ store, clock: one.clock, latencyMs: 10 });
    one.endpoint.next({ hang: true });
    const waiting = one.client.getToken();
    await one.clock.advance(200);
    one.clock[way](20_000);
    two.endpoint.next({ token: { value: 'of-the-other-instance' } });
    await two.token();
    expect((await one.clock.until(waiting)).value).toBe('of-the-other-instance');
    expect([one.endpoint.posts, two.endpoint.posts]).toEqual([1, 1]);
  });

  it('79. The process slept before its turn came → its time begins anew, and nothing failed', async () => {
    const clock = new VirtualClock();
    class SlowLock extends MemoryTokenStore {
      override async withLock<T>(key: string, ttlMs: number, work: () => Promise<T>) {
        await new Promise((done) => clock.scheduler.schedule(done, 300));
        return super.withLock(key, ttlMs, work);
      }
    }
    const scenario = new Scenario({ clock, store: new SlowLock() });
    const waiting = scenario.client.getToken();
    await clock.advance(200);
    clock[way](20_000);
    expect((await clock.until(waiting)).value).toBe('t1');
    expect(scenario.endpoint.posts).toBe(1);
    expectNoFailure(scenario);
  });

  it('79. A server that asked to come back later is not asked earlier because of a sleep', async () => {
    const { scenario, waiting } = await asleep(way, 1_500, unavailable({ retryAfterMs: 4_000 }));
    await scenario.clock.until(waiting);
    const [, second] = scenario.endpoint.requests;
    expect(second!.at).toBeGreaterThanOrEqual(4_300);
  });
});

describe('A flight that nobody should wait for any more', () => {
  it('79. A caller who comes before any timer fired starts a new one, and the waiting callers get its token', async () => {
    const { scenario, waiting } = await asleep('freeze', 20_000, { hang: true }, 1);
    // The late timer has not run yet.
    const first = scenario.client.getToken();
    await settle();
    expect((await scenario.clock.until(first)).value).toBe('t2');
    expect((await scenario.clock.until(waiting)).value).toBe('t2');
    expect(scenario.endpoint.posts).toBe(2);
    expectNoFailure(scenario);
  });

  it('79. A server that is slow, in a process that is awake, has no more time than before', async () => {
    const scenario = new Scenario({ retry: { attempts: 1 } });
    scenario.endpoint.next({ hang: true });
    await scenario.failure();
    expect(scenario.clock.elapsed).toBe(5_000);
    expect(scenario.eventTypes).toEqual(['token_request_failed']);
  });
});
