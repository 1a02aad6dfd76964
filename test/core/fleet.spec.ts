import { describe, expect, it } from '@jest/globals';
import {
  AuthorizationServerUnavailableError,
  OAuthClientError,
  TokenRequestError,
} from '../../lib/core/errors.js';
import { MemoryTokenStore } from '../../lib/core/memory-token-store.js';
import type { TokenStore } from '../../lib/core/token-store.js';
import { LockingStore } from './locking-store.js';
import { Scenario, type ScenarioOptions } from './scenario.js';
import { rejected, unavailable } from './scripted-endpoint.js';
import { VirtualClock } from './virtual-clock.js';

const UNREACHABLE = { error: new AuthorizationServerUnavailableError('could not be reached'), latencyMs: 0 };

/** So many instances on one clock and one store. */
function fleet(size: number, options: ScenarioOptions = {}): Scenario[] {
  const shared: ScenarioOptions & { clock: VirtualClock; store: TokenStore } = {
    clock: new VirtualClock(),
    store: new LockingStore(),
    lifetimeMs: 60_000,
    ...options,
  };
  return Array.from({ length: size }, () => named(new Scenario(shared)));
}

let instances = 0;
/** No two servers call their tokens the same. */
function named(instance: Scenario): Scenario {
  instance.endpoint.prefix = `token-${++instances}-`;
  return instance;
}

const postsOf = (instances: Scenario[]) => instances.map(({ endpoint }) => endpoint.posts);

describe('Instances whose credentials were rejected', () => {
  /** Two with old credentials, and one with new ones. */
  function halfRotated(): [Scenario, Scenario, Scenario] {
    const [one, two, healthy] = fleet(3) as [Scenario, Scenario, Scenario];
    one.endpoint.credentials = two.endpoint.credentials = 'old';
    healthy.endpoint.credentials = 'new';
    one.endpoint.otherwise = two.endpoint.otherwise = rejected();
    return [one, two, healthy];
  }

  it('85. A rejection holds for all instances with the same credentials, as the error that it was, and for no other', async () => {
    const [one, two, healthy] = halfRotated();
    const own = await one.failure();
    await one.clock.advance(1_000);
    const shared = await two.failure();
    expect(shared).toBeInstanceOf(TokenRequestError);
    expect({ ...(shared as object) }).toEqual({ ...(own as object) });
    expect(two.client.status().tokenRequests).toBe(0);
    expect(two.client.status().backoffUntil).toEqual(one.client.status().backoffUntil);
    expect(await healthy.token()).toBeDefined();
    expect([one, two, healthy].map(({ client }) => client.status().tokenRequests)).toEqual([1, 0, 1]);
  });

  it('85. It lasts 5 s from when the server said it, however many instances learn of it', async () => {
    const [one, two] = halfRotated();
    await one.failure();
    await one.clock.advance(4_900);
    await two.failure();
    await one.clock.advance(100);
    await two.failure();
    expect(two.client.status().tokenRequests).toBe(1);
  });

  it('85. An instance that gets other credentials asks at once after its own pause', async () => {
    const [one, two] = halfRotated();
    await one.failure();
    two.endpoint.credentials = 'new';
    two.endpoint.otherwise = {};
    await two.token();
    expect(two.client.status().tokenRequests).toBe(1);
  });

  it.each([
    ['without a code, which may be a proxy’s', undefined],
    ['of a DPoP proof', 'invalid_dpop_proof'],
    ['for want of a nonce', 'use_dpop_nonce'],
  ])('85. A refusal %s holds for one instance alone', async (_what, error) => {
    const [one, two] = halfRotated();
    const refusal = new TokenRequestError('refused', { client: 'buoy', status: 403, error });
    one.endpoint.otherwise = { error: refusal };
    two.endpoint.otherwise = {};
    await one.failure();
    expect(await two.token()).toBeDefined();
  });
});

