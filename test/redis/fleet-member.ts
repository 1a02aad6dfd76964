import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisOptions } from 'ioredis';
import { RedisTokenStore } from '../../lib/redis.js';
import { newInstance, type Instance } from './core-client.js';

/** What a {@link Fleet} tells each of its processes. */
export interface MemberOptions {
  redis: string | RedisOptions;
  tokenEndpoint: string;
  encryptionKey: string;
  storeTimeoutMs: number;
  tokenTimeoutMs: number;
}

/** What the callers of one process got. */
export interface Outcome {
  /** Distinct token values. */
  values: string[];
  errors: string[];
  /** When the last caller was served, epoch milliseconds. */
  at: number;
  /** Token requests and store events of this process so far. */
  tokenRequests: number;
  storeEvents: string[];
}

const options = JSON.parse(process.env['MEMBER'] ?? '{}') as MemberOptions;
let store: RedisTokenStore | undefined;
let instance: Instance | undefined;

const commands = {
  /** A service that just started, with nothing in hand. */
  async restart(): Promise<void> {
    await commands.close();
    const encryptionKeys = [{ id: '1', key: options.encryptionKey }];
    store = new RedisTokenStore(options.redis, { encryptionKeys, timeoutMs: options.storeTimeoutMs });
    instance = newInstance(store, options.tokenEndpoint, options.tokenTimeoutMs);
  },

  /** So many callers ask at once. */
  async ask(callers: number): Promise<Outcome> {
    const { client } = instance!;
    return outcome(Array.from({ length: callers }, () => client.getToken()));
  },

  /** So many requests were in flight when their token was revoked; their 401s arrive one after the other. */
  async reject(callers: number): Promise<Outcome> {
    const { client } = instance!;
    const managed = client.life();
    const token = await client.getToken();
    managed.accept(token);
    return outcome(
      Array.from({ length: callers }, async (_, caller) => {
        await sleep((caller % 20) * 5);
        managed.reject(token);
        return client.getToken();
      }),
    );
  },

  async close(): Promise<void> {
    await instance?.runtime.close(0);
    await store?.close();
  },
};

async function outcome(asked: Promise<{ value: string }>[]): Promise<Outcome> {
  const settled = await Promise.allSettled(asked);
  const at = performance.timeOrigin + performance.now();
  const values = settled.flatMap((it) => (it.status === 'fulfilled' ? [it.value.value] : []));
  const errors = settled.flatMap((it) => (it.status === 'rejected' ? [String(it.reason)] : []));
  return {
    values: [...new Set(values)],
    errors: [...new Set(errors)],
    at,
    tokenRequests: instance!.client.status().tokenRequests,
    storeEvents: instance!.events.map(({ type }) => type).filter((type) => type.startsWith('store')),
  };
}

process.on('message', ({ command, callers }: { command: keyof typeof commands; callers: number }) => {
  commands[command](callers).then(
    (result) => process.send!({ result }),
    (error: unknown) => process.send!({ error: String(error) }),
  );
});
