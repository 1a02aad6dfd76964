import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import axios, { type AxiosInstance, type AxiosRequestConfig } from 'axios';
import { OAuthConfigurationError, type OAuthClientOptions } from 'nestjs-oauth-client';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { AllowedOrigins, targetOf, urlOf } from '../../lib/http/allowed-origins.js';
import { Application } from '../support/application.js';
import { Recorder, loopbackAgent } from '../support/recorder.js';

/** Where the API and the other server are, on hosts that all lead to loopback. */
interface Ports {
  api: number;
  evil: number;
}

/** A client of `http://api.test`, and a server that must never see its token. */
async function besideEvil(options: OAuthClientOptions = {}) {
  const evil = await Recorder.start();
  const api = await Application.withServer(({ url }) => ({
    baseURL: `http://api.test:${new URL(url).port}/api`,
    allowInsecureRequests: true,
    http: { httpAgent: loopbackAgent() },
    ...options,
  }));
  return { api, evil, ports: { api: Number(new URL(api.server.url).port), evil: evil.port } };
}

/** An Axios instance of the application's own, that gets the token of whichever client fits. */
function unnamed({ interceptor }: Application, ports: Ports): AxiosInstance {
  const instance = axios.create({
    baseURL: `http://api.test:${ports.api}/api`,
    httpAgent: loopbackAgent(),
    timeout: 2_000,
  });
  interceptor.attach(instance);
  return instance;
}

const ELSEWHERE: [string, (ports: Ports) => AxiosRequestConfig][] = [
  ['an absolute URL', ({ evil }) => ({ url: `http://evil.test:${evil}/x` })],
  ['an absolute URL in upper case', ({ evil }) => ({ url: `HTTP://EVIL.TEST:${evil}/X` })],
  ['an address instead of a name', ({ evil }) => ({ url: `http://127.0.0.1:${evil}/x` })],
  ['a protocol-relative URL', ({ evil }) => ({ url: `//evil.test:${evil}/x` })],
  ['three slashes', ({ evil }) => ({ url: `///evil.test:${evil}/x` })],
  ['our host as user', ({ api, evil }) => ({ url: `http://api.test:${api}@evil.test:${evil}/x` })],
  ['our host as password', ({ evil }) => ({ url: `http://x:api.test@evil.test:${evil}/x` })],
  [
    'a backslash before our host',
    ({ api, evil }) => ({ url: `http://evil.test:${evil}\\@api.test:${api}/x` }),
  ],
  ['backslashes for slashes', ({ evil }) => ({ url: `http:\\\\evil.test:${evil}\\x`, baseURL: '' })],
  ['no slashes', ({ evil }) => ({ url: `http:evil.test:${evil}/x`, baseURL: '' })],
  ['white space before the URL', ({ evil }) => ({ url: ` \thttp://evil.test:${evil}/x`, baseURL: '' })],
  ['a line break in the scheme', ({ evil }) => ({ url: `ht\ntp://evil.test:${evil}/x`, baseURL: '' })],
  ['a URL object', ({ evil }) => ({ url: new URL(`http://evil.test:${evil}/x`) as unknown as string })],
  ['a trailing dot', ({ evil }) => ({ url: `http://api.test.:${evil}/x` })],
  ['a trailing dot on our own server', ({ api }) => ({ url: `http://api.test.:${api}/other` })],
  ['a look-alike', ({ evil }) => ({ url: `http://\u0430pi.test:${evil}/x` })],
  ['a look-alike in punycode', ({ evil }) => ({ url: `http://xn--pi-7kc.test:${evil}/x` })],
  ['a subdomain', ({ evil }) => ({ url: `http://x.api.test:${evil}/x` })],
  ['our host as subdomain', ({ evil }) => ({ url: `http://api.test.evil.test:${evil}/x` })],
  ['another port', ({ evil }) => ({ url: `http://api.test:${evil}/x` })],
  ['another scheme', ({ api }) => ({ url: `https://api.test:${api}/x` })],
  ['another baseURL', ({ evil }) => ({ url: '/x', baseURL: `http://evil.test:${evil}` })],
  [
    'a baseURL with our host as user',
    ({ api, evil }) => ({ url: '/x', baseURL: `http://api.test:${api}@evil.test:${evil}` }),
  ],
  ['a protocol-relative baseURL', ({ evil }) => ({ url: '/x', baseURL: `//evil.test:${evil}` })],
  [
    'an absolute URL that is said to be allowed',
    ({ evil }) => ({ url: `http://evil.test:${evil}/x`, allowAbsoluteUrls: true }),
  ],
  [
    'our URL below another baseURL',
    ({ api, evil }) => ({
      url: `http://api.test:${api}/x`,
      baseURL: `http://evil.test:${evil}`,
      allowAbsoluteUrls: false,
    }),
  ],
];

