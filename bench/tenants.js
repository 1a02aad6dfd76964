// A load with more tenants than are kept. How long the lookup of one takes, `npm run bench -- --only tenants` tells.
// From the root: npm run bench:tenants [-- --seconds 20]
import { createServer, Agent } from 'node:http';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { lastValueFrom } from 'rxjs';
import { OAuthClientModule, OAuthTokenService, getOAuthHttpToken } from '../dist/lib/index.js';

const { values: options } = parseArgs({ options: { seconds: { type: 'string', default: '20' } } });
const TENANTS = 10_000;
const KEPT = 1_000;
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

const common = { tokenEndpointAuthMethod: 'client_secret_post', tokenEndpoint: 'https://localhost/token' };
const credentialsOf = (tenant) => ({ clientId: tenant, clientSecret: 'secret' });

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

const isMet = await load(Number(options.seconds));
console.log(isMet ? 'All targets met.' : 'A target was missed.');
if (!isMet) process.exitCode = 1;
