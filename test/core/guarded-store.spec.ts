import { describe, expect, it, jest } from '@jest/globals';
import { GuardedStore } from '../../lib/core/guarded-store.js';
import { later, momentOf } from '../../lib/core/clock.js';
import {
  AuthorizationServerUnavailableError,
  OAuthClientError,
  TokenResponseError,
} from '../../lib/core/errors.js';
import { FlightFailure, failureEntry, failureOf } from '../../lib/core/flight-failure.js';
import { MemoryTokenStore } from '../../lib/core/memory-token-store.js';
import type { LockOutcome, StoredToken } from '../../lib/core/token-store.js';
import { tokenKey } from '../../lib/core/token-request.js';
import { failingScenario, type Failure } from './failing-store.js';
import { Scenario } from './scenario.js';
import { rejected, unavailable, type Answer } from './scripted-endpoint.js';
import { VirtualClock, settle } from './virtual-clock.js';

describe.each<[string, Failure]>([
  ['that throws', 'throws'],
  ['that says so', 'says so'],
])('A failing store %s', (_how, failure) => {
  it('57. Store fails → calls go on with the local single flight; one event tells', async () => {
    const scenario = failingScenario();
    const { client, clock, store, endpoint } = scenario;
    store.failure = failure;
    const tokens = await clock.until(Promise.all(Array.from({ length: 100 }, () => client.getToken())));
    expect(new Set(tokens.map(({ value }) => value))).toEqual(new Set(['t1']));
    expect(endpoint.posts).toBe(1);
    expect(scenario.eventTypes).toEqual(['store_unavailable', 'token_acquired']);
    expect(scenario.events[0]).toMatchObject({
      error: expect.objectContaining({ message: 'connection lost' }),
    });
  });

  it('57. A call pays for the failure once; after that the store is skipped', async () => {
    const scenario = failingScenario();
    const { clock, store } = scenario;
    store.failure = failure;
    store.delayMs = 100;
    await scenario.token();
    expect(clock.elapsed).toBe(150);
    expect(store.operations).toBe(1);
    for (let i = 0; i < 5; i++) {
      const before = clock.elapsed;
      await scenario.token({ scope: `s${i}` });
      expect(clock.elapsed - before).toBe(50);
    }
    expect(store.operations).toBe(1);
  });

  it('57. It recovers by a probe behind the scenes; one event per change of state', async () => {
    const scenario = failingScenario();
    const { clock, store, endpoint } = scenario;
    store.failure = failure;
    await scenario.token();
    await clock.advance(10_000);
    expect(store.operations).toBeGreaterThanOrEqual(10);
    expect(store.operations).toBeLessThanOrEqual(12);
    expect(clock.pending).toBe(1);
    store.failure = 'none';
    await clock.advance(1_000);
    expect(clock.pending).toBe(0);
    expect(scenario.eventTypes).toEqual(['store_unavailable', 'token_acquired', 'store_recovered']);
    expect(scenario.runtime.fleet.alone).toBe(false);

    await scenario.token({ forceRefresh: true });
    expect(endpoint.posts).toBe(2);
    store.failure = failure;
    await scenario.token({ scope: 'other' });
    expect(scenario.eventTypes.slice(3)).toEqual(['token_acquired', 'store_unavailable', 'token_acquired']);
  });

  it('57. A store that turned read-only stays down until it can be written again', async () => {
    const scenario = failingScenario();
    const { clock, store } = scenario;
    store.failure = failure;
    store.readOnly = true;
    await scenario.token();
    await clock.advance(5_000);
    expect(scenario.runtime.fleet.alone).toBe(true);
    store.failure = 'none';
    await clock.advance(1_000);
    expect(scenario.runtime.fleet.alone).toBe(false);
    expect(scenario.eventTypes).toEqual(['store_unavailable', 'token_acquired', 'store_recovered']);
  });

  it('57. A store that fails when a token is invalidated, or while the answer is on its way, hurts nobody', async () => {
    const scenario = failingScenario();
    const { client, clock, store } = scenario;
    await scenario.token();
    store.failure = failure;
    client.invalidate();
    expect((await scenario.token()).value).toBe('t2');
    store.failure = 'none';
    await clock.advance(1_000);
    const waiting = client.getToken({ forceRefresh: true });
    await clock.advance(10);
    store.failure = failure;
    expect((await clock.until(waiting)).value).toBe('t3');
    expect(await scenario.atOnce()).toMatchObject({ value: 't3' });
  });

  it('57. Tokens that were rejected while the store was away do not come back out of it', async () => {
    const scenario = failingScenario();
    const { client, clock, store, endpoint } = scenario;
    const reject = async (): Promise<void> => {
      const token = await scenario.token();
      client.life().accept(token);
      expect(client.life().reject(token)).toBe('replaceable');
      await clock.advance(10);
    };
    await scenario.token();
    store.failure = failure;
    await scenario.token({ scope: 'other' });
    await reject();
    await reject();
    store.failure = 'none';
    await clock.advance(1_000);
    expect(scenario.runtime.fleet.alone).toBe(false);
    const { posts } = endpoint;
    expect((await scenario.token()).value).toBe(`t${posts + 1}`);
  });

  describe('and two instances', () => {
    const pair = () => {
      const one = failingScenario();
      const { clock, store } = one;
      const two = new Scenario({ clock, store });
      two.endpoint.prefix = 'u';
      const recover = async () => {
        store.failure = 'none';
        await clock.advance(1_100);
        expect(one.runtime.fleet.alone).toBe(false);
      };
      return { one, two, clock, store, recover };
    };

    it('57. What one acquired meanwhile is there for the other when the store recovers', async () => {
      const { one, two, store, recover } = pair();
      store.failure = failure;
      const tokens = [await one.token(), await one.token({ scope: 's' })];
      await recover();
      expect([await two.token(), await two.token({ scope: 's' })].map(({ value }) => value)).toEqual(
        tokens.map(({ value }) => value),
      );
      expect(two.endpoint.posts).toBe(0);
    });

    it('57. Of what both acquired meanwhile the newest stays', async () => {
      const { one, two, clock, store, recover } = pair();
      store.failure = failure;
      await one.token();
      await clock.advance(10);
      await two.token();
      await recover();
      expect((await new Scenario({ clock, store }).token()).value).toBe('u1');
    });

    it('57. What one rejected meanwhile is gone for the other when the store recovers', async () => {
      const { one, two, clock, store, recover } = pair();
      await one.token();
      store.failure = failure;
      for (let time = 0; time < 2; time++) {
        const token = await one.token();
        one.client.life().accept(token);
        expect(one.client.life().reject(token)).toBe('replaceable');
      }
      await recover();
      expect((await two.token()).value).toBe('u1');
      expect((await new Scenario({ clock, store }).token()).value).toBe('u1');
    });

    it('57. What has expired meanwhile is not written', async () => {
      const { one, clock, store, recover } = pair();
      const written = jest.spyOn(store, 'set');
      one.endpoint.lifetimeMs = 4_000;
      store.failure = failure;
      await one.token();
      await clock.advance(5_000);
      written.mockClear();
      await recover();
      expect(written.mock.calls.map(([, { value }]) => value)).toEqual(['probe']);
    });

    it('57. A store that recovers and fails again while it catches up stays down, and catches up later', async () => {
      const { one, two, clock, store, recover } = pair();
      store.failure = failure;
      const { value } = await one.token();
      const set = store.set.bind(store);
      store.failure = 'none';
      store.set = async (key, token) =>
        token.value === 'probe' ? set(key, token) : Promise.reject(new Error('connection lost'));
      await clock.advance(3_000);
      expect(one.runtime.fleet.alone).toBe(true);
      store.set = set;
      await recover();
      expect((await two.token()).value).toBe(value);
      expect(one.eventTypes.filter((type) => type.startsWith('store'))).toEqual([
        'store_unavailable',
        'store_recovered',
      ]);
    });

    it('17. forceRefresh → newer than what the other acquired before, in the outage or after it', async () => {
      const { one, two, clock, store, recover } = pair();
      store.failure = failure;
      await one.token();
      await clock.advance(10);
      await two.token();
      await recover();
      expect((await one.token({ forceRefresh: true })).value).toBe('t2');
      expect((await two.token({ forceRefresh: true })).value).toBe('u2');
    });
  });

  it('64. Nothing is probed after the shutdown', async () => {
    const scenario = failingScenario();
    const { clock, store, runtime } = scenario;
    store.failure = failure;
    await scenario.token();
    await clock.until(runtime.close(1_000));
    const { operations } = store;
    await clock.advance(10_000);
    expect(store.operations).toBe(operations);
    expect(clock.pending).toBe(0);
  });
});

