// A fleet of four on one Redis while everything fails in turns, and often at once: Redis, the authorization server,
// processes, certificates and secrets. From the root: npm run chaos [-- --seconds 60] [--seed 1]
//
// Every failed call is one of three kinds. It failed for nothing if its instance could have had a token that was valid
// from the call's beginning to its end: one that it had used itself, or any of the fleet's while Redis was well. It was
// out of reach if only others held a valid token while Redis was away. Otherwise there was no valid token. The seed fixes
// the order of the faults, not what they meet. A run of 60 s or more writes the table in results.md.
import { execFileSync, spawn } from 'node:child_process';
import { X509Certificate, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, createServer as createProxy } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { writeReport } from './report.js';
import { start } from './rpc.js';

const { values: options } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string', default: '1' } },
});
const MEMBERS = 4;
const LIFETIME_S = 8;
const TOTAL_MS = Number(options.seconds) * 1_000;
/** A fault lasts half of its turn. */
const REDIS_TURN_MS = 5_000;
const SERVER_TURN_MS = 4_000;
const FROZEN_MS = 3_000;
/** A lifetime counts from the start of the request, which is under way for a while. */
const MARGIN_MS = 150;
/** Redis counts as well again once its clients had time to find out. */
const RECOVERY_MS = 2_000;
/** Within the store's timeout: it does not excuse a failure. */
const SLOW_REDIS = 'Redis: 30 ms more each way';

const folder = mkdtempSync(join(tmpdir(), 'chaos-'));
const path = (name) => join(folder, name);
const log = [];
const note = (what) => log.push({ at: Date.now(), what });

function seeded(seed) {
  let state = (seed * 7_919) % 2_147_483_647;
  return () => ((state = (state * 48_271) % 2_147_483_647) - 1) / 2_147_483_646;
}

function shuffled(list, random) {
  return list
    .map((value) => [random(), value])
    .toSorted(([a], [b]) => a - b)
    .map(([, value]) => value);
}

/** Certificates by the openssl command: an authority, a server, and clients that replace each other. */
function certificate(name, subject, more = []) {
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const files = ['-keyout', path(`${name}.key`), '-out', path(`${name}.pem`), '-subj', subject];
  execFileSync('openssl', ['req', '-x509', ...curve, ...files, ...more], { stdio: 'pipe' });
}

const signed = ['-CA', path('ca.pem'), '-CAkey', path('ca.key')];
const read = (name) => readFileSync(path(name), 'utf8');
const fingerprint = () => new X509Certificate(read('client.pem')).fingerprint256;

const listening = (server) =>
  new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(server.address().port));
  });

/** The authorization server: knows the secrets, certificates and tokens that are valid, and how to fail. */
const accepted = { secrets: new Set(), certificates: new Set() };
const tokens = new Map();
let serverFault = 'none';
let tokenRequests = 0;

function authorizationServer(request, response) {
  request.resume();
  const reply = (status, body, headers = {}) =>
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  tokenRequests++;
  const faults = {
    'authorization server: 503': () => reply(503, {}),
    'authorization server: 429': () => reply(429, {}, { 'retry-after': '1' }),
    'authorization server: reset': () => request.socket.destroy(),
  };
  if (faults[serverFault]) return faults[serverFault]();
  const [, secret] = Buffer.from(request.headers.authorization.slice(6), 'base64').toString().split(':');
  const presented = request.socket.getPeerCertificate().fingerprint256;
  if (!accepted.secrets.has(secret) || !accepted.certificates.has(presented))
    return reply(401, { error: 'invalid_client' });
  const token = randomBytes(24).toString('base64url');
  const issuedAt = Date.now(); // as clients count
  const issue = () => {
    tokens.set(token, { from: Date.now(), until: issuedAt + LIFETIME_S * 1_000 });
    reply(200, { access_token: token, token_type: 'Bearer', expires_in: LIFETIME_S });
  };
  setTimeout(issue, serverFault === 'authorization server: slow' ? 700 : 20);
}

/** The API: which member used which token until when. */
const used = [];
const isValid = ({ from, until } = {}, at) => from <= at && at < until;

function apiServer(elsewhere) {
  return (request, response) => {
    const token = request.headers.authorization?.slice(7);
    const valid = isValid(tokens.get(token), Date.now());
    if (valid) used.push({ at: Date.now(), member: Number(request.headers['x-member']), token });
    if (!valid) return response.writeHead(401).end();
    if (request.url === '/away') return response.writeHead(302, { location: `${elsewhere}/away` }).end();
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  };
}

let lured = 0;
let abroad = 0;
function foreignServer(request, response) {
  lured++;
  const text = JSON.stringify([request.url, request.rawHeaders]);
  if ([...tokens.keys()].some((token) => text.includes(token))) abroad++;
  response.end('{}');
}

