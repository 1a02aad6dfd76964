import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { AccessToken } from '../../lib/core/access-token.js';
import { MemoryTokenStore } from '../../lib/core/memory-token-store.js';
import { Scenario } from './scenario.js';
import { rejected, unavailable } from './scripted-endpoint.js';
import { START, settle } from './virtual-clock.js';

const MINUTE = 60_000;

describe('Shutdown', () => {
  it('64. A flight under way drains: its callers get the token; later calls reject with `closed`', async () => {
    const scenario = new Scenario({ latencyMs: 1_000 });
    const { client, clock, runtime, endpoint } = scenario;
    const waiting = client.getToken();
    await clock.advance(100);
    expect([runtime.closed, client.closed]).toEqual([false, false]);
    const closing = runtime.close(5_000);
    expect([runtime.closed, client.closed]).toEqual([true, true]);
    for (const late of [
      client.getToken(),
      client.getToken({ forceRefresh: true }),
      client.getToken({ scope: 'a' }),
    ]) {
      await expect(late).rejects.toMatchObject({
        code: 'closed',
        client: 'buoy',
        message: 'OAuth client "buoy" is closed: the application is shutting down.',
        retryable: false,
      });
    }
    const observed: unknown[] = [];
    client.token$().subscribe({ error: ({ code }: { code: string }) => observed.push(code) });
    expect(observed).toEqual(['closed']);
    expect((await clock.until(waiting)).value).toBe('t1');
    await clock.until(closing);
    expect(clock.elapsed).toBe(1_000);
    expect(endpoint.posts).toBe(1);
    expect(clock.pending).toBe(0);
    await expect(client.getToken()).rejects.toMatchObject({ code: 'closed' });
  });

  it('64. What does not drain within the grace period is aborted; no timer is left', async () => {
    const scenario = new Scenario({ timeoutMs: 60_000, retry: { totalMs: 120_000 } });
    const { client, clock, runtime, endpoint } = scenario;
    endpoint.otherwise = { hang: true };
    let completed = false;
    runtime.events$.subscribe({ complete: () => (completed = true) });
    const outcomes = [client.getToken(), client.getToken({ scope: 'a' })].map((wait) =>
      wait.catch((error: unknown) => error),
    );
    await clock.advance(100);
    const closing = runtime.close(5_000);
    await clock.advance(4_999);
    expect(endpoint.requests.map(({ state }) => state)).toEqual(['open', 'open']);
    await clock.advance(1);
    await closing;
    const message = 'The OAuth clients are closed: the application is shutting down.';
    for (const outcome of outcomes) expect(await outcome).toMatchObject({ code: 'closed', message });
    expect(endpoint.requests.map(({ state }) => state)).toEqual(['aborted', 'aborted']);
    expect(clock.pending).toBe(0);
    expect(completed).toBe(true);
    expect(scenario.eventTypes).toEqual(['token_request_failed', 'token_request_failed']);
  });

  it('64. A store that never answers holds up neither the callers nor the shutdown', async () => {
    class Hung extends MemoryTokenStore {
      override withLock(): Promise<never> {
        return new Promise(() => undefined);
      }
    }
    const { client, clock, runtime } = new Scenario({ store: new Hung() });
    const outcome = client.getToken().catch((error: unknown) => error);
    await clock.until(runtime.close(200));
    expect(await outcome).toMatchObject({ code: 'closed' });
    expect([clock.elapsed, clock.pending]).toEqual([1_200, 0]);
  });

  it('64. A flight that is pausing between tries ends as well, and sends nothing more', async () => {
    const scenario = new Scenario();
    const { client, clock, runtime, endpoint } = scenario;
    endpoint.otherwise = unavailable({ retryAfterMs: 10_000 });
    const failure = client.getToken().catch((error: unknown) => error);
    await clock.advance(1_000);
    await clock.until(runtime.close(2_000));
    expect(await failure).toMatchObject({ code: 'closed' });
    await clock.advance(60_000);
    expect(endpoint.posts).toBe(1);
    expect(clock.pending).toBe(0);
  });

  it('64. With nothing under way the shutdown takes no time, and nothing is sent after it', async () => {
    const scenario = new Scenario({ lifetimeMs: MINUTE });
    const { client, clock, runtime, endpoint } = scenario;
    await scenario.token();
    await clock.advance(50_000);
    await runtime.close(5_000);
    await runtime.close(5_000);
    expect(clock.elapsed).toBe(50_050);
    expect(client.life().current()).toMatchObject({ value: 't1' });
    await clock.advance(1_000);
    expect(endpoint.posts).toBe(1);
    expect(clock.pending).toBe(0);
  });

  it('64. An idle runtime keeps no timer, whatever state its tokens are in', async () => {
    const scenario = new Scenario({ lifetimeMs: MINUTE });
    await scenario.token();
    expect(scenario.clock.pending).toBe(0);
    await scenario.clock.advance(50_000);
    await scenario.atOnce();
    await scenario.clock.advance(50);
    expect(scenario.clock.pending).toBe(0);
    scenario.client.invalidate();
    scenario.endpoint.otherwise = unavailable();
    await scenario.failure();
    expect(scenario.clock.pending).toBe(0);
  });
});

