// What is measured, in which order. Every measurement goes in rounds, each round through all lanes, so that a slow
// moment of the machine meets everyone; the order turns from round to round.
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { contestants } from './contestants.js';
import { installSize } from './install-size.js';
import { median } from './median.js';
import { start } from './rpc.js';

/** How long the authorization server takes; see server.js. */
export const LATENCY_MS = 50;

const BATCH_MS = 4;
/** Few in a turn, and many turns: the speed of a shared machine changes from second to second. */
const BATCHES = 5;
const PROCESSES = 3;
/** Long enough for the optimising compiler to be done with the code in question, which takes some thousand calls. */
const WARM_UP_MS = 1_000;
const WARM_UP_OF_FETCHES_MS = 5_000;
const LIFETIMES_S = [3, 60, 290, 3600, 86_400];

const medianOf = (samples, value) => median(samples.map((sample) => value(sample)));

/** Everything a measurement needs: `size` is full or quick, `report` tells how far it is. */
export class Bench {
  constructor(server, origin, quick, report) {
    this.server = server;
    this.origin = origin;
    this.quick = quick;
    this.report = report;
  }

  /** Lanes for the contestants that `wanted` picks; ended after `work`. */
  async withLanes(names, work) {
    const lanes = [];
    try {
      for (const name of names) {
        const lane = await start(
          './lane.js',
          [name],
          ['--expose-gc', '--disable-warning=ExperimentalWarning'],
        );
        lanes.push({ name, ...lane });
      }
      return await work(lanes);
    } finally {
      for (const lane of lanes) lane.stop();
    }
  }

  environment(name, more = {}) {
    return { tokenUrl: `${this.origin}/${name}/token`, apiUrl: `${this.origin}/${name}`, ...more };
  }

  /** A new instance on a lane, with a token when `primed`. */
  async open(lane, { primed = true, expiresIn = 3600 } = {}) {
    await this.server.call('set', { name: lane.name, expiresIn, down: false });
    await lane.call('open', this.environment(lane.name));
    if (primed) await lane.call('prime');
  }

  taken(lane) {
    return this.server.call('taken', { name: lane.name });
  }

  /** `sample(lane, round)` for every lane in every round; the samples by lane. */
  async rounds(lanes, count, sample) {
    const samples = lanes.map(() => []);
    for (let round = 0; round < count; round++) {
      for (let turn = 0; turn < lanes.length; turn++) {
        const at = (turn + round) % lanes.length;
        samples[at].push(await sample(lanes[at], round));
      }
    }
    return samples;
  }

  /**
   * `rounds` of an operation, spread over several processes for each contestant, since the optimising compiler does
   * not come to the same in each. `prepare` makes a lane ready.
   */
  async timedRounds(names, rounds, operation, prepare, warmUpMs = WARM_UP_MS) {
    const samples = names.map(() => []);
    const processes = this.quick ? 1 : PROCESSES;
    for (let process = 0; process < processes; process++) {
      await this.withLanes(names, async (lanes) => {
        for (const lane of lanes) await prepare(lane);
        const more = await this.timed(lanes, Math.ceil(rounds / processes), operation, warmUpMs);
        more.forEach((own, at) => samples[at].push(...own));
      });
    }
    return samples;
  }

  /** Rounds of an operation in batches of about `BATCH_MS`, after a warm-up that also finds their size. */
  async timed(lanes, count, operation, warmUpMs = WARM_UP_MS) {
    for (const lane of lanes) {
      lane.iterations = 10;
      for (let spentMs = 0; spentMs < warmUpMs;) {
        const { ns, limitNs } = await lane.call(operation, { iterations: lane.iterations, batches: BATCHES });
        spentMs += (BATCHES * lane.iterations * (ns + limitNs)) / 1e6;
        lane.iterations = Math.ceil(Math.min((BATCH_MS * 1e6) / ns, lane.iterations * 10));
      }
    }
    return this.rounds(lanes, count, (lane) =>
      lane.call(operation, { iterations: lane.iterations, batches: BATCHES }),
    );
  }
}

const namesWhere = (wanted) => Object.keys(contestants).filter((name) => wanted(contestants[name]));

