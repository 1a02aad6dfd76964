// The tables and plots of a run.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { LATENCY_MS } from './measurements.js';
import { barChart, lineChart } from './plot.js';
import { number, targets } from './targets.js';

const here = (path) => new URL(path, import.meta.url);
const isOwn = ({ name }) => Boolean(name?.startsWith('ours'));
const bold = (row, text) => (isOwn(row) ? `**${text}**` : text);
const times = (value) => `${value.toFixed(2)} ×`;
const us = (ns) => number(ns / 1_000);

function table(head, rows) {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

const sections = {
  cached: (rows) => [
    '## Cached `getToken`, awaited',
    `The limit is an awaited resolved promise (${number(rows[0].limitNs)} ns). Inside \`@UseOAuthClient\` Node tracks asynchronous contexts, which slows down every promise; its limit is measured there too.`,
    table(
      ['', 'ns', 'to the fastest peer', 'to the limit'],
      rows.map((row) => [bold(row, row.title), number(row.ns), times(row.toFastestPeer), times(row.toLimit)]),
    ),
  ],
  requests: ({ stub, loopback }) => [
    '## An authorized Axios request',
    'The limit is bare Axios with a static header, measured beside each in the same process.',
    table(
      ['stub adapter', 'µs', 'to bare Axios', 'to the fastest peer'],
      stub.map((row) => [bold(row, row.title), us(row.ns), times(row.toLimit), times(row.toFastestPeer)]),
    ),
    table(
      ['over loopback', 'µs', 'to bare Axios', 'to the fastest peer'],
      loopback.map((row) => [bold(row, row.title), us(row.ns), times(row.toLimit), times(row.toFastestPeer)]),
    ),
  ],
  fetches: ({ mock, loopback, cold }) => [
    '## An authorized fetch',
    "The limit is bare fetch with a static header, measured beside each in the same process. The others have no fetch of their own. The callers have no token yet, and each reads the API's answer.",
    ...Object.entries({ "undici's mock": mock, 'over loopback': loopback }).map(([where, rows]) =>
      table(
        [where, 'µs', 'to bare fetch'],
        rows.map((row) => [bold(row, row.title), us(row.ns), times(row.toLimit)]),
      ),
    ),
    table(
      ['1,000 cold callers', 'token requests', 'served', 'ms'],
      cold.map((row) => [bold(row, row.title), row.tokenRequests, number(row.served), number(row.ms)]),
    ),
  ],
  callers: (byCount) => [
    '## Callers at once on an expired token',
    `The server takes ${LATENCY_MS} ms; the limit is one token request over bare Axios.`,
    ...Object.entries(byCount).map(([count, rows]) =>
      table(
        [
          `${number(Number(count))} callers`,
          'token requests',
          'ms beyond the latency',
          'to the limit',
          'to the fastest peer',
        ],
        rows.map((row) => [
          bold(row, row.title),
          number(row.tokenRequests),
          number(row.beyondLatencyMs),
          times(row.toLimit),
          times(row.toFastestPeer),
        ]),
      ),
    ),
  ],
  sequential: (rows) => {
    const lifetimes = Object.keys(rows[0].byLifetime);
    return [
      '## Token requests of 20 calls in a row, by lifetime',
      table(
        ['', ...lifetimes.map((lifetime) => `${number(Number(lifetime))} s`)],
        rows.map((row) => [bold(row, row.title), ...lifetimes.map((lifetime) => row.byLifetime[lifetime])]),
      ),
    ];
  },
  unauthorized: (rows) => [
    '## Token revoked under 100 requests, their 401s staggered',
    'Those that have an answer to a 401 of their own, or claim one.',
    table(
      ['', 'token requests', 'succeeded'],
      rows.map((row) => [bold(row, row.title), row.tokenRequests, row.succeeded]),
    ),
  ],
  outage: (rows) => [
    '## Authorization server down under a valid token',
    'Calls served: for a second with a token of 100 s, and over nearly all of the life of a token of 4 s.',
    table(
      ['', '100 s', '4 s', 'unhandled rejections'],
      rows.map((row) => [
        bold(row, row.title),
        ...[row.long, row.short].map(({ served, failed }) => `${served} of ${served + failed}`),
        row.unhandled,
      ]),
    ),
  ],
  keys: (rows) => [
    '## Many keys, tokens of 800 bytes',
    'Heap per key as acquired, and once each header was sent (too little to tell at 10); the plain Map holds a promise per tenant.',
    table(
      [
        '',
        'keys',
        'bytes, acquired',
        'bytes, sent',
        'lookup, ns',
        'to 10 keys',
        'plain Map, ns',
        'plain Map, to 10 keys',
      ],
      rows.flatMap((row) =>
        row.bySize.map((at) => [
          bold(row, row.title),
          number(at.size),
          ...[at.bytes, at.bytesUsed].map((bytes) => (at.size < 1_000 ? '–' : number(Math.round(bytes)))),
          number(at.ns),
          times(at.growth),
          number(at.mapNs),
          times(at.mapGrowth),
        ]),
      ),
    ),
  ],
  tenants: (rows) => [
    '## Many tenants',
    'A token by the name of its tenant, each of another tenant; the plain Map holds a promise per tenant. What grows is the time that memory takes. A request finds its tenant and goes out on a stub adapter.',
    table(
      ['tenants', 'lookup, ns', 'to 10', 'plain Map, ns', 'to 10', 'request, µs', 'to 10'],
      rows.map((at) => [
        number(at.size),
        number(at.ns),
        times(at.growth),
        number(at.mapNs),
        times(at.mapGrowth),
        number(at.requestNs / 1_000),
        times(at.requestGrowth),
      ]),
    ),
  ],
  dpop: (rows) => [
    '## A request with a DPoP proof (ES256)',
    table(
      ['', 'µs', 'to the signature alone', 'to bare Axios with jose'],
      rows.map((row) => [bold(row, row.title), us(row.ns), times(row.toLimit), times(row.toBare)]),
    ),
  ],
  install: (rows) => [
    '## What an installation adds',
    'The package and its dependencies on disk, without peers.',
    table(
      ['', 'kB', 'packages'],
      rows.map((row) => [bold(row, row.title), number(Math.round(row.bytes / 1_000)), row.packages]),
    ),
  ],
  fleet: ({ rows, waiters }) => [
    '## Eight processes, 1,000 cold callers each',
    'Wall time of the slowest process, connecting to Redis included.',
    table(
      ['', 'token requests', 'served', 'ms', `to the latency of ${LATENCY_MS} ms`],
      rows.map((row) => [
        bold(row, row.title),
        row.tokenRequests,
        number(row.served),
        number(row.ms),
        times(row.ms / LATENCY_MS),
      ]),
    ),
    'Seven of eight processes wait for the token request of the eighth; how long beyond its end:',
    table(
      ['token request, ms', 'median, ms', 'longest, ms'],
      waiters.map(({ latencyMs, medianMs, maxMs }) => [number(latencyMs), number(medianMs), number(maxMs)]),
    ),
  ],
};

/** The whole of results.md. */
export function markdown(results, chaos) {
  const { node, cpu, cores, date, versions } = results.environment;
  const found = targets(results);
  return [
    '# Ours beside its peers',
    `Made by \`npm run bench\` on ${date}: Node ${node}, ${cores} × ${cpu}, loopback only. Medians of interleaved rounds, each contestant in processes of its own; ratios are taken within a round. Absolute times drift from machine to machine. Times in ns and µs are CPU time of the whole process, but over loopback the wall clock's.`,
    ...(results.cached ? ['![Cached getToken](cached.svg)'] : []),
    '## Targets',
    table(
      ['', 'measured', 'target', ''],
      found.map(({ what, value, limit, unit, met }) => [
        what,
        `${number(value)} ${unit}`.trim(),
        limit,
        met ? 'met' : '**missed**',
      ]),
    ),
    ...Object.entries(sections).flatMap(([name, section]) => (results[name] ? section(results[name]) : [])),
    ...(chaos ? chaosSection(chaos) : []),
    '## Versions',
    Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', '),
  ].join('\n\n');
}

