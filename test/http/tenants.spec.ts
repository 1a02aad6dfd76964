import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createServer, Agent as HttpAgent, type IncomingMessage, type Server } from 'node:http';
import { Agent } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { once } from 'node:events';
import axios, { AxiosError } from 'axios';
import axiosRetry from 'axios-retry';
import { decodeProtectedHeader } from 'jose';
import type { OAuthClientOptions } from 'nestjs-oauth-client';
import { Application } from '../support/application.js';
import { Authority, fingerprintOf } from '../support/certificates.js';
import { Clinics } from '../support/clinics.js';
import { closing } from '../support/closing.js';
import { eventually } from '../support/eventually.js';
import { TlsServer } from '../support/tls-server.js';

let clinics: Clinics;
beforeEach(async () => {
  clinics = await Clinics.with('north', 'south');
});

const start = (own: OAuthClientOptions = {}, maxTenants = 1_000) =>
  Application.start({
    oauth: { clients: { lab: clinics.client(own) }, maxTenants },
    secrets: [/my (other )?secret/],
  });

/** A request of a tenant, by Axios or fetch, and the answer's body. */
const ways = {
  HttpService: async (
    app: Application,
    url: string,
    oauth: object | false,
    init: object = {},
  ): Promise<unknown> => (await app.get(url, { oauth, ...init })).data,
  fetch: async (app: Application, url: string, oauth: object | false, init: object = {}): Promise<unknown> =>
    (await app.fetch()(url, { oauth, ...init })).json(),
};
type Way = keyof typeof ways;

/** An API of a tenant's own, which tells what it gets. */
async function ownApi(): Promise<{ url: string; close(): Promise<void>; sockets: Set<Socket> }> {
  const server: Server = createServer((request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ url: request.url, headers: request.headers }));
  });
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.keepAliveTimeout = 60_000;
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const close = async () => {
    server.closeAllConnections();
    await once(server.close(), 'close');
  };
  return closing({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close, sockets });
}