/**
 * Rows sorted by `measure`, with ratios: of that to the fastest peer's in the same rounds, and of time to the limit
 * of the same moment.
 */
function timedRows(names, samples, measure) {
  const rows = names.map((name, i) => ({
    name,
    title: contestants[name].title,
    ns: medianOf(samples[i], ({ ns }) => ns),
    limitNs: medianOf(samples[i], ({ limitNs }) => limitNs),
    toLimit: medianOf(samples[i], ({ toLimit }) => toLimit),
  }));
  const peers = rows.filter(({ name }) => !name.startsWith('ours'));
  const fastest = rows.indexOf(peers.toSorted((a, b) => a[measure] - b[measure])[0]);
  rows.forEach((row, i) => {
    row.toFastestPeer = median(
      samples[i].map((sample, round) => sample[measure] / samples[fastest][round][measure]),
    );
  });
  return rows.toSorted((a, b) => a[measure] - b[measure]);
}

/** Cached `getToken`, awaited; the limit is a resolved promise, awaited. */
export async function cached(bench) {
  const names = namesWhere(({ caches, create }) => caches || create.name === 'oursInHandler');
  const samples = await bench.timedRounds(names, bench.quick ? 6 : 45, 'cached', (lane) => bench.open(lane));
  return timedRows(names, samples, 'ns');
}

/** An authorized Axios request; the limit is bare Axios with a static header. */
export async function requests(bench) {
  const names = namesWhere(({ caches, heals }) => caches || heals);
  const rows = async (stub, rounds) => {
    const samples = await bench.timedRounds(names, rounds, 'request', async (lane) => {
      await bench.open(lane);
      await lane.call('connect', { stub });
    });
    // The instances of a process differ from those of another by more than the tokens: bare Axios evens that out.
    return timedRows(names, samples, 'toLimit');
  };
  return { stub: await rows(true, bench.quick ? 6 : 54), loopback: await rows(false, bench.quick ? 6 : 36) };
}

/** An authorized fetch; the limit is bare fetch with a static header. And 1,000 callers by fetch without a token. */
export async function fetches(bench) {
  const names = namesWhere((contestant) => contestant.fetches);
  const rows = async (mock, rounds) => {
    const prepare = async (lane) => {
      await bench.open(lane);
      await lane.call('connectFetch', { mock });
    };
    const samples = await bench.timedRounds(names, rounds, 'fetched', prepare, WARM_UP_OF_FETCHES_MS);
    return timedRows(names, samples, 'toLimit');
  };
  const cold = await bench.withLanes(names, async (lanes) => {
    const samples = await bench.rounds(lanes, bench.quick ? 2 : 5, async (lane) => {
      await bench.open(lane, { primed: false });
      await bench.taken(lane);
      const { ms, served } = await lane.call('fetchers', { count: 1_000 });
      return { ms, served, tokenRequests: await bench.taken(lane) };
    });
    return lanes.map(({ name }, i) => ({
      name,
      title: contestants[name].title,
      ms: medianOf(samples[i], ({ ms }) => ms),
      tokenRequests: Math.max(...samples[i].map(({ tokenRequests }) => tokenRequests)),
      served: Math.min(...samples[i].map(({ served }) => served)),
    }));
  });
  const [mock, loopback] = [await rows(true, bench.quick ? 6 : 54), await rows(false, bench.quick ? 6 : 36)];
  return { mock, loopback, cold };
}

