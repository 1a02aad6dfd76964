import { describe, expect, it } from '@jest/globals';
import axios, { type AxiosError, type AxiosRequestConfig } from 'axios';
import type { OAuthClientOptions } from 'nestjs-oauth-client';
import { Readable } from 'node:stream';
import { Application } from '../support/application.js';
import { cleanEnvironment } from '../support/environment.js';
import { Recorder } from '../support/recorder.js';
import { CLIENT_ID, CLIENT_SECRET } from '../support/server.js';

cleanEnvironment();

const NAME = 'X-Auth-Token';
const named: OAuthClientOptions = { tokenHeader: { name: NAME } };

/** An application whose API takes the token from `X-Auth-Token`, until it is revoked. */
async function application(
  options: OAuthClientOptions = named,
  secrets: RegExp[] = [],
): Promise<Application> {
  const api = await Application.withServer(options, {}, { secrets });
  const revoked = new Set<string>();
  api.server.onApiRequest = ({ headers, url }) => {
    const token = String(headers['x-auth-token'] ?? headers.authorization ?? '');
    if (url.endsWith('/revoke') && revoked.size === 0) revoked.add(token);
    return { status: token === '' || revoked.has(token) ? 401 : 200, body: { url } };
  };
  return api;
}

/** What the API got, as `X-Auth-Token` and as `Authorization`. */
const received = (api: Application) =>
  api.server.apiRequests.map(({ headers }) => [headers['x-auth-token'], headers.authorization]);

describe('tokenHeader', () => {
  it.each<[OAuthClientOptions['tokenHeader'] & object, string | undefined, string | undefined]>([
    [{ name: NAME }, 'access-token-1', undefined],
    [{ name: 'x-auth-TOKEN' }, 'access-token-1', undefined],
    [{ name: NAME, scheme: 'Token' }, 'Token access-token-1', undefined],
    [{ name: NAME, scheme: '' }, 'access-token-1', undefined],
    [{ name: NAME, scheme: 'Bearer' }, 'Bearer access-token-1', undefined],
    [{ scheme: 'Zoho-oauthtoken' }, undefined, 'Zoho-oauthtoken access-token-1'],
    [{ scheme: '' }, undefined, 'access-token-1'],
    [{ name: 'authorization' }, undefined, 'Bearer access-token-1'],
    [{}, undefined, 'Bearer access-token-1'],
  ])('73. %j puts the token there', async (tokenHeader, own, authorization) => {
    const api = await application({ tokenHeader });
    await api.get('/x');
    expect(received(api)).toEqual([[own, authorization]]);
    expect((await api.token()).authorization).toBe('Bearer access-token-1');
  });

  it('73. A request that is refused is replayed with the new token in the same header', async () => {
    const api = await application();
    expect((await api.get('/revoke')).data).toEqual({ url: '/api/revoke' });
    expect(received(api)).toEqual([
      ['access-token-1', undefined],
      ['access-token-2', undefined],
    ]);
  });

  it.each([{ headers: { 'x-auth-token': 'mine' } }, { headers: { [NAME]: 'mine' } }])(
    '73. 40. A header of that name which the caller set is left alone: %j',
    async (config) => {
      const api = await application();
      await api.get('/x', config);
      expect(received(api)).toEqual([['mine', undefined]]);
      expect(api.posts).toBe(0);
    },
  );

  it('73. An Authorization header of the caller’s, for a gateway say, goes along', async () => {
    const api = await application();
    await api.get('/x', { headers: { Authorization: 'Basic gateway' } });
    await api.get('/x', { auth: { username: 'a', password: 'b' } });
    expect(received(api)).toEqual([
      ['access-token-1', 'Basic gateway'],
      ['access-token-1', 'Basic YTpi'],
    ]);
  });

  it('73. 40. oauth: false sends no token', async () => {
    const api = await application();
    await api.failure(api.get('/x', { oauth: false }));
    expect(received(api)).toEqual([[undefined, undefined]]);
  });

  it('73. With DPoP the request is proved as well', async () => {
    const api = await application({ ...named, dpop: true }, [/eyJ[\w-]+\.[\w-]+\.[\w-]+/]);
    api.server.alwaysRespond(() =>
      api.server.nextToken({ access_token: 'access-token-1', token_type: 'DPoP' }),
    );
    await api.get('/x');
    expect(received(api)).toEqual([['access-token-1', undefined]]);
    expect(api.server.apiRequests[0]?.headers['dpop']).toMatch(/^eyJ/);
  });

  it('73. 43. It goes to no other origin, neither directly nor by a redirect', async () => {
    const api = await application();
    const evil = await Recorder.start();
    await api.failure(api.get(`${evil.origin}/x`));
    api.server.onApiRequest = ({ url }) => ({
      redirectTo: url.endsWith('/in') ? '/api/x' : `${evil.origin}/x`,
    });
    await api.get('/out');
    api.server.onApiRequest = ({ url }) => (url.endsWith('/in') ? { redirectTo: '/api/x' } : { status: 200 });
    await api.get('/in');
    expect(evil.requests.map(({ headers }) => headers['x-auth-token'])).toEqual([undefined]);
    expect(received(api).map(([token]) => token)).toEqual([
      'access-token-1',
      'access-token-1',
      'access-token-1',
    ]);
  });

  it('73. 77. A client’s fetch puts it there too, replays it and leaves the caller’s own alone', async () => {
    const api = await application();
    expect((await api.fetch()('/revoke')).status).toBe(200);
    await api.fetch()('/x', { headers: { 'x-auth-token': 'mine', authorization: 'Basic gateway' } });
    await api.fetch()('/x', { headers: { authorization: 'Basic gateway' } });
    expect(received(api)).toEqual([
      ['access-token-1', undefined],
      ['access-token-2', undefined],
      ['mine', 'Basic gateway'],
      ['access-token-2', 'Basic gateway'],
    ]);
  });

  it('73. An unnamed interceptor uses the header of the client that fits', async () => {
    const api = await application();
    const instance = axios.create();
    api.interceptor.attach(instance);
    await instance.get(`${api.server.apiURL}/x`);
    expect(received(api)).toEqual([['access-token-1', undefined]]);
  });
});