const WITHIN: [string, (ports: Ports) => AxiosRequestConfig][] = [
  ['a path', () => ({ url: '/x' })],
  ['a path without a slash', () => ({ url: 'x' })],
  ['no path at all', () => ({})],
  ['an absolute URL of our own', ({ api }) => ({ url: `http://api.test:${api}/api/x` })],
  ['an absolute URL of our own in upper case', ({ api }) => ({ url: `HTTP://API.TEST:${api}/api/x` })],
  ['an address in the path', ({ evil }) => ({ url: `@evil.test:${evil}/x` })],
  ['backslashes', ({ evil }) => ({ url: `\\\\evil.test:${evil}\\x` })],
  ['a tab between slashes', ({ evil }) => ({ url: `/\t/evil.test:${evil}/x` })],
  ['a URL in the query', ({ evil }) => ({ url: '/x', params: { next: `http://evil.test:${evil}/` } })],
];

it('43. No token to our own host with a user name or a password in the URL', () => {
  const origins = new AllowedOrigins('http://api.test');
  for (const userInfo of ['', 'name@', ':password@', 'name:password@'])
    expect(origins.allow({ url: `http://${userInfo}api.test/x` })).toBe(userInfo === '');
});

it.each(['', '/x', 'x', '//x', 'http://api.test/y'].map((url) => [url]))(
  '43. The URL that is checked is the one that Axios makes of a baseURL, with or without a last slash, and “%s”',
  (url) => {
    for (const baseURL of [
      'http://api.test',
      'http://api.test/v1',
      'http://api.test/v1/',
      'http://api.test/v1//',
    ])
      if (url !== '//x') expect(urlOf({ baseURL, url })).toBe(axios.getUri({ baseURL, url }));
      else expect(targetOf({ baseURL, url })).toBe(undefined);
  },
);

it('43. A request without a URL goes to its baseURL, and without both nowhere', () => {
  const baseURL = 'http://api.test/v1/';
  expect(urlOf({ baseURL })).toBe(axios.getUri({ baseURL }));
  expect(targetOf({})).toBe(undefined);
  const limited = new AllowedOrigins(baseURL, ['http://api.test/v1']);
  for (const url of [undefined, 'x', '/x'])
    expect(limited.allow({ baseURL, ...(url && { url }) })).toBe(true);
  expect(limited.allow({ baseURL: 'http://api.test/v2/' })).toBe(false);
});

it('43. A baseURL that ends in a slash leads to the same paths by Axios and fetch', async () => {
  const api = await Application.withServer(({ apiURL }) => ({ baseURL: `${apiURL}/` }));
  await api.get('/x');
  await api.fetch()('/x');
  expect(api.server.apiRequests.map(({ url }) => url)).toEqual(['/api/x', '/api/x']);
});

it('43. A client with a socket of its own allows that and none, and no other', () => {
  const origins = new AllowedOrigins('http://api.test', [], '/run/api.sock');
  const request = { baseURL: 'http://api.test', url: '/x' };
  expect(origins.allow(request)).toBe(true);
  expect(origins.allow({ ...request, socketPath: '/run/api.sock' })).toBe(true);
  expect(origins.allow({ ...request, socketPath: '/run/other.sock' })).toBe(false);
});