describe('The guard around a store', () => {
  it('57. What was done under the lock counts, even when giving the lock back fails', async () => {
    class Slipping extends MemoryTokenStore {
      override async withLock<T>(
        key: string,
        ttlMs: number,
        work: () => Promise<T>,
      ): Promise<LockOutcome<T>> {
        await super.withLock(key, ttlMs, work);
        throw new Error('connection lost');
      }
    }
    const scenario = new Scenario({ store: new Slipping() });
    expect((await scenario.token()).value).toBe('t1');
    expect(scenario.endpoint.posts).toBe(1);
    expect(scenario.eventTypes).toEqual(['store_unavailable', 'token_acquired']);
  });

  it.each(['get', 'set', 'delete'] as const)(
    '57. A store whose locks hold while its %s fails counts as down as well',
    async (operation) => {
      const fails = () => Promise.reject(new Error('connection lost'));
      const store = Object.assign(new MemoryTokenStore(), { [operation]: fails });
      const scenario = new Scenario({ store });
      await scenario.token();
      scenario.client.invalidate();
      expect((await scenario.token()).value).toBe('t2');
      expect(scenario.runtime.fleet.alone).toBe(true);
      expect(scenario.eventTypes.filter((type) => type === 'store_unavailable')).toHaveLength(1);
      await scenario.clock.until(scenario.runtime.close(0));
    },
  );

  it('12. Work under one lock runs one after the other in this process, whenever it is asked for', async () => {
    const guarded = new GuardedStore(new MemoryTokenStore(), new VirtualClock(), () => undefined);
    const steps: string[] = [];
    const ends = new Map<string, () => void>();
    const lock = (name: string) =>
      guarded.withLock('key', 1_000, async () => {
        steps.push(`begin ${name}`);
        await new Promise<void>((resolve) => ends.set(name, resolve));
        steps.push(`end ${name}`);
      });
    const end = async (name: string) => {
      ends.get(name)?.();
      await settle();
    };
    const all = [lock('a'), lock('b')];
    await settle();
    await end('a');
    all.push(lock('c'));
    await settle();
    await end('b');
    await end('c');
    await Promise.all(all);
    expect(steps).toEqual(['begin a', 'end a', 'begin b', 'end b', 'begin c', 'end c']);
  });

  it('78. Keeps the refresh tokens used last against a store that loses them, and not all there ever were', async () => {
    const [store, clock] = [new MemoryTokenStore({ maxEntries: 1 }), new VirtualClock()];
    const guarded = new GuardedStore(store, clock, () => undefined);
    const grant = { value: 't', tokenType: 'Bearer', issuedAt: 1, expiresAt: 2, refreshToken: 'r' } as const;
    for (let tenant = 0; tenant <= 10_000; tenant++) await guarded.set(`${tenant}.grant`, grant);
    expect(await guarded.get('0.grant')).toBeUndefined();
    expect(await guarded.get('1.grant')).toEqual(grant);
    expect(await guarded.get('10000.grant')).toEqual(grant);
  });

  it('57. Gives the refresh tokens back to a store that comes back without them', async () => {
    const [store, clock] = [new MemoryTokenStore(), new VirtualClock()];
    let restore = (): void => undefined;
    store.open = async (onRestore) => void (restore = onRestore);
    const guarded = new GuardedStore(store, clock, () => undefined);
    await guarded.open();
    const grant = { value: 't', tokenType: 'Bearer', issuedAt: 1, expiresAt: 2, refreshToken: 'r' } as const;
    for (const tenant of ['north', 'south']) await guarded.set(tenant, grant);
    await store.delete('north');
    restore();
    await settle();
    expect(await store.get('north')).toEqual(grant);
  });

  it('57. A failure of the work is not taken for one of the store', async () => {
    const clock = new VirtualClock();
    const changes: unknown[] = [];
    const guarded = new GuardedStore(new MemoryTokenStore(), clock, (failure) => changes.push(failure));
    const reason = new Error('the work failed');
    await expect(guarded.withLock('key', 1_000, () => Promise.reject(reason))).rejects.toBe(reason);
    await settle();
    expect(changes).toEqual([]);
    expect(guarded.down).toBe(false);
  });

  it('64. The store is closed after the last operation; a failure of that does not fail the shutdown', async () => {
    const operations: string[] = [];
    class Closing extends MemoryTokenStore {
      override async set(key: string, token: StoredToken): Promise<void> {
        operations.push('set');
        await super.set(key, token);
      }

      override async close(): Promise<void> {
        operations.push('close');
        throw new Error('connection lost');
      }
    }
    const scenario = new Scenario({ store: new Closing() });
    const waiting = scenario.client.getToken();
    await scenario.clock.advance(10);
    let completed = false;
    scenario.runtime.events$.subscribe({ complete: () => (completed = true) });
    await scenario.clock.until(scenario.runtime.close(1_000));
    expect((await waiting).value).toBe('t1');
    expect(operations).toEqual(['set', 'close']);
    expect(completed).toBe(true);
  });

  it('57. A hung probe holds nothing up', async () => {
    const scenario = failingScenario();
    const { clock, store } = scenario;
    store.failure = 'says so';
    await scenario.token();
    store.delayMs = 5_000;
    await clock.advance(1_500);
    const before = clock.elapsed;
    await scenario.token({ scope: 'other' });
    expect(clock.elapsed - before).toBe(50);
    store.failure = 'none';
    await clock.advance(10_000);
    expect(scenario.runtime.fleet.alone).toBe(false);
  });
});

