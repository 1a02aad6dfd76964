import { describe, expect, it } from '@jest/globals';
import axios from 'axios';
import {
  TokenRequestError,
  type OAuthClientModuleOptions,
  type OAuthClientOptions,
} from 'nestjs-oauth-client';
import type { RequestTokenContext, RequestedToken } from 'nestjs-oauth-client';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { Application } from '../support/application.js';
import { Authority, fingerprintOf } from '../support/certificates.js';
import { closing } from '../support/closing.js';
import { startServer } from '../support/server.js';
import { TlsServer } from '../support/tls-server.js';

type RequestToken = NonNullable<OAuthClientOptions['requestToken']>;

const PASSWORD = 'login-password-1';
const HOUR_MS = 3_600_000;
const secrets = [PASSWORD];

/** A client whose tokens come of `requestToken`; the server is its API, and where it logs in. */
async function login(
  requestToken: RequestToken,
  options: OAuthClientOptions = {},
  module: OAuthClientModuleOptions = {},
): Promise<{ api: Application; server: FakeAuthorizationServer }> {
  const server = closing(await startServer());
  const client = { baseURL: server.apiURL, requestToken, retry: { attempts: 1 }, ...options };
  const api = await Application.start({ oauth: { ...module, clients: { api: client } }, secrets });
  return { api, server };
}

/** Logs in as an API asks that has never heard of OAuth. */
const logIn =
  (server: () => FakeAuthorizationServer): RequestToken =>
  async ({ http, request, signal }) => {
    const body = { user: 'me', password: PASSWORD, scope: request.scope };
    const { data } = await http.post<{ access_token: string }>(server().tokenEndpoint, body, { signal });
    return { accessToken: data.access_token, expiresInMs: HOUR_MS, details: { region: 'eu' } };
  };

