import { describe, expect, it } from '@jest/globals';
import axios, {
  AxiosError,
  AxiosHeaders,
  type AxiosRequestConfig,
  type AxiosResponse,
  type InternalAxiosRequestConfig,
} from 'axios';
import { once } from 'node:events';
import { Agent, type ClientRequest } from 'node:http';
import { Readable } from 'node:stream';
import { inspect } from 'node:util';
import { lastValueFrom } from 'rxjs';
import type { OAuthClientOptions } from 'nestjs-oauth-client';
import type { FakeResponse } from 'nestjs-oauth-client/testing';
import { Application } from '../support/application.js';
import { everythingShown, type SecretWatch } from '../support/secrets.js';
import { CLIENT_SECRET } from '../support/server.js';
import { listedMembers } from '../support/walks.js';

const TOKEN = /access-token-\w/;
const PROOF = /eyJ[\w-]+\.[\w-]+\.[\w-]+/;
const SUBJECT_TOKEN = 'subject-token-of-the-caller';

/** Besides the client's secret and its tokens. */
const secrets = [PROOF, SUBJECT_TOKEN];

/** The Axios error of a request to an API that has taken a dislike to us. */
async function rejected(
  request: AxiosRequestConfig = {},
  options: OAuthClientOptions = {},
): Promise<{ watch: SecretWatch; error: AxiosError }> {
  const api = await Application.withServer(options, {}, { secrets });
  if (options.dpop)
    api.server.alwaysRespond(() =>
      api.server.nextToken({ access_token: 'access-token-1', token_type: 'DPoP' }),
    );
  api.server.onApiRequest = () => ({ status: 401, body: { no: 'entry' } });
  const error = await api.failure(api.axios.request({ url: '/x', ...request }));
  expect(api.server.apiRequests.at(-1)?.headers.authorization).toMatch(TOKEN);
  return { watch: api.watch, error: error as AxiosError };
}