describe.each(Object.keys(ways) as Way[])('78. A request of a tenant by %s', (way) => {
  const send = ways[way];

  it('78. goes to the baseURL of its tenant, with its headers and parameters, and else to the common one', async () => {
    const { url } = await ownApi();
    clinics.add('north', {
      baseURL: `${url}/north`,
      http: { headers: { 'x-key': 'of north', 'x-env': 'live' } },
    });
    const app = await start({ http: { headers: { 'x-env': 'test', 'x-all': 'yes' } } });
    expect(await send(app, '/x', { tenant: 'north' })).toMatchObject({
      url: '/north/x',
      headers: {
        authorization: expect.stringMatching(/^Bearer access-token-id-of-north-\d$/),
        'x-key': 'of north',
        'x-env': 'live',
        'x-all': 'yes',
      },
    });
    const own = { headers: { 'x-env': 'of the caller' } };
    expect(await send(app, '/x', { tenant: 'north' }, own)).toMatchObject({
      headers: { 'x-env': 'of the caller' },
    });
    expect(await send(app, '/x', { tenant: 'south' })).toEqual({ owner: 'id-of-south' });
    expect(clinics.server.apiRequests.at(-1)?.headers).toMatchObject({ 'x-env': 'test', 'x-all': 'yes' });
    expect(clinics.server.apiRequests.at(-1)?.headers).not.toHaveProperty('x-key');
  });

  it('78. may not go to the origins of another tenant, nor to a common one in whose place its own are', async () => {
    const [{ url: north }, { url: south }] = [await ownApi(), await ownApi()];
    clinics.add('north', { baseURL: north });
    clinics.add('south', { baseURL: south, allowedOrigins: [`${clinics.server.url}/api/open`] });
    const app = await start();
    const refused = (url: string, tenant: string) => app.failure(send(app, url, { tenant }));
    for (const [url, tenant] of [
      [`${south}/x`, 'north'],
      [`${north}/x`, 'south'],
      [`${clinics.server.apiURL}/x`, 'north'],
      [`${clinics.server.apiURL}/x`, 'south'],
    ] as const)
      expect(await refused(url, tenant)).toMatchObject({
        code: 'origin_not_allowed',
        client: 'lab',
        tenant,
        origin: new URL(url).origin,
      });
    expect(clinics.server.apiRequests).toEqual([]);
    expect(await send(app, `${clinics.server.url}/api/open`, { tenant: 'south' })).toEqual({
      owner: 'id-of-south',
    });
  });

  it('78. needs no tenant without a token, but takes one’s baseURL', async () => {
    const { url } = await ownApi();
    clinics.add('north', { baseURL: url });
    const app = await start();
    clinics.server.onApiRequest = () => ({ status: 200, body: { common: true } });
    expect(await send(app, '/x', false)).toEqual({ common: true });
    const headers = { authorization: 'Basic of-the-caller' };
    expect(await send(app, '/x', {}, { headers })).toEqual({ common: true });
    expect(await send(app, '/x', { tenant: 'north' }, { headers })).toMatchObject({ url: '/x', headers });
    expect(clinics.server.tokenRequests).toEqual([]);
  });

  it('78. is replayed with another token of its tenant after a 401', async () => {
    const app = await start();
    const token = await app.token({ tenant: 'north' });
    const other = await app.token({ tenant: 'south' });
    clinics.revoke(token);
    expect(await send(app, '/x', { tenant: 'north' })).toEqual({ owner: 'id-of-north' });
    expect(await app.token({ tenant: 'south' })).toBe(other);
    expect(clinics.requested).toEqual(['id-of-north', 'id-of-south', 'id-of-north']);
    expect(app.events.filter(({ type }) => type === 'token_rejected')).toMatchObject([{ tenant: 'north' }]);
  });

  it('78. goes on with new credentials after a 401, as it was, when the old ones are refused by then', async () => {
    const app = await start();
    const token = await app.token({ tenant: 'north' });
    clinics.revoke(token);
    clinics.rotate('north');
    clinics.server.respondToApiWith(
      { status: 401, body: {} },
      { status: 307, headers: { location: `${clinics.server.apiURL}/moved` }, body: '' },
    );
    expect(await send(app, '/x', { tenant: 'north' })).toEqual({ owner: 'id-of-north' });
    expect(clinics.server.apiRequests.map(({ url }) => url)).toEqual(['/api/x', '/api/x', '/api/moved']);
  });

  it('78. names its tenant in the error, and sends nothing, when there is no token', async () => {
    clinics.secrets.delete('id-of-north');
    const app = await start();
    const body = { method: 'POST', data: { n: 1 }, body: '{"n":1}' };
    expect(await app.failure(send(app, '/x', { tenant: 'north' }, body))).toMatchObject({ tenant: 'north' });
    expect(clinics.server.apiRequests).toEqual([]);
  });
});