/** One of the instances of a store whose locks keep the others out. */
class SharedLock extends MemoryTokenStore {
  static readonly #held = new WeakSet<MemoryTokenStore>();
  readonly #shared: MemoryTokenStore;

  constructor(shared: MemoryTokenStore) {
    super();
    this.#shared = shared;
  }

  override get(key: string): Promise<StoredToken | undefined> {
    return this.#shared.get(key);
  }

  override set(key: string, token: StoredToken): Promise<void> {
    return this.#shared.set(key, token);
  }

  override async withLock<T>(_key: string, _ttlMs: number, work: () => Promise<T>): Promise<LockOutcome<T>> {
    const held = SharedLock.#held;
    if (held.has(this.#shared)) return { outcome: 'held' };
    held.add(this.#shared);
    try {
      return { outcome: 'acquired', result: await work() };
    } finally {
      held.delete(this.#shared);
    }
  }
}

/** A lock that somebody else holds until it is told otherwise. */
class ContendedStore extends MemoryTokenStore {
  held = true;
  asked = 0;

  override async withLock<T>(key: string, ttlMs: number, work: () => Promise<T>): Promise<LockOutcome<T>> {
    this.asked++;
    return this.held ? { outcome: 'held' } : super.withLock(key, ttlMs, work);
  }
}

describe('A lock that somebody else holds', () => {
  it('55. The token that the holder stores is taken as soon as it is there, without a POST', async () => {
    const clock = new VirtualClock();
    const store = new ContendedStore();
    const [holder, waiter] = [
      new Scenario({ clock, store: new MemoryTokenStore() }),
      new Scenario({ clock, store }),
    ];
    const waiting = waiter.client.getToken();
    await clock.advance(500);
    const token = await holder.token();
    const stored = { value: token.value, tokenType: 'Bearer', issuedAt: clock.now() - 50 } as const;
    const key = tokenKey(await waiter.endpoint.identity(), {});
    await store.set(key, { ...stored, expiresAt: token.expiresAt.getTime() });
    const before = clock.elapsed;
    expect((await clock.until(waiting)).value).toBe(token.value);
    expect(clock.elapsed - before).toBeLessThanOrEqual(75);
    expect(waiter.endpoint.posts).toBe(0);
    expect(waiter.events).toMatchObject([{ type: 'token_acquired', source: 'store', reason: 'cold' }]);
  });

  it('56. When the lock falls free with no token there, the waiter asks itself', async () => {
    const store = new ContendedStore();
    const scenario = new Scenario({ store });
    const waiting = scenario.client.getToken();
    await scenario.clock.advance(5_000);
    expect(store.asked).toBeLessThan(120);
    store.held = false;
    expect((await scenario.clock.until(waiting)).value).toBe('t1');
    expect(scenario.clock.elapsed).toBeLessThanOrEqual(5_125);
  });

  it.each([
    [0, 37.5],
    [0.5, 50],
    [0.9, 60],
  ])(
    '55. After a while the waiter looks every 50 ms, give or take a quarter (%d)',
    async (chance, expected) => {
      const clock = new VirtualClock();
      clock.random = () => chance;
      const times: number[] = [];
      class Watched extends ContendedStore {
        override withLock<T>(key: string, ttlMs: number, work: () => Promise<T>): Promise<LockOutcome<T>> {
          times.push(clock.elapsed);
          return super.withLock(key, ttlMs, work);
        }
      }
      const store = new Watched();
      const waiting = new Scenario({ clock, store }).client.getToken();
      await clock.advance(2_000);
      const pauses = times.slice(1).map((at, i) => at - (times[i] ?? 0));
      expect(pauses[0]).toBeCloseTo((20 * expected) / 50, 6);
      expect(pauses.at(-1)).toBeCloseTo(expected, 6);
      store.held = false;
      await clock.until(waiting);
    },
  );

  it('17. forceRefresh waits for the holder: the token that it replaces is not taken from the store again', async () => {
    const store = new ContendedStore();
    store.held = false;
    const scenario = new Scenario({ store });
    await scenario.token();
    store.held = true;
    const forced = scenario.client.getToken({ forceRefresh: true });
    await scenario.clock.advance(1_000);
    store.held = false;
    expect((await scenario.clock.until(forced)).value).toBe('t2');
  });

  it.each([
    ['three attempts', {}, 16_000],
    ['two attempts with short pauses', { attempts: 2, maxDelayMs: 1_000 }, 12_000],
    ['one attempt', { attempts: 1 }, 6_000],
  ])('56. The lease of %s is the longest flight and a second', async (_what, retry, expected) => {
    const leases: number[] = [];
    class Recording extends MemoryTokenStore {
      override withLock<T>(key: string, ttlMs: number, work: () => Promise<T>): Promise<LockOutcome<T>> {
        leases.push(ttlMs);
        return super.withLock(key, ttlMs, work);
      }
    }
    await new Scenario({ store: new Recording(), retry }).token();
    expect(leases).toEqual([expected]);
  });

  it('86. A lock that never falls free → the waiter asks itself after a lease', async () => {
    const store = new ContendedStore();
    const scenario = new Scenario({ store });
    const waiting = scenario.client.getToken();
    expect((await scenario.clock.until(waiting)).value).toBe('t1');
    expect(scenario.clock.elapsed).toBeLessThanOrEqual(16_200);
  });

  it('55. A waiting instance looks less often when looking takes long', async () => {
    const clock = new VirtualClock();
    class Busy extends ContendedStore {
      override async get(key: string): Promise<StoredToken | undefined> {
        await new Promise((done) => clock.scheduler.schedule(done, 20));
        return super.get(key);
      }
    }
    const store = new Busy();
    const waiting = new Scenario({ clock, store }).client.getToken();
    await clock.advance(5_000);
    expect(store.asked).toBeLessThan(25);
    store.held = false;
    expect((await clock.until(waiting)).value).toBe('t1');
  });

  it('17. forceRefresh on an instance without a token → newer than what the store holds; those who force at once share it', async () => {
    const clock = new VirtualClock();
    const store = new MemoryTokenStore();
    const scenarios = [1, 2, 3].map(() => new Scenario({ clock, store: new SharedLock(store) }));
    const [first, ...others] = scenarios as [Scenario, Scenario, Scenario];
    await first.token();
    await clock.advance(10);
    const tokens = await clock.until(
      Promise.all(others.map(({ client }) => client.getToken({ forceRefresh: true }))),
    );
    expect(tokens.map(({ value }) => value)).toEqual(['t1', 't1']); // the first one of the second instance
    expect(others.map(({ endpoint }) => endpoint.posts)).toEqual([1, 0]);
  });

  it('17. forceRefresh on an instance without a token is not satisfied by a token of the millisecond before', async () => {
    const clock = new VirtualClock();
    const store = new MemoryTokenStore();
    const [one, two] = [1, 2].map(() => new Scenario({ clock, store, latencyMs: 0 })) as [Scenario, Scenario];
    await one.token();
    await clock.advance(1);
    await two.token({ forceRefresh: true });
    expect(two.endpoint.posts).toBe(1);
  });

  it('64. A shutdown ends the wait for a lock', async () => {
    const scenario = new Scenario({ store: new ContendedStore() });
    const failure = scenario.client.getToken().catch((error: unknown) => error);
    await scenario.clock.advance(1_000);
    await scenario.clock.until(scenario.runtime.close(2_000));
    expect(await failure).toMatchObject({ code: 'closed' });
    expect(scenario.clock.pending).toBe(0);
    expect(scenario.endpoint.posts).toBe(0);
  });
});

describe('A failure that another instance met', () => {
  it('29. Retry-After and cool-down hold for all instances that share the store', async () => {
    const clock = new VirtualClock();
    const store = new MemoryTokenStore();
    const [one, two] = [new Scenario({ clock, store }), new Scenario({ clock, store })];
    one.endpoint.next(unavailable({ retryAfterMs: 20_000 }));
    await one.failure();
    await clock.advance(5_000);
    expect(await two.failure()).toMatchObject({ retryAfterMs: 15_000, retryable: true, client: 'buoy' });
    await clock.advance(14_900);
    await expect(two.atOnce()).rejects.toMatchObject({ retryAfterMs: 100 });
    expect([one.endpoint.posts, two.endpoint.posts]).toEqual([1, 0]);
    await clock.advance(100);
    await two.token();
    await one.token();
    expect([one.endpoint.posts, two.endpoint.posts]).toEqual([1, 1]);
  });

  it('28. A failure in the store lasts until its last millisecond, and no longer than it was meant to', () => {
    const clock = new VirtualClock();
    const at = momentOf(clock);
    const error = new AuthorizationServerUnavailableError('busy', {
      client: 'buoy',
      status: 429,
      retryAfterMs: 5_000,
    });
    const entry = failureEntry(new FlightFailure(error, at, 5_000));
    if (!entry) throw new Error('nothing is shared');
    expect(failureOf(entry, later(at, 4_999))).toMatchObject({
      pauseMs: 1,
      error: { message: 'busy', client: 'buoy', status: 429, retryAfterMs: 1 },
    });
    expect(failureOf(entry, later(at, 4_999.5))).toMatchObject({ pauseMs: 0.5 });
    expect(failureOf(entry, later(at, 5_000))).toBeUndefined();
    expect(failureOf(entry, later(at, -60_000))).toMatchObject({ pauseMs: 5_000 });
    const { failure: _, ...token } = entry;
    expect(failureOf(token, at)).toBeUndefined();
  });

  it('85. A Retry-After arrives at the others as what it was', async () => {
    const clock = new VirtualClock();
    const store = new MemoryTokenStore();
    const [one, two] = [new Scenario({ clock, store }), new Scenario({ clock, store })];
    one.endpoint.otherwise = unavailable({ retryAfterMs: 20_000 });
    const own = await one.failure();
    const shared = await two.failure();
    expect(shared).toBeInstanceOf((own as object).constructor);
    expect(shared).toMatchObject({ client: 'buoy', status: 503, retryable: true, retryAfterMs: 20_000 });
    expect(two.endpoint.posts).toBe(0);
  });

  it.each<[string, Answer]>([
    ['A rejection of its credentials', rejected()],
    ['A server that it cannot reach', { error: new Error('ECONNREFUSED') }],
    ['A server that is too slow for it', unavailable({ timedOut: true })],
    ['An answer that it does not understand', { error: new TokenResponseError('HTML') }],
  ])('85. %s holds for one instance alone: another one’s token serves all', async (_what, answer) => {
    const clock = new VirtualClock();
    const store = new MemoryTokenStore();
    const [ill, healthy] = [new Scenario({ clock, store }), new Scenario({ clock, store })];
    ill.endpoint.otherwise = answer;
    await ill.failure();
    const { value } = await healthy.token();
    expect(healthy.endpoint.posts).toBe(1);
    await clock.advance(60_000);
    expect((await ill.token()).value).toBe(value);
  });

  it('29. A wall clock that is an hour behind stretches nobody’s cool-down', async () => {
    const [clock, behind] = [new VirtualClock(), new VirtualClock()];
    behind.setBack(3_600_000);
    const store = new MemoryTokenStore();
    const [one, two] = [new Scenario({ clock, store }), new Scenario({ clock: behind, store })];
    one.endpoint.next(unavailable({ retryAfterMs: 20_000 }));
    await one.failure();
    expect(await two.failure()).toMatchObject({ retryAfterMs: 20_000 });
  });

  it('64. A shutdown is no failure that others should respect', async () => {
    const clock = new VirtualClock();
    const store = new MemoryTokenStore();
    const [one, two] = [new Scenario({ clock, store }), new Scenario({ clock, store })];
    one.endpoint.otherwise = { hang: true };
    const failure = one.client.getToken().catch((error: unknown) => error);
    await clock.advance(10);
    await clock.until(one.runtime.close(100));
    expect(await failure).toMatchObject({ code: 'closed' });
    expect((await two.token()).value).toBe('t1');
  });

  it("29. A secret that one instance cannot read is no other's failure", async () => {
    const clock = new VirtualClock();
    const store = new MemoryTokenStore();
    const [one, two] = [new Scenario({ clock, store }), new Scenario({ clock, store })];
    one.endpoint.next({ error: new OAuthClientError('credentials_unavailable', 'no such file') });
    await one.failure();
    expect((await two.token()).value).toBe('t1');
  });
});
