import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { RedisTokenStore } from '../../lib/redis.js';
import { FakeAuthorizationServer, tokenStoreContract } from '../../lib/testing.js';
import { closing } from '../support/closing.js';
import { eventually } from '../support/eventually.js';
import { newInstance, type Instance } from './core-client.js';
import { RedisServer, describeWithRedisServers } from './redis-server.js';

/** `timeoutMs`: so long that what a busy machine adds does not pass for an outage. */
const BUDGET_MS = 1_000;
const encryptionKeys = [{ id: '1', key: randomBytes(32).toString('base64url') }];

/** What a Redis may refuse while the store still does all it is for. */
const enough: Record<string, string[]> = {
  'EVAL renamed': ['--rename-command', 'EVAL', ''],
  'EVALSHA renamed': ['--rename-command', 'EVALSHA', ''],
  'both renamed': ['--rename-command', 'EVAL', '', '--rename-command', 'EVALSHA', ''],
  'an ACL without scripting': acl('+@all', '-@scripting'),
  'an ACL without scripting and DEL': acl('+@all', '-@scripting', '-del'),
  'an ACL of read and write only': acl('-@all', '+@read', '+@write'),
};

/** What a Redis refuses so that the store cannot be used: it has to be down at once, and stay so. */
const tooLittle: Record<string, string[]> = {
  'no GET': acl('+@all', '-get'),
  'no SET': acl('+@all', '-set'),
  'no PTTL': acl('+@all', '-pttl'),
  'no writes': acl('-@all', '+@read'),
};

function acl(...rules: string[]): string[] {
  return ['--user', 'app', 'on', '>secret', '~oauth:*', ...rules];
}