describe.each(Object.keys(ways) as Way[])('Headers that are functions, by %s', (way) => {
  const send = ways[way];
  const asked: string[] = [];
  const header = (name: string) => async () => {
    asked.push(name);
    return name;
  };

  it('78. are asked at each request of their tenant, and common ones only where the tenant has no other', async () => {
    const { url } = await ownApi();
    clinics.add('north', { baseURL: url, http: { headers: { 'x-key': header('north') } } });
    clinics.add('south', { baseURL: url });
    const app = await start({ http: { headers: { 'x-key': header('common') } } });
    await app.token({ tenant: 'north' });
    await app.token({ tenant: 'south' });
    asked.length = 0;
    const get = (tenant: string, init = {}) => send(app, '/x', { tenant }, init);
    expect(await get('north')).toMatchObject({ headers: { 'x-key': 'north' } });
    expect(await get('south')).toMatchObject({ headers: { 'x-key': 'common' } });
    const own = { headers: { 'X-Key': 'of the caller' } };
    expect(await get('south', own)).toMatchObject({ headers: { 'x-key': 'of the caller' } });
    expect(asked).toEqual(['north', 'common']);
  });

  it('68. are asked at each request without tenants as well, and one that fails is a typed error', async () => {
    const { url } = await ownApi();
    const headers = {
      'x-key': header('common'),
      'X-Case': 'common',
      get: { 'x-case': 'of get', 'x-get': 'yes' },
      'x-bad': () => 'well' as string | undefined,
    };
    const options = { ...clinics.client(), ...clinics.table.get('north'), tenants: undefined, baseURL: url };
    const app = await Application.client({ ...options, http: { headers } });
    expect(await send(app, '/x', {})).toMatchObject({
      headers: { 'x-key': 'common', 'x-case': 'common', 'x-get': 'yes' },
    });
    const own = { headers: { 'X-KEY': 'of the caller' } };
    expect(await send(app, '/x', {}, own)).toMatchObject({ headers: { 'x-key': 'of the caller' } });
    headers['x-bad'] = () => undefined;
    const another = await Application.client({ ...options, http: { headers } });
    expect(await app.failure(send(another, '/x', {}))).toMatchObject({ code: 'credentials_unavailable' });
  });

  it('78. take the place of a common one whatever its case', async () => {
    const { url } = await ownApi();
    clinics.add('north', { baseURL: url, http: { headers: { 'x-key': 'of north' } } });
    const app = await start({ http: { headers: { 'X-Key': 'common' } } });
    expect(await send(app, '/x', { tenant: 'north' })).toMatchObject({ headers: { 'x-key': 'of north' } });
  });
});

it('78. A header that an Axios request sets to null has the default of its tenant; false, Axios’s word for none, keeps it off', async () => {
  const { url } = await ownApi();
  clinics.add('north', { baseURL: url, http: { headers: { 'x-key': 'of north' } } });
  const app = await start();
  const get = (value: unknown) =>
    ways.HttpService(app, '/x', { tenant: 'north' }, { headers: { 'x-key': value } });
  expect(await get(null)).toMatchObject({ headers: { 'x-key': 'of north' } });
  expect(await get(false)).not.toHaveProperty('headers.x-key');
});

describe('A request that another client of its HttpService sends', () => {
  it('78. has the defaults of the HttpService, and not those of the other client’s tenant', async () => {
    const { url } = await ownApi();
    clinics.add('north', { allowedOrigins: [url], http: { headers: { 'x-key': 'of north' } } });
    const plain = { ...clinics.client(), ...clinics.table.get('south'), tenants: undefined };
    const app = await Application.start({
      oauth: {
        clients: {
          plain: { ...plain, baseURL: url, http: { headers: { 'x-own': 'plain' } } },
          lab: clinics.client(),
        },
      },
      secrets: [/my secret/],
    });
    const { headers } = (await app.get('/x', { oauth: { client: 'lab', tenant: 'north' } })).data as {
      headers: object;
    };
    expect(headers).toMatchObject({
      authorization: expect.stringContaining('id-of-north'),
      'x-own': 'plain',
    });
    expect(headers).not.toHaveProperty('x-key');
  });
});

