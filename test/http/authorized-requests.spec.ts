import { describe, expect, it } from '@jest/globals';
import axios, { type AxiosRequestConfig, type InternalAxiosRequestConfig } from 'axios';
import { ReadableStream } from 'node:stream/web';
import { setTimeout as sleep } from 'node:timers/promises';
import { FormData as OtherFormData } from 'undici';
import { rejectedClientOf } from '../../lib/http/refusals.js';
import { Application } from '../support/application.js';
import { Recorder } from '../support/recorder.js';
import { CLIENT_ID, CLIENT_SECRET } from '../support/server.js';

async function* chunks(): AsyncGenerator<Buffer> {
  yield Buffer.from('abc');
}

const tokensOf = ({ authorizations }: Application) => authorizations.map((header) => header?.split(' ')[1]);

describe('Which token a request gets', () => {
  it('17. One that asks for a new token gets it, also with another at hand', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    await api.get('/x', { oauth: { forceRefresh: true } });
    expect(tokensOf(api)).toEqual(['access-token-1', 'access-token-2']);
  });

  it('43. One that names another client gets that one’s token, and goes where that one may go', async () => {
    const elsewhere = await Recorder.start();
    const api = await Application.withServer(({ tokenEndpoint }) => ({ scope: 'own', tokenEndpoint }));
    const two = await Application.withServer(
      {},
      {
        clients: {
          other: {
            tokenEndpoint: api.server.tokenEndpoint,
            clientId: CLIENT_ID,
            clientSecret: CLIENT_SECRET,
            allowedOrigins: [elsewhere.origin],
          },
        },
      },
    );
    await two.get(`${elsewhere.origin}/x`, { oauth: { client: 'other' } });
    expect(elsewhere.credentials).toEqual(['Bearer access-token-1']);
    expect([api.posts, two.posts]).toEqual([1, 0]);
    expect(await two.failure(two.get('/x', { oauth: { client: 'other' } }))).toMatchObject({
      code: 'origin_not_allowed',
      client: 'other',
    });
  });

  it('40. The one that an interceptor asks for, also if it runs after ours', async () => {
    const api = await Application.withServer();
    const http = axios.create({ baseURL: api.server.apiURL, validateStatus: () => true });
    http.interceptors.request.use((config) =>
      Object.assign(config, { oauth: config.url === '/none' ? false : { scope: 'read' } }),
    );
    api.interceptor.attach(http, 'api');
    for (const path of ['/x', '/none']) await http.get(path, { oauth: { scope: 'write' } });
    expect(tokensOf(api)).toEqual(['access-token-read-1', undefined]);
  });

  it('43. None, if a relative path climbs out of the path that limits the token', async () => {
    const partner = await Recorder.start();
    const api = await Application.withServer({ allowedOrigins: [`${partner.origin}/partner`] });
    const http = axios.create({ baseURL: `${partner.origin}/partner` });
    api.interceptor.attach(http);
    for (const path of ['/x', '/../admin']) await http.get(path);
    expect(partner.requests.map(({ url }) => url)).toEqual(['/partner/x', '/admin']);
    expect(partner.credentials).toEqual(['Bearer access-token-1']);
  });

  it('81. None, if an interceptor that kept the config sends it elsewhere while the token is on its way', async () => {
    const evil = await Recorder.start();
    const api = await Application.withServer();
    const http = axios.create({ baseURL: api.server.apiURL });
    let kept: InternalAxiosRequestConfig | undefined;
    http.interceptors.request.use((config) => (kept = config));
    api.interceptor.attach(http, 'api');
    api.server.respondWith(() => {
      Object.assign(kept ?? {}, { baseURL: evil.origin });
      return undefined;
    });
    await expect(http.get('/x')).rejects.toMatchObject({ code: 'origin_not_allowed', origin: evil.origin });
    expect(evil.requests).toHaveLength(0);
  });

  it('81. None of ours, if an adapter between two of ours sends it elsewhere', async () => {
    const evil = await Recorder.start();
    const api = await Application.withServer();
    const http = axios.create({ baseURL: api.server.apiURL });
    let baseURL = api.server.apiURL;
    const between = http.interceptors.request.use((config) => {
      const inner = axios.getAdapter(config.adapter);
      return Object.assign(config, {
        adapter: (sent: InternalAxiosRequestConfig) => inner({ ...sent, baseURL }),
      });
    });
    api.interceptor.attach(http, 'api');
    const { config } = await http.get('/x');
    http.interceptors.request.eject(between);
    baseURL = evil.origin;
    await expect(http.request(config)).rejects.toMatchObject({ code: 'origin_not_allowed' });
    expect(evil.credentials).toEqual([]);
  });
});

