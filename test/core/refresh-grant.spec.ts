import { describe, expect, it } from '@jest/globals';
import { MemoryTokenStore } from '../../lib/core/memory-token-store.js';
import type { StoredToken } from '../../lib/core/token-store.js';
import { FailingStore } from './failing-store.js';
import { Scenario, type ScenarioOptions } from './scenario.js';
import { unavailable } from './scripted-endpoint.js';
import { VirtualClock } from './virtual-clock.js';

function rotating(options: ScenarioOptions = {}): Scenario {
  const scenario = new Scenario(options);
  scenario.endpoint.rotates = true;
  return scenario;
}

const usedBy = ({ endpoint }: Scenario) => endpoint.requests.map(({ refreshToken }) => refreshToken);

describe('52. A refresh token behind several tokens', () => {
  it.each<[string, () => MemoryTokenStore | undefined]>([
    ['the store is there', () => undefined],
    [
      'the store is away',
      () => Object.assign(new FailingStore(new VirtualClock()), { failure: 'throws' } as const),
    ],
  ])('52. Three scopes at once while %s → one use at a time, none of them twice', async (_what, storeOf) => {
    const store = storeOf();
    const scenario = rotating(store && { store });
    const { client, clock, endpoint } = scenario;
    let [open, most] = [0, 0];
    endpoint.onRequest = () => (most = Math.max(most, ++open));
    endpoint.onAnswer = () => open--;
    const scopes = ['a', 'b', undefined];
    const ask = () =>
      clock.until(Promise.all(scopes.map((scope) => client.getToken(scope === undefined ? {} : { scope }))));
    const tokens = await ask();
    expect(new Set(tokens.map(({ value }) => value)).size).toBe(3);
    client.invalidate();
    await ask();
    expect(usedBy(scenario)).toEqual([undefined, 'r1', 'r2', 'r3', 'r4', 'r5']);
    expect(most).toBe(1);
  });

  it('52. Two clients of one grant share it', async () => {
    const one = rotating();
    const { runtime, clock } = one;
    const two = rotating({ name: 'honeybee', runtime, clock, details: { scope: 'b' } });
    await one.token();
    await two.token();
    expect(two.endpoint.requests).toMatchObject([{ refreshToken: 'r1' }]);
  });

  it('52. A token request that fails keeps the refresh token for the next one', async () => {
    const scenario = rotating();
    scenario.endpoint.next({}, unavailable(), {});
    await scenario.token();
    await scenario.token({ scope: 'b' });
    expect(usedBy(scenario)).toEqual([undefined, 'r1', 'r1']);
  });

  it('52. An access token that expired on its way → its refresh token is used by the next try', async () => {
    const scenario = rotating();
    scenario.endpoint.next({ lifetimeMs: 40 }, { lifetimeMs: 40 });
    await scenario.token();
    expect(usedBy(scenario)).toEqual([undefined, 'r1', 'r2']);
  });

  it('52. Access tokens are stored without it', async () => {
    const kept: StoredToken[] = [];
    class Recording extends MemoryTokenStore {
      override async set(key: string, token: StoredToken): Promise<void> {
        kept.push(token);
        await super.set(key, token);
      }
    }
    await rotating({ store: new Recording() }).token();
    expect(kept.map(({ value, refreshToken }) => [value, refreshToken])).toEqual([
      ['t1', 'r1'],
      ['t1', undefined],
    ]);
  });
});

describe('52. A refresh token and a store that fails', () => {
  it('52. What was rotated while the store was away is used on, and saved when it recovers', async () => {
    const clock = new VirtualClock();
    const store = new FailingStore(clock);
    const [one, two] = [rotating({ clock, store }), rotating({ clock, store })];
    await one.token();
    store.failure = 'throws';
    await one.token({ forceRefresh: true });
    await one.token({ forceRefresh: true });
    store.failure = 'none';
    await clock.advance(1_000);
    expect(one.runtime.fleet.alone).toBe(false);
    two.endpoint.next({ token: { refreshToken: 'r4' } });
    await two.token({ scope: 'b' });
    await one.token({ forceRefresh: true });
    expect(usedBy(one)).toEqual([undefined, 'r1', 'r2', 'r4']);
    expect(usedBy(two)).toEqual(['r3']);
  });

  it('52. A store that lost everything → the grant goes on', async () => {
    class Forgetting extends MemoryTokenStore {
      override async get(): Promise<undefined> {
        await super.get('nothing is there');
      }
    }
    const scenario = rotating({ store: new Forgetting() });
    await scenario.token();
    await scenario.token({ forceRefresh: true });
    await scenario.token({ scope: 'b' });
    expect(usedBy(scenario)).toEqual([undefined, 'r1', 'r2']);
  });

  it('52. Another instance’s later refresh token counts, also when its clock is behind', async () => {
    const [clock, behind] = [new VirtualClock(), new VirtualClock()];
    behind.setBack(3_600_000);
    const store = new MemoryTokenStore();
    const [one, two] = [rotating({ clock, store }), rotating({ clock: behind, store })];
    await one.token();
    two.endpoint.next({ token: { refreshToken: 'r2' } });
    await two.token({ scope: 'b' });
    await one.token({ forceRefresh: true });
    expect(usedBy(one)).toEqual([undefined, 'r2']);
    expect(usedBy(two)).toEqual(['r1']);
  });
});

describe('Two clients whose tokens are the same', () => {
  it('12. make one POST, one after the other', async () => {
    const one = new Scenario();
    const two = new Scenario({ name: 'again', runtime: one.runtime, clock: one.clock });
    const [first, second] = await one.clock.until(
      Promise.all([one.client.getToken(), two.client.getToken()]),
    );
    expect(first.value).toBe(second.value);
    expect(one.endpoint.posts + two.endpoint.posts).toBe(1);
  });
});
