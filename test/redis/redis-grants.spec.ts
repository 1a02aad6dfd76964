import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { TokenStore } from '../../lib/core/token-store.js';
import { RedisTokenStore, type RedisTokenStoreOptions } from '../../lib/redis.js';
import { Application } from '../support/application.js';
import { closing } from '../support/closing.js';
import { eventually } from '../support/eventually.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { RotatingServer } from '../oauth/rotating-server.js';
import { RedisServer, describeWithRedisServers } from './redis-server.js';

const storeOn = (port: number, options: Partial<RedisTokenStoreOptions> = {}) =>
  new RedisTokenStore({ host: '127.0.0.1', port }, { encryptionKeys: 'none', timeoutMs: 1_000, ...options });

describeWithRedisServers('Refresh tokens in a Redis that loses them', () => {
  let redis: RedisServer;
  let server: RotatingServer;

  beforeAll(async () => {
    redis = await RedisServer.start();
  });
  afterAll(() => redis.stop());
  beforeEach(async () => {
    await redis.repair();
    server = closing(await RotatingServer.start());
    server.leeway = false; // a refresh token that is used twice revokes the grant
  });

  const start = (store: TokenStore, more = {}) =>
    Application.client(
      {
        tokenEndpoint: server.fake.tokenEndpoint,
        clientId: 'me',
        clientSecret: 'my secret',
        grant: { type: 'refresh_token', refreshToken: 'rt0' },
        ...more,
      },
      { store, shutdownGraceMs: 300 },
    );
  const grantKey = async () => (await redis.admin.keys('*.grant'))[0]!;
  const grantOf = async () => {
    const text = await redis.admin.get((await redis.admin.keys('*.grant'))[0] ?? 'none');
    return text === null ? undefined : (JSON.parse(text) as { refreshToken: string }).refreshToken;
  };

  it('52. what a failover lost is written back when an instance connects again, before another one asks', async () => {
    const proxy = closing(await FaultProxy.start(redis.port));
    const fallback = await RedisServer.start('--replicaof', `127.0.0.1 ${redis.port}`);
    closing({ close: () => fallback.stop() });
    const app = await start(storeOn(proxy.port));
    await app.token();
    while (!(await fallback.admin.get(await grantKey()))) await sleep(10);
    await fallback.turnReadOnly(false); // replicates no longer
    await app.token({ forceRefresh: true });
    proxy.target = fallback.port;
    await redis.kill();
    const written = async () =>
      /rt2/.test((await fallback.admin.get((await fallback.admin.keys('*.grant'))[0]!)) ?? '');
    while (!(await written())) await sleep(10);
    const other = await start(storeOn(proxy.port));
    await other.token({ forceRefresh: true });
    expect(server.sent).toEqual(['rt0', 'rt1', 'rt2']);
  });

  it.each<[string, () => Promise<unknown>]>([
    ['is missing', () => redis.admin.flushall()],
    ['is older', async () => redis.admin.set(await grantKey(), older)],
  ])(
    '52. a refresh token that %s is written back when an instance looks, even if its request fails',
    async (_, lose) => {
      const app = await start(storeOn(redis.port), { retry: { attempts: 1 } });
      await app.token();
      older = (await redis.admin.get(await grantKey()))!;
      await app.token({ forceRefresh: true });
      await lose();
      server.fake.respondWith({ status: 400, body: { error: 'invalid_scope' } });
      await app.failure(app.token({ scope: 'other' }));
      expect(await grantOf()).toBe('rt2');
      await (await start(storeOn(redis.port))).token({ forceRefresh: true });
      expect(server.sent).toEqual(['rt0', 'rt1', 'rt2']);
    },
  );
  let older = '';

  it.each([
    ['with its replicas, a refresh token is on them before the access token is used', true],
    ['without enough replicas, the call goes on', false],
  ])('52. waitForReplicas: %s', async (_, connected) => {
    const replica = await RedisServer.start(...(connected ? ['--replicaof', `127.0.0.1 ${redis.port}`] : []));
    closing({ close: () => replica.stop() });
    while (connected && !(await redis.admin.info('replication')).includes('state=online')) await sleep(20);
    const app = await start(
      storeOn(redis.port, { waitForReplicas: 1, ...(connected && { timeoutMs: 2_000 }) }),
    );
    for (let round = 1; round <= (connected ? 5 : 2); round++) {
      await app.token({ forceRefresh: true });
      const [key] = await redis.admin.keys('*.grant');
      const copy = await replica.admin.get(key!);
      expect(copy?.includes(`"rt${round}"`) ?? false).toBe(connected);
    }
    expect(await redis.admin.info('commandstats')).toContain('cmdstat_wait:calls=');
    expect(app.events.filter(({ type }) => type.startsWith('store'))).toEqual([]);
  });

  describe('a lock that has no end', () => {
    it('56. gets the lease of the first to meet it, also where a refresh token is concerned', async () => {
      const app = await start(storeOn(redis.port), { timeoutMs: 500, retry: { attempts: 1 } });
      await app.token();
      const lock = `${await grantKey()}:lock`;
      await redis.admin.set(lock, 'nobody');
      const waiting = app.token({ forceRefresh: true });
      while ((await redis.admin.pttl(lock)) === -1) await sleep(10);
      expect(await redis.admin.pttl(lock)).toBeLessThanOrEqual(1_500);
      await waiting;
      expect(server.sent).toEqual(['rt0', 'rt1']);
    });

    it('56. a lock that outlives every lease fails the call, and the refresh token is not used', async () => {
      const app = await start(storeOn(redis.port), { timeoutMs: 500, retry: { attempts: 1 } });
      await app.token();
      await redis.admin.set(`${await grantKey()}:lock`, 'somebody', 'PX', 3_600_000);
      expect(await app.failure(app.token({ forceRefresh: true }))).toMatchObject({
        code: 'authorization_server_unavailable',
        client: 'partner',
        message: expect.stringContaining('is not given back'),
      });
      expect(server.sent).toEqual(['rt0']);
    });
  });

  describe('an orderly shutdown', () => {
    it.each([
      ['a connection of its own', false],
      ['a given client', true],
    ])('87. with %s leaves no lock behind while the answer to it is on its way', async (_, given) => {
      const proxy = closing(await FaultProxy.start(redis.port));
      proxy.latencyMs = 20;
      const client = new Redis(proxy.port, '127.0.0.1', { lazyConnect: true });
      closing({ close: async () => client.disconnect() });
      const options = { encryptionKeys: 'none', timeoutMs: 25 } as const;
      const store = new RedisTokenStore(given ? client : { host: '127.0.0.1', port: proxy.port }, options);
      for (let round = 0; round < 5; round++) {
        const locking = store.withLock(`k${round}`, 60_000, async () => 'never');
        expect(await locking).toMatchObject({ outcome: 'error' });
        await store.close();
        expect(await redis.admin.keys('*:lock')).toEqual([]);
      }
      if (given) await client.quit();
      expect(await redis.transcript()).toContain('"oauth:{k0}:lock"');
    });

    it('87. leaves no lock behind in the middle of a token request, nor while it waits for one', async () => {
      server.onStep = async () => false; // never answers
      const [holder, waiter] = [await start(storeOn(redis.port)), await start(storeOn(redis.port))];
      const failures = [holder.failure(), waiter.failure()];
      await eventually(() => server.sent.length > 0 || server.fake.tokenRequests.length > 0);
      await Promise.all([waiter.close(), holder.close()]);
      expect(await Promise.all(failures)).toMatchObject([{ code: 'closed' }, { code: 'closed' }]);
      expect(await redis.admin.keys('*:lock')).toEqual([]);
    });
  });
});
