import { beforeEach, describe, expect, it } from '@jest/globals';
import { MemoryTokenStore, type OAuthClientOptions } from 'nestjs-oauth-client';
import { Agent } from 'node:http';
import { OAuthClientRegistry } from '../../lib/nest/oauth-client-registry.js';
import { Application } from '../support/application.js';
import { Clinics } from '../support/clinics.js';
import { eventually } from '../support/eventually.js';

let clinics: Clinics;
beforeEach(async () => {
  clinics = await Clinics.with('a', 'b', 'c', 'd');
});

const start = (maxTenants: number, own: OAuthClientOptions = {}) =>
  Application.start({
    oauth: {
      clients: { lab: clinics.client(own) },
      maxTenants,
      store: new MemoryTokenStore({ maxEntries: 100 }),
    },
    secrets: [/my (other )?secret/],
  });
const known = (app: Application) => app.tokens.status()[0]?.tenants?.known;

describe('Of many tenants', () => {
  it('78. those used last are kept, and one that fell out is asked for again', async () => {
    const app = await start(2);
    for (const tenant of ['a', 'b', 'a', 'c']) await app.token({ tenant });
    expect(known(app)).toBe(2);
    await app.token({ tenant: 'a' });
    expect(clinics.asked).toEqual(['a', 'b', 'c']);
    await app.token({ tenant: 'b' });
    expect(clinics.asked).toEqual(['a', 'b', 'c', 'b']);
    expect(clinics.requested).toHaveLength(3); // its token is still in the store
  });

  it('78. the limit holds for all clients together', async () => {
    const lab = clinics.client();
    const app = await Application.start({ oauth: { clients: { lab, post: lab }, maxTenants: 3 } });
    for (const tenant of ['a', 'b'])
      for (const client of ['lab', 'post']) await app.token({ tenant }, client);
    expect(app.tokens.status().map(({ tenants }) => tenants?.known)).toEqual([1, 2]);
  });

  it('78. none falls out while its token request is under way, and the limit holds again after it', async () => {
    const app = await start(2);
    clinics.server.latencyMs = 50;
    const tokens = ['a', 'b', 'c', 'd'].map((tenant) => app.token({ tenant }));
    await eventually(() => clinics.requested.length === 4);
    expect(known(app)).toBe(4);
    await Promise.all(tokens);
    expect(known(app)).toBe(2);
    expect(clinics.asked).toHaveLength(4);
  });

  it('78. one that falls out takes its tokens in memory along', async () => {
    const app = await start(1);
    const { tokens } = app.app.get(OAuthClientRegistry, { strict: false }).runtime;
    for (const tenant of ['a', 'b', 'c', 'd'])
      for (const scope of ['read', 'write', 'delete']) await app.token({ tenant, scope });
    expect([...tokens.values()]).toHaveLength(3);
    await app.tokens.forgetTenant('lab');
    expect([...tokens.values()]).toHaveLength(0);
  });

  it('78. the function is asked once each, and what it fails for is kept nowhere', async () => {
    const app = await start(10);
    for (let round = 0; round < 3; round++)
      await Promise.all(
        Array.from({ length: 50 }, (_, at) => app.failure(app.token({ tenant: `nobody-${at}` }))),
      );
    expect(known(app)).toBe(0);
    expect(clinics.asked).toHaveLength(150);
  });
});

describe('78. 10,000 tenants with maxTenants 1,000', () => {
  it('78. under load: each gets its own tokens only, and as many clients, agents and sockets stay as are kept', async () => {
    const agents = new Set<Agent>();
    const answers: string[] = [];
    const adapter: OAuthClientOptions['http'] = {
      adapter: async (config: import('axios').InternalAxiosRequestConfig) => {
        const id = new URLSearchParams(String(config.data)).get('client_id');
        const token = { access_token: `access-token-${id}-1`, token_type: 'Bearer', expires_in: 3_600 };
        const isToken = config.url === clinics.server.tokenEndpoint;
        const data: unknown = isToken ? JSON.stringify(token) : config.headers.get('Authorization');
        return { data, status: 200, statusText: 'OK', headers: {}, config };
      },
    };
    const app = await start(1_000, {
      http: adapter,
      tenants: (tenant) => {
        const httpAgent = new Agent({ keepAlive: true });
        agents.add(httpAgent);
        return { clientId: `id-of-${tenant}`, clientSecret: 'my secret', http: { httpAgent } };
      },
    });
    const { runtime } = app.app.get(OAuthClientRegistry, { strict: false });
    const call = async (at: number) => {
      const oauth = { tenant: `t${at % 10_000}` };
      const { data } = await app.get('/x', { oauth });
      if (data !== `Bearer access-token-id-of-${oauth.tenant}-1`) answers.push(String(data));
    };
    for (let from = 0; from < 10_500; from += 500) {
      await Promise.all(Array.from({ length: 500 }, (_, at) => call(from + at)));
      expect(known(app)).toBeLessThanOrEqual(1_000);
      // One of each kind will do for the search for secrets.
      app.events.length = app.log.lines.length = 5;
    }
    expect(answers).toEqual([]);
    expect(known(app)).toBe(1_000);
    expect(agents.size).toBe(10_500); // asked again for each that had fallen out
    expect([...runtime.tokens.values()].length).toBeLessThanOrEqual(100);
    expect(app.tokens.status()).toHaveLength(1);
  }, 120_000);

  it('78. over sockets: no tenant gets another one’s token, and idle connections go with their tenants', async () => {
    const tenants = Array.from({ length: 60 }, (_, at) => `t${at}`);
    for (const tenant of tenants) clinics.add(tenant);
    const agents: Agent[] = [];
    const { tenants: find } = clinics.client();
    const app = await start(10, {
      tenants: async (tenant) => {
        const httpAgent = new Agent({ keepAlive: true });
        agents.push(httpAgent);
        return { ...(await find?.(tenant)), http: { httpAgent } };
      },
    });
    const idle = () => agents.flatMap(({ freeSockets }) => Object.values(freeSockets).flat()).length;
    for (let round = 0; round < 3; round++)
      for (let from = 0; from < tenants.length; from += 20)
        await Promise.all(
          tenants.slice(from, from + 20).map(async (tenant) => {
            const { data } = await app.get('/x', { oauth: { tenant } });
            expect(data).toEqual({ owner: `id-of-${tenant}` });
          }),
        );
    expect(known(app)).toBeLessThanOrEqual(10);
    await app.tokens.forgetTenant('lab');
    await eventually(() => idle() === 0);
  });
});