/** What stands between the fleet and its Redis. */
class FaultProxy {
  #mode = 'none';
  #pairs = new Set();
  #lost = new WeakSet();
  /** By the socket that it goes to: what is on its way is never overtaken. */
  #sent = new WeakMap();

  constructor(target) {
    // Neither side waits for an acknowledgement of what it sent before, as ioredis and Redis do not.
    this.server = createProxy({ noDelay: true }, (client) => {
      if (this.#mode === 'reset') return client.resetAndDestroy();
      const server = connect({ port: target, host: '127.0.0.1', noDelay: true });
      this.#pairs.add(client).add(server);
      if (this.#mode === 'half-open') this.#lost.add(client).add(server);
      for (const [from, to] of [[client, server], [server, client]]) {
        from.on('data', (chunk) => this.#pass(to, chunk));
        from.on('error', () => to.destroy());
        from.on('close', () => {
          this.#pairs.delete(from);
          to.destroy();
        });
      }
    }); // prettier-ignore
  }

  set(mode) {
    this.#mode = mode;
    if (mode === 'reset') for (const socket of this.#pairs) socket.resetAndDestroy();
    // Such a connection never comes back: what was lost on it is lost.
    if (mode === 'half-open') for (const socket of this.#pairs) this.#lost.add(socket);
  }

  #pass(to, chunk) {
    if (this.#lost.has(to)) return;
    const late = this.#mode === 'latency' ? sleep(30) : undefined;
    this.#sent.set(
      to,
      Promise.all([this.#sent.get(to), late]).then(() => to.write(chunk)),
    );
  }
}

/** Every fault with how it begins and ends. */
function faultsOf({ proxy, admin, lanes, random }) {
  const proxied = (mode) => ({ begin: () => proxy.set(mode), end: () => proxy.set('none') });
  const redis = {
    [SLOW_REDIS]: proxied('latency'),
    'Redis: connections reset': proxied('reset'),
    'Redis: half-open connections': proxied('half-open'),
    'Redis: out of memory': {
      begin: () => admin.config('SET', 'maxmemory', '1'),
      end: () => admin.config('SET', 'maxmemory', '0'),
    },
    'Redis: demoted to a replica': {
      begin: () => admin.replicaof('127.0.0.1', '1'),
      end: () => admin.replicaof('NO', 'ONE'),
    },
  };
  const server = {};
  for (const how of ['503', '429', 'slow', 'reset']) {
    const name = `authorization server: ${how}`;
    server[name] = { begin: () => (serverFault = name), end: () => (serverFault = 'none') };
  }
  server['process frozen'] = {
    begin: () => {
      const { pid } = lanes[Math.floor(random() * lanes.length)];
      process.kill(pid, 'SIGSTOP');
      setTimeout(() => process.kill(pid, 'SIGCONT'), FROZEN_MS);
    },
  };
  server['token revoked'] = {
    begin: () => ([...tokens.values()].at(-1).until = Date.now()),
  };
  server['secret rotated'] = { begin: rotateSecret };
  server['certificate replaced'] = { begin: replaceCertificate };
  return { redis, server };
}

function rotateSecret() {
  const secret = randomBytes(16).toString('hex');
  const former = [...accepted.secrets];
  accepted.secrets.add(secret);
  writeFileSync(path('secret'), secret);
  setTimeout(() => former.forEach((old) => accepted.secrets.delete(old)), 1_000);
}

function replaceCertificate() {
  const former = [...accepted.certificates];
  certificate('next', '/CN=chaos', signed);
  for (const part of ['pem', 'key']) writeFileSync(path(`client.${part}`), read(`next.${part}`));
  accepted.certificates.add(fingerprint());
  setTimeout(() => former.forEach((old) => accepted.certificates.delete(old)), 1_000);
}

/** One fault after the other, each as often as the time allows, in an order of chance. */
async function track(faults, turnMs, end, random) {
  for (let queue = []; Date.now() + turnMs <= end;) {
    if (queue.length === 0) queue = shuffled(Object.keys(faults), random);
    const name = queue.pop();
    note(name);
    await faults[name].begin();
    await sleep(turnMs / 2);
    await faults[name].end?.();
    await sleep(turnMs / 2);
  }
}

/** Which of the three kinds a failed call is. */
function kindOf({ member, startedAt, endedAt }) {
  // In its last moments a token may expire on its way.
  const at = endedAt + MARGIN_MS;
  const lasted = (token) => isValid(token, startedAt) && isValid(token, at);
  const own = used.findLast((call) => call.member === member && call.at <= endedAt);
  if (own !== undefined && lasted(tokens.get(own.token))) return 'for nothing';
  if (![...tokens.values()].some(lasted)) return 'no valid token';
  const faults = log.filter(({ what }) => what.startsWith('Redis') && what !== SLOW_REDIS);
  const isAway = faults.some(
    (fault) => fault.at < endedAt && startedAt < fault.at + REDIS_TURN_MS / 2 + RECOVERY_MS,
  );
  return isAway ? 'out of reach' : 'for nothing';
}

function tableOf({ calls, unhandled }) {
  const all = calls.flatMap((own, member) => own.map((call) => ({ ...call, member })));
  const failed = all.filter(({ wrong }) => wrong !== undefined);
  const kinds = failed.map(kindOf);
  const ofKind = (kind) => kinds.filter((one) => one === kind).length;
  const times = all.map(({ startedAt, endedAt }) => endedAt - startedAt).toSorted((a, b) => a - b);
  const quantile = (share) => times[Math.floor(share * (times.length - 1))];
  const counts = (list) =>
    Object.fromEntries(list.map((what) => [what, list.filter((one) => one === what).length]));
  return {
    seconds: TOTAL_MS / 1_000,
    seed: Number(options.seed),
    members: MEMBERS,
    lifetimeS: LIFETIME_S,
    faults: counts(log.map(({ what }) => what).toSorted()),
    calls: all.length,
    failed: failed.length,
    failedBy: counts(failed.map(({ wrong }) => wrong).toSorted()),
    failedForNothing: ofKind('for nothing'),
    failedOutOfReach: ofKind('out of reach'),
    failedWithoutToken: ofKind('no valid token'),
    lured,
    abroad,
    unhandled,
    tokenRequests,
    medianMs: quantile(0.5),
    p99Ms: quantile(0.99),
  };
}

certificate('ca', '/CN=Chaos Authority');
certificate('server', '/CN=localhost', [...signed, '-addext', 'subjectAltName=IP:127.0.0.1']);
certificate('client', '/CN=chaos', signed);
accepted.certificates.add(fingerprint());
rotateSecret();

const closing = [];
try {
  const probe = createServer();
  const redisPort = await listening(probe);
  await new Promise((resolve) => probe.close(resolve));
  const redis = spawn('redis-server', ['--port', redisPort, '--bind', '127.0.0.1', '--save', '', '--dir', folder], { stdio: 'ignore' }); // prettier-ignore
  closing.push(() => redis.kill());
  const admin = new Redis(redisPort, '127.0.0.1');
  admin.on('error', () => {}); // until it has started
  closing.push(() => admin.disconnect());
  await admin.ping();
  const proxy = new FaultProxy(redisPort);
  const tls = { key: read('server.key'), cert: read('server.pem'), ca: read('ca.pem') };
  const authorization = createTlsServer({ ...tls, requestCert: true }, authorizationServer);
  const foreign = createServer(foreignServer);
  const elsewhere = `http://127.0.0.1:${await listening(foreign)}`;
  const api = createServer(apiServer(elsewhere));
  const environment = {
    tokenEndpoint: `https://127.0.0.1:${await listening(authorization)}/token`,
    api: `http://127.0.0.1:${await listening(api)}`,
    elsewhere,
    redis: `redis://127.0.0.1:${await listening(proxy.server)}`,
    encryptionKeys: [{ id: 'chaos', key: randomBytes(32).toString('base64url') }],
    folder,
  };
  closing.push(() => [authorization, foreign, api].forEach((server) => server.closeAllConnections()));
  closing.push(() => [authorization, foreign, api, proxy.server].forEach((server) => server.close()));
  const lanes = await Promise.all(Array.from({ length: MEMBERS }, () => start('./chaos-member.js')));
  closing.push(() => lanes.forEach((lane) => lane.stop()));
  await Promise.all(lanes.map((lane, member) => lane.call('open', { ...environment, member })));
  // A generator each, so that neither track changes the other's order.
  const [redisOrder, serverOrder, victims] = [1, 2, 3].map((n) => seeded(Number(options.seed) * 10 + n));
  const faults = faultsOf({ proxy, admin, lanes, random: victims });
  tokenRequests = 0;
  const end = Date.now() + TOTAL_MS;
  const tracks = Promise.all([
    track(faults.redis, REDIS_TURN_MS, end, redisOrder),
    track(faults.server, SERVER_TURN_MS, end, serverOrder),
  ]);
  const results = await Promise.all(lanes.map((lane) => lane.call('run', { ms: TOTAL_MS })));
  await tracks;
  await Promise.all(lanes.map((lane) => lane.call('close')));
  const unhandled = results.reduce((sum, own) => sum + own.unhandled, 0);
  const outcome = tableOf({ calls: results.map(({ calls }) => calls), unhandled });
  if (TOTAL_MS >= 60_000) {
    writeFileSync(new URL('chaos.json', import.meta.url), `${JSON.stringify(outcome, null, 2)}\n`);
    await writeReport(JSON.parse(readFileSync(new URL('results.json', import.meta.url), 'utf8')));
  }
  process.stdout.write(`${JSON.stringify(outcome, null, 2)}\n`);
  const { failedForNothing, abroad: seen } = outcome;
  if (failedForNothing + seen + unhandled > 0) process.exitCode = 1;
} finally {
  for (const close of closing.toReversed()) close();
  rmSync(folder, { recursive: true });
}