describe('Status', () => {
  it('65. idle → refreshing → fresh → refreshing → fresh → idle when it expired unused', async () => {
    const scenario = new Scenario({ lifetimeMs: MINUTE });
    const { client, clock } = scenario;
    const state = (): string => client.status().state;
    expect(client.status()).toEqual({ client: 'buoy', state: 'idle', tokenRequests: 0 });
    const waiting = client.getToken();
    expect(state()).toBe('refreshing');
    await clock.until(waiting);
    expect(client.status()).toEqual({
      client: 'buoy',
      state: 'fresh',
      acquiredAt: new Date(START),
      expiresAt: new Date(START + MINUTE),
      refreshAt: expect.any(Date),
      tokenRequests: 1,
    });
    await clock.advance(50_000);
    expect(state()).toBe('fresh');
    await scenario.atOnce();
    expect(state()).toBe('refreshing');
    await clock.advance(50);
    expect(state()).toBe('fresh');
    await clock.advance(MINUTE);
    expect(state()).toBe('idle');
  });

  it('65. degraded while refreshing fails and the token is valid, down without one, fresh after recovery', async () => {
    const scenario = new Scenario({ lifetimeMs: MINUTE });
    const { client, clock, endpoint } = scenario;
    await scenario.token();
    await clock.advance(50_000);
    endpoint.otherwise = rejected();
    await scenario.atOnce();
    await clock.advance(100);
    expect(client.status()).toMatchObject({
      state: 'degraded',
      lastError: { code: 'token_request_rejected', at: new Date(clock.now() - 50) },
      backoffUntil: new Date(clock.now() - 50 + 5_000),
      expiresAt: new Date(START + MINUTE),
    });
    await clock.advance(10_000);
    expect(client.status()).toMatchObject({ state: 'down' });
    expect(client.status().backoffUntil).toBeUndefined();
    endpoint.otherwise = {};
    await scenario.token();
    expect(client.status()).toMatchObject({ state: 'fresh', tokenRequests: 3 });
    expect(client.status().lastError).toBeUndefined();
  });

  it('65. A flight whose first try failed counts as failing while it goes on trying', async () => {
    const scenario = new Scenario({ lifetimeMs: MINUTE });
    const { client, clock, endpoint } = scenario;
    clock.random = () => 0.5;
    endpoint.next(unavailable(), {}, unavailable());
    const cold = client.getToken();
    await clock.advance(60);
    expect(client.status()).toMatchObject({ state: 'down' });
    await clock.until(cold);
    expect(client.status()).toMatchObject({ state: 'fresh' });
    await clock.advance(50_000);
    await scenario.atOnce();
    await clock.advance(60);
    expect(client.status()).toMatchObject({ state: 'degraded' });
    await clock.advance(1_000);
    expect(client.status()).toMatchObject({ state: 'fresh' });
  });

  it('65. Looking at the status asks for no token', async () => {
    const scenario = new Scenario({ lifetimeMs: MINUTE });
    await scenario.token();
    await scenario.clock.advance(2 * MINUTE);
    for (let i = 0; i < 10; i++) scenario.client.status();
    await scenario.clock.advance(1_000);
    expect(scenario.endpoint.posts).toBe(1);
  });

  it('65. A client whose default token is never asked for shows the one used last', async () => {
    const scenario = new Scenario();
    await scenario.token({ scope: 'a' });
    expect(scenario.client.status()).toMatchObject({ state: 'fresh', tokenRequests: 1 });
    scenario.endpoint.next(rejected());
    await scenario.failure({ scope: 'b' });
    expect(scenario.client.status()).toMatchObject({ state: 'down', tokenRequests: 2 });
  });
});