describe.each(Object.keys(ways) as Way[])('Options of one tenant alone, by %s', (way) => {
  const send = ways[way];

  it('78. its tokenHeader, its DPoP key and what counts as a 401 hold for its requests alone', async () => {
    clinics.add('north', { tokenHeader: { name: 'x-token' }, unauthorized: { statuses: [403] } });
    clinics.add('south', { dpop: true });
    clinics.add('east', { dpop: true });
    const app = await start();
    const answers = new Map<string, number>();
    clinics.server.onApiRequest = ({ url }) => {
      const seen = (answers.get(url) ?? 0) + 1;
      answers.set(url, seen);
      return { status: url === '/api/north' && seen === 1 ? 403 : 200, body: {} };
    };
    clinics.server.alwaysRespond(({ form }) => {
      const id = form?.get('client_id') ?? '';
      return clinics.server.nextToken({
        access_token: `access-token-${id}-${clinics.server.tokenRequests.length}`,
        token_type: id === 'id-of-north' ? 'Bearer' : 'DPoP',
      });
    });
    for (const tenant of ['north', 'south', 'east']) await send(app, `/${tenant}`, { tenant });
    const [first, replay, south, east] = clinics.server.apiRequests.map(({ headers }) => headers);
    expect(first).toMatchObject({ 'x-token': expect.stringMatching(/^access-token-id-of-north-/) });
    expect(replay?.['x-token']).not.toBe(first?.['x-token']);
    for (const headers of [first, replay]) expect(headers).not.toHaveProperty('authorization');
    const keys = [south, east].map((headers) => decodeProtectedHeader(String(headers?.['dpop'])).jwk?.x);
    expect(new Set(keys).size).toBe(2);
    for (const [at, headers] of [south, east].entries()) {
      expect(headers).not.toHaveProperty('x-token');
      expect(headers?.authorization).toMatch(
        at === 0 ? /^DPoP access-token-id-of-south-/ : /^DPoP access-token-id-of-east-/,
      );
    }
    expect(clinics.server.apiRequests).toHaveLength(4);
  });
});

describe('An instance that carries the tokens of all clients', () => {
  it('78. sends a request with the token of the client and tenant that it names, within their origins', async () => {
    const { url } = await ownApi();
    clinics.add('north', { baseURL: url });
    const app = await start();
    const instance = axios.create();
    app.interceptor.attach(instance);
    axiosRetry(instance, { retries: 1, retryCondition: () => true });
    const get = (to: string, tenant: string) =>
      instance.get<unknown>(to, { oauth: { client: 'lab', tenant } });
    const authorization = expect.stringContaining('id-of-north');
    expect((await get(`${url}/x`, 'north')).data).toMatchObject({ headers: { authorization } });
    clinics.server.respondToApiWith({ status: 503, body: {} });
    expect((await get(`${clinics.server.apiURL}/x`, 'south')).data).toEqual({ owner: 'id-of-south' });
    expect(await app.failure(get(`${url}/x`, 'south'))).toMatchObject({
      code: 'origin_not_allowed',
      tenant: 'south',
    });
    expect(await app.failure(instance.get(`${clinics.server.apiURL}/x`))).toMatchObject({
      code: 'tenant_required',
    });
    expect(clinics.server.apiRequests).toHaveLength(2);
  });
});

describe('A caller of a tenant’s request that leaves', () => {
  it('42. gets the adapter’s own cancellation once the request is under way, and its connection ends', async () => {
    let arrived = (_: IncomingMessage) => {};
    const arrival = new Promise<IncomingMessage>((resolve) => (arrived = resolve));
    const silent = createServer((request) => arrived(request));
    await once(silent.listen(0, '127.0.0.1'), 'listening');
    closing({ close: () => once(silent.close(), 'close') });
    clinics.add('north', { baseURL: `http://127.0.0.1:${(silent.address() as AddressInfo).port}` });
    const app = await start();
    const controller = new AbortController();
    const failure = app.failure(app.get('/x', { oauth: { tenant: 'north' }, signal: controller.signal }));
    const { socket } = await arrival;
    controller.abort();
    expect(await failure).toMatchObject({ code: 'ERR_CANCELED', request: expect.anything() });
    if (!socket.destroyed) await once(socket, 'close');
  });
});

describe('A request that failed and is sent again', () => {
  it('78. has the adapter that its caller gave it', async () => {
    const app = await start();
    let sent = 0;
    const adapter = async (config: InternalConfig) => {
      if (sent++ === 0) throw new AxiosError('lost', 'ECONNRESET', config);
      return { data: { sent }, status: 200, statusText: 'OK', headers: {}, config };
    };
    const error = await app.failure(app.axios.get('/x', { oauth: { tenant: 'north' }, adapter }));
    const again = await app.axios.request((error as AxiosError).config as InternalConfig);
    expect(again.data).toEqual({ sent: 2 });
  });
});