function chaosSection({ seconds, seed, members, lifetimeS, faults, ...counts }) {
  const happened = Object.entries(faults).map(([what, count]) => `${what} (${count})`);
  return [
    '## Everything fails at once',
    `\`npm run chaos\`: ${members} instances on one Redis, tokens of ${lifetimeS} s, mutual TLS, ${seconds} s, seed ${seed}. Faults come in random order, up to two at a time: ${happened.join(', ')}. A call failed for nothing if its instance could have had a token that was valid from the call's beginning to its end: one that it had used itself, or any of the fleet's while Redis was well. Redis counts as away during its faults, other than added latency, and for 2 s after each.`,
    table(
      ['', ''],
      [
        ['calls', number(counts.calls)],
        ['failed for nothing', counts.failedForNothing],
        ['failed while only other instances had a valid token, and Redis was away', counts.failedOutOfReach],
        ['failed while there was no valid token', counts.failedWithoutToken],
        ['tokens seen at a foreign origin', `${counts.abroad} of ${number(counts.lured)} requests there`],
        ['unhandled rejections', counts.unhandled],
        ['token requests', counts.tokenRequests],
        ['median of a call', `${number(counts.medianMs)} ms`],
        ['99 of 100 calls within', `${number(counts.p99Ms)} ms`],
      ],
    ),
  ];
}

