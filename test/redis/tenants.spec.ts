import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { RedisTokenStore } from '../../lib/redis.js';
import { Application } from '../support/application.js';
import { Clinics } from '../support/clinics.js';
import { RedisServer, describeWithRedisServers } from './redis-server.js';

describeWithRedisServers('78. The tenants of two instances with one Redis', () => {
  let redis: RedisServer;
  let clinics: Clinics;
  let instances: [Application, Application];

  beforeAll(async () => {
    redis = await RedisServer.start();
  });
  afterAll(() => redis.stop());
  beforeEach(async () => {
    await redis.repair();
    await redis.admin.flushall();
    clinics = await Clinics.with('north', 'south');
    instances = [await start(), await start()];
  });

  const start = () =>
    Application.start({
      oauth: {
        clients: { lab: clinics.client() },
        store: new RedisTokenStore(
          { host: '127.0.0.1', port: redis.port },
          { encryptionKeys: 'none', timeoutMs: 1_000 },
        ),
      },
      secrets: [/my (other )?secret/],
    });
  const stored = async () => (await redis.admin.keys('*')).length;

  it('78. share one token each, and no tenant has another one’s', async () => {
    const tokens = await Promise.all(
      instances.flatMap((app) => ['north', 'south'].map((tenant) => app.token({ tenant }))),
    );
    expect(new Set(tokens.map(({ value }) => value)).size).toBe(2);
    expect(clinics.requested.toSorted()).toEqual(['id-of-north', 'id-of-south']);
  });

  it('78. forgotten on one, a tenant is gone from the store, and the other tenant stays', async () => {
    const [one, other] = instances;
    for (const app of instances) for (const tenant of ['north', 'south']) await app.token({ tenant });
    const before = await stored();
    await one.tokens.forgetTenant('lab', 'north');
    expect(await stored()).toBe(before - 1);
    const renewed = await one.token({ tenant: 'north' });
    await other.tokens.forgetTenant('lab', 'north');
    expect((await other.token({ tenant: 'north' })).value).not.toBe(renewed.value);
    await one.token({ tenant: 'south' });
    expect(clinics.requested).toEqual(['id-of-north', 'id-of-south', 'id-of-north', 'id-of-north']);
  });

  it('78. forgotten on one and rotated, a tenant goes on with the new credentials on both', async () => {
    const [one, other] = instances;
    const old = await one.token({ tenant: 'north' });
    await other.token({ tenant: 'north' });
    clinics.rotate('north');
    await one.tokens.forgetTenant('lab', 'north');
    clinics.revoke(old);
    const oauth = { tenant: 'north' };
    expect((await one.get('/x', { oauth })).data).toEqual({ owner: 'id-of-north' });
    expect((await other.get('/x', { oauth })).data).toEqual({ owner: 'id-of-north' });
    expect(clinics.requested).toHaveLength(2); // the other one took the new token out of the store
  });

  it('78. rotated, a tenant’s refusal that one has shared does not keep the other from its new credentials', async () => {
    const [one, other] = instances;
    const old = await one.token({ tenant: 'north' });
    await other.token({ tenant: 'north' });
    clinics.rotate('north', false);
    clinics.revoke(old);
    const oauth = { tenant: 'north' };
    expect(await one.failure(one.get('/x', { oauth }))).toMatchObject({
      error: 'invalid_client',
      tenant: 'north',
    });
    expect(await other.failure(other.get('/x', { oauth }))).toMatchObject({
      error: 'invalid_client',
      tenant: 'north',
    });
    const sent = clinics.requested.length;
    clinics.rotate('north');
    for (const app of [other, one])
      expect((await app.get('/x', { oauth })).data).toEqual({ owner: 'id-of-north' });
    expect(clinics.requested).toHaveLength(sent + 1);
  });
});