describe('Where a token goes', () => {
  it.each(ELSEWHERE)('43. No token to %s: a named client rejects with origin_not_allowed', async (_, to) => {
    const { api, evil, ports } = await besideEvil();
    await api.warmUp();
    const error = await api.failure(api.axios.request(to(ports)));
    expect(error).toMatchObject({ code: 'origin_not_allowed', client: 'api', retryable: false });
    expect(evil.requests).toHaveLength(0);
    expect(api.server.apiRequests).toHaveLength(1);
    expect(api.posts).toBe(1);
  });

  it.each(ELSEWHERE)(
    '43. No token to %s: an unnamed attach sends without one, or not at all',
    async (_, to) => {
      const { api, evil, ports } = await besideEvil();
      const http = unnamed(api, ports);
      await http.get('/warm-up');
      await http.request(to(ports)).catch(() => undefined); // whether it arrives is between Axios and the URL
      // What stands in the URL itself, Axios sends as Basic.
      expect(evil.credentials.filter((value) => !value.startsWith('Basic '))).toEqual([]);
      expect(api.authorizations).toEqual(['Bearer access-token-1']);
    },
  );

  it('43. The server elsewhere does get the request of an unnamed attach', async () => {
    const { api, evil, ports } = await besideEvil();
    const http = unnamed(api, ports);
    await http.get(`http://evil.test:${evil.port}/x`);
    expect(evil.requests).toHaveLength(1);
    expect(evil.credentials).toEqual([]);
    expect(api.posts).toBe(0);
  });

  it.each(WITHIN)('43. The token goes to %s of our own API', async (_, to) => {
    const { api, evil, ports } = await besideEvil();
    await api.axios.request(to(ports));
    await unnamed(api, ports).request(to(ports));
    expect(api.authorizations).toEqual(['Bearer access-token-1', 'Bearer access-token-1']);
    expect(evil.requests).toHaveLength(0);
  });

  it('43. A response’s config, sent again to elsewhere, does not take the token along', async () => {
    const { api, evil, ports } = await besideEvil();
    const elsewhere = { url: `http://evil.test:${evil.port}/x` };
    const named = await api.axios.get('/x');
    const error = await api.failure(api.axios.request({ ...named.config, ...elsewhere }));
    expect(error).toMatchObject({ code: 'origin_not_allowed' });
    const http = unnamed(api, ports);
    const { config } = await http.get('/x');
    await http.request({ ...config, ...elsewhere });
    expect(evil.requests).toHaveLength(1);
    expect(evil.credentials).toEqual([]);
  });

  it.each(['named', 'unnamed'])(
    '43. Nor to where an interceptor that runs after ours sends it: %s',
    async (kind) => {
      const api = await Application.withServer();
      await using elsewhere = await FakeAuthorizationServer.start();
      elsewhere.onApiRequest = () => ({ status: 200 });
      const instance = axios.create({ baseURL: api.server.apiURL });
      instance.interceptors.request.use((config) => ({ ...config, baseURL: elsewhere.apiURL }));
      api.interceptor.attach(instance, kind === 'named' ? 'api' : undefined);
      const sent = instance.post('/x', { a: 1 });
      if (kind === 'named')
        await expect(sent).rejects.toMatchObject({ code: 'origin_not_allowed', origin: elsewhere.url });
      else expect((await sent).status).toBe(200);
      const [request] = elsewhere.apiRequests;
      expect(elsewhere.apiRequests).toHaveLength(kind === 'named' ? 0 : 1);
      expect(request?.headers.authorization).toBeUndefined();
    },
  );

  it.each(['ejected', 'detached'])('43. Nor when the one or the other is %s meanwhile', async (kind) => {
    const api = await Application.withServer();
    const evil = await Recorder.start();
    const instance = axios.create({ baseURL: api.server.apiURL });
    const redirecting = instance.interceptors.request.use((config) => ({ ...config, baseURL: evil.origin }));
    const detach = api.interceptor.attach(instance, 'api');
    await api.warmUp();
    const sent = instance.get('/x');
    if (kind === 'ejected') instance.interceptors.request.eject(redirecting);
    else detach();
    await sent.catch(() => undefined); // without ours the request goes on, and its token does not
    expect(evil.credentials).toEqual([]);
    expect(api.authorizations).toEqual(['Bearer access-token-1']);
  });

  it.each([false, true])('43. Nor to where a request is sent while it waits: dpop %j', async (dpop) => {
    const api = await Application.withServer({ dpop });
    const instance = axios.create({ baseURL: api.server.apiURL });
    let change = (): void => undefined;
    instance.interceptors.request.use((config) => {
      change = () => void (config.url = config.data as string);
      return config;
    });
    api.interceptor.attach(instance, 'api');
    api.server.alwaysRespond(() => {
      change();
      return api.server.nextToken({ token_type: dpop ? 'DPoP' : 'Bearer' });
    });
    for (const data of ['http://elsewhere.test/x', 'http://'])
      await expect(instance.post('/x', data, { oauth: { forceRefresh: true } })).rejects.toMatchObject({
        code: 'origin_not_allowed',
      });
    expect([api.posts, api.server.apiRequests.length]).toEqual([2, 0]);
  });

  it('43. Nor when Axios runs those that were added later last', async () => {
    const api = await Application.withServer();
    const evil = await Recorder.start();
    const transitional = { legacyInterceptorReqResOrdering: false };
    const instance = axios.create({ baseURL: api.server.apiURL, transitional });
    api.interceptor.attach(instance, 'api');
    await instance.get('/warm-up');
    instance.interceptors.request.use((config) => ({ ...config, baseURL: evil.origin }));
    await expect(instance.get('/x')).rejects.toMatchObject({ code: 'origin_not_allowed' });
    expect(evil.requests).toHaveLength(0);
  });

  it('43. A path without a baseURL goes nowhere, and the error says what is missing', async () => {
    const api = await Application.withServer();
    const instance = axios.create();
    api.interceptor.attach(instance, 'api');
    await expect(instance.get('/x')).rejects.toMatchObject({
      code: 'origin_not_allowed',
      origin: 'unknown',
      message:
        'OAuth client "api" may not send its token to an unknown origin: set a baseURL, or give the request an absolute URL.',
    });
  });

  it('43. No token over plain http outside loopback: the boot fails', async () => {
    for (const insecure of [{ baseURL: 'http://api.test' }, { allowedOrigins: ['http://api.test'] }]) {
      await expect(Application.withServer(insecure)).rejects.toThrow(OAuthConfigurationError);
    }
  });

  it('43. No token from https to http of the same host', () => {
    const origins = new AllowedOrigins('https://api.test');
    expect(origins.reach(new URL('https://api.test/x'))).toBeGreaterThan(0);
    expect(origins.reach(new URL('https://api.test:443/x'))).toBeGreaterThan(0);
    expect(origins.reach(new URL('http://api.test/x'))).toBe(0);
    expect(origins.reach(new URL('http://api.test:443/x'))).toBe(0);
    expect(origins.reach(new URL('wss://api.test/x'))).toBe(0);
  });
});

