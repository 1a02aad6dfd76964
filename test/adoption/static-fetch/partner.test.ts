import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { OAuthTokenService } from 'nestjs-oauth-client';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppModule } from './app.module.js';
import { ArchiveService } from './reports.js';

describe('The application on Fastify', () => {
  let partner: FakeAuthorizationServer;
  let archive: FakeAuthorizationServer;
  let app: NestFastifyApplication;
  let url: string;
  const call = () => fetch(`${url}/reports/7`);

  before(async () => {
    partner = await FakeAuthorizationServer.start({ clients: { clinic: 'its-secret' } });
    archive = await FakeAuthorizationServer.start();
    Object.assign(process.env, {
      REPORTS_TOKEN_URL: partner.tokenEndpoint,
      REPORTS_API_URL: partner.apiURL,
      REPORTS_CLIENT_ID: 'clinic',
      REPORTS_CLIENT_SECRET: 'its-secret',
      ARCHIVE_API_URL: archive.apiURL,
      ARCHIVE_TOKEN: 'by-hand',
    });
  });
  beforeEach(async () => {
    await app?.close();
    partner.reset();
    archive.reset();
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
    await Promise.all([partner.close(), archive.close()]);
  });

  it('shares one token between fetch and the generated client', async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, call));
    for (const answer of answers) {
      assert.equal(answer.status, 200);
      const { note } = (await answer.json()) as { note: unknown };
      assert.deepEqual(note, { ok: true, method: 'PUT', path: '/api/notes/7', body: { text: 'read' } });
    }
    assert.equal(partner.tokenRequests.length, 1);
  });

  it('replays both with a new token after a revocation, the body of the generated client included', async () => {
    await call();
    partner.revokeAll();
    assert.equal((await call()).status, 200);
    assert.equal(partner.tokenRequests.length, 2);
    const notes = partner.apiRequests.filter(({ method }) => method === 'PUT').slice(1);
    assert.deepEqual(new Set(notes.map(({ json }) => JSON.stringify(json))), new Set(['{"text":"read"}']));
  });

  it('answers 503 while the partner issues no token, and recovers', async () => {
    partner.alwaysRespond({ status: 503 });
    assert.equal((await call()).status, 503);
    partner.alwaysRespond(undefined);
    let status = 0;
    for (let left = 40; left > 0 && status !== 200; left -= 1) {
      await sleep(250);
      ({ status } = await call());
    }
    assert.equal(status, 200);
  });

  it('sends a token given out by hand to its own API, and the same again after a 401', async () => {
    archive.respondToApiWith({ status: 200 });
    assert.equal(await app.get(ArchiveService).file('a'), 200);
    assert.equal(await app.get(ArchiveService).file('b'), 401);
    const sent = archive.apiRequests.map(({ headers }) => headers.authorization);
    assert.deepEqual([...new Set(sent)], ['Bearer by-hand']);
    assert.equal(archive.tokenRequests.length, 0);
  });

  it('ends the call under way at shutdown, and requests no token after that', async () => {
    partner.respondToApiWith({ delayMs: 300 });
    const pending = call();
    while (partner.apiRequests.length === 0) await sleep(10);
    await app.close();
    assert.equal((await pending).status, 200);
    await assert.rejects(app.get(OAuthTokenService).getToken('reports'), { code: 'closed' });
  });
});
