// A day in the life of a fleet, on virtual time, with the real core: how many token requests reach the
// authorization server, at what peak, and how many callers had to wait. Writes docs/fleet.svg and the table in
// docs/scaling.md. Run by `npm run fleet`.
import { readFileSync, writeFileSync } from 'node:fs';
import { Subscription } from 'rxjs';
import { AuthorizationServerUnavailableError } from '../dist/lib/core/errors.js';
import { MemoryTokenStore } from '../dist/lib/core/memory-token-store.js';
import { OAuthClient, TokenRuntime } from '../dist/lib/core/oauth-client.js';

const HOUR = 3_600_000;
const DAY_S = 86_400;
const CALL_EVERY_S = 30; // mean distance of an instance's calls
const LATENCY_MS = 150;
const OUTAGE = { from: 12 * 3600, to: 12 * 3600 + 600 };
const DEPLOY = { from: 18 * 3600, to: 18 * 3600 + 600 };
const LIFE = {
  refreshAhead: { ratio: 0.25, maxMs: 300_000 },
  retry: { attempts: 3, minDelayMs: 200, maxDelayMs: 5_000, totalMs: 15_000 },
  timeoutMs: 5_000,
};

/** Virtual time: a heap of timers that fire when the simulation says so. */
class FleetClock {
  #time = 0;
  #heap = [];
  #sequence = 0;
  scheduler = {
    now: () => this.#time,
    schedule: (work, delay = 0, state) => new Timer(this, work).schedule(state, delay),
  };

  constructor(random) {
    this.random = random;
  }

  now() {
    return Date.UTC(2030, 0, 1) + this.#time;
  }

  monotonic() {
    return this.#time;
  }

