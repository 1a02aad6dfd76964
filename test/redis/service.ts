import 'reflect-metadata';
import type { HttpService } from '@nestjs/axios';
import { Agent } from 'node:http';
import { connect } from 'node:net';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { firstValueFrom } from 'rxjs';
import {
  OAuthClientModule,
  OAuthTokenService,
  getOAuthHttpToken,
  type OAuthClientOptions,
} from '../../lib/index.js';
import { RedisTokenStore } from '../../lib/redis.js';

/** What a process of a fleet is told when it starts. */
export interface ServiceOptions {
  client: OAuthClientOptions;
  /** Without it, each process keeps its own tokens. */
  redisUrl?: string;
  encryptionKey: string;
  /** Connections to one port that end up at another one. */
  divert?: { from: number; to: number };
  /** What its wall clock is ahead of the others. */
  aheadMs?: number;
  /** Its event loop stands still that long in the middle of each request to one port. */
  blocked?: { forMs: number; port: number };
}

/** What became of its calls. */
export interface Service {
  calls: number;
  /** Different reasons, each with how often it came. */
  failures: Record<string, number>;
  longestMs: number;
  tokenRequests: number;
  rejections: number;
  warnings: string[];
}

// A service of its own process, which calls its API for a while when it is told to.

const options = JSON.parse(process.env['SERVICE'] ?? '{}') as ServiceOptions;
const { client, redisUrl, encryptionKey, divert, aheadMs = 0, blocked } = options;
const now = Date.now;
Date.now = () => now() + aheadMs;

const warnings: string[] = [];
const logger = {
  log: () => undefined,
  warn: (line: unknown) => void warnings.push(String(line)),
  error: (line: unknown) => void warnings.push(String(line)),
};
const encryptionKeys = [{ id: '1', key: encryptionKey }];
const store = redisUrl ? new RedisTokenStore(redisUrl, { encryptionKeys, timeoutMs: 1_000 }) : undefined;

/** How far a request has come when the event loop stops. */
const UNDER_WAY_MS = 1;

class DivertingAgent extends Agent {
  /** Axios gives the port as a text, whatever the types say. */
  override createConnection({ port, host = '' }: { port: number | string; host?: string }) {
    const asked = Number(port);
    const socket = connect({ port: asked === divert?.from ? divert.to : asked, host });
    if (asked === blocked?.port) socket.once('connect', () => setTimeout(block, UNDER_WAY_MS, blocked.forMs));
    return socket;
  }
}

const clients = { api: { ...client, http: { httpAgent: new DivertingAgent() } } };

@Module({ imports: [OAuthClientModule.forRoot({ clients, ...(store && { store }) })] })
class ServiceModule {}

const app = await NestFactory.createApplicationContext(ServiceModule, { logger });
const tokens = app.get(OAuthTokenService);
const http = app.get<HttpService>(getOAuthHttpToken('api'));
let rejections = 0;
tokens.events$.subscribe(({ type }) => void (rejections += Number(type === 'token_rejected')));

process.on('message', ({ forMs, everyMs }: { forMs: number; everyMs: number }) => {
  void run(forMs, everyMs).then((service) => process.send!(service));
});
process.send!('ready');

/** A call every so often, whatever became of those before; `forMs` 0 is one call. */
async function run(forMs: number, everyMs: number): Promise<Service> {
  const startedAt = performance.now();
  const calls: Promise<void>[] = [];
  const failures: Record<string, number> = {};
  let longestMs = 0;
  const call = async () => {
    const calledAt = performance.now();
    try {
      await firstValueFrom(http.get('/x'));
    } catch (error) {
      const reason = String(error);
      failures[reason] = (failures[reason] ?? 0) + 1;
    }
    longestMs = Math.max(longestMs, performance.now() - calledAt);
  };
  do {
    calls.push(call());
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  } while (performance.now() - startedAt < forMs);
  await Promise.all(calls);
  const { tokenRequests } = tokens.client('api').status();
  return { calls: calls.length, failures, longestMs, tokenRequests, rejections, warnings };
}

/** Nothing else runs in this process meanwhile; unlike a busy loop, it leaves the processor to the others. */
function block(forMs: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, forMs);
}
