import { describe, expect, it } from '@jest/globals';
import type { OAuthClientOptions } from 'nestjs-oauth-client';
import { Application } from '../support/application.js';
import { eventually } from '../support/eventually.js';
import { clientOf, sharedServer } from '../support/server.js';

const server = await sharedServer();

const start = (clients: Record<string, OAuthClientOptions>) =>
  Application.start({ platform: 'Express', oauth: { clients } });

describe('prefetch at application bootstrap', () => {
  it('off: no token before one is needed', async () => {
    await start({ buoy: clientOf(server) });
    expect(server.tokenRequests).toHaveLength(0);
  });

  it('required: the tokens are there when the application is, and later callers share them', async () => {
    const prefetch = 'required';
    const clients = {
      buoy: clientOf(server, { prefetch }),
      honeybee: clientOf(server, { prefetch, scope: 'bee' }),
    };
    const { tokens } = await start(clients);
    expect(tokens.status()).toMatchObject([{ state: 'fresh' }, { state: 'fresh' }]);
    await tokens.getToken('buoy');
    expect(server.tokenRequests).toHaveLength(2);
  });

  it('required: without a token the boot fails with the typed error', async () => {
    server.alwaysRespond({ status: 401, body: { error: 'invalid_client' } });
    const failing = start({ buoy: clientOf(server, { prefetch: 'required' }) });
    await expect(failing).rejects.toMatchObject({ code: 'token_request_rejected', client: 'buoy' });
  });

  it('background: the boot does not wait, a failure is told once and ends nothing', async () => {
    server.respondWith({ delayMs: 100, answer: { status: 401, body: { error: 'invalid_client' } } });
    const { log, tokens } = await start({ buoy: clientOf(server, { prefetch: 'background' }) });
    expect(tokens.status()).toMatchObject([{ state: 'refreshing' }]);
    await eventually(() => tokens.status()[0]!.state === 'down');
    expect(log.told('error', 'warn')).toEqual([expect.stringContaining('invalid_client')]);
  });
});
