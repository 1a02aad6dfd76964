import 'reflect-metadata';
import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { OAuthTokenService } from 'nestjs-oauth-client';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppModule } from './app.module.js';

describe('The application on Express', () => {
  let partner: FakeAuthorizationServer;
  let app: INestApplication;
  let url: string;
  const call = async (path: string) => (await fetch(url + path)).status;

  before(async () => {
    partner = await FakeAuthorizationServer.start({
      clients: { clinic: 'its-secret' },
      demands: { authentication: 'client_secret_post' },
    });
    Object.assign(process.env, {
      PHARMACY_AUTH_URL: partner.tokenEndpoint,
      PHARMACY_API_URL: partner.apiURL,
      PHARMACY_CLIENT_ID: 'clinic',
      PHARMACY_CLIENT_SECRET: 'its-secret',
    });
  });
  beforeEach(async () => {
    await app?.close();
    partner.reset();
    app = await NestFactory.create(AppModule, { logger: false, abortOnError: false });
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
  });
  after(async () => {
    await app.close();
    await partner.close();
  });

  it('shares one token between all callers, old and new', async () => {
    const paths = Array.from({ length: 20 }, (_, at) => (at % 2 ? '/labels/1' : '/patients/7/orders'));
    const statuses = await Promise.all(paths.map(call));
    assert.deepEqual([...new Set(statuses)], [200]);
    assert.equal(partner.tokenRequests.length, 1);
  });

  it('replaces a revoked token, for the callers that set the header as well', async () => {
    assert.equal(await call('/labels/1'), 200);
    partner.revokeAll();
    assert.equal(await call('/labels/1'), 500, 'nobody replays a request that has its own header');
    assert.equal(await call('/patients/7/orders'), 200);
    assert.equal(await call('/labels/1'), 200);
    assert.equal(partner.tokenRequests.length, 2);
  });

  it('answers 503 while the partner issues no token, and recovers', async () => {
    partner.alwaysRespond({ status: 503 });
    const response = await fetch(`${url}/patients/7/orders`);
    assert.equal(response.status, 503);
    assert.ok(Number(response.headers.get('retry-after')) >= 1);
    assert.equal(((await response.json()) as { client: string }).client, 'pharmacy');
    partner.alwaysRespond(undefined);
    let status = 0;
    for (let left = 40; left > 0 && status !== 200; left -= 1) {
      await sleep(250);
      status = await call('/patients/7/orders');
    }
    assert.equal(status, 200);
  });

  it('ends the call under way at shutdown, and requests no token after that', async () => {
    partner.respondToApiWith({ delayMs: 300 });
    const pending = call('/patients/7/orders');
    while (partner.apiRequests.length === 0) await sleep(10);
    await app.close();
    assert.equal(await pending, 200);
    await assert.rejects(app.get(OAuthTokenService).getToken('pharmacy'), { code: 'closed' });
  });

  it('does not start without a variable that it had before', async () => {
    delete process.env['PHARMACY_CLIENT_SECRET'];
    await assert.rejects(
      NestFactory.create(AppModule, { logger: false, abortOnError: false }),
      /PHARMACY_CLIENT_SECRET/,
    );
    process.env['PHARMACY_CLIENT_SECRET'] = 'its-secret';
  });
});