describe('Query parameters and other Axios defaults', () => {
  it('78. are those of the tenant also after the HttpService was detached and attached again', async () => {
    const { url } = await ownApi();
    clinics.add('north', { baseURL: url, http: { params: { key: 'of north' } } });
    const app = await start();
    const http = app.interceptor.httpService('lab');
    const detach = app.interceptor.attach(http, 'lab');
    detach();
    app.interceptor.attach(http, 'lab');
    const { data } = await http.axiosRef.get<object>('/x', { oauth: { tenant: 'north' } });
    expect(data).toMatchObject({ url: '/x?key=of+north' });
  });

  it('78. are those of the tenant, under those of the caller', async () => {
    const { url } = await ownApi();
    const ours: InternalConfig[] = [];
    const adapter = async (config: InternalConfig) => {
      ours.push(config);
      return { data: {}, status: 200, statusText: 'OK', headers: {}, config };
    };
    clinics.add('north', {
      baseURL: url,
      http: { params: { key: 'of north' }, timeout: 1_234, proxy: { host: '127.0.0.1', port: 9 }, adapter },
      requestToken: async () => ({ accessToken: 'access-token-of-north' }),
    });
    clinics.table.set('north', {
      ...clinics.table.get('north'),
      clientId: undefined,
      clientSecret: undefined,
    });
    const app = await start({
      tokenEndpoint: undefined,
      tokenEndpointAuthMethod: undefined,
      http: { params: { key: 'common', v: '2' }, timeout: 99 },
    });
    await app.get('/x', { oauth: { tenant: 'north' }, params: { page: 3 } });
    await app.get('/x', { oauth: { tenant: 'north' }, params: { key: 'of the caller' }, timeout: 7 });
    const params = new URLSearchParams({ page: '3' });
    await app.get('/x', { oauth: { tenant: 'north' }, params });
    expect(String(ours.pop()?.params)).toBe('page=3'); // as with plain Axios, which merges none of these
    expect(
      ours.map(({ params, timeout, baseURL }) => ({ params: params as unknown, timeout, baseURL })),
    ).toEqual([
      { params: { key: 'of north', v: '2', page: 3 }, timeout: 1_234, baseURL: url },
      { params: { key: 'of the caller', v: '2' }, timeout: 7, baseURL: url },
    ]);
  });

  it('78. that transform a request are common, since it is transformed before its tenant is known', async () => {
    clinics.add('north', { http: { transformRequest: [(data: unknown) => data] } });
    const app = await start();
    expect(await app.failure(app.get('/x', { oauth: { tenant: 'north' } }))).toMatchObject({
      code: 'configuration_invalid',
      problems: ['Client "lab": http.transformRequest is no option of a tenant; set it on the client.'],
    });
  });
});