describe('requestToken', () => {
  it('72. needs neither clientId nor endpoint; its token goes to the API and is shared by all callers', async () => {
    const { api, server } = await login((context) => logIn(() => server)(context), { scope: 'read' });
    await Promise.all(Array.from({ length: 20 }, () => api.get('/x')));
    expect(server.tokenRequests).toHaveLength(1);
    expect(server.tokenRequests[0]?.json).toEqual({ user: 'me', password: PASSWORD, scope: 'read' });
    expect(server.apiRequests[0]?.headers.authorization).toBe('Bearer access-token-1');
    const token = await api.token();
    expect(token).toMatchObject({ tokenType: 'Bearer', scope: 'read', details: { region: 'eu' } });
    expect(Math.abs(token.expiresAt.getTime() - Date.now() - HOUR_MS)).toBeLessThan(5_000);
    expect(api.events).toMatchObject([
      { type: 'token_acquired', client: 'api', source: 'authorization_server' },
    ]);
    expect(api.tokens.status()).toMatchObject([{ state: 'fresh', tokenRequests: 1 }]);
  });

  it('72. A 401 of the API leads to a new token, and one replay', async () => {
    const { api, server } = await login((context) => logIn(() => server)(context));
    await api.get('/warm-up');
    server.revokeAll();
    expect((await api.get('/x')).status).toBe(200);
    expect(server.tokenRequests).toHaveLength(2);
  });

  it('72. Each scope has a token of its own, and gets its request in a copy', async () => {
    const asked: RequestTokenContext['request'][] = [];
    const { api } = await login(
      ({ request }) => {
        asked.push(structuredClone(request));
        request.scope = 'changed';
        delete request.parameters?.['tenant'];
        return { accessToken: `access-token-${asked.length}` };
      },
      { parameters: { tenant: 'a' } },
    );
    const first = await api.token({ scope: 'read' });
    expect(first.scope).toBe('read');
    expect(await api.token({ scope: 'read' })).toBe(first);
    await api.token({ scope: 'write', audience: 'x', forceRefresh: true });
    await api.token({ scope: 'write', audience: 'x', forceRefresh: true });
    expect(asked).toMatchObject([
      { scope: 'read' },
      { scope: 'write', audience: 'x', parameters: { tenant: 'a' } },
      { scope: 'write', audience: 'x', parameters: { tenant: 'a' } },
    ]);
  });

  it('72. Two clients with the same function never share a token', async () => {
    let count = 0;
    const requestToken = () => ({ accessToken: `access-token-${++count}` });
    const api = await Application.start({ oauth: { clients: { a: { requestToken }, b: { requestToken } } } });
    expect((await api.token({}, 'a')).value).not.toBe((await api.token({}, 'b')).value);
  });

  it('72. http has the client’s baseURL, headers and certificate, no token, and follows no redirect', async () => {
    const authority = new Authority();
    closing({ close: async () => authority.remove() });
    const identity = authority.client('me');
    const server = closing(
      await TlsServer.start(authority, ({ url }) =>
        url === '/moved'
          ? { status: 302, body: {}, headers: { location: '/login' } }
          : { status: 200, body: {} },
      ),
    );
    const { api } = await login(
      async ({ http }) => {
        await http.get('/login');
        return { accessToken: (await http.get<string>('/moved')).data };
      },
      {
        baseURL: server.url,
        http: { headers: { 'X-App': 'clinic' } },
        tls: { ...identity, ca: authority.ca },
      },
    );
    expect(await api.failure()).toMatchObject({ code: 'token_response_invalid' });
    expect(server.requests.map(({ url }) => url)).toEqual(['/login', '/moved']);
    const [request] = server.requests;
    expect(request).toMatchObject({ certificate: fingerprintOf(identity), headers: { 'x-app': 'clinic' } });
    expect(request?.headers).not.toHaveProperty('authorization');
  });

  it.each<[string, Partial<RequestedToken>, object]>([
    ['expiresInMs', { expiresInMs: 60_000 }, { ms: 60_000 }],
    ['expiresAt as a date', { expiresAt: new Date(Date.now() + HOUR_MS) }, { ms: HOUR_MS }],
    ['expiresAt in milliseconds', { expiresAt: Date.now() + HOUR_MS }, { ms: HOUR_MS }],
    [
      'both, of which expiresInMs takes precedence',
      { expiresInMs: 60_000, expiresAt: Date.now() + HOUR_MS },
      { ms: 60_000 },
    ],
    ['neither: defaultLifetimeMs', {}, { ms: 300_000 }],
    ['a type in another case', { tokenType: 'bearer' }, { ms: 300_000 }],
  ])('72. may return %s', async (_, returned, expected) => {
    const { api } = await login(() => ({ accessToken: 'access-token-1', ...returned }));
    const token = await api.token();
    expect(token.authorization).toBe('Bearer access-token-1');
    const { ms } = expected as { ms: number };
    expect(Math.abs(token.expiresAt.getTime() - Date.now() - ms)).toBeLessThan(20_000);
    expect(token.details).toBeUndefined();
  });

  it.each<[string, unknown, RegExp]>([
    ['nothing', undefined, /no valid accessToken:/],
    ['null', null, /no valid accessToken:/],
    ['a bare token', 'access-token-1', /no valid accessToken:/],
    ['an empty token', { accessToken: '' }, /no valid accessToken:/],
    ['a lifetime of 0', { accessToken: 'access-token-1', expiresInMs: 0 }, /no valid expiresInMs:/],
    ['a lifetime as text', { accessToken: 'access-token-1', expiresInMs: '60' }, /no valid expiresInMs:/],
    ['no date', { accessToken: 'access-token-1', expiresAt: 'soon', scope: 7 }, /no valid expiresAt, scope:/],
    ['details that are none', { accessToken: 'access-token-1', details: [] }, /no valid details:/],
    ['another type', { accessToken: 'access-token-1', tokenType: 'mac' }, /token_type other than Bearer/],
    ['a token with a line break', { accessToken: 'access-token-1\r\nX: 1' }, /no header can carry/],
    ['no moment', { accessToken: 'access-token-1', expiresAt: null }, /no valid expiresAt:/],
    ['a moment that is none', { accessToken: 'access-token-1', expiresAt: 5n }, /no valid expiresAt:/],
    ['a moment that has passed', { accessToken: 'access-token-1', expiresAt: 1 }, /has passed/],
  ])('72. that returns %s → token_response_invalid', async (_, returned, message) => {
    const { api } = await login(() => returned as RequestedToken);
    expect(await api.failure()).toMatchObject({
      code: 'token_response_invalid',
      client: 'api',
      message: expect.stringMatching(message),
    });
  });
});