/** Many callers at once whose token has just expired. */
export async function callers(bench) {
  const measure = (count, names) =>
    bench.withLanes(names, async (lanes) => {
      const samples = lanes.map(() => []);
      for (let round = 0; round < (bench.quick ? 2 : 5); round++) {
        await Promise.all(lanes.map((lane) => bench.open(lane, { expiresIn: 1 })));
        await sleep(1_100);
        for (let turn = 0; turn < lanes.length; turn++) {
          const at = (turn + round) % lanes.length;
          const lane = lanes[at];
          await bench.server.call('set', { name: lane.name, expiresIn: 3600 });
          const bareMs = await lane.call('bareTokenRequest');
          await bench.taken(lane);
          const { ms, served } = await lane.call('callers', { count });
          samples[at].push({ ms, served, bareMs, tokenRequests: await bench.taken(lane) });
        }
      }
      const rows = lanes.map(({ name }, i) => ({
        name,
        title: contestants[name].title,
        ms: medianOf(samples[i], ({ ms }) => ms),
        beyondLatencyMs: medianOf(samples[i], ({ ms }) => ms) - LATENCY_MS,
        toLimit: medianOf(samples[i], ({ ms, bareMs }) => ms / bareMs),
        tokenRequests: Math.max(...samples[i].map(({ tokenRequests }) => tokenRequests)),
        served: Math.min(...samples[i].map(({ served }) => served)),
      }));
      const peers = rows.filter(({ name }) => name !== 'ours');
      const fastest = Math.min(...peers.map(({ ms }) => ms));
      for (const row of rows) row.toFastestPeer = row.ms / fastest;
      return rows.toSorted((a, b) => a.ms - b.ms);
    });
  const thousand = await measure(
    1_000,
    namesWhere(({ caches, create }) => caches || create.name === 'openidClient'),
  );
  // The others would open 10,000 sockets.
  const sharing = thousand.filter(({ tokenRequests }) => tokenRequests < 10).map(({ name }) => name);
  return { 1000: thousand, 10_000: await measure(10_000, sharing) };
}

/** Token requests of 20 calls one after the other, by the token's lifetime. */
export async function sequential(bench) {
  return bench.withLanes(
    namesWhere(({ caches }) => caches),
    (lanes) =>
      Promise.all(
        lanes.map(async (lane) => {
          const byLifetime = {};
          for (const expiresIn of LIFETIMES_S) {
            await bench.open(lane, { primed: false, expiresIn });
            await bench.taken(lane);
            await lane.call('sequential', { calls: 20 });
            byLifetime[expiresIn] = await bench.taken(lane);
          }
          return { name: lane.name, title: contestants[lane.name].title, byLifetime };
        }),
      ),
  );
}

/** The token is revoked under 100 requests in flight, whose 401s arrive 3 ms after each other. */
export async function unauthorized(bench) {
  return bench.withLanes(
    namesWhere(({ heals }) => heals),
    async (lanes) => {
      const samples = await bench.rounds(lanes, bench.quick ? 1 : 3, async (lane) => {
        await bench.open(lane);
        await bench.server.call('revoke', { name: lane.name });
        await bench.taken(lane);
        const succeeded = await lane.call('staggered', { count: 100, staggerMs: 3 });
        return { succeeded, tokenRequests: await bench.taken(lane) };
      });
      return lanes.map(({ name }, i) => ({
        name,
        title: contestants[name].title,
        tokenRequests: medianOf(samples[i], ({ tokenRequests }) => tokenRequests),
        succeeded: medianOf(samples[i], ({ succeeded }) => succeeded),
      }));
    },
  );
}

/** The authorization server resets every connection while the token is valid. */
export async function outage(bench) {
  return bench.withLanes(
    namesWhere(({ caches }) => caches),
    (lanes) =>
      Promise.all(
        lanes.map(async (lane) => {
          const during = async (expiresIn, forMs) => {
            await bench.open(lane, { expiresIn });
            await bench.server.call('set', { name: lane.name, down: true });
            return lane.call('calls', { everyMs: 100, forMs });
          };
          const long = await during(100, 1_000);
          const short = await during(4, 3_500);
          // Past expiry, with nobody waiting.
          await sleep(4_000);
          const unhandled = await lane.call('unhandled');
          return { name: lane.name, title: contestants[lane.name].title, long, short, unhandled };
        }),
      ),
  );
}