describe('Path prefixes of an allowed origin', () => {
  const covered = [
    '/partner',
    '/partner/',
    '/partner/x',
    '/partner/./x',
    '/partner/y/../x',
    '/partner//../x', // goes out as /partner/x
    '/partner/x%20y',
    '/partner/x;v=1/y',
    '/partner/100%25/%C3%A9t%C3%A9',
    '/partner/a..b/.well-known/c...',
  ];
  const outside = [
    '/',
    '/partnerx',
    '/PARTNER/x',
    '/x/partner/',
    '/partner/../admin',
    '/partner/%2e%2e/admin',
    '/partner/.%2e/admin',
    '/partner/%2E%2E/admin',
    '/partner/..%2fadmin',
    '/partner/..%2Fadmin',
    '/partner/%2e%2e%2fadmin',
    '/partner/..\\admin',
    '/partner/..%5cadmin',
    '/partner/\t../admin',
    '/partner//x',

    '/partner/x//',
    '/partner/..;/admin',
    '/partner/..;v=1/admin',
    '/partner/.;/admin',
    '/partner/;/admin',
    '/partner/..%3b/admin',
    '/partner/%252e%252e%252fadmin',
    '/partner/%252e%252e/admin',
    '/partner/%25252e%25252e/admin',
    '/partner/..%255cadmin',
    '/partner/..%252fadmin',
    '/partner/..%09/admin',
    '/partner/..%00/admin',
    '/partner/..%20/admin',
    '/partner/.../admin',
    '/partner/%c0%ae%c0%ae/admin',
    '/partner/%u002e%u002e/admin',
    '/partner/\uff0e\uff0e/admin',
    '/partner/..\uff0fadmin',
    '/partner;v=1/x',
    '/admin#/partner/',
    '/admin?/partner/',
  ];

  it.each(['named', 'unnamed'])('43. A path prefix in an allowed origin is honoured: %s', async (kind) => {
    const partner = await Recorder.start();
    const api = await Application.withServer({ allowedOrigins: [`${partner.origin}/partner`] });
    const own = axios.create();
    api.interceptor.attach(own);
    const http = kind === 'named' ? api.axios : own;
    for (const path of covered) await http.get(partner.origin + path);
    expect(partner.credentials).toEqual(covered.map(() => 'Bearer access-token-1'));
    for (const path of outside) {
      const answer = http.get(partner.origin + path);
      if (kind === 'named') expect(await api.failure(answer)).toMatchObject({ code: 'origin_not_allowed' });
      else await answer;
    }
    expect(partner.credentials).toHaveLength(covered.length);
  });

  it('43. It holds on the origin of baseURL too, whose place it takes, for relative paths as for absolute ones', async () => {
    const api = await Application.withServer(({ url }) => ({
      baseURL: `${url}/api`,
      allowedOrigins: [`${url}/api/one`],
    }));
    await api.axios.get('/one/x');
    await api.axios.get(`${api.server.url}/api/one/x`);
    for (const path of ['/two', '/one/../two', '/one/..;/two', '/onetwo', '', `${api.server.url}/api/two`]) {
      expect(await api.failure(api.axios.get(path))).toMatchObject({ code: 'origin_not_allowed' });
    }
    expect(api.server.apiRequests.map(({ url }) => url)).toEqual(['/api/one/x', '/api/one/x']);
  });

  it('43. An entry that is the whole origin of baseURL, or another origin, leaves baseURL as it is', () => {
    const request = { baseURL: 'https://gw.test/one', url: '/x' };
    for (const entries of [
      ['https://gw.test'],
      ['https://gw.test/two', 'https://gw.test/'],
      ['https://other.test/two'],
    ])
      expect(new AllowedOrigins('https://gw.test/one', entries).allow(request)).toBe(true);
    expect(new AllowedOrigins('https://gw.test/one', ['https://gw.test/two']).allow(request)).toBe(false);
  });

  it('43. However often a path out of the limit is encoded, and whatever stands before it, it stays out', () => {
    const origins = new AllowedOrigins('https://gw.test', ['https://gw.test/one']);
    const encode = (text: string, times: number): string =>
      times === 0
        ? text
        : encode(
            text.replace(/[%./\\;]/g, (one) => `%${one.charCodeAt(0).toString(16).padStart(2, '0')}`),
            times - 1,
          );
    const part = fc.constantFrom('..', '..;', '..;a=b', '..\\', '../', '.. ', '..\t');
    const below = fc.array(fc.constantFrom('a', 'b.c', '.well-known', 'v;x=1'), { maxLength: 3 });
    fc.assert(
      fc.property(below, part, fc.nat(12), (before, out, times) => {
        const up = [...before.map(() => out), out].map((one) => encode(one, times));
        const url = `https://gw.test/one/${[...before, ...up, 'two'].join('/')}`;
        expect([url, origins.reach(new URL(url))]).toEqual([url, 0]);
      }),
    );
  });

  it('43. What is encoded once, as encodeURIComponent does it, stays within unless it holds a slash or dots alone', () => {
    const origins = new AllowedOrigins('https://gw.test', ['https://gw.test/one']);
    const segment = fc.string({ minLength: 1, unit: fc.constantFrom(...'abcXYZ019-_~!,=:@ äñ€') });
    fc.assert(
      fc.property(
        fc.array(
          segment.filter((text) => text.trim() !== ''),
          { minLength: 1, maxLength: 4 },
        ),
        (parts) => {
          const url = `https://gw.test/one/${parts.map(encodeURIComponent).join('/')}`;
          expect([url, origins.reach(new URL(url)) > 0]).toEqual([url, true]);
        },
      ),
    );
  });

  it('43. An absolute URL may have a token exactly if the URL parser finds it on an allowed origin', () => {
    const baseURL = 'http://api.test:8080/v1';
    const origins = new AllowedOrigins(baseURL);
    const start = fc.constantFrom(
      'http://api.test:8080',
      'http://api.test:8080/',
      'http://api.test',
      'HTTP://API.TEST:8080/',
    );
    const rest = fc.string({ unit: fc.constantFrom(...'/\\@:?#.%\t\n 0a', '..', 'evil.test', 'http:') });
    fc.assert(
      fc.property(start, rest, fc.boolean(), (before, after, below) => {
        const url = before + after;
        const parsed = URL.canParse(url) ? new URL(url) : undefined;
        const isOn = parsed?.origin === 'http://api.test:8080' && parsed.username + parsed.password === '';
        expect([url, origins.allow({ url, ...(below && { baseURL }) })]).toEqual([url, isOn]);
        expect(origins.allow({ url, baseURL, allowAbsoluteUrls: false })).toBe(false);
      }),
    );
  });

  it('43. It holds for redirects', async () => {
    const partner = await Recorder.start();
    const api = await Application.withServer({ allowedOrigins: [`${partner.origin}/partner`] });
    for (const path of ['/partner/x', '/admin', '/partner/../admin', '/partner/..%2fadmin']) {
      api.server.respondToApiWith({ status: 307, headers: { location: partner.origin + path } });
      await api.get('/x');
    }
    expect(partner.requests.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer access-token-1',
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe('Redirects', () => {
  const statuses = [301, 302, 303, 307, 308];
  const targets: [string, (ports: Ports) => string][] = [
    ['another host', ({ evil }) => `http://evil.test:${evil}/x`],
    ['another port', ({ evil }) => `http://api.test:${evil}/x`],
    ['a subdomain', ({ evil }) => `http://x.api.test:${evil}/x`],
    ['another host, protocol-relative', ({ evil }) => `//evil.test:${evil}/x`],
    ['our host as user', ({ api, evil }) => `http://api.test:${api}@evil.test:${evil}/x`],
  ];
  const table = targets.flatMap(([name, to]) => statuses.map((status) => [status, name, to] as const));

  it.each(table)('43. No token with a redirect (%d) to %s', async (status, _, to) => {
    const { api, evil, ports } = await besideEvil();
    api.server.respondToApiWith({ status, headers: { location: to(ports) } });
    const answer = await api.axios.post('/x', { a: 1 });
    expect(answer.status).toBe(200);
    expect(api.authorizations).toEqual(['Bearer access-token-1']);
    expect(evil.requests).toHaveLength(1);
    expect(evil.credentials).toEqual([]);
  });

  it.each(table)('43. Neither token nor proof of DPoP with a redirect (%d) to %s', async (status, _, to) => {
    const { api, evil, ports } = await besideEvil({ dpop: true });
    api.server.alwaysRespond(() => api.server.nextToken({ token_type: 'DPoP' }));
    api.server.respondToApiWith({ status, headers: { location: to(ports) } });
    await api.get('/x');
    expect(api.server.apiRequests[0]?.headers['dpop']).toBeDefined();
    expect(evil.requests).toHaveLength(1);
    expect(evil.credentials).toEqual([]);
  });

  it.each(statuses)('43. A redirect (%d) within the API keeps the token', async (status) => {
    const { api } = await besideEvil();
    api.server.respondToApiWith({ status, headers: { location: '/api/moved' } });
    const answer = await api.get('/x');
    expect(answer.data).toMatchObject({ ok: true, path: '/api/moved' });
    expect(api.authorizations).toEqual(['Bearer access-token-1', 'Bearer access-token-1']);
  });

  it('43. A redirect to another allowed origin brings the token there', async () => {
    const partner = await Recorder.start();
    const api = await Application.withServer({ allowedOrigins: [partner.origin] });
    api.server.respondToApiWith({ status: 307, headers: { location: `${partner.origin}/x` } });
    await api.get('/x');
    expect(partner.credentials).toEqual(['Bearer access-token-1']);
  });

  it('43. Who sends us out of the API and back in gets no token used for it', async () => {
    const { api, evil, ports } = await besideEvil();
    await api.warmUp();
    api.server.respondToApiWith({ status: 302, headers: { location: `http://evil.test:${ports.evil}/x` } });
    evil.answer = (_, response) =>
      response.writeHead(302, { location: `http://api.test:${ports.api}/api/delete-all` }).end();
    expect(await api.failure(api.get('/x'))).toMatchObject({ response: { status: 401 } });
    expect(evil.credentials).toEqual([]);
    expect(api.authorizations).toEqual(['Bearer access-token-1', 'Bearer access-token-1', undefined]);
    expect(api.posts).toBe(1);
  });

  it('43. A 401 from elsewhere, where no token went, says nothing about the token', async () => {
    const { api, evil } = await besideEvil();
    await api.warmUp();
    evil.answer = (_, response) => response.writeHead(401).end();
    for (let i = 0; i < 3; i++) {
      api.server.respondToApiWith({ status: 302, headers: { location: `http://evil.test:${evil.port}/x` } });
      expect(await api.failure(api.get('/x'))).toMatchObject({ response: { status: 401 } });
    }
    expect(evil.requests).toHaveLength(3);
    expect(api.posts).toBe(1);
    expect(api.eventTypes).toEqual(['token_acquired']);
  });

  it('43. A beforeRedirect of the caller runs, and cannot take the token elsewhere by accident', async () => {
    const { api, evil } = await besideEvil();
    const seen: string[] = [];
    // Seen in the wild, against redirects that lose the header.
    const beforeRedirect: AxiosRequestConfig['beforeRedirect'] = (options) => {
      seen.push(String(options['href']));
      Object.assign(options['headers'] as object, { authorization: 'Bearer access-token-1' });
    };
    api.server.respondToApiWith({ status: 307, headers: { location: `http://evil.test:${evil.port}/x` } });
    await api.get('/x', { beforeRedirect });
    expect(seen).toEqual([`http://evil.test:${evil.port}/x`]);
    expect(evil.requests).toHaveLength(1);
    expect(evil.credentials).toEqual([]);
  });

  it('43. By fetch no redirect is followed, since nothing could take token and proof off', async () => {
    const evil = await Recorder.start();
    const api = await Application.withServer({ dpop: true, http: { adapter: 'fetch' } });
    api.server.alwaysRespond(() => api.server.nextToken({ token_type: 'DPoP' }));
    api.server.respondToApiWith({ status: 307, headers: { location: `${evil.origin}/x` } });
    expect(await api.failure(api.get('/x'))).toMatchObject({ response: { status: 307 } });
    expect(evil.requests).toHaveLength(0);
  });

  it('31. By fetch, too, a redirect of the token endpoint is refused', async () => {
    const evil = await Recorder.start();
    const api = await Application.withServer({ http: { adapter: 'fetch' } });
    api.server.respondWith({ redirectTo: `${evil.origin}/token` });
    const error = await api.failure(api.get('/x'));
    expect(error).toMatchObject({
      code: 'token_response_invalid',
      message: expect.stringContaining(evil.origin),
    });
    expect(evil.requests).toHaveLength(0);
  });
});