it('72. 71. Details that are no JSON are left out, with a warning', async () => {
  const round: Record<string, unknown> = {};
  round['self'] = round;
  const { api } = await login(() => ({ accessToken: 'access-token-1', details: round }));
  expect((await api.token()).details).toBeUndefined();
  expect(api.log.texts.join()).toContain('further members that are no JSON');
});

describe('What requestToken throws', () => {
  it.each<[number, object]>([
    [400, { code: 'token_request_rejected', status: 400 }],
    [401, { code: 'token_request_rejected', status: 401 }],
    [403, { code: 'token_request_rejected', status: 403 }],
    [408, { code: 'authorization_server_unavailable', status: 408 }],
    [429, { code: 'authorization_server_unavailable', status: 429, retryAfterMs: 7_000 }],
    [503, { code: 'authorization_server_unavailable', status: 503, retryAfterMs: 7_000 }],
    [302, { code: 'token_response_invalid' }],
  ])('72. A failed Axios request with %d counts as a token endpoint’s answer', async (status, expected) => {
    const { api, server } = await login((context) => logIn(() => server)(context));
    const headers = { 'retry-after': '7', location: 'https://elsewhere.example/login' };
    server.alwaysRespond(({ rawBody }) => ({ status, headers, body: { echo: rawBody.toString() } }));
    expect(await api.failure()).toMatchObject({ client: 'api', ...expected });
    expect(server.tokenRequests).toHaveLength(1);
    // A cool-down as after any failure.
    await api.failure();
    expect(server.tokenRequests).toHaveLength(1);
  });

  it('72. An outage is retried, and one without an answer counts as unreachable', async () => {
    const { api, server } = await login((context) => logIn(() => server)(context), {
      retry: { attempts: 2, minDelayMs: 1 },
    });
    server.respondWith({ status: 500, body: {} });
    expect((await api.token()).value).toBe('access-token-1');
    await server.stopListening();
    const error = await api.failure(api.token({ scope: 'other' }));
    expect(error).toMatchObject({ code: 'authorization_server_unavailable', status: undefined });
    expect((error as Error).message).toContain('(ECONNREFUSED)');
  });

  it('72. An Axios error of another copy of Axios counts as well', async () => {
    const { api } = await login(() => {
      throw Object.assign(new Error(PASSWORD), {
        isAxiosError: true,
        response: { status: 401, headers: {}, data: PASSWORD },
      });
    });
    expect(await api.failure()).toBeInstanceOf(TokenRequestError);
  });

  it.each<[string, unknown, object]>([
    ['whose answer has no headers', { response: { status: 401 } }, { code: 'token_request_rejected', status: 401 }],
    ['whose answer has null for headers', { response: { status: 503, headers: null } }, { code: 'authorization_server_unavailable', status: 503 }],
    ['whose answer has headers that no header can carry', { response: { status: 302, headers: { location: '☃' } } }, { code: 'token_response_invalid' }],
    ['whose answer is null', { response: null, code: 'ECONNREFUSED' }, { code: 'authorization_server_unavailable', message: expect.stringContaining('got no answer (ECONNREFUSED)') }],
    ['whose answer has no status', { response: { headers: {}, data: PASSWORD } }, { code: 'authorization_server_unavailable', message: expect.stringContaining('got no answer.') }],
  ])('72. An Axios error %s is typed by what there is of it', async (_, thrown, expected) => {
    const { api } = await login(() => Promise.reject(Object.assign(new Error(PASSWORD), { isAxiosError: true }, thrown)));
    const error = await api.failure();
    expect(error).toMatchObject({ client: 'api', ...expected });
    expect((error as Error).cause).toBeUndefined();
  }); // prettier-ignore

  it('72. What a getter of its answer throws is not shown either', async () => {
    const { api } = await login(() => ({
      get accessToken(): string {
        throw new Error(PASSWORD);
      },
    }));
    const error = (await api.failure()) as Error;
    expect(error).toMatchObject({ code: 'credentials_unavailable' });
    expect(error.cause).toBeUndefined();
  });

  it.each<[string, () => unknown]>([
    ['an error', () => new Error(`wrong ${PASSWORD}`)],
    ['an error with a cause', () => new Error('no', { cause: PASSWORD })],
    ['a text', () => PASSWORD],
    ['nothing', () => undefined],
    [
      'an object with a getter',
      () => ({
        get isAxiosError() {
          throw new Error(PASSWORD);
        },
      }),
    ],
    ['an object', () => ({ status: 401, response: { status: 401 }, password: PASSWORD })],
  ])('72. %s is credentials_unavailable, and never shown', async (_, thrown) => {
    const { api } = await login(() => Promise.reject(thrown()));
    const error = (await api.failure()) as Error;
    expect(error).toMatchObject({ code: 'credentials_unavailable', client: 'api', retryable: true });
    expect(error.cause).toBeUndefined();
    expect(api.eventTypes).toEqual(['token_request_failed']);
  });

  it('72. A function that throws at once is no different', async () => {
    const { api } = await login(() => {
      throw new Error(PASSWORD);
    });
    expect(await api.failure()).toMatchObject({ code: 'credentials_unavailable' });
  });

  it('72. A function that never ends is left after timeoutMs, and its signal aborted', async () => {
    const signals: AbortSignal[] = [];
    const { api } = await login(
      ({ signal }) => {
        signals.push(signal);
        return new Promise(() => undefined);
      },
      { timeoutMs: 50 },
    );
    expect(await api.failure()).toMatchObject({ code: 'authorization_server_unavailable', timedOut: true });
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
  });

  it('72. Requests by http end with the signal, without being told so', async () => {
    const ended: unknown[] = [];
    const { api, server } = await login(
      ({ http }) =>
        http.post<RequestedToken>(server.tokenEndpoint, {}).then(
          ({ data }) => data,
          (error: unknown) => {
            ended.push(axios.isCancel(error));
            throw error;
          },
        ),
      { timeoutMs: 50 },
    );
    server.alwaysRespond('hang');
    await api.failure();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(ended).toEqual([true]);
  });

  it('72. A refresh that fails leaves the token that is valid', async () => {
    let fails = false;
    const { api } = await login(() => {
      if (fails) throw new Error(PASSWORD);
      return { accessToken: 'access-token-1' };
    });
    const token = await api.token();
    fails = true;
    await api.failure(api.token({ forceRefresh: true }));
    expect(token.value).toBe('access-token-1');
  });
});

