import 'reflect-metadata';
import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { OAuthTokenService } from 'nestjs-oauth-client';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LabAccounts } from './accounts.js';
import { AppModule } from './app.module.js';
import { LabService } from './lab.js';

describe('The application on Express', () => {
  let partner: FakeAuthorizationServer;
  let app: INestApplication;
  let url: string;
  const call = async (organisation: string) => {
    const headers = { 'x-organisation': organisation };
    return (await fetch(`${url}/patients/7/results`, { headers })).status;
  };
  const sent = () =>
    partner.apiRequests.map(({ headers, url: path }) => `${path.split('/')[2]} ${headers.authorization}`);
  const account = (organisation: string, secret: string) =>
    app.get(LabAccounts, { strict: false }).rows.set(organisation, {
      clientId: organisation,
      clientSecret: secret,
      apiURL: `${partner.apiURL}/${organisation}`,
    });

  before(async () => {
    partner = await FakeAuthorizationServer.start({ clients: { north: 'north-1', south: 'south-1' } });
    process.env['LAB_TOKEN_URL'] = partner.tokenEndpoint;
  });
  beforeEach(async () => {
    await app?.close();
    partner.reset();
    app = await NestFactory.create(AppModule, { logger: false, abortOnError: false });
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
    account('north', 'north-1');
    account('south', 'south-1');
  });
  after(async () => {
    await app.close();
    await partner.close();
  });

  it('has credentials, tokens and an API for each organisation', async () => {
    for (const organisation of ['north', 'south', 'north']) assert.equal(await call(organisation), 200);
    assert.deepEqual(sent(), ['north Bearer t1', 'south Bearer t2', 'north Bearer t1']);
  });

  it('sends nothing for an organisation that has no account', async () => {
    assert.equal(await call('west'), 500);
    await assert.rejects(app.get(LabService).reportFor('west'), { code: 'unknown_client' });
    assert.equal(partner.tokenRequests.length + partner.apiRequests.length, 0);
  });

  it('replaces a revoked token, and keeps those of the others', async () => {
    await call('north');
    await call('south');
    partner.revoke('t1');
    assert.equal(await call('north'), 200);
    assert.equal(await call('south'), 200);
    assert.deepEqual(sent().slice(2), ['north Bearer t1', 'north Bearer t3', 'south Bearer t2']);
  });

  it('takes a new secret from the table when the lab refuses the old one', async () => {
    await call('north');
    partner.clients = { north: 'north-2', south: 'south-1' };
    partner.revokeAll();
    account('north', 'north-2');
    assert.equal(await call('north'), 200);
  });

  it('outlives an outage that meets one organisation', async () => {
    await call('south');
    partner.alwaysRespond({ status: 503 });
    assert.equal(await call('north'), 503);
    assert.equal(await call('south'), 200);
    partner.alwaysRespond(undefined);
    let status = 0;
    for (let left = 40; left > 0 && status !== 200; left -= 1) {
      await sleep(250);
      status = await call('north');
    }
    assert.equal(status, 200);
  });

  it('ends the job under way at shutdown, and requests no token after that', async () => {
    partner.respondToApiWith({ delayMs: 300 });
    const pending = app.get(LabService).reportFor('north');
    while (partner.apiRequests.length === 0) await sleep(10);
    await app.close();
    assert.deepEqual(await pending, { ok: true, method: 'GET', path: '/api/north/report', body: '' });
    const tokens = app.get(OAuthTokenService);
    await assert.rejects(tokens.getToken('lab', { tenant: 'north' }), { code: 'closed' });
  });
});
