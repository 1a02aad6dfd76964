import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Test } from '@nestjs/testing';
import { OAuthClientModule, OAuthTokenService, type OAuthClientOptions } from 'nestjs-oauth-client';
import type { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { CapturedLog, clientOf, eventually, startServer } from './test-application.js';

let server: FakeAuthorizationServer;
beforeAll(async () => {
  server = await startServer();
});
beforeEach(() => server.reset());
afterAll(() => server.close());

async function application(clients: Record<string, OAuthClientOptions>) {
  const log = new CapturedLog();
  const imports = [OAuthClientModule.forRoot({ clients })];
  const module = await Test.createTestingModule({ imports }).setLogger(log).compile();
  return { app: module.createNestApplication({ logger: log }), log, tokens: module.get(OAuthTokenService) };
}

describe('prefetch at application bootstrap', () => {
  it('off: no token before one is needed', async () => {
    const { app } = await application({ buoy: clientOf(server) });
    await app.init();
    expect(server.tokenRequests).toHaveLength(0);
    await app.close();
  });

  it('required: the tokens are there when the application is, and later callers share them', async () => {
    const prefetch = 'required';
    const clients = {
      buoy: clientOf(server, { prefetch }),
      honeybee: clientOf(server, { prefetch, scope: 'bee' }),
    };
    const { app, tokens } = await application(clients);
    await app.init();
    expect(tokens.status()).toMatchObject([{ state: 'fresh' }, { state: 'fresh' }]);
    await tokens.getToken('buoy');
    expect(server.tokenRequests).toHaveLength(2);
    await app.close();
  });

  it('required: without a token the boot fails with the typed error', async () => {
    server.alwaysRespond({ status: 401, body: { error: 'invalid_client' } });
    const { app } = await application({ buoy: clientOf(server, { prefetch: 'required' }) });
    await expect(app.init()).rejects.toMatchObject({ code: 'token_request_rejected', client: 'buoy' });
    await app.close();
  });

  it('background: the boot does not wait, a failure is told once and ends nothing', async () => {
    server.respondWith({ delayMs: 100, answer: { status: 401, body: { error: 'invalid_client' } } });
    const { app, log, tokens } = await application({ buoy: clientOf(server, { prefetch: 'background' }) });
    await app.init();
    expect(tokens.status()).toMatchObject([{ state: 'refreshing' }]);
    await eventually(() => tokens.status()[0]!.state === 'down');
    expect(log.told('error', 'warn')).toEqual([expect.stringContaining('invalid_client')]);
    await app.close();
  });
});
