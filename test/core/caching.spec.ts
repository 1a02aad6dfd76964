import { describe, expect, it } from '@jest/globals';
import { LruMap, MemoryTokenStore } from '../../lib/core/memory-token-store.js';
import { OAuthClient } from '../../lib/core/oauth-client.js';
import type { TokenRequest } from '../../lib/core/token-request.js';
import { DEFAULT_LIFE, Scenario } from './scenario.js';
import { ScriptedEndpoint } from './scripted-endpoint.js';
import { VirtualClock } from './virtual-clock.js';
import { from, lastValueFrom } from 'rxjs';

describe('Acquire and cache', () => {
  it('1. Empty cache → one POST, `Authorization: Bearer t1`. Again → no POST.', async () => {
    const scenario = new Scenario();
    expect((await scenario.token()).authorization).toBe('Bearer t1');
    const again = await scenario.atOnce();
    expect(again).toMatchObject({ authorization: 'Bearer t1' });
    expect(scenario.endpoint.posts).toBe(1);
  });

  it('1. A fresh token costs no store operation and no key', async () => {
    const store = new CountingStore();
    const scenario = new Scenario({ store });
    await scenario.token();
    const { operations } = store;
    scenario.endpoint.identityError = new Error('nobody asks for it');
    for (let i = 0; i < 10; i++) expect(await scenario.atOnce()).toMatchObject({ value: 't1' });
    expect(store.operations).toBe(operations);
  });

  it.each<[string, TokenRequest, TokenRequest]>([
    ['scope', { scope: 'a' }, { scope: 'b' }],
    ['audience', { audience: 'x' }, { audience: 'y' }],
    ['several audiences', { audience: 'x' }, { audience: ['x', 'y'] }],
    ['resource', { resource: 'https://a.example' }, { resource: 'https://b.example' }],
    ['parameter', { parameters: { p: '1' } }, { parameters: { p: '2' } }],
    ['tenant', { parameters: { tenant: 'north' } }, { parameters: { tenant: 'south' } }],
    ['subject token', { subjectToken: 'alice' }, { subjectToken: 'bob' }],
    ['the same value as audience and as resource', { audience: 'x' }, { resource: 'x' }],
    ['no such member', {}, { scope: 'a' }],
    ['an empty parameter', {}, { parameters: { p: '' } }],
  ])('5. Different %s → separate tokens', async (_what, one, other) => {
    const scenario = new Scenario();
    const [first, second] = [await scenario.token(one), await scenario.token(other)];
    expect(second.value).not.toBe(first.value);
    expect(await scenario.atOnce(one)).toBe(first);
    expect(await scenario.atOnce(other)).toBe(second);
    expect(scenario.endpoint.posts).toBe(2);
    expect(scenario.endpoint.requests[1]!.details).toEqual(other);
  });

  it('5. Order and duplicates of scopes do not matter', async () => {
    const scenario = new Scenario();
    const calls = ['read write', 'write read', 'read  write read', ' write read '].map((scope) =>
      scenario.client.getToken({ scope }),
    );
    const values = (await scenario.clock.until(Promise.all(calls))).map(({ value }) => value);
    expect(new Set(values)).toEqual(new Set(['t1']));
    expect(scenario.endpoint.posts).toBe(1);
  });

  it("5. A request that says what the client's options say → the client's own token, also while it is fetched", async () => {
    const scenario = new Scenario({ details: { scope: 'read write', parameters: { p: '1' } } });
    const requests: (TokenRequest | undefined)[] = [
      undefined,
      { scope: 'write read' },
      { parameters: {} },
      { parameters: { p: '1' } },
    ];
    const calls = requests.map((request) => scenario.client.getToken(request));
    await scenario.clock.until(Promise.all(calls));
    expect(scenario.endpoint.posts).toBe(1);
  });

  it('6. Two module instances in one process, same client name, other issuer → never mix', async () => {
    const clock = new VirtualClock();
    const store = new MemoryTokenStore();
    const one = new Scenario({ clock, store, identity: 'https://one.example' });
    const two = new Scenario({ clock, store, identity: 'https://two.example' });
    await one.token();
    await two.token();
    expect([one.endpoint.posts, two.endpoint.posts]).toEqual([1, 1]);
    two.client.invalidate();
    await two.token();
    await one.token();
    expect([one.endpoint.posts, two.endpoint.posts]).toEqual([1, 2]);
  });

  it('6. Two module instances of the same issuer that share a store → the second takes the token from it', async () => {
    const clock = new VirtualClock();
    const store = new MemoryTokenStore();
    const one = new Scenario({ clock, store });
    const two = new Scenario({ clock, store });
    const first = await one.token();
    expect((await two.token()).value).toBe(first.value);
    expect(two.endpoint.posts).toBe(0);
    expect(two.events).toMatchObject([{ type: 'token_acquired', source: 'store', reason: 'cold' }]);
  });

  it.each([
    ['10,000 distinct keys', 10_000, 100],
    ['1,000 distinct keys all at once', 1_000, 1_000],
  ])(
    "10. %s → memory bounded by the store's LRU; an evicted key is simply fetched again",
    async (_what, keys, atOnce) => {
      const scenario = new Scenario({ store: new MemoryTokenStore({ maxEntries: 100 }), latencyMs: 1 });
      const { client, clock, runtime, endpoint } = scenario;
      for (let first = 0; first < keys; first += atOnce) {
        const calls = Array.from({ length: atOnce }, (_, i) => client.getToken({ scope: `s${first + i}` }));
        await clock.until(Promise.all(calls));
      }
      expect([...runtime.tokens.values()].length).toBe(100); // also when the last flights have just landed
      await scenario.token({ scope: 'last' });
      expect(endpoint.posts).toBe(keys + 1);
      expect([...runtime.tokens.values()].length).toBe(100);
      await scenario.token({ scope: 's0' });
      expect(endpoint.posts).toBe(keys + 2);
      expect(await scenario.atOnce({ scope: 'last' })).toMatchObject({ value: `t${keys + 1}` });
    },
  );

  it('10. The bound counts keys, also when all of them hold one and the same entry', async () => {
    const store = new MemoryTokenStore({ maxEntries: 10 });
    const entry = { value: 't1', tokenType: 'Bearer', issuedAt: 0, expiresAt: 1 } as const;
    const keys = Array.from({ length: 1_000 }, (_, number) => `key-${number}`);
    for (const key of keys) await store.set(key, entry);
    const kept = await Promise.all(keys.map((key) => store.get(key)));
    expect(kept.filter((found) => found !== undefined)).toHaveLength(10);
  });

  it.each([0, -1, 1.5, Number.NaN])('10. A store of %d keys is refused', (maxEntries) => {
    expect(() => new MemoryTokenStore({ maxEntries })).toThrow(RangeError);
  });

  it('10. What was used last stays, what was used least recently goes', () => {
    const map = new LruMap<number>(2);
    map.set('a', 1);
    map.set('b', 2);
    expect(map.get('a')).toBe(1);
    map.set('c', 3);
    expect(['a', 'b', 'c'].map((key) => map.get(key))).toEqual([1, undefined, 3]);
    map.set('a', 4);
    expect([...map.values()]).toEqual([3, 4]);
  });

  it('10. A key whose token is being fetched is not evicted', async () => {
    const scenario = new Scenario({ store: new MemoryTokenStore({ maxEntries: 2 }), latencyMs: 100 });
    const { client, clock, endpoint } = scenario;
    const waiting = ['a', 'b', 'c', 'd'].map((scope) => client.getToken({ scope }));
    await clock.advance(50);
    waiting.push(client.getToken({ scope: 'a' }));
    await clock.until(Promise.all(waiting));
    expect(endpoint.posts).toBe(4);
  });

  it('11. What was asked for before an invalidation serves those who wait for it, and nobody after', async () => {
    const scenario = new Scenario({ latencyMs: 100 });
    const { client, clock, endpoint } = scenario;
    const before = client.getToken();
    await clock.advance(50);
    client.invalidate();
    const after = client.getToken();
    expect((await clock.until(before)).value).toBe('t1');
    expect((await clock.until(after)).value).toBe('t2');
    expect(await scenario.atOnce()).toMatchObject({ value: 't2' });
    expect(endpoint.requests.map(({ at }) => at)).toEqual([0, 100]);
    expect(scenario.eventTypes).toEqual(['token_invalidated', 'token_acquired', 'token_acquired']);
  });

  it('11. Invalidate one key, one client → only those are fetched again', async () => {
    const buoy = new Scenario();
    const endpoint = new ScriptedEndpoint(buoy.clock, 'https://honeybee.example');
    const honeybee = OAuthClient.create({
      name: 'honeybee',
      endpoint,
      options: DEFAULT_LIFE,
      runtime: buoy.runtime,
    });
    const [a, b] = [{ scope: 'a' }, { scope: 'b' }];
    const refetched = async (): Promise<boolean[]> => {
      const before = [buoy.endpoint.posts, endpoint.posts];
      const calls = [buoy.client.getToken(a), buoy.client.getToken(b), buoy.client.getToken()];
      await buoy.clock.until(Promise.all([...calls, honeybee.getToken(), honeybee.getToken(a)]));
      return [buoy.endpoint.posts, endpoint.posts].map((posts, i) => posts > before[i]!);
    };
    expect(await refetched()).toEqual([true, true]);
    expect(await refetched()).toEqual([false, false]);

    const tokenOfA = await buoy.token(a);
    buoy.client.invalidate(tokenOfA);
    const { posts } = buoy.endpoint;
    expect(await refetched()).toEqual([true, false]);
    expect(buoy.endpoint.posts).toBe(posts + 1);
    expect(buoy.endpoint.requests.at(-1)!.details).toEqual(a);

    buoy.client.invalidate(tokenOfA);
    expect(await refetched()).toEqual([false, false]);

    buoy.client.invalidate();
    expect(await refetched()).toEqual([true, false]);
    expect(buoy.endpoint.posts).toBe(posts + 4);

    honeybee.invalidate();
    expect(await refetched()).toEqual([false, true]);
  });

  it('11. An invalidated token is gone from the store as well, and reported', async () => {
    const scenario = new Scenario();
    const invalidated = await scenario.token();
    scenario.client.invalidate();
    expect((await scenario.token()).value).toBe('t2');
    expect(scenario.eventTypes).toEqual(['token_acquired', 'token_invalidated', 'token_acquired']);
    const { expiresAt } = invalidated;
    expect(scenario.events[1]).toEqual({
      type: 'token_invalidated',
      client: 'buoy',
      reason: 'forced',
      expiresAt,
    });
    expect(scenario.events[2]).toMatchObject({ reason: 'forced', source: 'authorization_server' });
  });

  it('11. A failure to make the key while invalidating does not outlast its cause', async () => {
    const scenario = new Scenario();
    await scenario.token();
    scenario.endpoint.identityError = new Error('key file is missing');
    scenario.client.invalidate();
    await scenario.clock.advance(10);
    scenario.endpoint.identityError = undefined;
    expect((await scenario.token()).value).toBe('t2');
  });
});

class CountingStore extends MemoryTokenStore {
  operations = 0;

  override get(key: string): ReturnType<MemoryTokenStore['get']> {
    this.operations++;
    return super.get(key);
  }

  override set(...args: Parameters<MemoryTokenStore['set']>): Promise<void> {
    this.operations++;
    return super.set(...args);
  }
}

describe('One runtime', () => {
  it('5. The request of the current handler is merged under that of the call', async () => {
    const clock = new VirtualClock();
    const tenant = { parameters: { tenant: 'north' } };
    const scenario = new Scenario({ clock });
    const prepared = new Map([['buoy', { request: tenant, token: await scenario.token() }]]);
    const handler = async (): Promise<void> => {
      await scenario.token();
      await scenario.token({ parameters: { p: '1' } });
    };
    const scope = { call: {}, handler };
    await lastValueFrom(scenario.runtime.ambient.run(scope, prepared, () => from(handler())));
    expect(scenario.endpoint.requests.map(({ details }) => details)).toEqual([
      {},
      tenant,
      { parameters: { tenant: 'north', p: '1' } },
    ]);
  });
});
