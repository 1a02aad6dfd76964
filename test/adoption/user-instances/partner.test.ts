import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { OAuthTokenService, type OAuthConfigurationError } from 'nestjs-oauth-client';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppModule } from './app.module.js';

describe('The application on Fastify', () => {
  let partner: FakeAuthorizationServer;
  let app: NestFastifyApplication;
  let url: string;
  const call = (user: string, init?: RequestInit) =>
    fetch(`${url}/records`, { ...init, headers: { ...init?.headers, authorization: `Bearer ${user}` } });
  const sent = () => partner.apiRequests.map(({ headers }) => headers.authorization);

  before(async () => {
    partner = await FakeAuthorizationServer.start({ clients: { clinic: 'its-secret' } });
    Object.assign(process.env, {
      RECORDS_TOKEN_URL: partner.tokenEndpoint,
      RECORDS_API_URL: partner.apiURL,
      RECORDS_ID: 'clinic',
      RECORDS_SECRET: 'its-secret',
    });
  });
  beforeEach(async () => {
    await app?.close();
    partner.reset();
    // Its default of 72 s would have a shutdown wait for the connections that the test's fetch keeps.
    const adapter = new FastifyAdapter({ keepAliveTimeout: 100 });
    app = await NestFactory.create<NestFastifyApplication>(AppModule, adapter, {
      logger: false,
    });
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
  });
  after(async () => {
    await app.close();
    await partner.close();
  });

  it('has one token for each user, and one Axios instance for all', async () => {
    for (const user of ['user-a', 'user-b', 'user-a']) assert.equal((await call(user)).status, 200);
    assert.deepEqual(sent(), ['Bearer t1', 'Bearer t2', 'Bearer t1']);
    const subjects = partner.tokenRequests.map(({ form }) => form?.get('subject_token'));
    assert.deepEqual(subjects, ['user-a', 'user-b']);
  });

  it('asks for nothing without a user', async () => {
    assert.equal((await fetch(`${url}/records`)).status, 401);
    assert.equal(partner.tokenRequests.length + partner.apiRequests.length, 0);
  });

  it('replays what was sent with a revoked token, body included', async () => {
    await call('user-a');
    partner.revokeAll();
    const headers = { 'content-type': 'application/json' };
    const added = await call('user-a', { method: 'POST', body: '{"title":"x-ray"}', headers });
    assert.equal(added.status, 201);
    assert.deepEqual(sent().slice(1), ['Bearer t1', 'Bearer t2']);
    assert.deepEqual(partner.apiRequests.at(-1)?.json, { title: 'x-ray' });
  });

  it('retries by axios-retry what the API failed to answer, with the same token', async () => {
    partner.respondToApiWith({ status: 503 }, 'reset');
    assert.equal((await call('user-a')).status, 200);
    assert.deepEqual(sent(), ['Bearer t1', 'Bearer t1', 'Bearer t1']);
  });

  it('maps the answers that it knows, and leaves a dead token to the decorator', async () => {
    partner.respondToApiWith({ status: 409 });
    assert.equal((await call('user-a')).status, 409);
    partner.respondToApiWith({ status: 401 }, { status: 401 });
    const rejected = await call('user-a');
    assert.equal(rejected.status, 502);
    assert.equal(((await rejected.json()) as { code: string }).code, 'token_rejected');
  });

  it('answers 503 while no token is issued, with no more token requests for having axios-retry, and recovers', async () => {
    partner.alwaysRespond({ status: 503 });
    assert.equal((await call('user-a')).status, 503);
    assert.equal(partner.tokenRequests.length, 3);
    assert.equal(partner.apiRequests.length, 0);
    partner.alwaysRespond(undefined);
    let status = 0;
    for (let left = 40; left > 0 && status !== 200; left -= 1) {
      await sleep(250);
      status = (await call('user-a')).status;
    }
    assert.equal(status, 200);
  });

  it('does not start without its variables, and names what each of them set', async () => {
    const { RECORDS_ID, RECORDS_TOKEN_URL } = process.env;
    delete process.env['RECORDS_ID'];
    delete process.env['RECORDS_TOKEN_URL'];
    const starting = NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false });
    await assert.rejects(starting, (error: OAuthConfigurationError) => {
      assert.equal(error.problems.length, 2);
      assert.match(error.message, /clientId/);
      assert.match(error.message, /tokenEndpoint/);
      return true;
    });
    Object.assign(process.env, { RECORDS_ID, RECORDS_TOKEN_URL });
  });

  it('ends the call under way at shutdown, and requests no token after that', async () => {
    partner.respondToApiWith({ delayMs: 300 });
    const pending = call('user-a');
    while (partner.apiRequests.length === 0) await sleep(10);
    await app.close();
    assert.equal((await pending).status, 200);
    await assert.rejects(app.get(OAuthTokenService).getToken('records', { subjectToken: 'user-a' }), {
      code: 'closed',
    });
  });
});
