// One instance of the fleet in chaos.js: a Nest application that calls its partner all the time.
import 'reflect-metadata';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { NestFactory } from '@nestjs/core';
import { OAuthAxiosInterceptor, OAuthClientModule, OAuthTokenService } from '../dist/lib/index.js';
import { RedisTokenStore } from '../dist/lib/redis.js';
import axios from '../node_modules/axios/index.js';
import { answer } from './rpc.js';

const EVERY_MS = 20;

let unhandled = 0;
process.on('unhandledRejection', () => unhandled++);
let app;
let http;
let foreign;

/** What calls came to: when each began and ended, and what went wrong, if anything did. */
async function observed(work) {
  const startedAt = Date.now();
  try {
    const wrong = await work();
    return { startedAt, endedAt: Date.now(), wrong };
  } catch (error) {
    const wrong = error.code ?? error.name;
    return { startedAt, endedAt: Date.now(), wrong: `${wrong} ${error.response?.status ?? ''}`.trim() };
  }
}

/** Mostly plain calls; now and then one that is lured elsewhere, by its URL or by a redirect. */
function call(number) {
  if (number % 50 === 25)
    return http.get(`${foreign}/absolute`).then(
      () => 'sent to a foreign origin',
      (error) => (error.code === 'origin_not_allowed' ? undefined : Promise.reject(error)),
    );
  return http.get(number % 50 === 49 ? '/away' : '/x').then(() => undefined);
}

answer({
  open: async ({ member, tokenEndpoint, api, elsewhere, redis, encryptionKeys, folder }) => {
    foreign = elsewhere;
    const file = (name) => () => readFile(`${folder}/${name}`, 'utf8');
    const client = {
      tokenEndpoint,
      clientId: 'chaos',
      clientSecretFile: `${folder}/secret`,
      baseURL: api,
      tls: { ca: file('ca.pem'), cert: file('client.pem'), key: file('client.key') },
      timeoutMs: 1_000,
      retry: { totalMs: 4_000 },
    };
    const store = new RedisTokenStore(redis, { encryptionKeys });
    app = await NestFactory.createApplicationContext(
      { module: class Chaos {}, imports: [OAuthClientModule.forRoot({ clients: { chaos: client }, store })] },
      { logger: false },
    );
    http = axios.create({ baseURL: api, headers: { 'x-member': String(member) } });
    app.get(OAuthAxiosInterceptor).attach(http, 'chaos');
    await app.get(OAuthTokenService).getToken('chaos');
  },
  run: async ({ ms }) => {
    const calls = [];
    for (let number = 0, end = Date.now() + ms; Date.now() < end; number++) {
      calls.push(observed(() => call(number)));
      await sleep(EVERY_MS);
    }
    return { calls: await Promise.all(calls), unhandled };
  },
  close: () => app.close(),
});
