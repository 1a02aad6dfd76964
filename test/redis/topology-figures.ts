// What a fleet meets on each topology, with the defaults of the store: writes the table in docs/scaling.md.
// Run by `npm run redis:figures`.
import { afterAll, beforeAll, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis, type Cluster, type RedisOptions } from 'ioredis';
import { RedisTokenStore } from '../../lib/redis.js';
import { FakeAuthorizationServer } from '../../lib/testing.js';
import { Authority } from '../support/certificates.js';
import { closing } from '../support/closing.js';
import { FaultProxy } from '../support/fault-proxy.js';
import { newInstance } from './core-client.js';
import { RedisCluster } from './redis-cluster.js';
import { RedisSentinel } from './redis-sentinel.js';
import { RedisServer, freePort, tlsOptions } from './redis-server.js';

const SIZE = 6;
const LATENCY_MS = 50;
const PAGE = 'docs/scaling.md';

/** A way to connect, and what happens to Redis, if anything. */
interface Topology {
  connect: () => Redis | Cluster | RedisOptions | string;
  fault?: () => unknown;
}

const host = '127.0.0.1';
const serverOn = async (...options: string[]) => {
  const server = await RedisServer.start(...options);
  closing({ close: () => server.stop() });
  return server;
};
const withAcl = async (...rules: string[]): Promise<Topology> => {
  const { port } = await serverOn('--user', 'app', 'on', '>secret', '~oauth:*', ...rules);
  return { connect: () => ({ host, port, username: 'app', password: 'secret' }) };
};
const own = (client: Redis | Cluster) => {
  closing({ close: async () => client.on('error', () => undefined).disconnect() });
  return client;
};
const onCluster = async (lost: boolean): Promise<Topology> => {
  const cluster = await RedisCluster.start();
  closing({ close: () => cluster.stop() });
  return { connect: () => own(cluster.client()), ...(lost && { fault: () => cluster.masters[1]!.kill() }) };
};

const topologies: Record<string, () => Promise<Topology>> = {
  'one Redis, by its URL': async () => {
    const { url } = await serverOn();
    return { connect: () => url };
  },
  'a client shared with a job queue': async () => {
    const { port } = await serverOn();
    return { connect: () => own(new Redis(port, host, { maxRetriesPerRequest: null, keyPrefix: 'app:' })) };
  },
  '`EVAL` and `EVALSHA` renamed': async () => {
    const { url } = await serverOn('--rename-command', 'EVAL', '', '--rename-command', 'EVALSHA', '');
    return { connect: () => url };
  },
  'ACL `-@all +@read +@write`': () => withAcl('-@all', '+@read', '+@write'),
  'ACL `-@all +@read` (writes refused)': () => withAcl('-@all', '+@read'),
  'TLS, password, round trip of 30 ms': async () => {
    const authority = new Authority();
    closing({ close: async () => authority.remove() });
    const port = await freePort();
    await serverOn(...(await tlsOptions(authority, port)), '--requirepass', '');
    const proxy = closing(await FaultProxy.start(port));
    proxy.latencyMs = 15;
    return { connect: () => ({ host, port: proxy.port, tls: { ca: authority.ca } }) };
  },
  'primary demoted behind a fixed address': async () => {
    const [primary, next] = [await serverOn(), await serverOn()];
    const proxy = closing(await FaultProxy.start(primary.port));
    const fault = async () => {
      await primary.turnReadOnly(true);
      proxy.target = next.port;
    };
    return { connect: () => ({ host, port: proxy.port }), fault };
  },
  'Redis killed': async () => {
    const server = await serverOn();
    return { connect: () => server.url, fault: () => server.kill() };
  },
  'half-open connections': async () => {
    const { port } = await serverOn();
    const proxy = closing(await FaultProxy.start(port));
    return { connect: () => ({ host, port: proxy.port }), fault: () => (proxy.silent = true) };
  },
  'Cluster of three masters': () => onCluster(false),
  'Cluster, one of three masters killed': () => onCluster(true),
  'Sentinel, primary killed': async () => {
    const sentinel = await RedisSentinel.start();
    closing({ close: () => sentinel.stop() });
    const connect = () => ({ sentinels: [{ host, port: sentinel.port }], name: 'main' });
    return { connect, fault: () => sentinel.failOver() };
  },
};

let partner: FakeAuthorizationServer;
const rows: string[] = [];
beforeAll(async () => {
  partner = await FakeAuthorizationServer.start();
});
afterAll(async () => {
  await partner.close();
  const head = [
    'setup',
    'token requests, cold',
    'longest call',
    'after the fault',
    'longest call',
    'store events each',
  ];
  const table = [head.join(' | '), head.map(() => '---').join(' | '), ...rows].map((row) => `| ${row} |`);
  const page = readFileSync(PAGE, 'utf8');
  const between = /(<!-- redis -->\n)[^]*(<!-- \/redis -->)/;
  writeFileSync(PAGE, page.replace(between, `$1\n${table.join('\n')}\n\n$2`));
});

it.each(Object.keys(topologies))(
  '%s',
  async (name) => {
    partner.reset();
    partner.alwaysRespond(async () => {
      await sleep(LATENCY_MS);
      return partner.nextToken();
    });
    const { connect, fault } = await topologies[name]!();
    const encryptionKeys = [{ id: '1', key: randomBytes(32).toString('base64url') }];
    const fleet = Array.from({ length: SIZE }, () =>
      newInstance(new RedisTokenStore(connect(), { encryptionKeys }), partner.tokenEndpoint),
    );
    for (const { runtime } of fleet) closing({ close: () => runtime.close(0) });
    await Promise.all(fleet.map(({ runtime }) => runtime.fleet.open()));
    const ask = async (forceRefresh: boolean) => {
      const [before, startedAt] = [partner.tokenRequests.length, performance.now()];
      const calls = fleet.map(async ({ client }) => {
        await client.getToken({ forceRefresh });
        return performance.now() - startedAt;
      });
      const longest = Math.max(...(await Promise.all(calls)));
      return `${partner.tokenRequests.length - before} | ${Math.round(longest)} ms`;
    };
    const cold = await ask(false);
    await fault?.();
    const faulty = fault ? await ask(true) : '– | –';
    await sleep(3_000);
    const events = fleet.map(
      (it) =>
        it.events
          .filter(({ type }) => type.startsWith('store'))
          .map(({ type }) => type)
          .join(', ') || 'none',
    );
    rows.push(`${name} | ${cold} | ${faulty} | ${[...new Set(events)].join('; or ').replaceAll('_', ' ')}`);
  },
  60_000,
);