describe('Events', () => {
  it('Each flight is told once, with its reason, source, duration and result', async () => {
    const scenario = new Scenario({ lifetimeMs: MINUTE });
    const { client, clock, endpoint, events } = scenario;
    endpoint.next({ token: { scope: 'read' } });
    await scenario.token();
    await clock.advance(50_000);
    endpoint.next(rejected());
    await scenario.atOnce();
    await clock.advance(5_100);
    await scenario.atOnce();
    await clock.advance(100);
    await clock.advance(2 * MINUTE);
    await scenario.token();
    client.life().reject(await scenario.token());
    endpoint.next(rejected());
    await scenario.failure();
    await clock.advance(10_000);
    await scenario.token({ forceRefresh: true });
    const of = (type: string, reason: string, rest: object = {}): object =>
      expect.objectContaining({ type, reason, client: 'buoy', ...rest });
    const acquired = { source: 'authorization_server', durationMs: 50, expiresAt: expect.any(Date) };
    expect(events).toEqual([
      of('token_acquired', 'cold', { ...acquired, scope: 'read', expiresAt: new Date(START + MINUTE) }),
      of('token_refresh_failed', 'refresh_ahead', { durationMs: 50, expiresAt: new Date(START + MINUTE) }),
      of('token_acquired', 'refresh_ahead', acquired),
      of('token_acquired', 'expired', acquired),
      of('token_rejected', 'rejected', { limited: false }),
      of('token_invalidated', 'rejected'),
      of('token_request_failed', 'rejected', {
        error: expect.objectContaining({ code: 'token_request_rejected' }),
      }),
      of('token_acquired', 'forced', acquired),
    ]);
  });

  it('A retried flight is one event that lasted as long as all of it', async () => {
    const scenario = new Scenario({ latencyMs: 100 });
    scenario.clock.random = () => 0.5;
    scenario.endpoint.next(unavailable(), unavailable());
    await scenario.token();
    expect(scenario.events).toMatchObject([{ type: 'token_acquired', durationMs: 600 }]);
  });
});

describe('What runs around a token request', () => {
  it('runs once for each request that is sent, each inside the one after it', async () => {
    const scenario = new Scenario();
    const steps: string[] = [];
    for (const name of ['inner', 'outer'])
      scenario.runtime.tracers.push(async (client, request) => {
        steps.push(`${name} of ${client}`);
        return request().finally(() => steps.push(`end of ${name}`));
      });
    scenario.endpoint.onRequest = () => steps.push('request');
    scenario.endpoint.next(unavailable());
    await scenario.token();
    const once = ['outer of buoy', 'inner of buoy', 'request', 'end of inner', 'end of outer'];
    expect(steps).toEqual([...once, ...once]);
  });
});

describe('AccessToken', () => {
  const token = new AccessToken({ value: 'sesame', tokenType: 'Bearer', scope: 'read', expiresAt: START });

  it('66. Its value appears only where it is asked for by name', () => {
    const shown = [
      String(token),
      `${token}`,
      JSON.stringify({ token }),
      inspect(token, { showHidden: true, depth: 10, getters: true }),
      inspect({ nested: [token] }, { depth: 10 }),
      Object.keys(token).join(),
      JSON.stringify({ ...token }),
    ];
    for (const text of shown) expect(text).not.toContain('sesame');
    expect(String(token)).toBe('AccessToken(Bearer, expires 2030-01-01T00:00:00.000Z)');
    expect(inspect(token)).toBe(String(token));
    expect(JSON.parse(JSON.stringify(token))).toEqual({
      tokenType: 'Bearer',
      scope: 'read',
      expiresAt: '2030-01-01T00:00:00.000Z',
    });
    expect(token.value).toBe('sesame');
    expect(token.authorization).toBe('Bearer sesame');
  });

  it('is immutable', async () => {
    expect(() => Object.assign(token, { scope: 'all' })).toThrow(TypeError);
    token.expiresAt.setTime(0);
    expect(token.expiresAt).toEqual(new Date(START));
    await settle();
  });

  it('66. Neither does a token appear in status or events', async () => {
    const scenario = new Scenario();
    scenario.endpoint.next({ token: { value: 'sesame', refreshToken: 'open-sesame' } });
    const sesame = await scenario.token();
    scenario.client.life().reject(sesame);
    scenario.endpoint.next(rejected());
    await scenario.failure();
    const shown = [scenario.events, scenario.client.status(), scenario.client, scenario.runtime];
    for (const what of shown) expect(inspect(what, { depth: 20 })).not.toContain('sesame');
    expect(JSON.stringify([scenario.events, scenario.client.status()])).not.toContain('sesame');
  });
});
