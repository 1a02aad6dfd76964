import { describe, expect, it } from '@jest/globals';
import type { AccessToken } from '../../lib/core/access-token.js';
import { MemoryTokenStore } from '../../lib/core/memory-token-store.js';
import { RejectionLimit } from '../../lib/core/rejection-limit.js';
import { Scenario } from './scenario.js';
import { rejected, unavailable } from './scripted-endpoint.js';
import { VirtualClock } from './virtual-clock.js';

describe('Tokens that an API rejects', () => {
  it('35. 100 requests in flight, token revoked, 401s arriving staggered → exactly one POST, 100 successes', async () => {
    const scenario = new Scenario({ latencyMs: 200 });
    const { client, clock, endpoint } = scenario;
    const revoked = await scenario.token();
    client.life().accept(revoked);
    await clock.advance(60_000);
    const replays: Promise<AccessToken>[] = [];
    const outcomes = new Set<string>();
    for (let i = 0; i < 100; i++) {
      outcomes.add(client.life().reject(revoked));
      replays.push(client.life().get(false));
      await clock.advance(10);
    }
    const tokens = await clock.until(Promise.all(replays));
    expect(new Set(tokens.map(({ value }) => value))).toEqual(new Set(['t2']));
    expect(outcomes).toEqual(new Set(['replaceable', 'superseded']));
    expect(endpoint.posts).toBe(2);
    expect(scenario.eventTypes).toEqual([
      'token_acquired',
      'token_rejected',
      'token_invalidated',
      'token_acquired',
    ]);
    expect(scenario.events[3]).toMatchObject({ reason: 'rejected' });
  });

  it('35. Two instances that share a store, one revoked token → one refresh', async () => {
    const clock = new VirtualClock();
    const store = new MemoryTokenStore();
    const [one, two] = [new Scenario({ clock, store }), new Scenario({ clock, store })];
    const revoked = await one.token();
    const same = await two.token();
    expect(same.value).toBe(revoked.value);
    await clock.advance(1_000);
    one.client.life().reject(revoked);
    const fresh = await one.token();
    two.client.life().reject(same);
    expect((await two.token()).value).toBe(fresh.value);
    expect([one.endpoint.posts, two.endpoint.posts]).toEqual([2, 0]);
  });

  it('37. An API that rejects what another accepts → ten refreshes at once, then one every 10 s', async () => {
    const scenario = new Scenario();
    const { client, clock, endpoint } = scenario;
    const acceptedHereRejectedThere = async () => {
      const token = await scenario.token();
      client.life().accept(token);
      return client.life().reject(token);
    };
    for (let i = 0; i < 20; i++) await acceptedHereRejectedThere();
    expect(await acceptedHereRejectedThere()).toBe('limited');
    expect(endpoint.posts).toBe(11);
    for (let second = 0; second < 60; second++) {
      await clock.advance(1_000);
      await acceptedHereRejectedThere();
    }
    expect(endpoint.posts).toBe(16); // the sixth is fetched by the next call
  });

  it('36. Late 401 for an old token while a newer one exists → no POST, replay with the newer', async () => {
    const scenario = new Scenario();
    const old = await scenario.token();
    await scenario.token({ forceRefresh: true });
    expect(scenario.client.life().reject(old)).toBe('superseded');
    scenario.client.invalidate(old);
    expect(await scenario.atOnce()).toMatchObject({ value: 't2' });
    expect(scenario.endpoint.posts).toBe(2);
    expect(scenario.eventTypes).toEqual(['token_acquired', 'token_acquired']);
  });

  it('36. A 401 while the refresh of that token is under way → waits for it, no POST of its own', async () => {
    const scenario = new Scenario({ lifetimeMs: 60_000, latencyMs: 500 });
    const old = await scenario.token();
    await scenario.clock.advance(50_000);
    await scenario.atOnce();
    await scenario.clock.advance(100);
    expect(scenario.client.life().reject(old)).toBe('replaceable');
    expect((await scenario.token()).value).toBe('t2');
    expect(scenario.endpoint.posts).toBe(2);
  });

  it('37. Refresh returns the same token → the caller sees that, and further 401s ask for no other at once', async () => {
    const scenario = new Scenario();
    const { client, clock, endpoint } = scenario;
    const first = await scenario.token();
    endpoint.otherwise = { token: { value: 't1' } };
    expect(client.life().reject(first)).toBe('replaceable');
    const second = await scenario.token();
    expect(second.value).toBe(first.value);
    for (let i = 0; i < 40; i++) {
      expect(client.life().reject(second)).toBe('limited');
      expect(await scenario.atOnce()).toBe(second);
      await clock.advance(10);
    }
    expect(endpoint.posts).toBe(2);
  });

  it('37. Permanent 401s → refreshes are rate limited and reported', async () => {
    const scenario = new Scenario({ latencyMs: 10 });
    const { client, clock, endpoint, events } = scenario;
    const end = 10 * 60_000;
    let limited = 0;
    while (clock.elapsed < end) {
      const token = await scenario.token();
      if (client.life().reject(token) === 'limited') limited++;
      await clock.advance(100);
    }
    // 0.5 to 1 of 1 s, 2 s, 4 s … 60 s
    expect(endpoint.posts).toBeGreaterThan(10);
    expect(endpoint.posts).toBeLessThanOrEqual(26);
    const reports = events.filter(({ type }) => type === 'token_rejected');
    expect(reports.filter((event) => 'limited' in event && event.limited)).toHaveLength(limited);
    expect(reports.length - limited).toBeGreaterThanOrEqual(endpoint.posts - 1);
    const pauses = endpoint.requests.slice(1).map(({ at }, i) => at - endpoint.requests[i]!.at);
    for (const [i, pause] of pauses.slice(1).entries()) {
      expect(pause).toBeGreaterThanOrEqual(Math.min(60_000, 1_000 * 2 ** i) / 2);
    }
  });

  it.each([
    [0, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]],
    [0.5, [750, 1_500, 3_000, 6_000, 12_000, 24_000, 45_000, 45_000]],
  ])(
    '37. New tokens that are all rejected are replaced after 1 s, 2 s, 4 s … 60 s, by chance (%d) half of that',
    (chance, expected) => {
      const clock = new VirtualClock();
      clock.random = () => chance;
      const limit = new RejectionLimit(clock);
      expect(limit.allow(false)).toBe(true);
      for (const pauseMs of expected) {
        clock.scheduler.frame += pauseMs - 1;
        expect(limit.allow(false)).toBe(false);
        clock.scheduler.frame += 1;
        expect(limit.allow(false)).toBe(true);
      }
    },
  );

  it('37. After a token that was accepted the pauses start over, and ten replacements come back in 100 s', () => {
    const clock = new VirtualClock();
    clock.random = () => 0;
    const limit = new RejectionLimit(clock);
    const allowed = () => Array.from({ length: 12 }, () => limit.allow(true)).filter(Boolean).length;
    for (const pauseMs of [0, 500, 1_000]) {
      clock.scheduler.frame += pauseMs;
      expect(limit.allow(false)).toBe(true);
    }
    expect(limit.allow(true)).toBe(true);
    clock.scheduler.frame += 499;
    expect(limit.allow(false)).toBe(false);
    clock.scheduler.frame += 1;
    expect(limit.allow(false)).toBe(true);
    clock.scheduler.frame += 999;
    expect(limit.allow(false)).toBe(false);
    clock.scheduler.frame += 1_000_000;
    expect(allowed()).toBe(10);
    clock.scheduler.frame += 9_999;
    expect(allowed()).toBe(0);
    clock.scheduler.frame += 1;
    expect(allowed()).toBe(1);
    clock.scheduler.frame += 30_000;
    expect(allowed()).toBe(3);
  });

  it('37. A token that was accepted and then rejected is replaced at once: it was revoked', async () => {
    const scenario = new Scenario();
    const { client, endpoint } = scenario;
    for (let i = 1; i <= 5; i++) {
      const token = await scenario.token();
      expect(token.value).toBe(`t${i}`);
      client.life().accept(token);
      expect(client.life().reject(token)).toBe('replaceable');
    }
    expect(endpoint.posts).toBe(5);
  });

  it('37. A rejected token is never used again, even when no other is to be had', async () => {
    const scenario = new Scenario();
    const { client, clock, endpoint } = scenario;
    const revoked = await scenario.token();
    endpoint.otherwise = unavailable();
    client.life().reject(revoked);
    for (let i = 0; i < 100; i++) {
      await expect(scenario.failure()).resolves.toMatchObject({ code: 'authorization_server_unavailable' });
      await clock.advance(500);
    }
    endpoint.otherwise = {};
    await clock.advance(60_000);
    expect((await scenario.token()).value).not.toBe('t1');
  });

  it('37. A rejected token is not taken from the store again, even when the store did not forget it', async () => {
    class Unforgetting extends MemoryTokenStore {
      override async delete(): Promise<void> {
        await super.get('nothing is deleted');
      }
    }
    const scenario = new Scenario({ store: new Unforgetting() });
    const revoked = await scenario.token();
    await scenario.clock.advance(1_000);
    scenario.client.life().reject(revoked);
    expect((await scenario.token()).value).toBe('t2');
  });

  it('37. A refresh token outlives the rejection of its access token', async () => {
    const scenario = new Scenario();
    const { client, endpoint } = scenario;
    endpoint.rotates = true;
    endpoint.next({}, rejected('temporarily'), {});
    client.life().reject(await scenario.token());
    await scenario.failure();
    await scenario.clock.advance(5_000);
    await scenario.token();
    expect(endpoint.requests.map(({ refreshToken }) => refreshToken)).toEqual([undefined, 'r1', 'r1']);
  });

  it('37. A refresh token outlives the rejection of its access token for other instances as well', async () => {
    const clock = new VirtualClock();
    const store = new MemoryTokenStore();
    const [one, two] = [new Scenario({ clock, store }), new Scenario({ clock, store })];
    one.endpoint.rotates = two.endpoint.rotates = true;
    const revoked = await one.token();
    one.client.life().reject(revoked);
    await clock.advance(10);
    expect((await two.token()).value).toBe('t1');
    expect(two.endpoint.requests).toMatchObject([{ refreshToken: 'r1' }]);
  });

  it('34. The first token of all that an API rejects is replaced at once', async () => {
    const scenario = new Scenario();
    const life = scenario.client.life();
    await scenario.token();
    expect(life.reject(await scenario.token({ forceRefresh: true }))).toBe('replaceable');
    expect(life.reject(await scenario.token())).not.toBe('lagging');
  });

  it('88. A token that took the place of an accepted one may be unknown to a lagging API for 5 s', async () => {
    const scenario = new Scenario({ latencyMs: 0 });
    const life = scenario.client.life();
    life.accept(await scenario.token());
    await scenario.clock.advance(1_000);
    const token = await scenario.token({ forceRefresh: true });
    const events = scenario.events.length;
    await scenario.clock.advance(4_999);
    expect(life.reject(token)).toBe('lagging');
    expect(scenario.events).toHaveLength(events);
    expect(await scenario.atOnce()).toBe(token);
    await scenario.clock.advance(1);
    expect(life.reject(token)).toBe('replaceable');

    const second = await scenario.token();
    expect([life.reject(token), life.reject(second)]).toEqual(['superseded', 'lagging']);
    life.accept(second);
    expect(life.reject(second)).toBe('replaceable');
  });

  it('88. A request that went out before the API learnt of the token says nothing about it', async () => {
    const scenario = new Scenario({ latencyMs: 0 });
    const { clock, client } = scenario;
    const life = client.life();
    life.accept(await scenario.token());
    const token = await scenario.token({ forceRefresh: true });
    const [sentAt] = [clock.monotonic(), await clock.advance(2_000)];
    life.accept(token);
    expect(life.reject(token, sentAt)).toBe('lagging');
    expect(life.reject(token, clock.monotonic())).toBe('replaceable');
  });
});
