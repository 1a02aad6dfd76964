import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { AuthorizationServerUnavailableError } from '../../lib/core/errors.js';
import { RedisTokenStore } from '../../lib/redis.js';
import { FakeAuthorizationServer } from '../../lib/testing.js';
import { Application } from '../support/application.js';
import { RotatingServer } from '../oauth/rotating-server.js';
import { newInstance } from './core-client.js';
import { Fleet, type Member } from './fleet.js';
import { MARK, describeWithRedis } from './redis-server.js';

const PROCESSES = 8;
const CALLERS = 1_000;
/** The length of a token request, in milliseconds. */
const LATENCY_MS = 200;

describeWithRedis('RedisTokenStore under a fleet', (server) => {
  const encryptionKey = randomBytes(32).toString('base64url');
  let partner: FakeAuthorizationServer;
  /** When the answer to the last token request left. */
  let answeredAt = 0;
  let issued = 0;

  const open = (): RedisTokenStore =>
    new RedisTokenStore(server().url, {
      encryptionKeys: [{ id: '1', key: encryptionKey }],
      timeoutMs: 5_000,
    });
  const startFleet = (size: number, tokenTimeoutMs: number) =>
    Fleet.start(size, {
      redis: server().url,
      tokenEndpoint: partner.tokenEndpoint,
      encryptionKey,
      storeTimeoutMs: 5_000,
      tokenTimeoutMs,
    });

  beforeAll(async () => {
    server().secrets.add(encryptionKey);
    partner = await FakeAuthorizationServer.start();
  });
  afterAll(() => partner.close());
  beforeEach(async () => {
    await server().repair();
    partner.reset();
    partner.alwaysRespond(async () => {
      await sleep(LATENCY_MS);
      answeredAt = performance.timeOrigin + performance.now();
      return partner.nextToken({ access_token: `${MARK}-${++issued}` });
    });
  });

  describe(`${PROCESSES} processes`, () => {
    let fleet: Fleet;
    const waits: number[] = [];

    beforeAll(async () => {
      fleet = await startFleet(PROCESSES, 15_000);
    });
    afterAll(() => fleet.stop());

    it.each(Array.from({ length: 10 }, (_, run) => run + 1))(
      '55. 8 processes, 1,000 cold callers each → one POST in total; revoked token under all of them → one more (run %i of 10)',
      async (run) => {
        if (run > 1) await fleet.restart();
        for (const [what, act] of [
          ['cold', () => fleet.ask(CALLERS)],
          ['revoked', () => fleet.reject(CALLERS)],
        ] as const) {
          const before = partner.tokenRequests.length;
          const outcomes = await act();
          expect(outcomes.flatMap(({ errors }) => errors)).toEqual([]);
          expect(outcomes.flatMap(({ storeEvents }) => storeEvents)).toEqual([]);
          expect(new Set(outcomes.flatMap(({ values }) => values))).toEqual(new Set([`${MARK}-${issued}`]));
          expect(partner.tokenRequests).toHaveLength(before + 1);
          if (what === 'cold')
            waits.push(...outcomes.filter((it) => it.tokenRequests === 0).map(({ at }) => at - answeredAt));
        }
      },
    );

    it('55. waiters are served soon after the holder: the median of those ten runs', () => {
      expect(waits).toHaveLength(10 * (PROCESSES - 1));
      const median = waits.toSorted((a, b) => a - b)[waits.length / 2]!;
      // Far from a lease, and safe on a busy machine.
      expect(median).toBeLessThan(1_000);
    });
  });

  describe('a holder in trouble', () => {
    /** One try of a second, and the second that a lease adds. */
    const LEASE_MS = 2_000;
    let fleet: Fleet;
    let [holder, next]: Member[] = [];

    beforeEach(async () => {
      fleet = await startFleet(2, 1_000);
      [holder, next] = fleet.members;
    });
    afterEach(() => fleet.stop());

    const firstRequest = async () => {
      while (partner.tokenRequests.length === 0) await sleep(5);
    };

    it('56. holder killed with SIGKILL mid-flight → another takes over within the lease', async () => {
      partner.respondWith('hang');
      const lost = expect(holder!.ask(CALLERS)).rejects.toThrow('aborted');
      await firstRequest();
      const served = next!.ask(CALLERS);
      await holder!.kill();
      await lost;
      expect(await served).toMatchObject({ values: [`${MARK}-${issued}`], errors: [], storeEvents: [] });
      expect(partner.tokenRequests).toHaveLength(2);
      const [before, after] = partner.tokenRequests.map(({ at }) => at);
      // A look at the store, and what a busy machine adds.
      expect(after! - before!).toBeLessThan(LEASE_MS + 2_000);
    });

    it('56. holder paused → another takes over; the late token of the first replaces nothing', async () => {
      let answer = () => {};
      const held = new Promise<void>((resolve) => (answer = resolve));
      partner.respondWith(async () => {
        await held;
        return partner.nextToken({ access_token: `${MARK}-late` });
      });
      const late = holder!.ask(CALLERS);
      await firstRequest();
      holder!.pause();
      const newer = `${MARK}-${issued + 1}`;
      expect(await next!.ask(CALLERS)).toMatchObject({ values: [newer], errors: [] });
      answer();
      holder!.resume();

      // Its deadline passed: an error, unless the answer was read first. Then that token is good, only older.
      const { values } = await late;
      expect([[], [`${MARK}-late`], [newer]]).toContainEqual(values);
      const other = open();
      try {
        expect((await newInstance(other, partner.tokenEndpoint).client.getToken()).value).toBe(newer);
        let again = await holder!.ask(1);
        while (again.errors.length > 0) {
          await sleep(50);
          again = await holder!.ask(1);
        }
        if (again.values[0] !== newer) again = await holder!.reject(CALLERS);
        expect(again.values).toEqual([newer]);
      } finally {
        await other.close();
      }
      expect(partner.tokenRequests).toHaveLength(2);
    });
  });

  describe('cool-downs', () => {
    it('28. Retry-After told to one instance → none of the fleet asks earlier', async () => {
      partner.respondWith({ status: 503, headers: { 'retry-after': '2' } });
      const stores = [open(), open()];
      try {
        const [told, other] = stores.map((store) => newInstance(store, partner.tokenEndpoint).client);
        await expect(told!.getToken()).rejects.toThrow(AuthorizationServerUnavailableError);
        const toldAt = Date.now();
        const error: unknown = await other!.getToken().catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(AuthorizationServerUnavailableError);
        const { retryAfterMs, status } = error as AuthorizationServerUnavailableError;
        expect(status).toBe(503);
        expect(retryAfterMs).toBeGreaterThan(0);
        expect(retryAfterMs).toBeLessThanOrEqual(2_000);
        expect(partner.tokenRequests).toHaveLength(1);

        let value: string | undefined;
        while (value === undefined) {
          value = await other!.getToken().then(
            (token) => token.value,
            () => sleep(20, undefined),
          );
        }
        expect((await told!.getToken()).value).toBe(value);
        expect(partner.tokenRequests).toHaveLength(2);
        expect(partner.tokenRequests[1]!.at - partner.tokenRequests[0]!.at).toBeGreaterThanOrEqual(2_000);
        expect(Date.now() - toldAt).toBeGreaterThan(1_500);
      } finally {
        await Promise.all(stores.map((store) => store.close()));
      }
    });
  });

  describe('refresh tokens', () => {
    it('52. one use at a time over the fleet, for all scopes; each once; an instance that starts later goes on with the newest', async () => {
      const rotating = await RotatingServer.start();
      rotating.leeway = false;
      const start = () =>
        Application.client(
          {
            tokenEndpoint: rotating.fake.tokenEndpoint,
            clientId: 'me',
            clientSecret: 'my secret',
            grant: { type: 'refresh_token', refreshToken: 'rt0' },
          },
          { store: open() },
        );
      try {
        const apps = await Promise.all([start(), start(), start()]);
        const ask = (app: Application) =>
          Promise.all(['a', 'b', 'c'].map((scope) => app.token({ scope, forceRefresh: true })));
        for (let round = 0; round < 3; round++) await Promise.all(apps.map(ask));
        await ask(await start());
        expect(rotating.concurrency).toBe(1);
        expect(rotating.sent).toEqual(rotating.sent.map((_, use) => `rt${use}`));
        expect(rotating.sent.length).toBeGreaterThanOrEqual(12);
      } finally {
        await rotating.close();
      }
    });
  });

  describe('the end', () => {
    it.each(['up', 'hung', 'gone'])(
      '64. with Redis %s, nothing keeps a process alive after close',
      async (state) => {
        const fleet = await startFleet(1, 1_000);
        try {
          const [member] = fleet.members;
          await member!.ask(1);
          if (state === 'hung') server().pause();
          if (state === 'gone') await server().kill();
          await member!.reject(1);
          expect(await member!.end()).toBe(0);
        } finally {
          await fleet.stop();
          await server().repair();
        }
      },
    );
  });
});
