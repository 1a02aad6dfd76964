import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { Cluster, Redis } from 'ioredis';
import type { StoredToken, TokenStore } from '../../lib/core/token-store.js';
import { RedisTokenStore, type RedisTokenStoreOptions } from '../../lib/redis.js';
import { tokenStoreContract } from '../../lib/testing.js';
import { closing } from '../support/closing.js';
import { MARK, RedisServer, describeWithRedis, formsOf } from './redis-server.js';

const HOUR_MS = 3_600_000;

describeWithRedis('RedisTokenStore on a real Redis', (server) => {
  const [k1, k2, other] = [newKey('1'), newKey('2'), newKey('1')];
  const open: RedisTokenStore[] = [];

  // Patient, since what is tested here is not how long Redis takes.
  const newStore = (options: Partial<RedisTokenStoreOptions> = {}): RedisTokenStore => {
    const store = new RedisTokenStore(server().url, { encryptionKeys: [k1], timeoutMs: 5_000, ...options });
    open.push(store);
    return store;
  };

  beforeEach(async () => {
    for (const { key } of [k1, k2, other]) server().secrets.add(key);
    await server().admin.flushall();
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((store) => store.close()));
  });

  describe('54. the contract suite', () => {
    const contract = (name: string, create: () => { store: TokenStore; dispose?: () => Promise<unknown> }) =>
      describe(name, () =>
        tokenStoreContract(
          it,
          () => {
            const { store, dispose } = create();
            return { store, dispose: async () => void (await dispose?.()) };
          },
          { exclusive: true },
        ),
      );

    contract('on a URL, encrypted', () => ({ store: newStore() }));
    contract('on a URL, in clear', () => ({ store: newStore({ encryptionKeys: 'none' }) }));
    contract('on options', () => {
      const { port } = server();
      const store = new RedisTokenStore(
        { port, host: '127.0.0.1' },
        { encryptionKeys: [k1], timeoutMs: 5_000 },
      );
      return { store, dispose: () => store.close() };
    });
    contract('on a client with auto-pipelining and a key prefix of its own', () => {
      const client = new Redis(server().url, { enableAutoPipelining: true, keyPrefix: 'app:' });
      const store = new RedisTokenStore(client, { encryptionKeys: [k1], timeoutMs: 5_000 });
      return { store, dispose: () => client.quit() };
    });
  });

  describe('58. what Redis keeps', () => {
    it('58. in Redis only ciphertext: a JWE under dir, A256GCM and the kid of the first key', async () => {
      const secret = { refreshToken: `${MARK}-refresh`, details: { region: `${MARK}-details` } };
      await newStore({ encryptionKeys: [k2, k1] }).set('a', token(secret));
      const { 'oauth:{a}': text } = await server().dump();
      const { jwe } = JSON.parse(text!) as { jwe: string };
      const header: unknown = JSON.parse(Buffer.from(jwe.split('.')[0]!, 'base64url').toString());
      expect(header).toMatchObject({ alg: 'dir', enc: 'A256GCM', kid: '2' });
    });

    it('58. the search for clear text that ends these suites does find it', async () => {
      await newStore({ encryptionKeys: 'none' }).set('a', token({ value: 'shown-in-clear' }));
      expect((await server().dump())['oauth:{a}']).toContain(formsOf('shown-in-clear')[0]);
      const wrapped = Buffer.from(`{"value":"shown-in-clear"}`);
      for (const shift of [0, 1, 2]) {
        const text = wrapped.subarray(shift).toString('base64url');
        expect(formsOf('shown-in-clear').some((form) => text.includes(form))).toBe(true);
      }
    });

    const unreadable: [
      string,
      (text: string) => Promise<unknown>,
      RedisTokenStoreOptions['encryptionKeys']?,
    ][] = [
      ['of a key that was removed', async () => undefined, [k2]],
      ['of another key with the same id', async () => undefined, [other]],
      ['that was truncated', (text) => put(text.slice(0, -9))],
      ['whose ciphertext was truncated', (text) => put(text.replace(/....\.([^.]*)$/, '.$1'))],
      [
        'whose issuedAt was altered',
        (text) => put(text.replace(/"issuedAt":\d+/, '"issuedAt":9000000000000000')),
      ],
      ['in clear, where ciphertext is expected', () => put(JSON.stringify(token({ value: 'planted' })))],
      ['of a foreign writer: text', () => put('hello')],
      ['of a foreign writer: null', () => put('null')],
      ['of a foreign writer: a number', () => put('9000000000000000')],
      ['of a foreign writer: an object', () => put('{"issuedAt":9000000000000000,"jwe":7}')],
      [
        'of a foreign writer: another type',
        () =>
          server()
            .admin.del('oauth:{a}')
            .then(() => server().admin.lpush('oauth:{a}', 'x')),
      ],
    ];
    const put = (text: string) => server().admin.set('oauth:{a}', text);

    it.each(unreadable)(
      '58. a value %s → a miss, overwritten even by an older token',
      async (_, spoil, encryptionKeys = [k1]) => {
        await newStore().set('a', token({ issuedAt: Date.now() + 5_000 }));
        await spoil((await server().dump())['oauth:{a}']!);
        const store = newStore({ encryptionKeys });
        expect(await store.get('a')).toBeUndefined();
        await store.delete('a', `${MARK}-t1`);
        const older = token({ issuedAt: Date.now() - 5_000 });
        await store.set('a', older);
        expect(await store.get('a')).toEqual(older);
      },
    );

    it.each([
      ['an encrypted value', [k1] as const, undefined],
      [
        'JSON of another shape',
        'none' as const,
        '{"value":1,"tokenType":"Bearer","issuedAt":1,"expiresAt":2}',
      ],
    ])('58. %s is a miss for a store without encryption', async (_, encryptionKeys, text) => {
      await newStore({ encryptionKeys }).set('a', token({ value: 'clear' }));
      if (text !== undefined) await put(text);
      expect(await newStore({ encryptionKeys: 'none' }).get('a')).toBeUndefined();
    });

    it('58. old keys stay readable during rotation', async () => {
      const before = token({ value: `${MARK}-before` });
      await newStore({ encryptionKeys: [k1] }).set('a', before);
      const during = newStore({ encryptionKeys: [k2, k1] });
      expect(await during.get('a')).toEqual(before);
      await during.set('a', token());
      expect(await newStore({ encryptionKeys: [k1, k2] }).get('a')).toBeDefined();
      expect(await newStore({ encryptionKeys: [k2] }).get('a')).toBeDefined();
      expect(await newStore({ encryptionKeys: [k1] }).get('a')).toBeUndefined();
    });

    it('58. a value moved to another key, or under another prefix, is rejected', async () => {
      const store = newStore();
      await store.set('a', token());
      await server().admin.copy('oauth:{a}', 'oauth:{b}');
      await server().admin.copy('oauth:{a}', 'oauth:b:{a}');
      expect(await store.get('b')).toBeUndefined();
      expect(await newStore({ keyPrefix: 'oauth:b:' }).get('a')).toBeUndefined();
      expect(await store.get('a')).toBeDefined();
    });
  });

  describe('59. order, owners and lifetimes', () => {
    it('59. an older token never overwrites a newer one, whichever store and key wrote it', async () => {
      const newer = token({ value: `${MARK}-newer` });
      await newStore({ encryptionKeys: [k1] }).set('a', newer);
      const store = newStore({ encryptionKeys: [k2, k1] });
      await store.set('a', token({ issuedAt: newer.issuedAt - 1 }));
      expect(await store.get('a')).toEqual(newer);
    });

    it('59. TTL equals remaining life', async () => {
      const store = newStore();
      await store.set('a', token({ expiresAt: Date.now() + 60_000 }));
      const ttlMs = await server().admin.pttl('oauth:{a}');
      expect(ttlMs).toBeLessThanOrEqual(60_000);
      expect(ttlMs).toBeGreaterThan(50_000);
      await store.set('a', token({ expiresAt: Date.now() - 1, issuedAt: Date.now() + 1 }));
      await sleep(5);
      expect(await store.get('a')).toBeUndefined();
    });

    it('59. an entry with a refresh token is kept for 90 days', async () => {
      await newStore().set('a', token({ refreshToken: `${MARK}-refresh`, expiresAt: Date.now() - 1 }));
      const days = (await server().admin.pttl('oauth:{a}')) / 24 / HOUR_MS;
      expect(days).toBeGreaterThan(89.9);
      expect(days).toBeLessThanOrEqual(90);
    });

    it('59. only the owner’s lock is released: one that expired and was taken over stays', async () => {
      const outcome = await newStore().withLock('a', 30, async () => {
        while ((await server().admin.set('oauth:{a}:lock', 'next owner', 'NX')) === null) await sleep(5);
        return 'done';
      });
      expect(outcome).toEqual({ outcome: 'acquired', result: 'done' });
      expect(await server().admin.get('oauth:{a}:lock')).toBe('next owner');
    });

    it('59. the lock is a key of its own, in the slot of its entry, with the lease as TTL', async () => {
      const store = newStore();
      const outcome = await store.withLock('a', 30_000, async () => {
        expect(await store.withLock('a', 30_000, async () => 'never')).toEqual({ outcome: 'held' });
        return server().admin.pttl('oauth:{a}:lock');
      });
      expect(outcome).toMatchObject({ outcome: 'acquired', result: expect.any(Number) });
      const { result } = outcome as { result: number };
      expect(result).toBeGreaterThan(20_000);
      expect(result).toBeLessThanOrEqual(30_000);
      expect(await server().admin.exists('oauth:{a}:lock')).toBe(0);
    });

    it('59. scripts that Redis forgot are sent again', async () => {
      const store = newStore();
      await store.set('a', token());
      await server().admin.script('FLUSH');
      await store.set('a', token({ value: `${MARK}-t2` }));
      expect((await store.get('a'))?.value).toBe(`${MARK}-t2`);
    });
  });

  describe('connections', () => {
    it('a connection of the store’s own opens with the first operation and ends with close', async () => {
      const named = async () => String(await server().admin.client('LIST')).includes('name=the-store ');
      const { port } = server();
      const options = { port, host: '127.0.0.1', connectionName: 'the-store' };
      const store = new RedisTokenStore(options, { encryptionKeys: [k1], timeoutMs: 5_000 });
      expect(await named()).toBe(false);
      await store.get('a');
      expect(await named()).toBe(true);
      await store.close();
      await store.close();
      while (await named()) await sleep(5);
    });

    it('a store that was never used closes without connecting', async () => {
      const store = new RedisTokenStore('redis://127.0.0.1:1', { encryptionKeys: [k1], timeoutMs: 5_000 });
      await expect(store.close()).resolves.toBeUndefined();
    });

    it('a given client is never closed', async () => {
      const client = new Redis(server().url);
      const store = new RedisTokenStore(client, { encryptionKeys: [k1], timeoutMs: 5_000 });
      await store.get('a');
      await store.close();
      expect(await client.ping()).toBe('PONG');
      await client.quit();
    });

    it('59. 86. a given client that answers numbers as texts (stringNumbers) changes no lifetime, and no lock lasts for ever', async () => {
      const client = new Redis(server().port, '127.0.0.1', { stringNumbers: true });
      closing({ close: async () => client.disconnect() });
      const store = new RedisTokenStore(client, { encryptionKeys: [k1], timeoutMs: 5_000 });
      const now = Date.now();
      const entry = { value: MARK, tokenType: 'Bearer', issuedAt: now, expiresAt: now + 60_000 } as const;
      await store.set('texts', entry);
      expect(await store.get('texts')).toEqual(entry);
      await server().admin.set('oauth:{texts}:lock', 'nobody');
      expect(await store.withLock('texts', 5_000, async () => 1)).toEqual({ outcome: 'held' });
      expect(await server().admin.pttl('oauth:{texts}:lock')).toBeGreaterThan(0);
    });

    it('57. a store that one application closed serves the next one', async () => {
      const store = newStore();
      await store.set('a', token());
      await store.close();
      expect((await store.get('a'))?.value).toBe(`${MARK}-t1`);
      await store.close();
    });

    it('66. errors hold nothing of what was sent, also where Redis quotes it', async () => {
      const strict = await RedisServer.start('--rename-command', 'set', '');
      const store = new RedisTokenStore(strict.url, { encryptionKeys: 'none', timeoutMs: 5_000 });
      try {
        const error: unknown = await store
          .set('a', token({ value: 'quoted' }))
          .catch((reason: unknown) => reason);
        expect(String(error)).toBe("Error: The Redis token store failed: ERR unknown command 'set'.");
        expect(inspect(error, { showHidden: true, depth: null })).not.toContain('quoted');
      } finally {
        await store.close();
        await strict.stop();
      }
    });
  });

  it('a Redis that refuses: ioredis prints nothing, operations tell why', async () => {
    const printed = jest.spyOn(console, 'error').mockImplementation(() => undefined);
    try {
      const store = new RedisTokenStore('redis://127.0.0.1:1', { encryptionKeys: [k1], timeoutMs: 5_000 });
      open.push(store);
      await expect(store.get('a')).rejects.toThrow('ECONNREFUSED 127.0.0.1:1');
      await expect(store.withLock('a', 1_000, async () => 1)).resolves.toMatchObject({ outcome: 'error' });
      await store.close();
      expect(printed).not.toHaveBeenCalled();
    } finally {
      printed.mockRestore();
    }
  });
});

