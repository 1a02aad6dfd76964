import { describe, expect, it } from '@jest/globals';
import axios, {
  AxiosError,
  AxiosHeaders,
  type AxiosRequestConfig,
  type InternalAxiosRequestConfig,
} from 'axios';
import { Agent } from 'node:http';
import { Readable } from 'node:stream';
import { inspect } from 'node:util';
import type { OAuthClientOptions } from 'nestjs-oauth-client';
import { Application } from '../support/application.js';
import { everythingShown, type SecretWatch } from '../support/secrets.js';
import { CLIENT_SECRET } from '../support/server.js';

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
