import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { RedisTokenStore } from '../../lib/redis.js';
import { FakeAuthorizationServer } from '../../lib/testing.js';
import { newInstance, type Instance } from './core-client.js';
import { closing } from '../support/closing.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { MARK, describeWithRedis, type RedisServer } from './redis-server.js';

/** `timeoutMs`: so long that what a busy machine adds does not pass for a second one. */
const BUDGET_MS = 1_000;

/** Whether twice the time that one call may lose is over. */
interface Patience {
  over: boolean;
  end: Promise<void>;
}

interface Outage {
  begin: (redis: RedisServer) => unknown;
  end: (redis: RedisServer) => unknown;
  /** Told in the event of a store with a connection of its own. */
  reason: RegExp;
}

const outages: Record<string, Outage> = {
  refuses: {
    begin: (it) => it.kill(),
    end: (it) => it.restart(),
    reason: /connection was lost|ECONNREFUSED|ECONNRESET/,
  },
  hangs: { begin: (it) => it.pause(), end: (it) => it.resume(), reason: /no answer within 1000 ms/ },
  'turns read-only': {
    begin: (it) => it.turnReadOnly(true),
    end: (it) => it.turnReadOnly(false),
    reason: /READONLY/,
  },
  'takes the right to write away': {
    begin: (it) => it.takeWritesAway(true),
    end: (it) => it.takeWritesAway(false),
    reason: /NOPERM/,
  },
};

