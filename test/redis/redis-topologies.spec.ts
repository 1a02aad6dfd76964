import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis, type Cluster, type RedisOptions } from 'ioredis';
import { tokenKey } from '../../lib/core/token-request.js';
import { RedisTokenStore } from '../../lib/redis.js';
import { FakeAuthorizationServer } from '../../lib/testing.js';
import { Authority } from '../support/certificates.js';
import { closing } from '../support/closing.js';
import { eventually } from '../support/eventually.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { newInstance, type Instance } from './core-client.js';
import { Fleet } from './fleet.js';
import { RedisCluster } from './redis-cluster.js';
import { RedisSentinel } from './redis-sentinel.js';
import { RedisServer, describeWithRedisServers, freePort, tlsOptions } from './redis-server.js';

/** `timeoutMs`: so long that what a busy machine adds does not pass for an outage. */
const BUDGET_MS = 1_000;
/** Long enough for two probes. */
const WATCHED_MS = 2_500;

describeWithRedisServers('RedisTokenStore on what people run', () => {
  const encryptionKey = randomBytes(32).toString('base64url');
  let partner: FakeAuthorizationServer;

  beforeAll(async () => {
    partner = await FakeAuthorizationServer.start();
  });
  afterAll(() => partner.close());
  beforeEach(() => partner.reset());

  const storeOn = (redis: Redis | Cluster | RedisOptions | string) =>
    closing(
      new RedisTokenStore(redis, { encryptionKeys: [{ id: '1', key: encryptionKey }], timeoutMs: BUDGET_MS }),
    );
  const instanceOn = (redis: Redis | Cluster | RedisOptions | string): Instance => {
    const instance = newInstance(storeOn(redis), partner.tokenEndpoint);
    closing({ close: () => instance.runtime.close(0) });
    return instance;
  };
  /** A client of the application's own, as job queues want it. */
  const shared = (port: number): Redis => {
    const client = new Redis(port, '127.0.0.1', { maxRetriesPerRequest: null, keyPrefix: 'app:' });
    client.on('error', () => {
      // The outage is what the test is about.
    });
    closing({ close: async () => client.disconnect() });
    return client;
  };
  const storeEvents = ({ events }: Instance) =>
    events.map(({ type }) => type).filter((type) => type.startsWith('store'));
  const recovered = (instances: Instance[]) =>
    eventually(() => instances.every((it) => storeEvents(it).includes('store_recovered')));
  const renew = async ({ client }: Instance, scope?: string) =>
    (await client.getToken({ forceRefresh: true, ...(scope ? { scope } : {}) })).value;
  /** What one gets of the server, the other finds in the store. */
  const expectSharing = async (one: Instance, redis: Redis | Cluster | RedisOptions | string) => {
    const value = await renew(one);
    expect((await instanceOn(redis).client.getToken()).value).toBe(value);
  };

  describe('a primary that was demoted behind a fixed address', () => {
    let servers: RedisServer[];
    let proxy: FaultProxy;

    beforeAll(async () => {
      servers = [await RedisServer.start(), await RedisServer.start()];
    });
    afterAll(() => Promise.all(servers.map((server) => server.stop())));
    beforeEach(async () => {
      for (const server of servers) await server.repair();
      proxy = closing(await FaultProxy.start(servers[0]!.port));
    });

    it.each(['a connection of its own', 'a given client'])(
      '86. %s goes on with the new primary, with one event per change',
      async (kind) => {
        const redis = kind === 'a given client' ? shared(proxy.port) : `redis://127.0.0.1:${proxy.port}`;
        const one = instanceOn(redis);
        await one.client.getToken();
        await servers[0]!.turnReadOnly(true);
        proxy.target = servers[1]!.port; // for new connections; the present one leads to the old primary
        await renew(one);
        await recovered([one]);
        await expectSharing(one, kind === 'a given client' ? shared(servers[1]!.port) : redis);
        expect(storeEvents(one)).toEqual(['store_unavailable', 'store_recovered']);
      },
    );

    it('86. as long as there is no other primary, the instance goes on by itself and nothing flaps', async () => {
      const one = instanceOn(`redis://127.0.0.1:${proxy.port}`);
      await one.client.getToken();
      await servers[0]!.turnReadOnly(true);
      const until = Date.now() + WATCHED_MS;
      while (Date.now() < until) {
        await renew(one);
        await sleep(200);
      }
      expect(storeEvents(one)).toEqual(['store_unavailable']);
      await servers[0]!.turnReadOnly(false);
      await recovered([one]);
    });
  });

  describe('TLS with a password', () => {
    // At 300 ms connecting takes longer than an operation may.
    it.each([30, 300])('86. six cold processes %d ms away make one token request', async (roundTripMs) => {
      const authority = new Authority();
      const [tlsPort, password] = [await freePort(), randomBytes(16).toString('hex')];
      const user = ['--user', 'app', 'on', `>${password}`, '~oauth:*', '+@all'];
      const server = await RedisServer.start(...(await tlsOptions(authority, tlsPort)), ...user);
      const proxy = await FaultProxy.start(tlsPort);
      proxy.latencyMs = roundTripMs / 2;
      const redis = {
        host: '127.0.0.1',
        port: proxy.port,
        username: 'app',
        password,
        tls: { ca: authority.ca },
      };
      const fleet = await Fleet.start(6, {
        redis,
        tokenEndpoint: partner.tokenEndpoint,
        encryptionKey,
        storeTimeoutMs: BUDGET_MS,
        tokenTimeoutMs: 5_000,
      });
      try {
        const outcomes = await fleet.ask(10);
        expect(outcomes.flatMap(({ storeEvents: events }) => events)).toEqual([]);
        expect(partner.tokenRequests).toHaveLength(1);
      } finally {
        await fleet.stop();
        await proxy.close();
        await server.stop();
        authority.remove();
      }
    });
  });

  describe('a Cluster that lost one of three masters', () => {
    let cluster: RedisCluster;

    beforeAll(async () => {
      cluster = await RedisCluster.start();
    });
    afterAll(() => cluster.stop());

    const clusterClient = () => {
      const client = cluster.client();
      closing({ close: async () => client.disconnect() });
      return client;
    };

    it('86. sharing goes on for the keys of the others, nothing flaps, and it returns for all', async () => {
      const client = clusterClient();
      const [one, two] = [instanceOn(client), instanceOn(clusterClient())];
      const store = storeOn(client);
      await store.get('any');
      const scopes = Array.from({ length: 24 }, (_, n) => `s${n}`);
      const lost = `127.0.0.1:${cluster.masters[1]!.port}`;
      const isLost = (scope: string) => store.partOf(tokenKey(partner.tokenEndpoint, { scope })) === lost;
      const gone = scopes.filter(isLost);
      expect(gone.length).toBeGreaterThan(0);
      expect(gone.length).toBeLessThan(scopes.length);
      await cluster.masters[1]!.kill();

      const until = Date.now() + WATCHED_MS;
      for (const scope of scopes) {
        const value = await renew(one, scope);
        const { value: others } = await two.client.getToken({ scope });
        expect([scope, others === value]).toEqual([scope, !gone.includes(scope)]);
      }
      while (Date.now() < until) {
        await renew(one, scopes[Math.floor(Math.random() * scopes.length)]);
        await sleep(50);
      }
      for (const it of [one, two]) expect(storeEvents(it)).toEqual(['store_unavailable']);

      await cluster.masters[1]!.restart();
      await recovered([one, two]);
      await eventually(() => gone.every(isLost));
      const [scope] = gone;
      const value = await renew(one, scope);
      expect((await instanceOn(clusterClient()).client.getToken({ scope })).value).toBe(value);
      for (const it of [one, two]) expect(storeEvents(it)).toEqual(['store_unavailable', 'store_recovered']);
    }, 30_000);
  });

  describe('Sentinel', () => {
    it('86. after a failover the fleet shares on the new primary', async () => {
      const sentinel = await RedisSentinel.start();
      try {
        const redis = { sentinels: [{ host: '127.0.0.1', port: sentinel.port }], name: 'main' };
        const one = instanceOn(redis);
        const before = await renew(one);
        expect((await instanceOn(redis).client.getToken()).value).toBe(before);
        await sentinel.failOver();
        await renew(one);
        if (storeEvents(one).length > 0) await recovered([one]);
        await expectSharing(one, redis);
        expect([[], ['store_unavailable', 'store_recovered']]).toContainEqual(storeEvents(one));
      } finally {
        await sentinel.stop();
      }
    }, 30_000);
  });

  describe('a client that the application shares with a job queue', () => {
    let server: RedisServer;

    beforeAll(async () => {
      server = await RedisServer.start();
    });
    afterAll(() => server.stop());
    beforeEach(() => server.repair());

    it('86. is never closed, its blocking commands go on, and nothing of ours is queued while it is offline', async () => {
      const client = shared(server.port);
      const one = instanceOn(client);
      await renew(one);
      await server.kill();
      await renew(one);
      await sleep(WATCHED_MS);
      const job = client.lpush('jobs', 'later'); // waits for Redis, as its owner wants
      await server.restart();
      expect(await job).toBe(1);
      await recovered([one]);
      expect(await server.transcript()).not.toMatch(/(.*"set" "app:oauth:[^"]*lock".*\n){4}/i);
      await one.runtime.close(0);
      expect(client.status).toBe('ready');
      expect(await client.lpop('jobs')).toBe('later');
    });

    it.each(['half-open', 'reset'])('86. with a %s connection our deadline holds', async (fault) => {
      const proxy = closing(await FaultProxy.start(server.port));
      const one = instanceOn(shared(proxy.port));
      await renew(one);
      if (fault === 'half-open') proxy.silent = true;
      else proxy.reset();
      await renew(one);
      proxy.silent = false;
      proxy.reset();
      await renew(one);
      if (storeEvents(one).length > 0) await recovered([one]);
      await expectSharing(one, shared(server.port));
    });
  });
});
