import { describe, expect, it } from '@jest/globals';
import { type OAuthClientOptions } from 'nestjs-oauth-client';
import { Application } from '../support/application.js';
import { Recorder } from '../support/recorder.js';

interface Ports {
  api: number;
  evil: number;
}

/** A client of an API on loopback, and a server that must never see its token. */
async function besideEvil(options: OAuthClientOptions = {}) {
  const evil = await Recorder.start();
  const api = await Application.withServer(options);
  return { api, evil, ports: { api: Number(new URL(api.server.url).port), evil: evil.port } };
}

const ELSEWHERE: [string, (ports: Ports) => string | URL | Request][] = [
  ['an absolute URL', ({ evil }) => `http://127.0.0.1:${evil}/x`],
  ['an absolute URL in upper case', ({ evil }) => `HTTP://LOCALHOST:${evil}/X`],
  ['a URL object', ({ evil }) => new URL(`http://127.0.0.1:${evil}/x`)],
  ['a Request', ({ evil }) => new Request(`http://127.0.0.1:${evil}/x`)],
  ['another name of the host', ({ api }) => `http://localhost:${api}/x`],
  ['a trailing dot', ({ api }) => `http://localhost.:${api}/x`],
  ['a look-alike', ({ evil }) => `http://loc\u0430lhost:${evil}/x`],
  ['a look-alike in punycode', ({ evil }) => `http://xn--loclhost-cbj:${evil}/x`],
  ['another port', ({ evil }) => `http://127.0.0.1:${evil}/x`],
  ['another scheme', ({ api }) => `https://127.0.0.1:${api}/x`],
  ['a protocol-relative URL', ({ evil }) => `//127.0.0.1:${evil}/x`],
  ['three slashes', ({ evil }) => `///127.0.0.1:${evil}/x`],
  ['our host as user', ({ api, evil }) => `http://127.0.0.1:${api}@localhost:${evil}/x`],
  ['a user at our host', ({ api }) => `http://user@127.0.0.1:${api}/x`],
  ['a backslash before our host', ({ api, evil }) => `http://localhost:${evil}\\@127.0.0.1:${api}/x`],
  ['a file', () => 'file:///etc/hosts'],
];

const WITHIN: [string, (ports: Ports) => string][] = [
  ['backslashes', ({ evil }) => `\\\\127.0.0.1:${evil}\\x`],
  ['a tab between slashes', ({ evil }) => `/\t/127.0.0.1:${evil}/x`],
  ['white space before a URL', ({ evil }) => ` \thttp://127.0.0.1:${evil}/x`],
  ['a line break in the scheme', ({ evil }) => `ht\ntp://127.0.0.1:${evil}/x`],
  ['no slashes', ({ evil }) => `http:127.0.0.1:${evil}/x`],
  ['an address in the path', ({ evil }) => `@127.0.0.1:${evil}/x`],
  ['a URL in the query', ({ evil }) => `/x?next=http://127.0.0.1:${evil}/`],
  ['data of a URL', () => 'data:text/plain,hello'],
];

describe('Where the token of a fetch goes', () => {
  it.each(ELSEWHERE)('43. 77. Not to %s: it rejects with origin_not_allowed', async (_, to) => {
    const { api, evil, ports } = await besideEvil();
    await api.warmUp();
    expect(await api.failure(api.fetch()(to(ports)))).toMatchObject({
      code: 'origin_not_allowed',
      client: 'api',
    });
    expect(evil.requests).toHaveLength(0);
    expect(api.server.apiRequests).toHaveLength(1);
    expect(api.posts).toBe(1);
  });

  it.each(WITHIN)('43. 77. %s stay below baseURL', async (_, to) => {
    const { api, evil, ports } = await besideEvil();
    await api.fetch()(to(ports));
    expect(api.authorizations).toEqual(['Bearer access-token-1']);
    expect(evil.requests).toHaveLength(0);
  });

  it('43. 77. A path without a baseURL goes nowhere, and the error says what is missing', async () => {
    const { api } = await besideEvil();
    const { tokenEndpoint } = api.server;
    const other = await Application.client({ tokenEndpoint, clientId: 'a', clientSecret: 'b-secret' });
    for (const oauth of [false, {}] as const)
      expect(await other.failure(other.fetch()('/x', { oauth }))).toMatchObject({
        code: 'origin_not_allowed',
        origin: 'unknown',
        message: expect.stringContaining('set a baseURL'),
      });
  });

  it('43. 77. A path prefix in an allowed origin is honoured, also by redirects', async () => {
    const partner = await Recorder.start();
    const { api } = await besideEvil({ allowedOrigins: [`${partner.origin}/partner`] });
    for (const path of ['/partner', '/partner/x', '/partner/y/../x'])
      await api.fetch()(partner.origin + path);
    const outside = ['/', '/partnerx', '/partner/../admin', '/partner/%2e%2e/admin', '/partner/..%2fadmin'];
    for (const path of outside) {
      const url = partner.origin + path;
      expect(await api.failure(api.fetch()(url))).toMatchObject({ code: 'origin_not_allowed' });
      api.server.respondToApiWith({ status: 307, headers: { location: url } });
      expect(await api.failure(api.fetch()('/x'))).toMatchObject({ code: 'origin_not_allowed' });
    }
    expect(partner.credentials).toEqual(Array.from({ length: 3 }, () => 'Bearer access-token-1'));
    expect(partner.requests).toHaveLength(3);
  });
});