  add(timer, delay) {
    const entry = { at: this.#time + Math.max(0, delay), order: this.#sequence++, timer };
    let index = this.#heap.push(entry) - 1;
    for (
      let parent = (index - 1) >> 1;
      index > 0 && before(entry, this.#heap[parent]);
      parent = (index - 1) >> 1
    ) {
      this.#heap[index] = this.#heap[parent];
      index = parent;
    }
    this.#heap[index] = entry;
  }

  /** Fires what is due up to `end`, letting promises settle after each moment. */
  async advanceTo(end) {
    for (let next = this.#heap[0]; next && next.at <= end; next = this.#heap[0]) {
      this.#time = next.at;
      while (this.#heap[0]?.at === next.at) this.#take().timer.fire();
      await settle();
    }
    this.#time = end;
  }

  #take() {
    const [first] = this.#heap;
    const last = this.#heap.pop();
    if (first !== last) {
      let index = 0;
      for (let child = 1; child < this.#heap.length; child = 2 * index + 1) {
        if (child + 1 < this.#heap.length && before(this.#heap[child + 1], this.#heap[child])) child++;
        if (!before(this.#heap[child], last)) break;
        this.#heap[index] = this.#heap[child];
        index = child;
      }
      this.#heap[index] = last;
    }
    return first;
  }
}

class Timer extends Subscription {
  #clock;
  #work;
  #state;

  constructor(clock, work) {
    super();
    this.#clock = clock;
    this.#work = work;
  }

  schedule(state, delay = 0) {
    this.#state = state;
    this.#clock.add(this, delay);
    return this;
  }

  fire() {
    if (!this.closed) this.#work.call(this, this.#state);
  }
}

/** One store for the whole fleet: memory, with a lock that excludes. */
class SharedStore extends MemoryTokenStore {
  #locked = new Set();

  async withLock(key, _ttlMs, work) {
    if (this.#locked.has(key)) return { outcome: 'held' };
    this.#locked.add(key);
    try {
      return { outcome: 'acquired', result: await work() };
    } finally {
      this.#locked.delete(key);
    }
  }
}

async function simulate({ instances, lifetimeMs, shared }) {
  const random = mulberry32(42);
  const clock = new FleetClock(random);
  const store = shared ? new SharedStore() : undefined;
  const perSecond = new Map();
  const counts = { requests: 0, calls: 0, waited: 0, failed: 0 };
  let second = 0;
  let tokens = 0;
  const endpoint = {
    identity: async () => 'fleet',
    request: () =>
      new Promise((resolve, reject) => {
        counts.requests++;
        perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
        const issuedAt = clock.now();
        clock.scheduler.schedule(() => {
          if (second >= OUTAGE.from && second < OUTAGE.to)
            reject(new AuthorizationServerUnavailableError('down', { status: 503 }));
          else
            resolve({
              value: `t${++tokens}`,
              tokenType: 'Bearer',
              issuedAt,
              expiresAt: issuedAt + lifetimeMs,
            });
        }, LATENCY_MS);
      }),
  };
  const boot = () =>
    OAuthClient.create({
      name: 'api',
      endpoint,
      options: LIFE,
      runtime: new TokenRuntime(store ?? new MemoryTokenStore(), clock),
    });
  const fleet = new Array(instances);
  const calls = Array.from({ length: DAY_S + 1 }, () => []);
  const restarts = new Map();
  for (let i = 0; i < instances; i++) {
    calls[Math.floor(random() * 600)].push(i); // the first boot, rolling over ten minutes
    restarts.set(i, DEPLOY.from + Math.floor(random() * (DEPLOY.to - DEPLOY.from)));
  }
  for (second = 0; second < DAY_S; second++) {
    for (const i of calls[second]) {
      if (!fleet[i] || restarts.get(i) <= second) {
        fleet[i] = boot();
        if (restarts.get(i) <= second) restarts.set(i, Infinity);
      }
      counts.calls++;
      if (fleet[i].life().current() === undefined) {
        counts.waited++;
        fleet[i].getToken().catch(() => counts.failed++);
      }
      const next = second + 1 + Math.floor(-Math.log(1 - random()) * CALL_EVERY_S);
      calls[Math.min(next, DAY_S)].push(i);
    }
    calls[second] = undefined;
    await settle();
    await clock.advanceTo((second + 1) * 1000);
  }
  return { instances, lifetimeMs, shared, ...counts, peak: Math.max(...perSecond.values()), perSecond };
}

function tableOf(runs) {
  const rows = runs.map((run) => [
    run.instances.toLocaleString('en'),
    `${run.lifetimeMs / HOUR} h`,
    run.shared ? 'yes' : 'no',
    run.requests.toLocaleString('en'),
    run.peak.toLocaleString('en'),
    `${run.waited.toLocaleString('en')} of ${run.calls.toLocaleString('en')}`,
    run.failed.toLocaleString('en'),
  ]);
  const head = [
    'instances',
    'lifetime',
    'shared store',
    'token requests',
    'peak per second',
    'calls that waited',
    'calls that failed',
  ];
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** Token requests per ten minutes over the day, on a logarithmic scale: one line without the shared store, one with. */
function plotOf(alone, together) {
  const [width, height, left, bottom, top] = [760, 300, 60, 40, 30];
  const bins = (run) => {
    const counted = new Array(144).fill(0);
    for (const [at, count] of run.perSecond) counted[Math.min(143, Math.floor(at / 600))] += count;
    return counted;
  };
  const max = Math.max(...bins(alone), ...bins(together), 10);
  const y = (value) =>
    height - bottom - (Math.log10(Math.max(value, 0.5) * 2) / Math.log10(max * 2)) * (height - bottom - top);
  const x = (bin) => left + (bin / 144) * (width - left - 10);
  const line = (run) =>
    bins(run)
      .map(
        (value, bin) =>
          `${bin ? 'L' : 'M'}${x(bin).toFixed(1)} ${y(value).toFixed(1)}H${x(bin + 1).toFixed(1)}`,
      )
      .join('');
  const ticks = [1, 10, 100, 1_000, 10_000].filter((value) => value <= max);
  const mark = ({ from, to }, label) =>
    `<rect x="${x(from / 600)}" y="${top}" width="${x(to / 600) - x(from / 600)}" height="${height - bottom - top}" fill="#888" opacity=".3"/><text x="${x(from / 600)}" y="${top - 6}">${label}</text>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="Token requests per ten minutes of ${alone.instances} instances over a day, with and without a shared store">
<rect width="100%" height="100%" fill="#fff"/>
${mark(OUTAGE, 'outage')}${mark(DEPLOY, 'deploy')}
${ticks.map((value) => `<path d="M${left} ${y(value)}H${width - 10}" stroke="#ddd"/><text x="${left - 6}" y="${y(value) + 4}" text-anchor="end">${value.toLocaleString('en')}</text>`).join('\n')}
${[0, 6, 12, 18, 24].map((hour) => `<text x="${x(hour * 6)}" y="${height - bottom + 18}" text-anchor="${hour === 24 ? 'end' : 'middle'}">${hour}:00</text>`).join('')}
<path d="${line(alone)}" fill="none" stroke="#c2410c" stroke-width="2"/>
<path d="${line(together)}" fill="none" stroke="#1d4ed8" stroke-width="2"/>
<text x="${left}" y="${height - 6}" fill="#c2410c">each instance on its own</text><text x="${left + 170}" y="${height - 6}" fill="#1d4ed8">with a shared store</text>
<text x="${width - 10}" y="${height - 6}" text-anchor="end">token requests per ten minutes, ${alone.instances.toLocaleString('en')} instances, tokens of ${alone.lifetimeMs / HOUR} h</text>
</svg>
`;
}

function before(a, b) {
  return a.at === b.at ? a.order < b.order : a.at < b.at;
}

/** All promise callbacks run before the event loop comes back to an immediate. */
function settle() {
  return new Promise((resolve) => setImmediate(resolve));
}

function mulberry32(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const sizes = process.argv.includes('--quick') ? [100] : [1_000, 10_000];
const runs = [];
for (const instances of sizes) {
  for (const lifetimeMs of [HOUR, 24 * HOUR]) {
    for (const shared of [false, true]) {
      const started = performance.now();
      const run = await simulate({ instances, lifetimeMs, shared });
      console.log(
        `${instances} × ${lifetimeMs / HOUR} h ${shared ? 'shared' : 'alone '}: ${run.requests} requests, peak ${run.peak}/s, ${run.waited} waited, ${run.failed} failed (${((performance.now() - started) / 1000).toFixed(0)} s)`,
      );
      runs.push(run);
    }
  }
}
if (!process.argv.includes('--quick')) {
  const page = new URL('../docs/scaling.md', import.meta.url);
  const text = readFileSync(page, 'utf8');
  writeFileSync(
    page,
    text.replace(
      /(<!-- fleet -->\n)[\s\S]*?(\n<!-- \/fleet -->)/,
      (_, open, close) => `${open}\n${tableOf(runs)}\n${close}`,
    ),
  );
  const largest = runs.filter(
    ({ instances, lifetimeMs }) => instances === sizes.at(-1) && lifetimeMs === HOUR,
  );
  writeFileSync(new URL('../docs/fleet.svg', import.meta.url), plotOf(largest[0], largest[1]));
}
