import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { OAuthClientOptions } from 'nestjs-oauth-client';
import type { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { closing } from '../support/closing.js';
import type { CompiledCopy } from '../support/compiled-copy.js';
import { CLIENT_ID, CLIENT_SECRET, clientOf, startServer } from '../support/server.js';
import { MARK, describeWithRedis } from './redis-server.js';
import type { Service, ServiceOptions } from './service.js';
import { Services } from './services.js';

const LIFETIME_S = 2;
const RUN_MS = 6_000;
const HOUR = 3_600_000;
const OLD_SECRET = 'an-old-secret-4d2a';
/** It asks before the others do. */
const EAGER = { refreshAhead: { ratio: 0.5 } };
const PATIENCE_MS = 60_000;

describeWithRedis('A fleet that shares a Redis', (redis) => {
  const encryptionKey = randomBytes(32).toString('base64url');
  let copy: CompiledCopy;
  let server: FakeAuthorizationServer;
  let apiURL: string;
  /** Token requests that the server granted. */
  let granted: number;

  beforeAll(async () => {
    for (const secret of [encryptionKey, CLIENT_SECRET, OLD_SECRET]) redis().secrets.add(secret);
    copy = await Services.compile();
  });
  afterAll(() => copy.remove());
  beforeEach(async () => {
    await redis().repair();
    server = closing(await startServer());
    server.expiresIn = LIFETIME_S;
    granted = 0;
    server.alwaysRespond(({ headers }) => {
      const [, credentials = ''] = (headers.authorization ?? '').split(' ');
      const known = Buffer.from(credentials, 'base64').toString() === `${CLIENT_ID}:${CLIENT_SECRET}`;
      return known ? token() : { status: 401, body: { error: 'invalid_client' } };
    });
    // An address of its own, so that an instance can be cut off from the authorization server alone.
    const relay = await Listener.open((socket) => {
      const onward = connect(portOf(server.url), '127.0.0.1');
      for (const [one, other] of [
        [socket, onward],
        [onward, socket],
      ] as const)
        one.pipe(other).on('error', () => one.destroy());
    });
    apiURL = `http://127.0.0.1:${closing(relay).port}/api`;
  });

  const token = () => server.nextToken({ access_token: `${MARK}-${++granted}` });
  const service = (own: OAuthClientOptions = {}, more: Partial<ServiceOptions> = {}): ServiceOptions => ({
    client: clientOf(server, { baseURL: apiURL, retry: { attempts: 3 }, ...own }),
    redisUrl: redis().url,
    encryptionKey,
    ...more,
  });
  /** Each of them has a token of the first one's. */
  const start = async (...each: ServiceOptions[]) => {
    const fleet = closing(await Services.start(copy, ...each));
    for (const index of each.keys()) await fleet.call(index);
    return fleet;
  };
  const failuresOf = (services: Service[]) =>
    Object.assign({}, ...services.map(({ failures }) => failures)) as object;
  /** The last one did ask, and nothing of it reached the server. */
  const expectCutOff = (services: Service[]) => {
    expect(services.at(-1)?.tokenRequests).toBeGreaterThan(0);
    const asked = services.reduce((sum, { tokenRequests }) => sum + tokenRequests, 0);
    expect(asked).toBeGreaterThan(server.tokenRequests.length);
  };
  /** Of a fleet that refreshes each token in its last quarter, and what a busy machine adds. */
  const mostTokens = Math.ceil(RUN_MS / (0.7 * LIFETIME_S * 1_000)) + 3;

  it(
    '85. Half of the fleet has the old secret → no call fails, one token request a life, none of the old ones asks for the other',
    async () => {
      const old = service({ ...EAGER, clientSecret: OLD_SECRET });
      const fleet = await start(service(), service(), old, old);
      expect(failuresOf(await fleet.run(RUN_MS))).toEqual({});
      expect(granted).toBeLessThanOrEqual(mostTokens);
      const refused = server.tokenRequests.length - granted;
      expect(refused).toBeGreaterThan(0);
      expect(refused).toBeLessThanOrEqual(3); // one in 5 s
    },
    PATIENCE_MS,
  );

  it.each<[string, number, OAuthClientOptions, number]>([
    ['long before the others → no call fails', 4, EAGER, 4],
    ['just before the others → no call of theirs fails', LIFETIME_S, { refreshAhead: { ratio: 0.3 } }, 3],
  ])(
    '85. One instance is refused by the network, and asks %s, one token request a life',
    async (_, lifetimeS, own, count) => {
      server.expiresIn = lifetimeS;
      const divert = { from: portOf(server.url), to: 1 };
      const fleet = await start(service(), service(), service(), service(own, { divert }));
      const seen = await fleet.run(RUN_MS);
      expect(failuresOf(seen.slice(0, count))).toEqual({});
      expect(granted).toBeLessThanOrEqual(mostTokens);
      expectCutOff(seen);
    },
    PATIENCE_MS,
  );

  it(
    '85. One instance asks into a black hole → no call fails, and none waits for that one’s deadline',
    async () => {
      const hole = closing(await Listener.open(() => undefined));
      const divert = { from: portOf(server.url), to: hole.port };
      // Far longer than what a busy machine adds to the wait for one that does not answer.
      const timeoutMs = 12_000;
      const healthy = service({ timeoutMs });
      const fleet = await start(healthy, healthy, healthy, service({ ...EAGER, timeoutMs }, { divert }));
      const seen = await fleet.run(RUN_MS);
      expect(failuresOf(seen)).toEqual({});
      for (const { longestMs } of seen) expect(longestMs).toBeLessThan(timeoutMs - 2_000);
      expect(granted).toBeLessThanOrEqual(mostTokens + 2);
      expectCutOff(seen);
    },
    PATIENCE_MS,
  );

  it(
    '85. One instance blocks its event loop in the middle of each token request → no call of the others fails',
    async () => {
      const healthy = service({ timeoutMs: 2_000 });
      const blocked = { forMs: 2_500, port: portOf(server.url) };
      const ill = service({ ...EAGER, timeoutMs: 2_000 }, { blocked });
      const seen = await (await start(healthy, healthy, healthy, ill)).run(RUN_MS);
      expect(failuresOf(seen.slice(0, 3))).toEqual({});
      expect(seen[3]?.tokenRequests).toBeGreaterThan(0);
    },
    PATIENCE_MS,
  );

  it(
    '89. Clocks up to an hour apart → no expired token is sent, one token request a life',
    async () => {
      server.expiresIn = 4;
      const fleet = await start(...[0, HOUR, -HOUR, 5_000].map((aheadMs) => service({}, { aheadMs })));
      const seen = await fleet.run(RUN_MS);
      expect(failuresOf(seen)).toEqual({});
      expect(seen.map(({ rejections }) => rejections)).toEqual([0, 0, 0, 0]);
      expect(granted).toBeLessThanOrEqual(4);
    },
    PATIENCE_MS,
  );

  it.each([5_000, -5_000, HOUR, -HOUR])(
    '89. The token of a machine %d ms ahead is revoked → one more request for all',
    async (aheadMs) => {
      server.expiresIn = 3_600;
      const fleet = await start(service({}, { aheadMs }), service(), service());
      expect(granted).toBe(1);
      server.revokeAll();
      expect(failuresOf(await fleet.run(100))).toEqual({});
      expect(granted).toBe(2);
    },
    PATIENCE_MS,
  );

  it(
    '88. An API learns of tokens 2 s late → no call fails but those with the revoked token, and one token for all',
    async () => {
      server.expiresIn = 3_600;
      const fleet = await start(service(), service(), service());
      server.apiLearnsAfterMs = 2_000;
      server.revokeAll();
      for (const index of [0, 1, 2]) await fleet.call(index);
      expect(failuresOf(await fleet.run(2_500))).toEqual({});
      expect(granted).toBe(2);
    },
    PATIENCE_MS,
  );

  describe('of a server that keeps one valid token per client', () => {
    beforeEach(() =>
      server.alwaysRespond(() => {
        server.revokeAll();
        return token();
      }),
    );

    it(
      '90. With a store → no call fails',
      async () => {
        // On a busy machine a call may take longer than a shorter life, and meet one replacement after the other.
        server.expiresIn = 5;
        const fleet = await start(...Array.from({ length: 4 }, () => service()));
        expect(failuresOf(await fleet.run(RUN_MS))).toEqual({});
        expect(granted).toBeLessThanOrEqual(mostTokens);
      },
      PATIENCE_MS,
    );

    it(
      '90. Without a store → one warning for each instance that a store is needed',
      async () => {
        server.expiresIn = 3_600;
        const alone = { client: clientOf(server), encryptionKey };
        const fleet = await start(alone, alone);
        for (let round = 0; round < 4; round++) for (const index of [0, 1]) await fleet.call(index);
        for (const { warnings } of [await fleet.call(0), await fleet.call(1)])
          expect(warnings.filter((line) => line.includes('one valid token per client'))).toHaveLength(1);
      },
      PATIENCE_MS,
    );
  });
});

/** A port, and what it does with connections. */
class Listener {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  private constructor(server: Server, sockets: Set<Socket>) {
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
    this.#sockets = sockets;
  }

  static async open(onConnection: (socket: Socket) => void): Promise<Listener> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket.on('error', () => socket.destroy()));
      onConnection(socket);
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    return new Listener(server, sockets);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((closed) => this.#server.close(closed));
  }
}

function portOf(url: string): number {
  return Number(new URL(url).port);
}