/** Memory and lookup time by number of keys, with tokens of 800 bytes; the limit is a plain Map. */
export async function keys(bench) {
  const sizes = bench.quick ? [10, 1_000, 10_000] : [10, 1_000, 10_000, 100_000];
  const measure = (name, largest) => {
    const used = sizes.filter((size) => size <= largest);
    return bench.withLanes(
      used.map(() => name),
      async (lanes) => {
        const memory = [];
        for (const [i, lane] of lanes.entries()) {
          await lane.call('open', bench.environment(`${name}-keys`));
          bench.report(`  ${contestants[name].title}, ${used[i]} keys`);
          memory.push(await lane.call('fill', { count: used[i] }));
          await lane.call('fillMap');
        }
        const samples = await bench.timed(lanes, bench.quick ? 6 : 27, 'lookup');
        return used.map((size, i) => ({
          size,
          bytes: memory[i].acquired,
          bytesUsed: memory[i].used,
          ...lookedUp(samples[i], samples[0]),
        }));
      },
    );
  };
  const rows = [];
  for (const name of ['ours', 'smithy', 'badgateway']) {
    const bySize = await measure(name, name === 'ours' ? Number.POSITIVE_INFINITY : 10_000);
    rows.push({
      name,
      title: contestants[name].title + (name === 'ours' ? '' : ', one each in a Map'),
      bySize,
    });
  }
  return rows;
}

/** By number of tenants: the time of a lookup, whose limit is a plain Map, and of a request. */
export async function tenants(bench) {
  const sizes = [10, 10_000];
  return bench.withLanes(
    sizes.map(() => 'ours'),
    async (lanes) => {
      const asked = [];
      for (const [i, lane] of lanes.entries()) {
        await lane.call('open', bench.environment('ours-tenants'));
        asked.push(await lane.call('fillTenants', { count: sizes[i] }));
        await lane.call('fillMap');
      }
      const samples = await bench.timed(lanes, bench.quick ? 6 : 27, 'lookup');
      const requests = await bench.timed(lanes, bench.quick ? 6 : 27, 'tenantRequest');
      return sizes.map((size, i) => {
        const { ns: requestNs, growth: requestGrowth } = lookedUp(requests[i], requests[0]);
        return { size, asked: asked[i], ...lookedUp(samples[i], samples[0]), requestNs, requestGrowth };
      });
    },
  );
}

/** `growth` is against the smallest of the same round. */
function lookedUp(samples, smallest) {
  return {
    ns: medianOf(samples, ({ ns }) => ns),
    mapNs: medianOf(samples, ({ limitNs }) => limitNs),
    growth: median(samples.map(({ ns }, round) => ns / smallest[round].ns)),
    mapGrowth: median(samples.map(({ limitNs }, round) => limitNs / smallest[round].limitNs)),
  };
}

/** A DPoP-bound request; the limits are WebCrypto's signature alone, jose, and bare Axios with jose. */
export async function dpop(bench) {
  return bench.withLanes(['ours', 'openidClient'], async (lanes) => {
    for (const lane of lanes) {
      await lane.call('open', bench.environment(`${lane.name}-dpop`));
      await lane.call('openDpop');
      await lane.call('sign', { iterations: 500 });
    }
    const samples = await bench.rounds(lanes, bench.quick ? 3 : 11, (lane) =>
      lane.call('sign', { iterations: bench.quick ? 100 : 250 }),
    );
    const all = samples[0];
    const row = (title, pick, rounds = all) => ({
      title,
      ns: medianOf(rounds, pick),
      toLimit: medianOf(rounds, (round) => pick(round) / round.webcrypto),
      toBare: medianOf(rounds, (round) => pick(round) / round.bareAxios),
    });
    return [
      row('WebCrypto signature alone', ({ webcrypto }) => webcrypto),
      row('jose proof alone', ({ jose }) => jose),
      row('bare Axios with a jose proof', ({ bareAxios }) => bareAxios),
      { name: 'ours', ...row(contestants.ours.title, ({ own }) => own) },
      row('openid-client, on a stub fetch', ({ own }) => own, samples[1]),
    ];
  });
}

