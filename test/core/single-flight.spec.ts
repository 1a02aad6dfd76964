import { describe, expect, it } from '@jest/globals';
import { firstValueFrom, forkJoin, lastValueFrom, toArray } from 'rxjs';
import { AccessToken } from '../../lib/core/access-token.js';
import { AuthorizationServerUnavailableError } from '../../lib/core/errors.js';
import { OAuthClient } from '../../lib/core/oauth-client.js';
import { DEFAULT_LIFE, Scenario } from './scenario.js';
import { ScriptedEndpoint, rejected, unavailable } from './scripted-endpoint.js';
import { settle } from './virtual-clock.js';

describe('Single flight', () => {
  it('12. 1,000 concurrent cold callers → one POST, all get the same token', async () => {
    const scenario = new Scenario();
    const calls = Array.from({ length: 1_000 }, () => scenario.client.getToken());
    const tokens = await scenario.clock.until(Promise.all(calls));
    expect(new Set(tokens).size).toBe(1);
    expect(scenario.endpoint.posts).toBe(1);
    expect(scenario.eventTypes).toEqual(['token_acquired']);
  });

  it('12. The same for 1,000 subscribers of one returned Observable', async () => {
    const scenario = new Scenario();
    const token$ = scenario.client.token$();
    await settle();
    expect(scenario.endpoint.posts).toBe(0);
    const subscribers = Array.from({ length: 1_000 }, () => token$);
    const tokens = await scenario.clock.until(lastValueFrom(forkJoin(subscribers)));
    expect(new Set(tokens).size).toBe(1);
    expect(scenario.endpoint.posts).toBe(1);
    expect(await lastValueFrom(token$.pipe(toArray()))).toEqual([tokens[0]]);
  });

  it('12. Callers of every kind, arriving at any point of the flight → one POST', async () => {
    const scenario = new Scenario({ latencyMs: 100 });
    const { client, clock } = scenario;
    const waits: Promise<AccessToken>[] = [];
    for (let i = 0; i < 100; i++) {
      const signal = new AbortController().signal;
      waits.push(client.getToken(), firstValueFrom(client.token$()), client.getToken({ signal }));
      waits.push(client.getToken({ forceRefresh: true }));
      await clock.advance(0.99);
    }
    const tokens = await clock.until(Promise.all(waits));
    expect(new Set(tokens).size).toBe(1);
    expect(scenario.endpoint.posts).toBe(1);
  });

  it('13. That POST fails → all waiters get the same typed error, and one event tells of it', async () => {
    const scenario = new Scenario();
    scenario.endpoint.next(rejected());
    const { client, clock } = scenario;
    const token$ = client.token$();
    const waits = Array.from({ length: 100 }, (_, i) => (i % 2 ? client.getToken() : firstValueFrom(token$)));
    const errors = await clock.until(Promise.all(waits.map((wait) => wait.catch((error: unknown) => error))));
    expect(new Set(errors).size).toBe(1);
    expect(errors[0]).toMatchObject({ code: 'token_request_rejected', client: 'buoy', retryable: false });
    expect(scenario.eventTypes).toEqual(['token_request_failed']);
    expect(scenario.endpoint.posts).toBe(1);
  });

  it('13. The next call follows the failure rules: the same error for 5 s after a terminal one, then a new try', async () => {
    const scenario = new Scenario();
    scenario.endpoint.next(rejected());
    const error = await scenario.failure();
    await scenario.clock.advance(4_999);
    await expect(scenario.atOnce()).rejects.toBe(error);
    await expect(firstValueFrom(scenario.client.token$())).rejects.toBe(error);
    expect(scenario.endpoint.posts).toBe(1);
    await scenario.clock.advance(1);
    expect((await scenario.token()).value).toBe('t2');
  });

  it('13. A caller that asks again right in the error callback does not break the next single flight', async () => {
    const scenario = new Scenario({ retry: { attempts: 1 } });
    scenario.clock.random = () => 0; // a cool-down that is as short as can be
    scenario.endpoint.next(unavailable());
    const tokens: AccessToken[] = [];
    const errors: unknown[] = [];
    const token$ = scenario.client.token$();
    const again = () =>
      token$.subscribe({ next: (token) => tokens.push(token), error: (e) => errors.push(e) });
    for (let i = 0; i < 10; i++) token$.subscribe({ error: again });
    await scenario.clock.advance(60);
    expect([errors.length, scenario.endpoint.posts]).toEqual([10, 1]);
    await scenario.clock.advance(100);
    for (let i = 0; i < 10; i++) again();
    await scenario.clock.advance(100);
    expect(tokens.map(({ value }) => value)).toEqual(Array.from({ length: 10 }, () => 't2'));
    expect(scenario.endpoint.posts).toBe(2);
  });

  it('14. One waiter aborts or unsubscribes → flight and others go on', async () => {
    const scenario = new Scenario({ latencyMs: 100 });
    const { client, clock } = scenario;
    const controller = new AbortController();
    const reason = new Error('the caller left');
    const aborted = client.getToken({ signal: controller.signal });
    const seen: unknown[] = [];
    const subscription = client
      .token$()
      .subscribe({ next: (t) => seen.push(t), error: (e: unknown) => seen.push(e) });
    const staying = client.getToken();
    await clock.advance(50);
    controller.abort(reason);
    subscription.unsubscribe();
    await expect(aborted).rejects.toBe(reason);
    expect((await clock.until(staying)).value).toBe('t1');
    expect(seen).toEqual([]);
    expect(scenario.endpoint.requests).toMatchObject([{ state: 'answered' }]);
  });

  it('14. All leave → the token still lands in the cache', async () => {
    const scenario = new Scenario({ latencyMs: 100 });
    const { client, clock } = scenario;
    const controller = new AbortController();
    const aborted = client.getToken({ signal: controller.signal });
    const subscription = client.token$().subscribe();
    await clock.advance(50);
    controller.abort();
    subscription.unsubscribe();
    await expect(aborted).rejects.toMatchObject({ name: 'AbortError' });
    await clock.advance(50);
    expect(await scenario.atOnce()).toMatchObject({ value: 't1' });
    expect(scenario.endpoint.posts).toBe(1);
  });

  it('14. Any number of waits may share a signal', async () => {
    const warnings: Error[] = [];
    const note = (warning: Error) => warnings.push(warning);
    process.on('warning', note);
    const { client, clock } = new Scenario();
    const { signal } = new AbortController();
    await clock.until(Promise.all(Array.from({ length: 20 }, () => client.getToken({ signal }))));
    await settle();
    process.off('warning', note);
    expect(warnings).toEqual([]);
  });

  it('14. A wait that is aborted before it begins starts no flight', async () => {
    const scenario = new Scenario();
    const reason = new Error('too late');
    await expect(scenario.client.getToken({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await scenario.clock.advance(100);
    expect(scenario.endpoint.posts).toBe(0);
  });

  it('14. A finished wait leaves no listener on its signal', async () => {
    const scenario = new Scenario();
    const signal = new AbortController().signal;
    const listeners = new Set<unknown>();
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...args: Parameters<AbortSignal['addEventListener']>) => {
      listeners.add(args[1]);
      addEventListener.apply(signal, args);
    };
    signal.removeEventListener = (...args: Parameters<AbortSignal['removeEventListener']>) => {
      listeners.delete(args[1]);
      removeEventListener.apply(signal, args);
    };
    const waiting = scenario.client.getToken({ signal });
    expect(listeners.size).toBe(1);
    await scenario.clock.until(waiting);
    expect(listeners.size).toBe(0);
  });

  it('15. A hung client A never delays client B', async () => {
    const a = new Scenario();
    a.endpoint.otherwise = { hang: true };
    const endpoint = new ScriptedEndpoint(a.clock, 'https://b.example');
    const b = OAuthClient.create({ name: 'b', endpoint, options: DEFAULT_LIFE, runtime: a.runtime });
    const hung = a.failure();
    const started = a.clock.elapsed;
    await a.clock.until(b.getToken());
    expect(a.clock.elapsed - started).toBe(endpoint.latencyMs);
    await expect(hung).resolves.toMatchObject({ code: 'authorization_server_unavailable', timedOut: true });
  });

  it('15. A hung key never delays another key of the same client', async () => {
    const scenario = new Scenario();
    scenario.endpoint.next({ hang: true });
    const hung = scenario.failure({ scope: 'a' });
    scenario.endpoint.otherwise = {};
    await settle();
    const started = scenario.clock.elapsed;
    await scenario.token({ scope: 'b' });
    expect(scenario.clock.elapsed - started).toBe(50);
    scenario.endpoint.otherwise = { hang: true };
    await expect(hung).resolves.toBeInstanceOf(AuthorizationServerUnavailableError);
  });

  it('16. A caller arriving after completion never joins the finished flight', async () => {
    const scenario = new Scenario({ lifetimeMs: 60_000 });
    const token$ = scenario.client.token$();
    expect((await scenario.clock.until(firstValueFrom(token$))).value).toBe('t1');
    await scenario.clock.advance(60_000);
    expect((await scenario.clock.until(firstValueFrom(token$))).value).toBe('t2');
    await scenario.clock.advance(60_000);
    expect((await scenario.token()).value).toBe('t3');
  });

  it('16. No call ever resolves with undefined: a caller that asks again in the callback gets the token as well', async () => {
    const scenario = new Scenario();
    const nested: unknown[] = [];
    const token$ = scenario.client.token$();
    token$.subscribe(() => {
      token$.subscribe((token) => nested.push(token));
      nested.push(scenario.client.life().current());
    });
    await scenario.clock.advance(100);
    expect(nested).toEqual([expect.any(AccessToken), expect.any(AccessToken)]);
    expect(scenario.endpoint.posts).toBe(1);
  });

  it('12. A token at hand is there as soon as somebody subscribes', async () => {
    const scenario = new Scenario();
    const token = await scenario.token();
    const seen: unknown[] = [];
    for (const request of [{}, { signal: new AbortController().signal }])
      scenario.client
        .token$(request)
        .subscribe({ next: (one) => seen.push(one), complete: () => seen.push('end') });
    expect(seen).toEqual([token, 'end', token, 'end']);
  });

  it('17. `forceRefresh` replaces a fresh token; ten of them at once → one POST', async () => {
    const scenario = new Scenario();
    await scenario.token();
    const calls = Array.from({ length: 10 }, () => scenario.client.getToken({ forceRefresh: true }));
    expect(await scenario.atOnce()).toMatchObject({ value: 't1' });
    const tokens = await scenario.clock.until(Promise.all(calls));
    expect(tokens.map(({ value }) => value)).toEqual(Array.from({ length: 10 }, () => 't2'));
    expect(await scenario.atOnce()).toMatchObject({ value: 't2' });
    expect(scenario.endpoint.posts).toBe(2);
    expect(scenario.events[1]).toMatchObject({ type: 'token_acquired', reason: 'forced' });
  });

  it('17. `forceRefresh` holds for an observable, and for a wait that can be aborted', async () => {
    const scenario = new Scenario();
    const { client, clock } = scenario;
    await scenario.token();
    const { signal } = new AbortController();
    expect((await clock.until(firstValueFrom(client.token$({ forceRefresh: true })))).value).toBe('t2');
    expect((await scenario.token({ forceRefresh: true, signal })).value).toBe('t3');
    expect((await scenario.token({ signal })).value).toBe('t3');
    expect(await scenario.atOnce({ forceRefresh: false })).toMatchObject({ value: 't3' });
  });

  it('17. `forceRefresh` during a flight that began earlier → result is newer than the one it wanted replaced', async () => {
    const scenario = new Scenario({ lifetimeMs: 60_000 });
    const old = await scenario.token();
    await scenario.clock.advance(50_000);
    expect(await scenario.atOnce()).toBe(old);
    await scenario.clock.advance(25);
    expect(scenario.client.status().state).toBe('refreshing');
    const forced = await scenario.token({ forceRefresh: true });
    expect(forced.value).toBe('t2');
    expect(forced.expiresAt.getTime()).toBeGreaterThan(old.expiresAt.getTime());
    expect(scenario.endpoint.posts).toBe(2);
  });

  it('17. `forceRefresh` is not satisfied by what the store held before', async () => {
    const scenario = new Scenario();
    await scenario.token();
    await scenario.clock.advance(1_000);
    expect((await scenario.token({ forceRefresh: true })).value).toBe('t2');
    expect((await scenario.token({ forceRefresh: true })).value).toBe('t3');
  });

  it('17. A forced refresh that fails is told to who forced it; the others keep the valid token', async () => {
    const scenario = new Scenario();
    await scenario.token();
    scenario.endpoint.next(rejected());
    await expect(scenario.failure({ forceRefresh: true })).resolves.toMatchObject({
      code: 'token_request_rejected',
    });
    expect(await scenario.atOnce()).toMatchObject({ value: 't1' });
    expect(scenario.eventTypes).toEqual(['token_acquired', 'token_refresh_failed']);
  });

  it('12. The server is heard of again during a flight, and its token given up → the next flight waits for its turn', async () => {
    const scenario = new Scenario();
    const { client, clock, endpoint } = scenario;
    endpoint.otherwise = { hang: true };
    await scenario.failure();
    await clock.advance(10_000);
    endpoint.otherwise = {};
    endpoint.next({ latencyMs: 10 }, { latencyMs: 300 });
    const other = client.getToken({ scope: 'other' });
    const given = client.getToken();
    await clock.advance(100);
    client.invalidate();
    const next = client.getToken();
    await settle();
    expect(endpoint.requests.filter(({ state }) => state === 'open')).toHaveLength(1);
    await clock.until(Promise.all([other, given, next]));
  });
});