describe('Axios’s own errors show no token', () => {
  it.each<[string, AxiosRequestConfig, OAuthClientOptions]>([
    ['a Bearer token', {}, {}],
    ['a DPoP token and its proof', {}, { dpop: true }],
    ['a POST', { method: 'post', data: { a: 1 } }, {}],
    ['without redirects', { maxRedirects: 0 }, {}],
    ['a streamed answer', { responseType: 'stream' }, {}],
    ['by fetch', { adapter: 'fetch' }, {}],
    [
      'what was asked of the authorization server',
      { oauth: { scope: 'read', parameters: { pin: SUBJECT_TOKEN } } },
      {},
    ],
    ['a subject token', { oauth: { subjectToken: SUBJECT_TOKEN } }, { grant: { type: 'token_exchange' } }],
  ])(
    '34. Second 401 → neither `Authorization` nor `DPoP` in its configs, JSON and inspect output: %s',
    async (_, request, options) => {
      const { watch, error } = await rejected(request, options);
      watch.add(error, error.toJSON(), error.config, error.response, error.response?.config);
      expect(watch.leaked).toEqual([]);
      for (const config of [error.config, error.response?.config]) {
        expect(config?.url).toBe('/x');
        for (const name of ['Authorization', 'DPoP']) expect(config?.headers.has(name)).toBe(false);
      }
      // Still there, without its headers.
      expect(error.request).toBeDefined();
      expect(error.response?.request).toBeDefined();
      if (error.response?.data instanceof Readable) error.response.data.destroy();
    },
  );

  it.each<[string, (api: Application) => Promise<unknown>]>([
    [
      'another status',
      ({ server, axios: http }) => (server.respondToApiWith({ status: 500 }), http.get('/x')),
    ],
    [
      'a connection that breaks',
      ({ server, axios: http }) => (server.respondToApiWith('reset'), http.get('/x')),
    ],
    [
      'a timeout',
      ({ server, axios: http }) => (server.respondToApiWith('hang'), http.get('/x', { timeout: 50 })),
    ],
    [
      'too many redirects',
      ({ server, axios: http }) => ((server.onApiRequest = () => ({ redirectTo: '/api/x' })), http.get('/x')),
    ],
    ['an answer too large', ({ axios: http }) => http.get('/x', { maxContentLength: 3 })],
    [
      'an answer that is no JSON',
      ({ server, axios: http }) => (
        server.respondToApiWith('garbage'),
        http.get('/x', { responseType: 'json', transitional: { silentJSONParsing: false } })
      ),
    ],
    ['a body too large', ({ axios: http }) => http.post('/x', 'x'.repeat(100), { maxBodyLength: 3 })],
    [
      'a streamed body',
      ({ server, axios: http }) => (
        server.respondToApiWith({ status: 500 }),
        http.post('/x', Readable.from(['abc']))
      ),
    ],
    [
      'a request that is cancelled already',
      ({ axios: http }) => http.get('/x', { signal: AbortSignal.abort() }),
    ],
    [
      'a transform of the caller that throws',
      ({ axios: http }) =>
        http.post('/x', 'a', {
          transformRequest(this: InternalAxiosRequestConfig) {
            throw new AxiosError('no', 'ERR_NO', this);
          },
        }),
    ],
    [
      'an adapter of the caller that throws',
      ({ axios: http }) =>
        http.get('/x', {
          adapter: (config) => {
            throw new AxiosError('no', 'ERR_NO', config);
          },
        }),
    ],
    [
      'a cancelled request',
      ({ server, axios: http }) => (
        server.respondToApiWith('hang'),
        http.get('/x', { signal: AbortSignal.timeout(50) })
      ),
    ],
  ])('66. The same for other errors: %s', async (_, fail) => {
    const api = await Application.withServer({}, {}, { secrets });
    await api.warmUp();
    const error = await api.failure(fail(api));
    expect(error).toBeInstanceOf(AxiosError);
    api.watch.add(error);
    expect((error as AxiosError).config?.headers.has('Authorization')).toBe(false);
  });

  it('66. An error that is not Axios’s, but shows the request', async () => {
    const api = await Application.withServer({}, {}, { secrets });
    const instance = axios.create({ baseURL: api.server.apiURL });
    instance.interceptors.request.use((config) => {
      throw Object.assign(new Error('not today'), { config });
    });
    api.interceptor.attach(instance, 'api');
    const error = await api.failure(instance.get('/x'));
    expect(error).toMatchObject({ message: 'not today' });
    api.watch.add(error);
    expect((error as AxiosError).config?.headers.has('Authorization')).toBe(false);
  });

  it('66. An error while waiting for the token shows nothing of what was asked for', async () => {
    const api = await Application.withServer(
      { grant: { type: 'token_exchange' } },
      { shutdownGraceMs: 0 },
      { secrets },
    );
    api.server.alwaysRespond('hang');
    const signal = AbortSignal.timeout(50);
    const error = await api.failure(api.axios.get('/x', { signal, oauth: { subjectToken: SUBJECT_TOKEN } }));
    expect(axios.isCancel(error)).toBe(true);
    api.watch.add(error);
  });

  it('66. An agent that the error knows shows neither its other requests nor its keys', async () => {
    const httpAgent = new Agent({ keepAlive: true });
    Object.assign(httpAgent, { options: { ...Reflect.get(httpAgent, 'options'), key: CLIENT_SECRET } });
    const api = await Application.withServer({ http: { httpAgent } }, {}, { secrets });
    await api.warmUp();
    api.server.respondToApiWith('hang', { status: 500 });
    const other = api.failure(api.get('/slow', { timeout: 500 }));
    while (api.server.apiRequests.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    const error = (await api.failure(api.get('/x'))) as AxiosError;
    expect(error.config?.httpAgent).toBe(httpAgent);
    expect(inspect(httpAgent)).toBe('[Agent]');
    api.watch.add(error);
    api.watch.add(await other);
  });

  it('66. Nor does one that only the request has', async () => {
    const httpAgent = new Agent();
    Object.assign(httpAgent, { options: { ...Reflect.get(httpAgent, 'options'), key: CLIENT_SECRET } });
    const api = await Application.withServer({}, {}, { secrets });
    api.server.respondToApiWith({ status: 500 });
    const error = (await api.failure(api.get('/x', { httpAgent }))) as AxiosError;
    expect(error.config?.httpAgent).toBe(httpAgent);
    expect(inspect(httpAgent)).toBe('[Agent]');
    api.watch.add(error);
  });

  it('66. Listed members of a response, an error or the instance lead to no other request', async () => {
    const httpAgent = new Agent({ keepAlive: true });
    const api = await Application.withServer({ http: { httpAgent } });
    await api.warmUp();
    api.server.onApiRequest = ({ url }) => (url.endsWith('/hung') ? 'hang' : undefined);
    const hung = api.axios.get('/hung').catch((error: unknown) => error);
    const [first, second] = [await api.axios.get('/x'), await api.axios.get('/x', { timeout: 1_000 })];
    const error = await api.failure(api.axios.get('/hung', { timeout: 50 }));
    const found = listedMembers([first, second, error, api.http(), httpAgent]);
    expect(found.length).toBeGreaterThan(20);
    expect(found.filter(([, text]) => TOKEN.test(text)).map(([path]) => path)).toEqual([]);
    expect(Object.keys(httpAgent.sockets)).toHaveLength(1);
    httpAgent.destroy();
    await hung;
  });

  it('66. A request left alone shows neither what it asked for nor the requests that share its agent', async () => {
    const httpAgent = new Agent({ keepAlive: true });
    const api = await Application.withServer({ http: { httpAgent } }, {}, { secrets });
    await api.warmUp();
    api.server.onApiRequest = () => ({ status: 500 });
    const own = { headers: { Authorization: 'Custom mine' } };
    for (const request of [{ oauth: false as const }, { ...own, oauth: { subjectToken: SUBJECT_TOKEN } }]) {
      const error = (await api.failure(api.axios.get('/x', request))) as AxiosError;
      expect(error.response?.status).toBe(500);
      api.watch.add(error, error.toJSON(), error.config);
    }
    expect(api.watch.leaked).toEqual([]);
    httpAgent.destroy();
  });

  it('66. A request left alone does not show the password of its proxy either', async () => {
    const [nowhere, password] = [{ host: '127.0.0.1', port: 9 }, 'password-of-the-proxy'];
    const api = await Application.withServer({}, {}, { secrets: [password] });
    const proxy = { ...nowhere, auth: { username: 'me', password } };
    const error = await api.failure(api.axios.get('http://elsewhere.test/x', { oauth: false, proxy }));
    expect(error).toMatchObject({ code: 'ECONNREFUSED', config: { proxy: nowhere } });
    api.watch.add(error, (error as AxiosError).config, (error as AxiosError).request);
  });

  it('66. Errors show what was asked for as far as it is no secret', async () => {
    const api = await Application.withServer({ grant: { type: 'token_exchange' } }, {}, { secrets });
    const shown = { client: 'api', scope: 'read', audience: 'urn:api', resource: 'urn:resource' };
    api.server.onApiRequest = () => ({ status: 500 });
    const oauth = { ...shown, subjectToken: SUBJECT_TOKEN, parameters: { pin: SUBJECT_TOKEN } };
    const { config } = (await api.failure(api.axios.get('/x', { oauth }))) as AxiosError;
    expect(JSON.parse(JSON.stringify(config?.oauth))).toEqual(shown);
    api.watch.add(config?.oauth);
  });

  it('66. Tokens, requests, events and states show none either', async () => {
    const api = await Application.withServer({ dpop: true }, {}, { secrets });
    api.server.alwaysRespond(() =>
      api.server.nextToken({ access_token: 'access-token-1', token_type: 'DPoP' }),
    );
    api.watch.add(
      await api.tokens.getToken('api'),
      api.events,
      api.tokens.status(),
      api.tokens,
      api.interceptor,
    );
    api.watch.add(await api.failure(api.get('http://127.0.0.1:1/x')));
  });

  it('The watch itself finds what it looks for', async () => {
    const api = await Application.withServer();
    const { authorization } = await api.token();
    const config = { headers: new AxiosHeaders({ authorization }) } as InternalAxiosRequestConfig;
    expect(TOKEN.test(everythingShown(config))).toBe(true);
    expect(TOKEN.test(everythingShown(new AxiosError('x', 'y', config)))).toBe(true);
    expect(
      TOKEN.test(everythingShown(Object.assign(new Error('x'), { cause: new Error('access-token-1') }))),
    ).toBe(true);
  });
});

/** Every string that can be reached from `value`, through hidden members, symbols and accessors, with its path. */
function strings(value: unknown, path = '', depth = 0, seen = new Set<unknown>()): [string, string][] {
  if (typeof value === 'string') return [[path, value]];
  if (typeof value !== 'object' || value === null || seen.has(value) || depth > 9) return [];
  seen.add(value);
  const members = new Map<PropertyKey, unknown>();
  for (
    let owner: unknown = value;
    owner && owner !== Object.prototype;
    owner = Object.getPrototypeOf(owner)
  ) {
    for (const name of Reflect.ownKeys(owner)) {
      try {
        if (!/^(constructor|_headers|_headerNames)$/.test(String(name)))
          members.set(name, Reflect.get(value, name));
      } catch {
        // An accessor that throws shows nothing.
      }
    }
  }
  if (value instanceof Map) for (const [name, member] of value) members.set(String(name), member);
  return [...members].flatMap(([name, member]) =>
    strings(member, `${path}.${String(name)}`, depth + 1, seen),
  );
}

describe('What a response or an error leads to', () => {
  const slow = { timeout: 60 };
  const plain = () => ({ status: 200 });
  it.each<[string, AxiosRequestConfig, () => FakeResponse | 'hang' | 'reset']>([
    ['a response', {}, plain],
    ['a response without redirects', { maxRedirects: 0 }, plain],
    ['a response after a redirect', { url: '/moved' }, plain],
    ['a response to a POST', { method: 'post', data: { a: 1 } }, plain],
    ['a response to an upload', { method: 'post', data: Readable.from(['a']) }, plain],
    ['a stream', { responseType: 'stream' }, plain],
    ['a stream of limited length', { responseType: 'stream', maxContentLength: 1_000 }, plain],
    ['a response by fetch', { adapter: 'fetch' }, plain],
    ['an error', {}, () => ({ status: 500 })],
    ['a timeout', slow, () => 'hang'],
    ['a timeout without redirects', { ...slow, maxRedirects: 0 }, () => 'hang'],
    ['a broken connection', {}, () => 'reset'],
    ['an error by fetch', { adapter: 'fetch' }, () => ({ status: 500 })],
    ['a timeout by fetch', { adapter: 'fetch', ...slow }, () => 'hang'],
  ])('82. No header with the token in anything that can be reached: %s', async (_, config, answer) => {
    const api = await Application.withServer();
    await api.token();
    api.server.onApiRequest = ({ url }) => (url.endsWith('/moved') ? { redirectTo: '/api/x' } : answer());
    const outcome: unknown = await api.axios
      .request({ url: '/x', ...config })
      .catch((error: unknown) => error);
    expect(api.authorizations).toContain('Bearer access-token-1');
    const { config: own, request, response, data, cause } = outcome as AxiosError & AxiosResponse;
    expect(own?.headers.has('Authorization')).toBe(false);
    const reached = strings([outcome, own, request, response, data, cause]);
    expect(reached.length).toBeGreaterThan(20);
    expect(reached.filter(([, text]) => TOKEN.test(text)).map(([path]) => path)).toEqual([]);
    for (const customInspect of [true, false])
      expect(inspect(outcome, { depth: 8, showHidden: true, customInspect })).not.toMatch(TOKEN);
    if (data instanceof Readable) data.destroy();
  });

  it.each<AxiosRequestConfig>([
    {},
    { maxRedirects: 0 },
    { maxRate: 100_000 },
    { url: '/500', validateStatus: null },
  ])(
    '82. A stream that was uploaded leads to no token, also if nobody looks at the request: %j',
    async (config) => {
      const api = await Application.withServer();
      api.server.onApiRequest = ({ url }) => (url.endsWith('/500') ? { status: 500 } : undefined);
      const data = Readable.from([Buffer.from('a')]);
      const { status } = await api.axios.request({ url: '/x', method: 'post', data, ...config });
      expect(status).toBe(config.validateStatus === null ? 500 : 200);
      expect(inspect(data, { depth: 12, showHidden: true })).not.toMatch(TOKEN);
    },
  );

  it('82. A request that found no connection leads to no token either', async () => {
    const unreachable = 'http://127.0.0.1:9';
    const api = await Application.withServer({ allowedOrigins: [unreachable] });
    const error = (await api.failure(api.axios.get(`${unreachable}/x`))) as AxiosError;
    expect(error).toMatchObject({ code: 'ECONNREFUSED' });
    expect(api.posts).toBe(1);
    const reached = strings([error, error.request]);
    expect(reached.filter(([, text]) => TOKEN.test(text)).map(([path]) => path)).toEqual([]);
  });

  it('82. A response that an interceptor freezes still shows its request', async () => {
    const api = await Application.withServer();
    api.axios.interceptors.response.use((response) => Object.freeze(response));
    const { request } = (await api.axios.get('/x')) as { request: ClientRequest };
    expect(request.path).toBe('/api/x');
    api.watch.add(request);
  });

  it('82. A request still leads to its own URL, path, host and connection', async () => {
    const api = await Application.withServer();
    const { request } = (await api.get('/x')) as {
      request: ClientRequest & { res: { responseUrl: string } };
    };
    expect(request.res.responseUrl).toBe(`${api.server.apiURL}/x`);
    expect([request.method, request.path, request.host]).toEqual(['GET', '/api/x', '127.0.0.1']);
    expect(request.socket?.remoteAddress).toBe('127.0.0.1');
    expect(request.getHeader('accept')).toContain('application/json');
    expect(request.getHeader('authorization')).toBeUndefined();
  });

  it('82. The error of a stream that is cut off later shows no token either', async () => {
    const api = await Application.withServer();
    api.server.onApiRequest = () => ({ body: 'x'.repeat(5_000) });
    const { data } = await api.axios.get<Readable>('/x', { responseType: 'stream', maxContentLength: 100 });
    const error: unknown = await once(data.resume(), 'end').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(AxiosError);
    api.watch.add(error, (error as AxiosError).config);
  });

  it('80. What was asked for is copied when the request is made', async () => {
    const api = await Application.withServer();
    const parameters: Record<string, string | string[]> = { tenant: 'acme', list: ['a'] };
    const oauth = { audience: ['one'], parameters };
    api.server.latencyMs = 30;
    const sent = api.axios.get('/x', { oauth });
    parameters['tenant'] = 'evil';
    (parameters['list'] as string[]).push('b');
    oauth.audience.push('two');
    const { config } = await sent;
    await api.axios.request(config);
    const [form] = api.server.tokenRequests.map(({ form }) => form);
    expect([form?.get('tenant'), form?.getAll('list'), form?.getAll('audience')]).toEqual([
      'acme',
      ['a'],
      ['one'],
    ]);
    expect(api.posts).toBe(1);
  });

  it('80. The same for an Observable of Nest’s HttpService, which is sent when somebody subscribes', async () => {
    const api = await Application.withServer();
    const oauth = { audience: ['one'] };
    const get$ = api.http().get('/x', { oauth });
    oauth.audience.push('two');
    await lastValueFrom(get$);
    expect(api.server.tokenRequests[0]?.form?.getAll('audience')).toEqual(['one']);
  });
});

describe('A request that is sent again', () => {
  it('34. By a retry library, with the config of the error → a fresh token', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.respondToApiWith({ status: 503 });
    const error = (await api.failure(
      api.axios.post('/x', { a: 1 }, { headers: { 'X-Trace': 'abc' } }),
    )) as AxiosError;
    api.tokens.invalidate('api');
    const answer = await api.axios.request(error.config as InternalAxiosRequestConfig);
    expect(answer.data).toMatchObject({ method: 'POST', body: { a: 1 } });
    expect(api.authorizations.slice(1)).toEqual(['Bearer access-token-1', 'Bearer access-token-2']);
    expect(api.server.apiRequests[2]?.headers['x-trace']).toBe('abc');
  });

  it('34. By a retry library that was there before us → a fresh token, and its 401 is replayed', async () => {
    const api = await Application.withServer();
    const http = axios.create({ baseURL: api.server.apiURL });
    http.interceptors.response.use(undefined, async (error: AxiosError) => {
      if (error.response?.status !== 503) throw error;
      api.tokens.invalidate('api');
      return http.request(error.config as InternalAxiosRequestConfig);
    });
    api.interceptor.attach(http, 'api');
    await http.get('/warm-up');
    api.server.respondToApiWith({ status: 503 }, { status: 401 });
    expect((await http.get('/x')).status).toBe(200);
    // The second one is too young to be given up at its first 401.
    expect(api.authorizations.slice(1)).toEqual([
      'Bearer access-token-1',
      'Bearer access-token-2',
      'Bearer access-token-2',
    ]);
  });

  it('34. With what it asked for the first time', async () => {
    const api = await Application.withServer();
    api.server.respondToApiWith({ status: 503 });
    const oauth = { scope: 'read', parameters: { tenant: 'a' } };
    const error = (await api.failure(api.axios.get('/x', { oauth }))) as AxiosError;
    await api.axios.request(error.config as InternalAxiosRequestConfig);
    expect(api.posts).toBe(1);
    expect(api.server.tokenRequests[0]?.form?.get('tenant')).toBe('a');
    expect(api.authorizations).toEqual(['Bearer access-token-read-a-1', 'Bearer access-token-read-a-1']);
  });

  it('34. With a response’s config, as pollers do → a fresh token', async () => {
    const api = await Application.withServer();
    const { config } = await api.axios.get('/x');
    api.tokens.invalidate('api');
    await api.axios.request(config);
    expect(api.authorizations).toEqual(['Bearer access-token-1', 'Bearer access-token-2']);
  });

  it('40. With `oauth: false` → without the token it had', async () => {
    const api = await Application.withServer();
    api.server.onApiRequest = () => ({ status: 503 });
    const error = (await api.failure(api.axios.get('/x'))) as AxiosError;
    await api.failure(api.axios.request({ ...(error.config as InternalAxiosRequestConfig), oauth: false }));
    expect(api.authorizations).toEqual(['Bearer access-token-1', undefined]);
  });
});
