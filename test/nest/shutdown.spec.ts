import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { OAuthTokenService } from 'nestjs-oauth-client';
import type { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { Application } from '../support/application.js';
import { CompiledCopy } from '../support/compiled-copy.js';
import { eventually } from '../support/eventually.js';
import { clientOf, startServer } from '../support/server.js';

const SCRIPT = 'test/nest/shutdown-application.ts';
let copy: CompiledCopy;
let server: FakeAuthorizationServer;
beforeAll(async () => {
  [copy, server] = await Promise.all([CompiledCopy.of(SCRIPT), startServer()]);
});
beforeEach(() => {
  server.reset();
  server.clients = undefined;
});
afterAll(async () => {
  await Promise.all([copy.remove(), server.close()]);
});

describe('64. shutdown mid-refresh', () => {
  let child: ChildProcess | undefined;
  const told: unknown[] = [];
  afterEach(() => {
    child?.kill('SIGKILL');
  });
  /** Holds the answer back until the child is about to close. */
  const onceClosing = async () => {
    await eventually(() => told.includes('closing'));
    return undefined;
  };

  async function startAsking(shutdownGraceMs: number, hooks = false): Promise<ChildProcess> {
    told.length = 0;
    const parameters = JSON.stringify({ tokenEndpoint: server.tokenEndpoint, shutdownGraceMs, hooks });
    child = fork(copy.path(SCRIPT), [parameters], { execArgv: [], stdio: 'inherit' });
    child.on('message', (message) => told.push(message));
    await eventually(() => server.tokenRequests.length > 0);
    return child;
  }

  it('64. the flight is drained, later calls are refused, and the process exits by itself', async () => {
    server.alwaysRespond(onceClosing);
    const running = await startAsking(60_000);
    running.send('close');
    expect(await once(running, 'exit')).toEqual([0, null]);
    expect(told).toEqual(['closing', 'token', 'after it closed']);
    expect(server.tokenRequests).toHaveLength(1);
  });

  it('64. a flight on a hung server is aborted after shutdownGraceMs', async () => {
    server.alwaysRespond('hang');
    const running = await startAsking(200);
    running.send('close');
    expect(await once(running, 'exit')).toEqual([0, null]); // its deadline would be a minute
    expect(told).toEqual(['closing', 'closed', 'after it closed']);
  });

  it('64. the same on SIGTERM with shutdown hooks', async () => {
    server.alwaysRespond(onceClosing);
    const running = await startAsking(60_000, true);
    running.kill('SIGTERM');
    expect(await once(running, 'exit')).toEqual([null, 'SIGTERM']); // Nest passes the signal on at the end
    expect(told).toEqual(['closing', 'token']);
  });
});

describe('64. shutdown of what is at rest', () => {
  it('64. closing twice, or without ever a call, is quick', async () => {
    const oauth = { clients: { buoy: clientOf(server) }, shutdownGraceMs: 60_000 };
    const { app } = await Application.start({ platform: 'Express', oauth });
    const types: string[] = [];
    const completed = new Promise<void>((complete) => {
      app.get(OAuthTokenService).events$.subscribe({ next: ({ type }) => types.push(type), complete });
    });
    await app.close();
    await app.close();
    await completed;
    expect(types).toEqual([]);
    await expect(app.get(OAuthTokenService).getToken('buoy')).rejects.toMatchObject({
      code: 'closed',
      message: 'OAuth client "buoy" is closed: the application is shutting down.',
    });
  });
});
