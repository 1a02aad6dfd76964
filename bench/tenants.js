// Many tenants: lookup by their number beside a plain Map of clients, and a load with more tenants than are kept.
// From the root: npm run bench:tenants [-- --seconds 20]
import { createServer, Agent } from 'node:http';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { lastValueFrom } from 'rxjs';
import { OAuthClientModule, OAuthTokenService, getOAuthHttpToken } from '../dist/lib/index.js';
import { median } from './median.js';

const { values: options } = parseArgs({ options: { seconds: { type: 'string', default: '20' } } });
const TENANTS = 10_000;
const KEPT = 1_000;
const BATCHES = 60;
const CALLS = 2_000;
const CALLERS = 50;

const nameOf = (at) => `tenant-${at}`;
const tokenOf = (id) => `token-of-${id}.${'x'.repeat(600)}`;

async function start(lab, more = {}) {
  const imports = [
    OAuthClientModule.forRoot({ clients: { lab }, ...more }),
    OAuthClientModule.forFeature('lab'),
  ];
  class Root {}
  Module({ imports })(Root);
  return NestFactory.createApplicationContext(Root, { logger: false });
}

/** Answers token requests without a network. */
async function stub(config) {
  const id = new URLSearchParams(config.data).get('client_id');
  const data = JSON.stringify({ access_token: tokenOf(id), token_type: 'Bearer', expires_in: 3_600 });
  return { data, status: 200, statusText: 'OK', headers: {}, config };
}

const common = { tokenEndpointAuthMethod: 'client_secret_post', tokenEndpoint: 'https://localhost/token' };
const credentialsOf = (tenant) => ({ clientId: tenant, clientSecret: 'secret' });

/** Nanoseconds of CPU per call. */
async function timed(once) {
  const before = process.cpuUsage();
  for (let i = 0; i < CALLS; i++) await once(i);
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1_000) / CALLS;
}

async function ofTenants(count) {
  const tenants = Array.from({ length: count }, (_, at) => nameOf(at)).sort(() => Math.random() - 0.5);
  let asked = 0;
  const ask = async (tenant) => {
    asked++;
    return credentialsOf(tenant);
  };
  const app = await start({ ...common, http: { adapter: stub }, tenants: ask }, { maxTenants: TENANTS });
  const tokens = app.get(OAuthTokenService);
  // A plain client for each of them, as an application would keep them without tenants.
  const held = new Map();
  for (const tenant of tenants) {
    const token = tokens.getToken('lab', { tenant });
    held.set(tenant, { getToken: () => token });
    await token;
  }
  const call = (i) => tokens.getToken('lab', { tenant: tenants[(i * 7) % count] });
  const ofMap = (i) => held.get(tenants[(i * 7) % count]).getToken();
  return { app, call, ofMap, asked: () => asked };
}

async function lookup() {
  const few = await ofTenants(10);
  const many = await ofTenants(TENANTS);
  const samples = { few: [], many: [], fewOfMap: [], manyOfMap: [] };
  for (let batch = -20; batch < BATCHES; batch++) {
    const ns = { few: await timed(few.call), many: await timed(many.call), fewOfMap: await timed(few.ofMap), manyOfMap: await timed(many.ofMap) }; // prettier-ignore
    if (batch >= 0) for (const name of Object.keys(samples)) samples[name].push(ns[name]);
  }
  const of = Object.fromEntries(Object.entries(samples).map(([name, all]) => [name, median(all)]));
  const growth = median(samples.many.map((ns, at) => ns / samples.few[at]));
  const ofMap = median(samples.manyOfMap.map((ns, at) => ns / samples.fewOfMap[at]));
  // What does not fit into the processor's caches takes longer to find in any map.
  const most = Math.max(1.3, 1.1 * ofMap);
  console.log(`lookup: ${of.few.toFixed(0)} ns of 10 tenants, ${of.many.toFixed(0)} ns of ${TENANTS}: ${growth.toFixed(2)} × (at most ${most.toFixed(2)}, as the Map's ${ofMap.toFixed(2)} ×)`); // prettier-ignore
  console.log(`plain Map of clients: ${of.fewOfMap.toFixed(0)} ns and ${of.manyOfMap.toFixed(0)} ns; ours ${(of.many / of.manyOfMap).toFixed(1)} ×`); // prettier-ignore
  console.log(`asked for options: ${few.asked()} of 10, ${many.asked()} of ${TENANTS} times`);
  await few.app.close();
  await many.app.close();
  return growth <= most && many.asked() === TENANTS;
}

/** A partner on loopback, whose API tells whose token came. */
async function partner() {
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const id = new URLSearchParams(body).get('client_id');
    const token = { access_token: tokenOf(id), token_type: 'Bearer', expires_in: 3_600 };
    const answer = request.url === '/token' ? token : { authorization: request.headers.authorization };
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { server, url: `http://127.0.0.1:${server.address().port}` };
}

async function load(seconds) {
  const { server, url } = await partner();
  let sockets = 0;
  server.on('connection', (socket) => {
    sockets++;
    socket.once('close', () => sockets--);
  });
  const ask = async (tenant) => ({
    ...credentialsOf(tenant),
    http: { httpAgent: new Agent({ keepAlive: true }) },
  });
  const lab = { ...common, tokenEndpoint: `${url}/token`, baseURL: `${url}/api`, tenants: ask };
  const app = await start(lab, { maxTenants: KEPT });
  const http = app.get(getOAuthHttpToken('lab'), { strict: false });
  const tokens = app.get(OAuthTokenService);
  const heaps = [];
  const found = { calls: 0, foreign: 0, failed: 0, sockets: 0, known: 0 };
  const until = performance.now() + seconds * 1_000;
  for (let pass = 0; performance.now() < until || pass < 3; pass++) {
    let next = 0;
    const caller = async () => {
      while (next < TENANTS) {
        const tenant = nameOf(next++);
        const answer = await lastValueFrom(http.get('/x', { oauth: { tenant } })).catch(() => undefined);
        found.calls++;
        if (answer === undefined) found.failed++;
        else if (answer.data.authorization !== `Bearer ${tokenOf(tenant)}`) found.foreign++;
        found.sockets = Math.max(found.sockets, sockets);
        if (found.calls % 500 === 0) found.known = Math.max(found.known, tokens.status()[0].tenants.known);
      }
    };
    await Promise.all(Array.from({ length: CALLERS }, caller));
    for (let i = 0; i < 4; i++) globalThis.gc?.();
    const heap = process.memoryUsage().heapUsed / 2 ** 20;
    heaps.push(heap);
    console.log(`pass ${pass + 1}: heap ${heap.toFixed(1)} MiB, ${sockets} sockets, ${found.calls} calls`);
  }
  console.log(`foreign tokens ${found.foreign}, failed calls ${found.failed}, most tenants kept ${found.known}, most sockets ${found.sockets}`); // prettier-ignore
  await app.close();
  server.closeAllConnections();
  server.close();
  const [, second = 0] = heaps;
  const isFlat = Math.max(...heaps.slice(2)) <= 1.1 * second + 5;
  return (
    isFlat &&
    found.foreign + found.failed === 0 &&
    found.known <= KEPT + CALLERS &&
    found.sockets <= KEPT + CALLERS
  );
}

const isMet = [await lookup(), await load(Number(options.seconds))].every(Boolean);
console.log(isMet ? 'All targets met.' : 'A target was missed.');
if (!isMet) process.exitCode = 1;