describe('A 401', () => {
  it('34. to a request whose body is null is replayed', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.revokeAll();
    expect((await api.axios.post('/x', null)).status).toBe(200);
    expect(api.posts).toBe(2);
  });

  it('34. that surfaces has the new token requested at once, before anybody needs it', async () => {
    const api = await Application.withServer({ unauthorized: { retry: false } });
    await api.warmUp();
    api.server.revokeAll();
    expect(await api.failure(api.get('/x'))).toMatchObject({ response: { status: 401 } });
    while (api.posts < 2) await sleep(5);
    expect(api.server.apiRequests).toHaveLength(2);
  });

  it.each<[string, () => unknown]>([
    ['a web stream', () => ReadableStream.from([Buffer.from('abc')])],
    ['an async generator', () => chunks()],
  ])('38. to %s surfaces, and nothing is sent again', async (_, body) => {
    const api = await Application.withServer({ http: { adapter: 'fetch' } });
    await api.warmUp();
    api.server.revokeAll();
    const post = api.axios.post('/x', body(), { transformRequest: (data: unknown) => data });
    expect(await api.failure(post)).toMatchObject({ response: { status: 401 } });
    expect(api.server.apiRequests.slice(1).map(({ rawBody }) => rawBody.toString())).toEqual(['abc']);
  });

  it.each<[string, AxiosRequestConfig]>([
    ['another status', { url: '/403' }],
    ['a 401 to a request without a token', { oauth: false }],
    ['a 401 to a token of the caller', { headers: { Authorization: 'Own x' } }],
  ])('39. and no other answer says that the token was refused: %s', async (_, request) => {
    const api = await Application.withServer();
    api.server.onApiRequest = ({ url }) => ({ status: url.endsWith('/403') ? 403 : 401 });
    const error = await api.failure(api.axios.request({ url: '/x', ...request }));
    expect(rejectedClientOf(error)).toBeUndefined();
    expect(api.server.apiRequests).toHaveLength(1);
  });

  it('50. with a new nonce each time: three sendings for each of two tokens, then it surfaces', async () => {
    const api = await Application.withServer({ dpop: true });
    api.server.alwaysRespond(() => api.server.nextToken({ token_type: 'DPoP' }));
    let nonces = 0;
    api.server.onApiRequest = () => ({ status: 401, headers: { 'dpop-nonce': `n${++nonces}` } });
    expect(await api.failure(api.get('/x'))).toMatchObject({ response: { status: 401 } });
    expect(tokensOf(api)).toEqual(['t1', 't1', 't1', 't2', 't2', 't2']);
    expect(api.posts).toBe(2);
  });

  it('88. The success of a replay counts as one of its token, which is replaced at once if it is refused later', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    for (let round = 0; round < 2; round++) {
      api.server.revokeAll();
      expect((await api.get('/x')).status).toBe(200);
    }
    expect(tokensOf(api).map((token) => token?.at(-1))).toEqual(['1', '1', '2', '2', '3']);
    expect(api.posts).toBe(3);
  });

  it('88. A success elsewhere, where no token went, does not count as one of the token', async () => {
    const elsewhere = await Recorder.start();
    const api = await Application.withServer();
    await api.warmUp();
    await api.token({ forceRefresh: true });
    api.server.respondToApiWith({ status: 307, headers: { location: `${elsewhere.origin}/x` } });
    expect((await api.get('/x')).status).toBe(200);
    api.server.respondToApiWith({ status: 401 });
    expect((await api.get('/x')).status).toBe(200);
    // Not accepted yet, so it may be news to the API, and is tried again.
    expect(tokensOf(api).slice(1)).toEqual(['access-token-2', 'access-token-2', 'access-token-2']);
    expect(api.posts).toBe(2);
  });
});

