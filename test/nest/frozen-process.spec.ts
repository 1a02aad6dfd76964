import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CompiledCopy } from '../support/compiled-copy.js';
import { freezeApplication, type Freeze, type FrozenClient, type Seen } from './frozen-scene.js';

const SCRIPT = 'test/nest/frozen-application.ts';

/** With the default deadlines (5 s a token request, 15 s a flight) unless there is a `timeoutMs`. */
const FREEZES: Freeze[] = [
  { name: 'frozen for 20 s, its token expired', by: 'signal', forMs: 20_000, lifetimeS: 10 },
  { name: 'event loop blocked for 16.5 s', by: 'blocking', forMs: 16_500, lifetimeS: 30 },
  { name: 'frozen for 6 s', by: 'signal', forMs: 6_000, lifetimeS: 30 },
  {
    name: 'event loop blocked for 3 s, timeoutMs 2 s',
    by: 'blocking',
    forMs: 3_000,
    lifetimeS: 30,
    timeoutMs: 2_000,
  },
  { name: 'frozen for 2.5 s, timeoutMs 2 s', by: 'signal', forMs: 2_500, lifetimeS: 30, timeoutMs: 2_000 },
];
const REQUESTS: FrozenClient['request'][] = ['awaited', 'in the background'];
const SERVERS: FrozenClient['server'][] = ['answers', 'resets', 'hangs'];
const CLIENTS: FrozenClient[] = REQUESTS.flatMap((request) =>
  SERVERS.flatMap((server) => [{}, { attempts: 1 }].map((retry) => ({ request, server, retry }))),
);
/** The server answers at once: this is the time of a loaded machine, far below any deadline and most cool-downs. */
const AT_ONCE_MS = 2_000;

let copy: CompiledCopy;
let seen: Map<string, Seen[]>;
// A process stands still for all its clients at once, and the processes do so side by side. They start one after the
// other: five at once would be a load of their own, and the longest freeze takes the time anyway.
beforeAll(async () => {
  copy = await CompiledCopy.of(SCRIPT);
  const scenes = FREEZES.map(async (freeze, index) => {
    await sleep(index * 1_000);
    return [freeze.name, await freezeApplication(copy.path(SCRIPT), freeze, CLIENTS)] as const;
  });
  await Promise.allSettled(scenes); // each ends its own process, which could not notice that nobody is left
  seen = new Map(await Promise.all(scenes));
}, 90_000);
afterAll(() => copy.remove());

describe.each(FREEZES)('79. $name, in the middle of a token request', ({ name }) => {
  const cases = CLIENTS.map((client, index) => ({ ...client, index }));
  it.each(cases)(
    '79. $request, the server $server meanwhile, retry $retry: the first call is served within one token request, none fails',
    ({ request, index }) => {
      const client = seen.get(name)?.[index];
      expect(client).toMatchObject({
        waiting: request === 'awaited' ? ['token', 'token'] : [],
        first: 'token',
        next: 'token',
        trouble: [],
        state: 'fresh',
      });
      expect(client?.requestsAfterThaw).toBeLessThanOrEqual(1);
      expect(client?.servedMs).toBeLessThan(AT_ONCE_MS);
    },
  );
});