/** Eight processes with 1,000 cold callers each: ours on Redis, ours on its own, and a peer. */
export async function fleet(bench) {
  const redis = await startRedis();
  const encryptionKeys = [{ id: 'bench', key: randomBytes(32).toString('base64url') }];
  const onRedis = { redis: { url: redis.url, options: { encryptionKeys } } };
  let runs = 0;
  /** Everybody at once, on a token that nobody has yet. */
  const coldStart = async (lanes, store, latencyMs) => {
    const shared = `fleet-${runs++}`;
    await bench.server.call('set', { name: shared, expiresIn: 3600, latencyMs });
    await Promise.all(lanes.map((lane) => lane.call('open', bench.environment(shared, store))));
    const results = await Promise.all(lanes.map((lane) => lane.call('callers', { count: 1_000 })));
    const answeredAt = await bench.server.call('answeredAt', { name: shared });
    return {
      ms: Math.max(...results.map(({ ms }) => ms)),
      served: results.reduce((sum, { served }) => sum + served, 0),
      tokenRequests: await bench.server.call('taken', { name: shared }),
      // Without the holder, which has the answer first.
      waits: results
        .map(({ at }) => at - answeredAt)
        .toSorted((one, other) => one - other)
        .slice(1),
    };
  };
  const measure = (name, title, store) =>
    bench.withLanes(
      Array.from({ length: 8 }, () => name),
      async (lanes) => {
        const samples = [];
        for (let round = 0; round < (bench.quick ? 2 : 5); round++)
          samples.push(await coldStart(lanes, store, LATENCY_MS));
        return {
          title,
          ms: medianOf(samples, ({ ms }) => ms),
          served: Math.min(...samples.map(({ served }) => served)),
          tokenRequests: Math.max(...samples.map(({ tokenRequests }) => tokenRequests)),
        };
      },
    );
  const waiters = () =>
    bench.withLanes(
      Array.from({ length: 8 }, () => 'ours'),
      async (lanes) => {
        const byLatency = [];
        for (const latencyMs of [50, 200, 1_000, 4_000]) {
          const samples = [];
          for (let round = 0; round < (bench.quick ? 2 : 5); round++)
            samples.push(...(await coldStart(lanes, onRedis, latencyMs)).waits);
          byLatency.push({ latencyMs, medianMs: median(samples), maxMs: Math.max(...samples) });
        }
        return byLatency;
      },
    );
  try {
    const rows = [
      { name: 'ours', ...(await measure('ours', 'ours, RedisTokenStore', onRedis)) },
      await measure('ours', 'ours, MemoryTokenStore', {}),
      await measure('badgateway', contestants.badgateway.title, {}),
    ];
    return { rows, waiters: await waiters() };
  } finally {
    redis.stop();
  }
}

/** Size of each package as installed. */
export async function install() {
  const here = new URL('.', import.meta.url).pathname;
  const { files } = JSON.parse(readFileSync(join(here, '../package.json'), 'utf8'));
  const rows = Object.values(contestants)
    .filter(({ create }) => create.name !== 'oursInHandler')
    .map(({ create, title }) => {
      const folders = title.split(' + ').map((name) => join(here, 'node_modules', name));
      const sizes =
        create.name === 'ours'
          ? [installSize(join(here, '..'), [...files, 'package.json', 'README.md', 'LICENSE'])]
          : folders.map((folder) => installSize(folder));
      const [bytes, packages] = ['bytes', 'packages'].map((what) =>
        sizes.reduce((sum, size) => sum + size[what], 0),
      );
      return { name: create.name, title, bytes, packages };
    });
  return rows.toSorted((one, other) => one.bytes - other.bytes);
}

/** A Redis of the run's own; throws when redis-server is not installed. */
async function startRedis() {
  execFileSync('redis-server', ['--version']);
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'bench-redis-'));
  const server = spawn(
    'redis-server',
    ['--port', port, '--bind', '127.0.0.1', '--save', '', '--dir', folder],
    {
      stdio: 'ignore',
    },
  );
  await reachable(port);
  return {
    url: `redis://127.0.0.1:${port}`,
    stop: () => {
      server.kill();
      rmSync(folder, { recursive: true });
    },
  };
}

function freePort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(String(port)));
    });
  });
}

async function reachable(port) {
  for (let attempt = 0; attempt < 100; attempt++) {
    const open = await new Promise((resolve) => {
      const socket = connect(Number(port), '127.0.0.1', () => resolve(socket.destroy()));
      socket.on('error', () => resolve(undefined));
    });
    if (open) return;
    await sleep(50);
  }
  throw new Error('redis-server did not start.');
}