describe('What a caller asks of Axios', () => {
  it('holds for fetch, too, but no redirect is followed with a token', async () => {
    const api = await Application.withServer({ http: { adapter: 'fetch' } });
    api.server.onApiRequest = ({ url }) => (url.endsWith('/moved') ? { redirectTo: '/api/x' } : undefined);
    const fetchOptions = { integrity: 'sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=' };
    expect(await api.failure(api.get('/x', { fetchOptions }))).toBeInstanceOf(Error);
    const redirect = await api.failure(api.get('/moved', { fetchOptions: { redirect: 'follow' } }));
    expect(redirect).toMatchObject({ response: { status: 307 } });
    expect(fetchOptions).toEqual({ integrity: expect.any(String) });
  });

  it('40. is left alone without a token: fetch follows redirects then', async () => {
    const api = await Application.withServer({ http: { adapter: 'fetch' } });
    api.server.onApiRequest = ({ url }) =>
      url.endsWith('/moved') ? { redirectTo: '/api/x' } : { status: 200 };
    expect((await api.get('/moved', { oauth: false })).status).toBe(200);
    expect(api.server.apiRequests.map(({ url }) => url)).toEqual(['/api/moved', '/api/x']);
  });

  it.each<[string, AxiosRequestConfig]>([
    ['the default adapter', {}],
    ['an interceptor takes the adapter off', { adapter: undefined as never }],
    ['an adapter by name', { adapter: 'http' }],
    ['a list of adapters', { adapter: ['http', 'fetch'] }],
    [
      'a boundary of its own',
      { headers: { 'Content-Type': 'multipart/form-data; boundary=my-own-boundary' } },
    ],
    [
      'a boundary in capitals',
      { headers: { 'Content-Type': 'multipart/form-data; BOUNDARY=my-own-boundary' } },
    ],
    ['no boundary', { headers: { 'Content-Type': 'multipart/form-data' } }],
  ])('34. A form is sent again byte by byte: %s', async (_, request) => {
    const api = await Application.withServer();
    if ('adapter' in request) api.axios.interceptors.request.use((config) => Object.assign(config, request));
    await api.warmUp();
    api.server.revokeAll();
    const form = new FormData();
    form.append('name', 'Käthe');
    await api.axios.post('/x', form, request);
    const [first, again] = api.server.apiRequests
      .slice(1)
      .map(({ headers, rawBody }) => [headers['content-type'], rawBody.toString()]);
    const [type = '', body = ''] = first ?? [];
    const boundary = /boundary=(.+)/i.exec(type)?.[1] ?? 'none';
    expect(body.startsWith(`--${boundary}\r\n`)).toBe(true);
    expect(boundary === 'my-own-boundary').toBe(/my-own/.test(JSON.stringify(request)));
    expect(again).toEqual(first);
  });

  it('34. A form of another class is sent again byte by byte', async () => {
    const api = await Application.withServer();
    api.server.respondToApiWith({ status: 401 });
    const form = new OtherFormData();
    form.append('name', 'Käthe');
    await api.axios.post('/x', form);
    const [first, again] = api.server.apiRequests.map(({ rawBody }) => rawBody.toString());
    expect(first).toContain('Käthe');
    expect(again).toBe(first);
  });

  it.each(['XyZ', '"a quoted boundary"'])(
    '34. A form with a boundary that Axios replaces is sent again byte by byte: %s',
    async (boundary) => {
      const api = await Application.withServer();
      api.server.respondToApiWith({ status: 401 });
      const form = new FormData();
      form.append('name', 'Käthe');
      const headers = { 'Content-Type': `multipart/form-data; boundary=${boundary}` };
      await api.axios.post('/x', form, { headers });
      const [first, again] = api.server.apiRequests.map(({ headers: { 'content-type': type }, rawBody }) =>
        [type, rawBody.toString()].join('\n'),
      );
      expect(first).toContain('Käthe');
      expect(again).toBe(first);
    },
  );

  it('34. Two forms have two boundaries', async () => {
    const api = await Application.withServer();
    for (let i = 0; i < 2; i++) await api.axios.post('/x', new FormData());
    expect(new Set(api.server.apiRequests.map(({ headers }) => headers['content-type'])).size).toBe(2);
  });
});