describeWithRedisServers('RedisTokenStore on a Redis that refuses commands', () => {
  let partner: FakeAuthorizationServer;
  const printed = [jest.spyOn(console, 'error'), jest.spyOn(console, 'warn')];

  beforeAll(async () => {
    partner = await FakeAuthorizationServer.start();
  });
  afterAll(() => partner.close());
  beforeEach(() => {
    partner.reset();
    partner.alwaysRespond(async () => {
      await sleep(100);
      return partner.nextToken();
    });
  });

  const storeOn = (server: RedisServer, options: string[]) =>
    new RedisTokenStore(
      options.includes('app')
        ? { host: '127.0.0.1', port: server.port, username: 'app', password: 'secret' }
        : server.url,
      { encryptionKeys, timeoutMs: BUDGET_MS },
    );
  /** Instances that just booted. */
  const instances = (server: RedisServer, options: string[], count: number): Promise<Instance[]> =>
    Promise.all(
      Array.from({ length: count }, async () => {
        const instance = newInstance(storeOn(server, options), partner.tokenEndpoint);
        closing({ close: () => instance.runtime.close(0) });
        await instance.runtime.fleet.open();
        return instance;
      }),
    );
  const storeEvents = (all: Instance[]) =>
    all.map(({ events }) => events.map(({ type }) => type).filter((type) => type.startsWith('store')));

  describe.each(Object.keys(enough))('%s', (name) => {
    const options = enough[name]!;
    let server: RedisServer;

    beforeAll(async () => {
      server = await RedisServer.start(...options);
    });
    afterAll(async () => {
      await server.stop();
      for (const spy of printed) expect(spy).not.toHaveBeenCalled();
    });
    beforeEach(() => server.admin.flushall());

    it('86. four cold instances make one token request, share the next one, and leave no lock behind', async () => {
      const all = await instances(server, options, 4);
      await Promise.all(all.map(({ client }) => client.getToken()));
      expect(partner.tokenRequests).toHaveLength(1);
      await Promise.all(all.map(({ client }) => client.getToken({ forceRefresh: true })));
      expect(partner.tokenRequests).toHaveLength(2);
      expect(storeEvents(all)).toEqual([[], [], [], []]);
      expect(Object.keys(await server.dump()).filter((key) => key.includes('lock'))).toEqual([]);
    });

    if (name === 'an ACL of read and write only')
      describe('54. the contract suite', () => {
        tokenStoreContract(
          it,
          () => {
            const store = storeOn(server, options);
            return { store, dispose: () => store.close() };
          },
          { exclusive: true },
        );
      });

    it('59. of writers that meet, each with a connection of its own, the newest entry stays', async () => {
      const stores = Array.from({ length: 8 }, () => closing(storeOn(server, options)));
      const expiresAt = Date.now() + 60_000;
      for (let round = 0; round < 20; round++) {
        const newest = 8 * (round + 1);
        await Promise.all(
          stores.map((store, n) =>
            store.set('a', { value: `t${newest - n}`, tokenType: 'Bearer', issuedAt: newest - n, expiresAt }),
          ),
        );
        expect((await stores[0]!.get('a'))?.value).toBe(`t${newest}`);
      }
    });

    it('58. 59. foreign values are overwritten, and another owner’s lock is left alone', async () => {
      const store = closing(storeOn(server, options));
      const entry = { value: 't', tokenType: 'Bearer', issuedAt: 5, expiresAt: Date.now() + 60_000 } as const;
      await server.admin.lpush('oauth:{a}', 'x');
      await store.set('a', entry);
      expect(await store.get('a')).toEqual(entry);
      await store.withLock('a', 30, async () => {
        while ((await server.admin.set('oauth:{a}:lock', 'next owner', 'NX')) === null) await sleep(5);
      });
      expect(await server.admin.get('oauth:{a}:lock')).toBe('next owner');
    });
  });

  describe.each(Object.keys(tooLittle))('%s', (name) => {
    it('86. each instance goes on by itself, nothing flaps, and sharing returns with the rights', async () => {
      const options = tooLittle[name]!;
      const server = closing(await started(options));
      const all = await instances(server.redis, options, 2);
      for (let round = 0; round < 3; round++) {
        for (const { client } of all) await client.getToken({ forceRefresh: true });
        await sleep(600);
      }
      expect(storeEvents(all)).toEqual([['store_unavailable'], ['store_unavailable']]);
      await server.redis.admin.acl('SETUSER', 'app', '+@all');
      await eventually(() => storeEvents(all).every((types) => types.includes('store_recovered')));
      const { value } = await all[0]!.client.getToken({ forceRefresh: true });
      const [next] = await instances(server.redis, options, 1);
      expect((await next!.client.getToken()).value).toBe(value);
      expect(storeEvents(all)).toEqual([
        ['store_unavailable', 'store_recovered'],
        ['store_unavailable', 'store_recovered'],
      ]);
    });
  });

  async function started(options: string[]) {
    const redis = await RedisServer.start(...options);
    return { redis, close: () => redis.stop() };
  }
});

describeWithRedisServers('The clients that RedisTokenStore takes', () => {
  class NodeRedisClient {
    isOpen = false;
    async connect() {}
    async get() {}
    async set() {}
    async sendCommand() {}
  }
  it.each<[string, unknown]>([
    ['a client of the redis package', new NodeRedisClient()],
    ['the proxy that package returns', Object.create(new NodeRedisClient()) as unknown],
    [
      'a literal with such methods',
      { isOpen: true, connect: () => {}, get: () => {}, sendCommand: () => {} },
    ],
    ['options of that package', { url: 'redis://127.0.0.1:6379' }],
    ['options of that package by socket', { socket: { host: '127.0.0.1', port: 6379 } }],
    ['a connection in an option', { connection: { host: '127.0.0.1' } }],
    ['a URL object', new URL('redis://127.0.0.1:6379')],
    ['a promise', Promise.resolve(undefined)],
    ['a port', 6379],
    ['a class', Redis],
    ['a list', ['redis://127.0.0.1']],
    ['options whose host is not set', { host: undefined }],
    ['no options', {}],
    ['nothing', undefined],
    ['null', null],
    ['an empty text', ''],
  ])('86. %s is a problem at boot that says what is wanted', (_, redis) => {
    expect(() => new RedisTokenStore(redis as string, { encryptionKeys: 'none' })).toThrow(
      expect.objectContaining({
        code: 'configuration_invalid',
        problems: [
          expect.stringMatching(/^RedisTokenStore: .*ioredis client .*the options of one.*or a URL\.$/),
        ],
      }),
    );
  });
});