/** Writes results.md, with the last run of chaos.js. */
export async function writeReport(results) {
  const chaos = here('chaos.json');
  const last = existsSync(chaos) ? JSON.parse(readFileSync(chaos, 'utf8')) : undefined;
  writeFileSync(here('results.md'), await formatted(markdown(results, last)));
}

/** As prettier has it. */
export async function formatted(source) {
  const prettier = await import('prettier');
  const style = await prettier.resolveConfig(here('results.md'));
  return prettier.format(source, { ...style, parser: 'markdown' });
}

/** The plots by file name. */
export function plots({ cached, requests, callers, keys }) {
  const files = {};
  if (cached) {
    files['cached.svg'] = barChart(
      'Cached getToken, nanoseconds',
      cached
        .filter(({ name }) => name !== 'oursInHandler')
        .map((row) => ({ label: row.title, value: row.ns, text: number(row.ns), own: isOwn(row) })),
      { limit: { label: 'a resolved promise', value: cached[0].limitNs }, cut: 600 },
    );
  }
  if (requests) {
    files['request.svg'] = barChart(
      'Authorized Axios request on a stub adapter, to bare Axios',
      requests.stub
        .toSorted((a, b) => a.toLimit - b.toLimit)
        .map((row) => ({ label: row.title, value: row.toLimit, text: times(row.toLimit), own: isOwn(row) })),
      { limit: { label: 'bare Axios', value: 1 }, cut: 2 },
    );
  }
  if (callers) {
    files['callers.svg'] = barChart(
      '1,000 callers on an expired token: milliseconds until all are served',
      callers[1000].map((row) => ({
        label: row.title,
        value: row.ms,
        text: `${number(row.ms)} (${number(row.tokenRequests)} token request${row.tokenRequests === 1 ? '' : 's'})`,
        own: isOwn(row),
      })),
      { limit: { label: `the server's ${LATENCY_MS} ms`, value: LATENCY_MS } },
    );
  }
  if (keys) {
    const own = keys.find(isOwn);
    files['keys.svg'] = lineChart('Lookup by number of keys, relative to 10 keys', 'keys', '×', [
      { label: own.title, points: own.bySize.map(({ size, growth }) => [size, growth]), own: true },
      { label: 'a plain Map', points: own.bySize.map(({ size, mapGrowth }) => [size, mapGrowth]) },
    ]);
  }
  return files;
}