describe('Instances that are not well', () => {
  it('85. During its cool-down an instance has the token of another one at once', async () => {
    const [ill, healthy] = fleet(2) as [Scenario, Scenario];
    ill.endpoint.otherwise = UNREACHABLE;
    await ill.failure();
    await expect(ill.atOnce()).rejects.toThrow('could not be reached');
    const { value } = await healthy.token();
    await ill.clock.advance(50);
    expect(await ill.atOnce()).toMatchObject({ value });
    expect(ill.client.status()).toMatchObject({ state: 'degraded', backoffUntil: expect.any(Date) });
  });

  it('85. A token that an API rejected is not taken from the store during a cool-down', async () => {
    class Unforgetting extends LockingStore {
      override delete(): Promise<void> {
        return super.delete('nothing');
      }
    }
    const scenario = new Scenario({ store: new Unforgetting() });
    const revoked = await scenario.token();
    scenario.endpoint.otherwise = UNREACHABLE;
    scenario.client.life().reject(revoked);
    await scenario.failure();
    await expect(scenario.atOnce()).rejects.toThrow('could not be reached');
  });

  it('85. It lives through many lives of their tokens without one failed call', async () => {
    const [ill, healthy] = fleet(2, { lifetimeMs: 2_000 }) as [Scenario, Scenario];
    const { clock } = ill;
    await healthy.token();
    await ill.token();
    ill.endpoint.otherwise = UNREACHABLE;
    for (const end = clock.elapsed + 60_000; clock.elapsed < end;) {
      const [one, other] = await clock.until(Promise.all([ill.client.getToken(), healthy.client.getToken()]));
      expect([one, other].every((token) => healthy.endpoint.isValid(token))).toBe(true);
      await clock.advance(25);
    }
    expect(healthy.endpoint.posts).toBeLessThan(60_000 / 1_400);
  });

  it('85. Nobody waits for the deadline of an instance that asks into a black hole, and it gets their token', async () => {
    const [ill, healthy, third] = fleet(3) as [Scenario, Scenario, Scenario];
    const { clock } = ill;
    ill.endpoint.otherwise = { hang: true };
    const waiting = ill.client.getToken();
    await clock.advance(100);
    const served = Promise.all([healthy.client.getToken(), third.client.getToken()]);
    const [token] = await clock.until(served);
    expect(clock.elapsed).toBeLessThan(2_500);
    expect((await clock.until(waiting)).value).toBe(token.value);
    expect(clock.elapsed).toBeLessThan(3_000);
    expect(postsOf([healthy, third]).toSorted()).toEqual([0, 1]);
    expect(ill.endpoint.requests.map(({ state }) => state)).toEqual(['aborted']);
  });

  it('85. From then on nobody waits for it at all, until it is heard again', async () => {
    const [ill, healthy] = fleet(2) as [Scenario, Scenario];
    const { clock } = ill;
    ill.endpoint.otherwise = { hang: true };
    const first = ill.client.getToken();
    await clock.advance(100);
    await healthy.token();
    await clock.until(first);

    for (const instance of [ill, healthy]) instance.client.invalidate();
    const second = ill.client.getToken();
    await clock.advance(100);
    const before = clock.elapsed;
    const { value } = await healthy.token();
    expect(clock.elapsed - before).toBe(50);
    expect((await clock.until(second)).value).toBe(value);

    ill.endpoint.otherwise = {};
    ill.client.invalidate();
    await ill.token();
    for (const instance of [ill, healthy]) instance.client.invalidate();
    const posts = healthy.endpoint.posts;
    await clock.advance(1);
    const third = ill.client.getToken();
    await clock.advance(0);
    await healthy.token();
    await clock.until(third);
    expect(healthy.endpoint.posts).toBe(posts);
  });

  it('85. While the server is down for all, they ask one after the other, two at once if that takes long', async () => {
    const instances = fleet(6, { retry: { attempts: 1 } });
    const [{ clock }] = instances as [Scenario];
    let open = 0;
    let most = 0;
    for (const { endpoint } of instances) {
      endpoint.otherwise = { ...UNREACHABLE, latencyMs: 300 };
      endpoint.onRequest = () => (most = Math.max(most, ++open));
      endpoint.onAnswer = () => open--;
    }
    const ask = () => Promise.allSettled(instances.map(({ client }) => client.getToken()));
    await clock.until(ask());
    most = 0;
    await clock.advance(2_000);
    await clock.until(ask());
    expect(most).toBeLessThanOrEqual(2);
  });

  it('28. A Retry-After that ends → still one of them asks', async () => {
    const instances = fleet(4);
    const [told] = instances as [Scenario];
    const { clock } = told;
    told.endpoint.next(unavailable({ retryAfterMs: 20_000 }));
    await told.failure();
    await clock.advance(20_000);
    await clock.until(Promise.all(instances.map(({ client }) => client.getToken())));
    expect(instances.reduce((sum, { endpoint }) => sum + endpoint.posts, 0)).toBe(2);
  });

  it('28. A Retry-After longer than a flight may hold its lock ends the flight; nobody asks earlier', async () => {
    const instances = fleet(3, { timeoutMs: 500, retry: { attempts: 2, maxDelayMs: 500 } });
    const [told] = instances as [Scenario];
    const { clock } = told;
    told.endpoint.next(unavailable({ retryAfterMs: 10_000 }));
    expect(await told.failure()).toMatchObject({ retryAfterMs: 10_000 });
    expect(clock.elapsed).toBe(50);
    const posts = () => instances.reduce((sum, { endpoint }) => sum + endpoint.posts, 0);
    for (let i = 0; i < 9; i++) {
      for (const { client } of instances) client.getToken().catch(() => undefined);
      await clock.advance(1_000);
      expect(posts()).toBe(1);
    }
    await clock.advance(1_000);
    await clock.until(Promise.all(instances.map(({ client }) => client.getToken())));
    expect(posts()).toBe(2);
  });

  it('52. Nobody uses a grant while another one does, however long that takes', async () => {
    const [ill, healthy] = fleet(2) as [Scenario, Scenario];
    ill.endpoint.rotates = healthy.endpoint.rotates = true;
    ill.endpoint.otherwise = { hang: true };
    const failing = ill.client.getToken().catch((error: OAuthClientError) => error.code);
    await ill.clock.advance(100);
    const waiting = healthy.client.getToken();
    await ill.clock.advance(4_000);
    expect(healthy.endpoint.posts).toBe(0);
    await ill.clock.until(waiting);
    expect(await ill.clock.until(failing)).toBe('authorization_server_unavailable');
  });

  it('56. A slow server is asked by a few, not by all', async () => {
    const instances = fleet(20, { latencyMs: 4_000 });
    const [{ clock }] = instances as [Scenario];
    await clock.until(Promise.all(instances.map(({ client }) => client.getToken())));
    expect(instances.reduce((sum, { endpoint }) => sum + endpoint.posts, 0)).toBeLessThanOrEqual(2);
  });
});