describe('What is shown of a request with tokenHeader', () => {
  it.each<[string, AxiosRequestConfig]>([
    ['a GET', {}],
    ['a POST', { method: 'post', data: { a: 1 } }],
    ['a request without redirects', { maxRedirects: 0 }],
    ['a streamed answer', { responseType: 'stream' }],
    ['a request by fetch', { adapter: 'fetch' }],
  ])('73. neither response nor error shows the token: %s', async (_, config) => {
    const api = await application();
    const response = await api.axios.request({ url: '/x', ...config });
    api.server.onApiRequest = () => ({ status: 401, body: {} });
    const error = (await api.failure(api.axios.request({ url: '/x', ...config }))) as AxiosError;
    api.watch.add(
      response,
      response.config,
      response.request,
      error,
      error.toJSON(),
      error.config,
      error.request,
    );
    api.watch.add(error.response?.request, error.response?.config);
    expect(api.watch.leaked).toEqual([]);
    expect(received(api).flat().filter(Boolean).length).toBeGreaterThan(1);
    for (const { data } of [response, error.response!]) if (data instanceof Readable) data.destroy();
  });

  it.each(['reset', 'hang'] as const)(
    '73. nor does that of a request without an answer: %s',
    async (fault) => {
      const api = await application();
      await api.get('/x');
      api.server.respondToApiWith(fault);
      const error = (await api.failure(api.get('/x', { timeout: 150 }))) as AxiosError;
      api.watch.add(error, error.toJSON(), error.config, error.request);
      expect(api.watch.leaked).toEqual([]);
    },
  );
});

describe('tokenHeader in the configuration', () => {
  it.each<[OAuthClientOptions, RegExp]>([
    [{ tokenHeader: { name: 'X Token' } }, /^tokenHeader\.name must be the name of a header/],
    [{ tokenHeader: { name: '' } }, /^tokenHeader\.name must be the name of a header/],
    [{ tokenHeader: { name: 'X-Token:' } }, /^tokenHeader\.name must be the name of a header/],
    [{ tokenHeader: { name: 'DPoP' } }, /^tokenHeader\.name must be .*none that HTTP or DPoP needs\.$/],
    [
      { tokenHeader: { name: 'Content-Length' } },
      /^tokenHeader\.name must be .*none that HTTP or DPoP needs\.$/,
    ],
    [{ tokenHeader: { name: 'host' } }, /^tokenHeader\.name must be/],
    [
      { tokenHeader: { scheme: 'a\r\nb' } },
      /^tokenHeader\.scheme must be visible characters, or empty for the token alone\.$/,
    ],
    [{ tokenHeader: { scheme: 'Bearer ' } }, /^tokenHeader\.scheme must be visible characters/],
    [
      { tokenHeader: NAME } as OAuthClientOptions,
      /^tokenHeader must be an object with the members name, scheme\.$/,
    ],
    [
      { ...named, http: { headers: { 'x-auth-token': 'x' } } },
      /^http\.headers may not set the header that tokenHeader\.name names/,
    ],
  ])('73. %j is a problem at boot', async (options, sentence) => {
    const client = { tokenEndpoint: 'https://as.example/token', clientId: 'me', clientSecret: CLIENT_SECRET };
    await expect(Application.client({ ...client, ...options })).rejects.toMatchObject({
      problems: [expect.stringMatching(new RegExp(sentence.source.replace('^', '^Client "partner": ')))],
    });
  });

  it.each([
    [{ OAUTH_API_TOKEN_HEADER_NAME: NAME }, 'access-token-1', undefined],
    [
      { OAUTH_API_TOKEN_HEADER_NAME: NAME, OAUTH_API_TOKEN_HEADER_SCHEME: 'Token' },
      'Token access-token-1',
      undefined,
    ],
    [{ OAUTH_API_TOKEN_HEADER_SCHEME: 'none' }, undefined, 'access-token-1'],
  ])('76. 73. It can be set in the environment: %j', async (variables, own, authorization) => {
    const { server } = await application();
    const api = await Application.environment({
      OAUTH_CLIENTS: 'api',
      OAUTH_API_TOKEN_ENDPOINT: server.tokenEndpoint,
      OAUTH_API_CLIENT_ID: CLIENT_ID,
      OAUTH_API_CLIENT_SECRET: CLIENT_SECRET,
      OAUTH_API_BASE_URL: server.apiURL,
      ...variables,
    });
    await api.get('/x');
    const { headers } = server.apiRequests[0]!;
    expect([headers['x-auth-token'], headers.authorization]).toEqual([own, authorization]);
  });
});