describeWithRedis(
  'RedisTokenStore on a Redis Cluster',
  (server) => {
    const key = newKey('1');

    describe('54. the contract suite', () => {
      tokenStoreContract(
        it,
        async () => {
          server().secrets.add(key.key);
          const { admin, port } = server();
          if (!(await admin.cluster('INFO')).includes('cluster_slots_assigned:16384')) {
            await admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
          }
          while (!(await admin.cluster('INFO')).includes('cluster_state:ok')) await sleep(20);
          await admin.flushall();
          const client = new Cluster([{ host: '127.0.0.1', port }]);
          const store = new RedisTokenStore(client, { encryptionKeys: [key], timeoutMs: 5_000 });
          return { store, dispose: async () => void (await client.quit()) };
        },
        { exclusive: true },
      );
    });
  },
  '--cluster-enabled',
  'yes',
  '--cluster-announce-ip',
  '127.0.0.1',
);

function newKey(id: string): { id: string; key: string } {
  return { id, key: randomBytes(32).toString('base64url') };
}

function token(members: Partial<StoredToken> = {}): StoredToken {
  const issuedAt = Date.now();
  return { value: `${MARK}-t1`, tokenType: 'Bearer', issuedAt, expiresAt: issuedAt + HOUR_MS, ...members };
}