describe('requestToken at boot', () => {
  const requestToken = () => ({ accessToken: 'access-token-1' });

  it.each<[string, OAuthClientOptions]>([
    ['issuer', { issuer: 'https://as.example' }],
    ['tokenEndpoint', { tokenEndpoint: 'https://as.example/token' }],
    ['clientId', { clientId: 'me' }],
    ['clientSecret', { clientSecret: PASSWORD }],
    ['clientSecretFile', { clientSecretFile: '/run/secret' }],
    ['tokenEndpointAuthMethod', { tokenEndpointAuthMethod: 'none' }],
    ['basicEncoding', { basicEncoding: 'raw' }],
    ['privateKeyFile', { privateKeyFile: '/run/key' }],
    ['keyId', { keyId: 'k' }],
    ['signingAlgorithm', { signingAlgorithm: 'ES256' }],
    ['assertion', { assertion: { audience: 'x' } }],
    ['grant', { grant: { type: 'client_credentials' } }],
    ['requestFormat', { requestFormat: 'json' }],
    ['readTokenResponse', { readTokenResponse: () => ({}) }],
    ['dpop', { dpop: true }],
  ])('72. %s beside it is a problem, and the only one', async (option, options) => {
    const starting = Application.client({ requestToken, ...options });
    await expect(starting).rejects.toMatchObject({
      problems: [`Client "partner": ${option} is not used with requestToken; remove it.`],
    });
  });

  it('72. Defaults of the module that it does not use are none', async () => {
    const defaults = { clientId: 'me', clientSecret: PASSWORD, tokenEndpoint: 'https://as.example/token' };
    const api = await Application.start({
      oauth: { defaults, clients: { partner: { requestToken } } },
      secrets,
    });
    expect((await api.token()).value).toBe('access-token-1');
  });

  it('72. It must be a function', async () => {
    const options = { requestToken: 'login' } as unknown as OAuthClientOptions;
    await expect(Application.client(options)).rejects.toMatchObject({
      problems: ['Client "partner": requestToken must be a function.'],
    });
  });
});