describe('Redirects of a fetch', () => {
  const statuses = [301, 302, 303, 307, 308];
  const headers = { 'x-trace': 'abc', 'x-content-type': 'own', 'content-language': 'en' };
  const post = { method: 'POST', body: 'text', headers };
  const inputs: [string, (url: string) => [string | Request, RequestInit?]][] = [
    ['init', () => ['/x', post]],
    ['a PUT', () => ['/x', { ...post, method: 'put' }]],
    ['a Request', (url) => [new Request(url, post)]],
  ];
  const table = statuses.flatMap((status) => inputs.map(([kind, make]) => [status, kind, make] as const));

  it.each(table)(
    '43. 77. Not to elsewhere (%d, %s): it rejects and names the origin',
    async (status, _, make) => {
      const { api, evil } = await besideEvil();
      api.server.respondToApiWith({ status, headers: { location: `${evil.origin}/x` } });
      const error = await api.failure(api.fetch()(...make(`${api.server.apiURL}/x`)));
      expect(error).toMatchObject({ code: 'origin_not_allowed', origin: evil.origin });
      expect(evil.requests).toHaveLength(0);
    },
  );

  it.each(table)(
    '77. Within the API (%d, %s): method, body and headers as fetch has it',
    async (status, _, make) => {
      const { api } = await besideEvil();
      const redirect = { status, headers: { location: '/api/moved?q=1' } };
      api.server.respondToApiWith(redirect);
      const [url] = [`${api.server.apiURL}/x`];
      const response = await api.fetch()(...make(url));
      expect(await response.json()).toMatchObject({ ok: true });
      expect([response.url, response.redirected]).toEqual([`${api.server.apiURL}/moved?q=1`, true]);
      expect(api.authorizations).toEqual(['Bearer access-token-1', 'Bearer access-token-1']);
      api.server.respondToApiWith(redirect);
      const [input, init] = make(url);
      await fetch(typeof input === 'string' ? url : input, init);
      const [, ours, , theirs] = api.server.apiRequests;
      const { authorization: _token, ...headers } = ours!.headers;
      expect([ours!.method, String(ours!.rawBody), headers]).toEqual([
        theirs!.method,
        String(theirs!.rawBody),
        theirs!.headers,
      ]);
    },
  );

  it('43. 77. To another allowed origin the token goes along, the caller’s cookie does not', async () => {
    const partner = await Recorder.start();
    const { api } = await besideEvil({ allowedOrigins: [partner.origin] });
    api.server.respondToApiWith({ status: 307, headers: { location: `${partner.origin}/x` } });
    await api.fetch()('/x', { headers: { cookie: 'a=b', 'x-trace': 'abc' } });
    expect(partner.credentials).toEqual(['Bearer access-token-1']);
    expect(partner.requests[0]!.headers).toMatchObject({ 'x-trace': 'abc' });
    expect(partner.requests[0]!.headers).not.toHaveProperty('cookie');
  });

  it('43. 77. With DPoP neither token nor proof goes to another origin, and its 401 is not ours', async () => {
    const partner = await Recorder.start();
    partner.answer = (_, response) => response.writeHead(401).end();
    const { api } = await besideEvil({ dpop: true, allowedOrigins: [partner.origin] });
    api.server.alwaysRespond(() => api.server.nextToken({ token_type: 'DPoP' }));
    api.server.respondToApiWith({ status: 307, headers: { location: `${partner.origin}/x` } });
    expect((await api.fetch()('/x')).status).toBe(401);
    expect(partner.requests).toHaveLength(1);
    expect(partner.credentials).toEqual([]);
    expect(api.posts).toBe(1);
  });

  it('77. A 401 after a redirect is replayed from the start', async () => {
    const { api } = await besideEvil();
    await api.warmUp();
    api.server.onApiRequest = ({ url }) =>
      url === '/api/x' ? { status: 307, headers: { location: '/api/moved' } } : undefined;
    api.server.revokeAll();
    const response = await api.fetch()('/x', { method: 'POST', body: 'text' });
    expect(await response.json()).toMatchObject({ ok: true, path: '/api/moved', body: 'text' });
    expect(api.server.apiRequests.slice(1).map(({ url }) => url)).toEqual([
      '/api/x',
      '/api/moved',
      '/api/x',
      '/api/moved',
    ]);
  });

  it('77. `manual` hands the redirect to the caller, `error` rejects, as fetch does', async () => {
    const { api, evil } = await besideEvil();
    api.server.onApiRequest = () => ({ status: 302, headers: { location: `${evil.origin}/x` } });
    const response = await api.fetch()('/x', { redirect: 'manual' });
    expect([response.status, response.headers.get('location')]).toEqual([302, `${evil.origin}/x`]);
    for (const request of ['/x', new Request(`${api.server.apiURL}/x`, { redirect: 'error' })])
      expect(await api.failure(api.fetch()(request, { redirect: 'error' }))).toMatchObject({
        name: 'TypeError',
      });
    const asked = new Request(`${api.server.apiURL}/x`, { redirect: 'manual' });
    expect((await api.fetch()(asked)).status).toBe(302);
    expect(evil.requests).toHaveLength(0);
  });

  it('77. 20 are followed, a loop ends in a TypeError', async () => {
    const { api } = await besideEvil();
    const loop = { status: 302, headers: { location: '/api/x' } };
    api.server.respondToApiWith(...Array.from({ length: 20 }, () => loop));
    expect((await api.fetch()('/x')).status).toBe(200);
    api.server.onApiRequest = () => loop;
    const error = await api.failure(api.fetch()('/x'));
    expect(error).toMatchObject({ name: 'TypeError' });
    expect(error).toMatchObject({ cause: { message: 'redirect count exceeded' } });
    expect(api.server.apiRequests).toHaveLength(21 + 21);
  });

  it.each(['http://', 'ftp://127.0.0.1/x', 'data:text/plain,x'])(
    '77. A redirect to %s is a TypeError',
    async (location) => {
      const { api } = await besideEvil();
      api.server.respondToApiWith({ status: 302, headers: { location } });
      expect(await api.failure(api.fetch()('/x'))).toMatchObject({ name: 'TypeError' });
    },
  );

  it('77. A stream cannot follow a redirect that keeps the body, but one that drops it', async () => {
    const { api } = await besideEvil();
    const post = () => api.fetch()('/x', { method: 'POST', body: new Blob(['ab']).stream(), duplex: 'half' });
    api.server.respondToApiWith({ status: 307, headers: { location: '/api/y' } });
    expect(await api.failure(post())).toMatchObject({ name: 'TypeError' });
    api.server.respondToApiWith({ status: 303, headers: { location: '/api/y' } });
    expect(await (await post()).json()).toMatchObject({ ok: true, method: 'GET' });
  });

  it('77. UTF-8 in a Location is understood, a redirect without one is an answer', async () => {
    const { api } = await besideEvil();
    const location = Buffer.from('/api/käse').toString('latin1');
    api.server.respondToApiWith({ status: 302, headers: { location } }, { status: 200 }, { status: 302 });
    expect((await api.fetch()('/x')).url).toBe(`${api.server.apiURL}/k%C3%A4se`);
    expect((await api.fetch()('/x')).status).toBe(302);
  });

  it('40. 77. Without a token of ours they are followed anywhere, and the caller’s Authorization stays behind', async () => {
    const { api, evil } = await besideEvil();
    api.server.onApiRequest = () => ({ status: 302, headers: { location: `${evil.origin}/x` } });
    for (const init of [{ oauth: false as const }, { headers: { authorization: 'Bearer own' } }])
      expect((await api.fetch()('/x', init)).url).toBe(`${evil.origin}/x`);
    expect(evil.credentials).toEqual([]);
    expect(api.posts).toBe(0);
  });
});
