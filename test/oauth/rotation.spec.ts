import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MemoryTokenStore, type OAuthClientOptions, type StoredToken } from 'nestjs-oauth-client';
import { systemClock } from '../../lib/core/clock.js';
import { Application } from '../support/application.js';
import { CompiledCopy } from '../support/compiled-copy.js';
import { FileTokenStore } from './file-token-store.js';
import { RotatingServer } from './rotating-server.js';
import type { RotationPlan } from './rotation-process.js';

let server: RotatingServer;

beforeEach(async () => {
  server = await RotatingServer.start();
});
afterEach(() => server.close());

const client = (options: OAuthClientOptions = {}): OAuthClientOptions => ({
  tokenEndpoint: server.fake.tokenEndpoint,
  baseURL: server.fake.apiURL,
  clientId: 'me',
  clientSecret: 'my secret',
  grant: { type: 'refresh_token', refreshToken: 'rt0' },
  ...options,
});

describe('52. refresh_token with rotation', () => {
  it('52. exact fields; each refresh uses the successor; the chain goes on in the next process', async () => {
    const store = new MemoryTokenStore();
    const app = await Application.client(client({ scope: 'read' }), { store });
    await app.token();
    await app.token({ forceRefresh: true });
    const next = await Application.client(client({ scope: 'read' }), { store });
    await next.token();
    await next.token({ forceRefresh: true });
    expect(server.fake.tokenRequests.map(({ form }) => Object.fromEntries(form!))).toEqual(
      ['rt0', 'rt1', 'rt2'].map((refreshToken) => ({
        grant_type: 'refresh_token',
        refresh_token: refreshToken,
        scope: 'read',
      })),
    );
  });

  it('52. a server that does not rotate → the refresh token is kept', async () => {
    server.fake.alwaysRespond(() => server.fake.nextToken());
    const app = await Application.client(client());
    await app.token();
    await app.token({ forceRefresh: true });
    expect(server.fake.tokenRequests.map(({ form }) => form!.get('refresh_token'))).toEqual(['rt0', 'rt0']);
  });

  it('52. the new refresh token is stored before the access token is used', async () => {
    const order: string[] = [];
    let stored = () => {};
    const storing = new Promise<void>((resolve) => (stored = resolve));
    class SlowStore extends MemoryTokenStore {
      override async set(key: string, token: StoredToken) {
        if (token.refreshToken === undefined) return super.set(key, token);
        order.push(`storing ${token.refreshToken}`);
        await storing;
        await super.set(key, token);
        order.push('stored');
      }
    }
    const app = await Application.client(client(), { store: new SlowStore() });
    const request = app
      .http()
      .axiosRef.get('/things')
      .then(() => order.push('used'));
    while (order.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([order, server.fake.apiRequests.length]).toEqual([['storing rt1'], 0]);
    stored();
    await request;
    expect(order).toEqual(['storing rt1', 'stored', 'used']);
  });

  it('52. one use at a time across instances that share a store, and no refresh token used twice', async () => {
    server.leeway = false;
    const folder = await mkdtemp(join(tmpdir(), 'store-'));
    const apps = await Promise.all(
      [1, 2, 3].map(() =>
        Application.client(client({ retry: { attempts: 3 } }), { store: new FileTokenStore(folder) }),
      ),
    );
    for (let round = 0; round < 3; round++) {
      await Promise.all(apps.flatMap((app) => [app.token({ forceRefresh: true }), app.token()]));
    }
    expect(server.concurrency).toBe(1);
    expect(new Set(server.sent).size).toBe(server.sent.length);
    expect(server.sent.length).toBeGreaterThanOrEqual(3);
    await rm(folder, { recursive: true });
  });

  it('52. several scopes and resources of one grant, at once and over and over: each refresh token is used once', async () => {
    server.leeway = false;
    const app = await Application.client(client());
    const requests = [{}, { scope: 'read' }, { scope: 'write' }, { resource: 'https://api.example/a' }];
    const ask = () => Promise.all(requests.map((request) => app.token(request)));
    expect(new Set((await ask()).map(({ value }) => value)).size).toBe(4);
    app.tokens.invalidate('partner');
    await ask();
    expect(server.sent).toEqual(['rt0', 'rt1', 'rt2', 'rt3', 'rt4', 'rt5', 'rt6', 'rt7']);
    expect(server.concurrency).toBe(1);
  });

  it('52. an access token that the API rejects → the grant is kept, the next one comes of the newest refresh token', async () => {
    const app = await Application.client(client());
    await app.axios.get('/things');
    server.fake.revokeAll();
    await app.axios.get('/things');
    app.tokens.invalidate('partner');
    await app.token();
    expect(server.sent).toEqual(['rt0', 'rt1', 'rt2']);
  });

  it('52. a kept refresh token that is refused → the configured one is tried, once', async () => {
    const store = new MemoryTokenStore();
    await (await Application.client(client(), { store })).token();
    let configured = server.renew(); // the operator consents again
    const grant = { type: 'refresh_token', refreshToken: () => configured } as const;
    const app = await Application.client(client({ grant }), { store });
    await app.token();
    const renewed = server.sent.length;
    configured = server.renew();
    await app.token({ forceRefresh: true });
    expect(server.sent.slice(renewed)).toEqual(['rt3', 'rt4']);

    server.renew();
    const error = await app.failure(app.token({ forceRefresh: true }));
    expect(error).toMatchObject({ code: 'token_request_rejected', error: 'invalid_grant', retryable: false });
    expect(server.sent.slice(renewed)).toEqual(['rt3', 'rt4', 'rt5', 'rt4']);
  });

  it('52. invalid_grant with the configured refresh token itself → never retried', async () => {
    server.renew();
    const app = await Application.client(client({ retry: { attempts: 3, minDelayMs: 1 } }));
    expect(await app.failure()).toMatchObject({ error: 'invalid_grant' });
    expect(server.sent).toEqual(['rt0']);

    server.fake.respondWith(server.fake.nextToken()); // none comes with it, so the configured one is kept
    const keeping = await Application.client(client());
    await keeping.token();
    expect(await keeping.failure(keeping.token({ forceRefresh: true }))).toMatchObject({
      error: 'invalid_grant',
    });
    expect(server.sent).toEqual(['rt0', 'rt0']);
  });

  it('52. a server without leeway whose answer was lost: the grant is revoked, a new consent in the configuration revives it', async () => {
    server.leeway = false;
    const store = new MemoryTokenStore();
    const impatient = { ...systemClock, random: () => 0 };
    const app = await Application.client(client(), { store, clock: impatient });
    await app.token();
    server.onStep = async (at) => at !== 'rotated';
    expect(await app.failure(app.token({ forceRefresh: true }))).toMatchObject({ status: 502 });
    server.onStep = async () => true;
    await new Promise((resolve) => setTimeout(resolve, 150)); // the cool-down
    const next = await Application.client(client(), { store });
    await next.token(); // the access token still works
    expect(await next.failure(next.token({ forceRefresh: true }))).toMatchObject({ error: 'invalid_grant' });
    const grant = { type: 'refresh_token', refreshToken: server.renew() } as const;
    await (await Application.client(client({ grant }), { store })).token();
    expect(server.sent).toEqual(['rt0', 'rt1', 'rt1', 'rt0', 'rt3']);
  });
});

describe('52. killed at any point, the grant is not lost', () => {
  const PROGRAM = 'test/oauth/rotation-process.ts';
  let copy: CompiledCopy;
  let folder: string;

  beforeAll(async () => {
    copy = await CompiledCopy.of(PROGRAM, 'test/oauth/file-token-store.ts');
  });
  afterAll(() => copy.remove());
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'rotation-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const steps = [
    'locked',
    'asked',
    'rotated',
    'answered',
    'half written',
    'written',
    'landed',
    'used',
  ] as const;

  /** A process that asks for a new token and uses it; killed with SIGKILL at that step. */
  async function run(dieAt: (typeof steps)[number] | undefined): Promise<string> {
    const { tokenEndpoint, apiURL } = server.fake;
    const plan: RotationPlan = { folder, tokenEndpoint, apiURL, dieAt };
    const env = { ...process.env, NODE_OPTIONS: '', ROTATION: JSON.stringify(plan) };
    const child = fork(copy.path(PROGRAM), { env, execArgv: [] });
    const ended = once(child, 'exit') as Promise<[number | null, string | null]>;
    server.onStep = async (at) => {
      if (at !== dieAt) return true;
      child.kill('SIGKILL');
      await ended;
      return false;
    };
    let reached = '';
    child.on('message', (message) => {
      reached = message as string;
      if (reached === dieAt) child.kill('SIGKILL');
    });
    const [code, signal] = await ended;
    return signal ?? `${reached} ${code}`;
  }

  it('52. SIGKILL at every step of a rotation, one after the other: each next process goes on, the last one to its end', async () => {
    expect(await run(undefined)).toBe('API 200 0');
    for (const dieAt of steps) expect([dieAt, await run(dieAt)]).toEqual([dieAt, 'SIGKILL']);
    expect(await run(undefined)).toBe('API 200 0');
    // What a process died with on its way into the store was asked for again; nothing else came twice.
    expect(server.sent).toEqual(['rt0', 'rt1', 'rt2', 'rt2', 'rt2', 'rt2', 'rt3', 'rt4', 'rt5']);
    expect(server.fake.apiRequests).toHaveLength(3);
  }, 60_000);
});