describe('Tokens of machines whose clocks differ', () => {
  it.each([5_000, -5_000])(
    '89. One of a machine %d ms ahead is revoked → one request replaces it',
    async (aheadMs) => {
      const store = new LockingStore();
      const clocks = [new VirtualClock(), new VirtualClock(), new VirtualClock()];
      clocks[0]!.setBack(-aheadMs);
      const instances = clocks.map((clock) => named(new Scenario({ clock, store })));
      const [first] = instances as [Scenario];
      await first.token();
      const revoked = [];
      for (const instance of instances) revoked.push(await instance.token());
      for (const { clock } of instances) await clock.advance(1_000);
      for (const [index, { client }] of instances.entries()) {
        client.life().accept(revoked[index]!);
        client.life().reject(revoked[index]!);
      }
      const [, second, third] = instances as [Scenario, Scenario, Scenario];
      const { value } = await second.token();
      expect((await third.token()).value).toBe(value);
      expect((await first.token()).value).toBe(value);
      expect(postsOf(instances)).toEqual([1, 1, 0]);
    },
  );
});

describe('A server that keeps one valid token per client', () => {
  it('90. Tokens that another instance replaced count for no limit', async () => {
    const [one, two] = fleet(2, { lifetimeMs: 3_600_000 }) as [Scenario, Scenario];
    for (let i = 0; i < 50; i++) {
      const displaced = await one.token();
      one.client.life().accept(displaced);
      await two.token();
      await two.token({ forceRefresh: true });
      await one.clock.advance(10);
      expect(one.client.life().reject(displaced)).toBe('replaceable');
      expect((await one.token()).value).not.toBe(displaced.value);
    }
    expect(one.endpoint.posts).toBe(1);
    expect(one.events.some((event) => 'unshared' in event && event.unshared)).toBe(false);
  });

  it('90. Without a shared store the third of them in a row is reported as such', async () => {
    const { client, events, ...scenario } = new Scenario({ store: new MemoryTokenStore() });
    for (let i = 0; i < 3; i++) {
      const token = await scenario.clock.until(client.getToken());
      client.life().accept(token);
      client.life().reject(token);
    }
    const reports = events.flatMap((event) => (event.type === 'token_rejected' ? [event.unshared] : []));
    expect(reports).toEqual([false, false, true]);
  });

  it('90. Tokens that no API has accepted are not', async () => {
    const scenario = new Scenario();
    for (let i = 0; i < 5; i++) {
      scenario.client.life().reject(await scenario.token());
      await scenario.clock.advance(500);
    }
    const reports = scenario.events.flatMap((event) =>
      event.type === 'token_rejected' ? [event.unshared] : [],
    );
    expect(new Set(reports)).toEqual(new Set([false]));
  });
});