describe('Certificates of tenants', () => {
  const authority = new Authority();
  let api: TlsServer;
  beforeAll(async () => {
    api = await TlsServer.start(authority, ({ url, headers }) => {
      const token = { access_token: 'access-token-by-tls', token_type: 'Bearer', expires_in: 3600 };
      return { status: 200, body: url === '/token' ? token : { authorization: headers.authorization } };
    });
  });
  beforeEach(() => {
    api.requests.length = 0;
  });
  afterAll(async () => {
    await api.close();
    authority.remove();
  });

  it('78. are presented by their own requests alone, by Axios and fetch', async () => {
    const identities = { north: authority.client('north'), south: authority.client('south') };
    for (const [tenant, identity] of Object.entries(identities))
      clinics.table.set(tenant, { clientId: tenant, tls: { ...identity, ca: authority.ca } });
    const app = await start({
      tokenEndpoint: `${api.url}/token`,
      tokenEndpointAuthMethod: 'tls_client_auth',
      baseURL: api.url,
    });
    await Promise.all(
      ['north', 'south', 'north', 'south'].flatMap((tenant) => [
        ways.HttpService(app, `/${tenant}`, { tenant }),
        ways.fetch(app, `/${tenant}`, { tenant }),
      ]),
    );
    for (const { url, form, certificate } of api.requests) {
      const tenant = url === '/token' ? form.get('client_id') : url.slice(1);
      expect(certificate).toBe(fingerprintOf(identities[tenant as keyof typeof identities]));
    }
    expect(api.requests).toHaveLength(10);
  });

  it('78. serve the requests that wait for a token while their tenant is forgotten', async () => {
    clinics.table.set('north', {
      clientId: 'north',
      tls: { ...authority.client('north'), ca: authority.ca },
    });
    const common = { tokenEndpoint: `${api.url}/token`, tokenEndpointAuthMethod: 'tls_client_auth' as const };
    const app = await start({ ...common, baseURL: api.url });
    const before = api.openConnections;
    const ask = () =>
      (Object.keys(ways) as Way[]).map((way) => ways[way](app, '/x', { tenant: 'north', scope: 'other' }));
    await Promise.all(ask());
    app.tokens.invalidate('lab');
    const asked = ask();
    await new Promise(setImmediate);
    await app.tokens.forgetTenant('lab', 'north');
    for (const answer of await Promise.all(asked)) expect(answer).toHaveProperty('authorization');
    await eventually(() => api.openConnections === before);
  });

  it('78. and their connections are given up when their tenant is forgotten or falls out', async () => {
    const tenants = ['north', 'south', 'east'];
    for (const tenant of tenants)
      clinics.table.set(tenant, { clientId: tenant, tls: { ...authority.client(tenant), ca: authority.ca } });
    const common = { tokenEndpoint: `${api.url}/token`, tokenEndpointAuthMethod: 'tls_client_auth' as const };
    const app = await start({ ...common, baseURL: api.url }, 2);
    const open = () => api.openConnections;
    const before = open();
    for (const tenant of ['north', 'south']) {
      await ways.HttpService(app, '/x', { tenant });
      await ways.fetch(app, '/x', { tenant });
    }
    const two = open() - before;
    expect(two).toBeGreaterThanOrEqual(4);
    await ways.HttpService(app, '/x', { tenant: 'east' });
    await eventually(() => api.openConnections - before <= two / 2 + 2);
    expect(app.tokens.status()[0]?.tenants?.known).toBe(2);
    await app.tokens.forgetTenant('lab');
    await eventually(() => api.openConnections === before);
  });
});

type InternalConfig = import('axios').InternalAxiosRequestConfig;

describe('Agents of tenants', () => {
  it('78. lose their idle connections with the last tenant that has them, and common ones stay', async () => {
    const { url, sockets } = await ownApi();
    const [own, shared, common] = [1, 2, 3].map(() => new HttpAgent({ keepAlive: true }));
    clinics.add('north', { baseURL: `${url}/north`, http: { httpAgent: own } });
    clinics.add('east', { baseURL: `${url}/east`, http: { httpAgent: shared } });
    clinics.add('west', { baseURL: `${url}/west`, http: { httpAgent: shared } });
    clinics.add('south', { baseURL: `${url}/south` });
    const app = await start({ http: { httpAgent: common, httpsAgent: new Agent() } });
    for (const tenant of ['north', 'south', 'east', 'west']) await ways.HttpService(app, '/x', { tenant });
    expect(sockets.size).toBe(3);
    const idle = () => [own, shared, common].map((agent) => Object.values(agent!.freeSockets).flat().length);
    const ofApi = idle();
    await app.tokens.forgetTenant('lab', 'south');
    await app.tokens.forgetTenant('lab', 'west');
    expect(idle()).toEqual(ofApi);
    await app.tokens.forgetTenant('lab', 'north');
    await app.tokens.forgetTenant('lab', 'east');
    await eventually(() => sockets.size === 1);
    expect(idle().slice(0, 2)).toEqual([0, 0]);
    for (const agent of [own, shared, common]) agent!.destroy();
  });
});
