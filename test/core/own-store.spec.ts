import { describe, expect, it } from '@jest/globals';
import { LockingStore } from './locking-store.js';
import { Scenario } from './scenario.js';

const never = () => new Promise<never>(() => undefined);
const throws = () => {
  throw new Error('out of order');
};

/** A client on a store that works, but for what `broken` replaces. */
const scenarioWith = (broken: object) => new Scenario({ store: Object.assign(new LockingStore(), broken) });

describe('A store of the user’s own', () => {
  it.each([
    ['whose get never answers', { get: never }],
    ['whose set never answers', { set: never }],
    ['whose lock never answers', { withLock: never }],
    ['that never gives its lock back', { withLock: (_: string, __: number, work: () => unknown) => Promise.resolve(work()).then(never) }],
  ])('57. %s costs a call 5 s once', async (_, broken) => {
    const scenario = scenarioWith(broken);
    expect((await scenario.token()).value).toBe('t1');
    expect(scenario.clock.elapsed).toBeLessThanOrEqual(5_100);
    expect(scenario.eventTypes.toSorted()).toEqual(['store_unavailable', 'token_acquired']);
    const before = scenario.clock.elapsed;
    expect((await scenario.token({ scope: 'other' })).value).toBe('t2');
    expect(scenario.clock.elapsed - before).toBe(50);
    expect(scenario.endpoint.posts).toBe(2);
  }); // prettier-ignore

  it.each([
    ['throws at once', throws],
    ['says that it did the work, and did not', async () => ({ outcome: 'acquired', result: undefined })],
    ['answers with a text', async () => 'OK'],
    ['answers with nothing', async () => undefined],
    ['fails without a reason', async () => ({ outcome: 'error' })],
  ])('16. 57. one whose lock %s counts as down, and the work is done without it', async (_, withLock) => {
    const scenario = scenarioWith({ withLock });
    expect((await scenario.token()).value).toBe('t1');
    expect(scenario.eventTypes).toEqual(['store_unavailable', 'token_acquired']);
    expect(scenario.clock.elapsed).toBe(50);
  });

  it('16. a lock that returns another result than that of the work changes nothing', async () => {
    const scenario = scenarioWith({
      withLock: async (_: string, __: number, work: () => Promise<unknown>) => {
        await work();
        return { outcome: 'acquired', result: 'mine' };
      },
    });
    expect((await scenario.token()).value).toBe('t1');
    expect(scenario.eventTypes).toEqual(['token_acquired']);
  });

  it('16. a lock that is granted after its time does no work twice', async () => {
    let grant = () => {};
    const scenario = scenarioWith({
      withLock: async (_: string, __: number, work: () => Promise<unknown>) => {
        await new Promise<void>((resolve) => (grant = resolve));
        return { outcome: 'acquired', result: await work() };
      },
    });
    await scenario.token();
    grant();
    await scenario.clock.advance(1_000);
    expect(scenario.endpoint.posts).toBe(1);
  });

  it.each([
    ['never answers', never],
    ['throws at once', throws],
    ['answers with no promise', () => undefined],
  ])('64. one whose close %s lets the application end', async (_, close) => {
    const scenario = scenarioWith({ close });
    await scenario.token();
    await scenario.clock.until(scenario.runtime.close(1_000));
    expect(scenario.clock.elapsed).toBeLessThanOrEqual(5_100);
  });

  it('64. one whose open never answers lets the application start', async () => {
    const scenario = scenarioWith({ open: never });
    await scenario.clock.until(scenario.runtime.fleet.open());
    expect(scenario.eventTypes).toEqual(['store_unavailable']);
  });

  it('64. is left alone after the shutdown', async () => {
    const asked: string[] = [];
    const scenario = scenarioWith({ delete: async (key: string) => void asked.push(key) });
    await scenario.token();
    await scenario.clock.until(scenario.runtime.close(1_000));
    scenario.client.invalidate();
    await scenario.clock.advance(1_000);
    expect(asked).toEqual([]);
  });

  it.each([
    ['times beyond all dates', { value: 'x', tokenType: 'Bearer', issuedAt: 1, expiresAt: 1e17 }],
    ['times before all dates', { value: 'x', tokenType: 'Bearer', issuedAt: -1e300, expiresAt: 2e12 }],
    ['members that cannot be read', { get value() { return throws(); } }],
    ['a text', 'entry'],
  ])('58. an entry with %s is a miss', async (_, entry) => {
    const scenario = scenarioWith({ get: async () => entry });
    expect((await scenario.token()).value).toBe('t1');
    expect(scenario.eventTypes).toEqual(['token_acquired']);
  }); // prettier-ignore
});
