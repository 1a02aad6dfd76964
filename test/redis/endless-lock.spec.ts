import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, expect, it } from '@jest/globals';
import { RedisTokenStore } from '../../lib/redis.js';
import { Application } from '../support/application.js';
import { closing } from '../support/closing.js';
import { describeWithRedis } from './redis-server.js';

const LOCK = 'oauth:{a}:lock';
/** Longer than a lease and a flight of the clients below. */
const FOR_EVER_MS = 10_000;

describeWithRedis('A lock without an end', (server) => {
  const newStore = () => closing(new RedisTokenStore(server().url, { encryptionKeys: 'none' }));
  beforeEach(() => server().repair());

  it('86. gets the lease of the first instance that meets it', async () => {
    const { admin } = server();
    await admin.set(LOCK, 'somebody');
    const ask = () => newStore().withLock('a', 30_000, async () => 'mine');
    expect(await ask()).toEqual({ outcome: 'held' });
    const left = await admin.pttl(LOCK);
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(30_000);
    await admin.pexpire(LOCK, 60_000);
    expect(await ask()).toEqual({ outcome: 'held' });
    expect(await admin.pttl(LOCK)).toBeGreaterThan(30_000);
  });

  it('86. keeps no caller waiting for ever', async () => {
    const { admin } = server();
    let lock: string | undefined;
    const client = { timeoutMs: 500, retry: { attempts: 1, totalMs: 1_000 } };
    const first = await Application.withServer(client, { store: newStore() });
    first.server.respondWith(async () => {
      lock = (await admin.keys('*:lock'))[0];
      return first.server.nextToken({ access_token: 'access-token-first' });
    });
    await first.token();
    await admin.flushall();
    await admin.set(String(lock), 'somebody');
    const next = await Application.start({ oauth: { ...first.options, store: newStore() } });
    const callers = [next.token(), next.token()].map((token) => token.then(() => 'served'));
    const still = sleep(FOR_EVER_MS, 'still waiting', { ref: false });
    expect(await Promise.all(callers.map((caller) => Promise.race([caller, still])))).toEqual([
      'served',
      'served',
    ]);
    expect(first.posts).toBe(2);
    expect(await admin.pttl(String(lock))).not.toBe(-1);
  });
});