describeWithRedis('RedisTokenStore on a Redis that fails', (server) => {
  const encryptionKeys = [{ id: '1', key: randomBytes(32).toString('base64url') }];
  const cleanUps: (() => unknown)[] = [];
  const unhandled: unknown[] = [];
  const printed = [jest.spyOn(console, 'error'), jest.spyOn(console, 'warn')];
  const silent = createServer((socket) => socket.resume());
  let partner: FakeAuthorizationServer;

  const noteUnhandled = (reason: unknown) => void unhandled.push(reason);
  beforeAll(async () => {
    process.on('unhandledRejection', noteUnhandled);
    partner = await FakeAuthorizationServer.start();
    await once(silent.listen(0, '127.0.0.1'), 'listening');
  });
  afterAll(async () => {
    process.off('unhandledRejection', noteUnhandled);
    await partner.close();
    await once(silent.close(), 'close');
  });
  beforeEach(async () => {
    server().secrets.add(encryptionKeys[0]!.key);
    partner.reset();
    let issued = 0;
    partner.alwaysRespond(() => partner.nextToken({ access_token: `${MARK}-${++issued}` }));
    await server().repair();
  });
  afterEach(async () => {
    for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
    for (const spy of printed) expect(spy).not.toHaveBeenCalled();
    expect(unhandled).toEqual([]);
  });

  const connections: Record<string, () => RedisTokenStore> = {
    'a connection of its own': () => {
      const store = new RedisTokenStore(server().url, { encryptionKeys, timeoutMs: BUDGET_MS });
      cleanUps.push(() => store.close());
      return store;
    },
    'a given client that queues for ever': () => {
      const client = new Redis(server().url, { maxRetriesPerRequest: null, disconnectTimeout: 50 }).on(
        'error',
        () => {
          // The outage is what this suite is about.
        },
      );
      cleanUps.push(() => client.disconnect());
      return new RedisTokenStore(client, { encryptionKeys, timeoutMs: BUDGET_MS });
    },
  };

  const instance = (store: RedisTokenStore): Instance => {
    const made = newInstance(store, partner.tokenEndpoint);
    cleanUps.push(() => made.runtime.close(0));
    return made;
  };
  /** Two operations, one after the other, on a server that accepts and says nothing: as slow as this machine is. */
  const twoTimeouts = (): Patience => {
    const { port } = silent.address() as AddressInfo;
    const store = new RedisTokenStore(
      { port, host: '127.0.0.1' },
      { encryptionKeys: 'none', timeoutMs: BUDGET_MS },
    );
    const patience: Patience = { over: false, end: Promise.resolve() };
    patience.end = (async () => {
      for (let n = 0; n < 2; n++) await expect(store.get('a')).rejects.toThrow('no answer');
      patience.over = true;
      await store.close();
    })();
    return patience;
  };
  const storeEvents = ({ events }: Instance) =>
    events.map(({ type }) => type).filter((type) => type.startsWith('store'));
  const recovery = async (of: Instance) => {
    while (!storeEvents(of).includes('store_recovered')) await sleep(20);
  };

  it('57. A connection whose other end is gone without a word is made anew, and the fleet shares what came meanwhile', async () => {
    const { port, username, password } = new URL(server().url);
    const proxy = closing(await FaultProxy.start(Number(port)));
    const address = { host: '127.0.0.1', port: proxy.port, username, password, socketTimeout: 60_000 };
    const store = new RedisTokenStore(address, { encryptionKeys });
    cleanUps.push(() => store.close());
    const one = instance(store);
    await one.client.getToken();
    proxy.lose();
    const { value } = await one.client.getToken({ forceRefresh: true });
    await recovery(one);
    expect(storeEvents(one)).toEqual(['store_unavailable', 'store_recovered']);
    const [failure] = one.events.filter((event) => event.type === 'store_unavailable');
    expect(failure?.error.message).toBe('The Redis token store failed: no answer within 100 ms.');
    const other = instance(connections['a connection of its own']!());
    expect((await other.client.getToken()).value).toBe(value);
  });

  describe.each(Object.keys(connections))('on %s', (connection) => {
    const newStore = connections[connection]!;

    it.each(Object.keys(outages))(
      '57. Redis %s → calls go on, at most one timeoutMs late, one event per change, recovery',
      async (kind) => {
        const { begin, end, reason } = outages[kind]!;
        const warm = instance(newStore());
        const cold = instance(newStore());
        await warm.client.getToken();
        await begin(server());

        for (const { client } of [warm, cold]) {
          const patience = twoTimeouts();
          for (let call = 0; call < 5; call++) await client.getToken({ forceRefresh: true });
          expect(patience.over).toBe(false);
          await patience.end;
        }
        expect(partner.tokenRequests).toHaveLength(11);
        for (const { events } of [warm, cold]) {
          const told = events.filter((event) => event.type === 'store_unavailable');
          expect(told).toHaveLength(1);
          expect(told[0]!.error.message).toMatch(
            connection === 'a connection of its own' ? reason : /^The Redis token store failed: /,
          );
        }

        await end(server());
        for (const it of [warm, cold]) {
          await recovery(it);
          expect(storeEvents(it)).toEqual(['store_unavailable', 'store_recovered']);
        }
        // The fleet shares again.
        const before = partner.tokenRequests.length;
        const { value } = await warm.client.getToken({ forceRefresh: true });
        expect((await instance(newStore()).client.getToken()).value).toBe(value);
        expect(partner.tokenRequests).toHaveLength(before + 1);
        expect(storeEvents(warm)).toHaveLength(2);
      },
    );

    it('57. Redis restarts empty → calls go on, and the next token is shared', async () => {
      const one = instance(newStore());
      const { value: first } = await one.client.getToken();
      await server().kill();
      await server().restart();
      expect((await one.client.getToken()).value).toBe(first);
      const { value: second } = await one.client.getToken({ forceRefresh: true });
      expect(second).not.toBe(first);
      // The call came before the reconnect, or after it.
      if (storeEvents(one).length > 0) await recovery(one);
      const { value: third } = await one.client.getToken({ forceRefresh: true });
      expect((await instance(newStore()).client.getToken()).value).toBe(third);
      expect(partner.tokenRequests).toHaveLength(3);
      expect([[], ['store_unavailable', 'store_recovered']]).toContainEqual(storeEvents(one));
    });

    it('57. Redis hangs under a token request → its result comes, at most one timeoutMs late', async () => {
      const one = instance(newStore());
      let patience: Patience | undefined;
      partner.alwaysRespond(() => {
        server().pause();
        patience = twoTimeouts();
        return partner.nextToken({ access_token: `${MARK}-late` });
      });
      cleanUps.push(() => server().resume());
      expect((await one.client.getToken()).value).toBe(`${MARK}-late`);
      expect(patience!.over).toBe(false);
      await patience!.end;
      expect(storeEvents(one)).toEqual(['store_unavailable']);
    });

    it('57. a lock that Redis grants too late is given back at once, not after its lease', async () => {
      const store = newStore();
      await store.get('a');
      server().pause();
      try {
        const outcome = await store.withLock('a', 600_000, async () => 'never');
        expect(outcome).toMatchObject({ outcome: 'error', error: expect.any(Error) });
      } finally {
        server().resume();
      }
      for (;;) {
        const again = await store.withLock('a', 1_000, async () => 'free');
        if (again.outcome === 'acquired') break;
        await sleep(20);
      }
      expect(await server().transcript()).toContain('"600000"');
    });

    it('57. an operation that Redis never answers ends by timeoutMs', async () => {
      const store = newStore();
      await server().kill();
      try {
        for (const operation of [
          () => store.get('a'),
          () =>
            store.set('a', { value: MARK, tokenType: 'Bearer', issuedAt: 1, expiresAt: Date.now() + 60_000 }),
          () => store.delete('a'),
          () => store.delete('a', MARK),
        ]) {
          await expect(operation()).rejects.toThrow('The Redis token store failed: ');
        }
      } finally {
        await server().restart();
      }
    });
  });
});
