import { describe, expect, it } from '@jest/globals';
import type { AxiosRequestConfig } from 'axios';
import type { OAuthClientOptions, UnauthorizedAnswer } from 'nestjs-oauth-client';
import type { FakeResponse } from 'nestjs-oauth-client/testing';
import { Readable } from 'node:stream';
import { rejectedClientOf } from '../../lib/http/refusals.js';
import { Application } from '../support/application.js';
import { cleanEnvironment } from '../support/environment.js';
import { CLIENT_ID, CLIENT_SECRET } from '../support/server.js';

cleanEnvironment();

type Unauthorized = NonNullable<OAuthClientOptions['unauthorized']>;

/** An API that says in its own way that a token is dead. */
async function refusing(unauthorized: Unauthorized, refusal: FakeResponse): Promise<Application> {
  const api = await Application.withServer({ unauthorized });
  await api.warmUp();
  api.server.respondToApiWith(refusal);
  return api;
}

const challenge = (value: string | string[]) => ({ 'www-authenticate': value });
const saysExpired = ({ data }: UnauthorizedAnswer) =>
  (data as { code?: string } | undefined)?.code === 'expired';
const EXPIRED: FakeResponse = { status: 200, body: { code: 'expired' } };
const REPLAYED = ['Bearer access-token-1', 'Bearer access-token-1', 'Bearer access-token-2'];
const NOT_REPLAYED = REPLAYED.slice(0, 2);

describe('An answer that means a dead token', () => {
  it.each<[string, Unauthorized, FakeResponse]>([
    ['a status of the list', { statuses: [401, 403] }, { status: 403 }],
    ['419, as some frameworks have it', { statuses: [419] }, { status: 419 }],
    ['a 500 of the list', { statuses: [500] }, { status: 500 }],
    ['invalid_token with a 400', {}, { status: 400, headers: challenge('Bearer error="invalid_token"') }],
    [
      'invalid_token with a 403',
      {},
      { status: 403, headers: challenge('Bearer realm="x", error="invalid_token"') },
    ],
    ['invalid_token without quotes', {}, { status: 403, headers: challenge('Bearer error=invalid_token') }],
    [
      'invalid_token, whatever the list says',
      { statuses: [419] },
      { status: 401, headers: challenge('DPoP error="invalid_token"') },
    ],
    [
      'invalid_token in the second challenge',
      {},
      { status: 403, headers: challenge(['Basic', 'Bearer error="invalid_token"']) },
    ],
    ['a function of the status', { when: ({ status }) => status === 403 }, { status: 403 }],
    [
      'a function of a header',
      { when: ({ headers }) => headers['x-why'] === 'expired' },
      { status: 422, headers: { 'X-Why': 'expired' } },
    ],
    ['a function of the data of a 400', { when: saysExpired }, { status: 400, body: { code: 'expired' } }],
    ['a function of the data of a 200', { when: saysExpired }, EXPIRED],
    ['a function of text', { when: ({ data }) => data === 'EXPIRED' }, { status: 200, body: 'EXPIRED' }],
    ['a 401 beside a function', { when: () => false }, { status: 401 }],
    ['a misleading 401', {}, { status: 401, headers: challenge('Bearer error="insufficient_scope"') }],
  ])('74. is answered with a new token and a replay: %s', async (_, unauthorized, refusal) => {
    const api = await refusing(unauthorized, refusal);
    expect((await api.get('/x')).data).toMatchObject({ ok: true });
    expect(api.authorizations).toEqual(REPLAYED);
    expect(api.eventTypes).toContain('token_rejected');
    expect(api.posts).toBe(2);
  });

  it.each<[string, Unauthorized, FakeResponse]>([
    [
      'insufficient_scope with a 403 of the list',
      { statuses: [401, 403] },
      { status: 403, headers: challenge('Bearer error="insufficient_scope"') },
    ],
    [
      'insufficient_scope, whatever the function says',
      { when: () => true },
      { status: 403, headers: challenge('Bearer error="insufficient_scope", scope="a"') },
    ],
    ['a 401 that is not of the list', { statuses: [419] }, { status: 401 }],
    ['a 403 by default', {}, { status: 403 }],
    ['invalid_token with a 200', {}, { status: 200, headers: challenge('Bearer error="invalid_token"') }],
    ['invalid_token with a 500', {}, { status: 500, headers: challenge('Bearer error="invalid_token"') }],
    ['invalid_request', {}, { status: 400, headers: challenge('Bearer error="invalid_request"') }],
    [
      'a description only',
      {},
      { status: 403, headers: challenge('Bearer error_description="error: invalid_token"') },
    ],
    ['a function that says no', { when: () => false }, EXPIRED],
  ])('74. %s is none', async (_, unauthorized, refusal) => {
    const api = await Application.withServer({ unauthorized });
    api.server.onApiRequest = ({ url }) => (url.endsWith('/x') ? refusal : undefined);
    if (unauthorized.when?.({ status: 200, headers: {}, data: '' }) !== true) await api.warmUp();
    const answer = await api.axios.get('/x', { validateStatus: () => true });
    expect(answer.status).toBe(refusal.status);
    expect(new Set(api.authorizations)).toEqual(new Set(NOT_REPLAYED));
    expect(api.posts).toBe(1);
  });

  it('74. Where the new token is refused as well, the caller gets the answer as the server gave it', async () => {
    const api = await refusing({ when: saysExpired }, EXPIRED);
    api.server.respondToApiWith({ status: 200, headers: { 'x-second': 'yes' }, body: { code: 'expired' } });
    const answer = await api.get('/x');
    expect(answer).toMatchObject({ status: 200, data: { code: 'expired' }, headers: { 'x-second': 'yes' } });
    expect(api.authorizations).toEqual(REPLAYED);
    expect(rejectedClientOf({ response: answer })).toBe('api');
  });

  it.each<[string, Unauthorized, FakeResponse]>([
    ['a status of the list', { statuses: [419] }, { status: 419 }],
    ['invalid_token', {}, { status: 403, headers: challenge('Bearer error="invalid_token"') }],
    ['a function of the data of a 200', { when: saysExpired }, EXPIRED],
  ])('74. 77. For fetch the same holds: %s', async (_, unauthorized, refusal) => {
    const api = await refusing(unauthorized, refusal);
    expect(await (await api.fetch()('/x')).json()).toMatchObject({ ok: true });
    api.server.onApiRequest = () => refusal;
    const last = await api.fetch()('/y');
    expect(last.status).toBe(refusal.status);
    expect(await last.text()).toBe(refusal.body === undefined ? '' : JSON.stringify(refusal.body));
    expect(api.authorizations.slice(0, 3)).toEqual(REPLAYED);
  });

  it.each([
    'text/event-stream; charset=utf-8',
    'application/x-ndjson',
    'application/stream+json',
    'multipart/x-mixed-replace; boundary=x',
  ])('74. 77. For fetch a stream of %s is not waited for, and its data is undefined', async (type) => {
    const seen: unknown[] = [];
    const api = await Application.withServer({ unauthorized: { when: ({ data }) => seen.push(data) < 0 } });
    const headers = { 'content-type': type };
    api.server.respondToApiWith({ status: 200, headers, body: 'data: 1\n\n' });
    expect(await (await api.fetch()('/x')).text()).toBe('data: 1\n\n');
    expect(seen).toEqual([undefined]);
  });

  it('74. A 403 that survives the replay is an Axios error, and the client’s', async () => {
    const api = await refusing({ statuses: [403] }, { status: 403 });
    api.server.respondToApiWith({ status: 403 });
    const error = await api.failure(api.get('/x'));
    expect(error).toMatchObject({ response: { status: 403 } });
    expect(rejectedClientOf(error)).toBe('api');
  });

  it('74. A caller that takes every status gets the replayed answer too', async () => {
    const api = await refusing({ statuses: [403] }, { status: 403 });
    expect((await api.get('/x', { validateStatus: () => true })).status).toBe(200);
  });

  it('74. retry: false leaves it to the caller, and replaces the token', async () => {
    const api = await refusing({ when: saysExpired, retry: false }, EXPIRED);
    expect((await api.get('/x')).data).toEqual({ code: 'expired' });
    expect((await api.get('/y')).data).toMatchObject({ ok: true });
    expect(api.authorizations).toEqual(REPLAYED);
  });

  it('74. 38. A stream is not sent again', async () => {
    const api = await refusing({ when: saysExpired }, EXPIRED);
    const { data } = await api.axios.post('/x', Readable.from(['a']));
    expect(data).toEqual({ code: 'expired' });
    expect(api.server.apiRequests).toHaveLength(2);
  });

  it('74. 35. Many at once cost one token request', async () => {
    const api = await Application.withServer({ unauthorized: { when: saysExpired } });
    await api.warmUp();
    api.server.onApiRequest = ({ headers }) => (headers.authorization?.endsWith('-1') ? EXPIRED : undefined);
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => api.get(`/${i}`)));
    expect(answers.every(({ data }) => (data as { ok: boolean }).ok)).toBe(true);
    expect(api.posts).toBe(2);
  });

  it('74. 37. An API that refuses everything with 200 is asked for new tokens less and less often', async () => {
    const api = await Application.withServer({ unauthorized: { when: saysExpired } });
    api.server.onApiRequest = () => EXPIRED;
    for (let round = 0; round < 10; round++) expect((await api.get('/x')).data).toEqual({ code: 'expired' });
    expect(api.posts).toBeLessThanOrEqual(3);
    expect(api.events).toContainEqual(expect.objectContaining({ type: 'token_rejected', limited: true }));
  });

  it('74. 37. Where the same token comes again, there is no replay', async () => {
    const api = await refusing({ when: saysExpired }, EXPIRED);
    api.server.alwaysRespond(() => api.server.nextToken({ access_token: 'access-token-1' }));
    expect((await api.get('/x')).data).toEqual({ code: 'expired' });
    expect(api.authorizations).toEqual(NOT_REPLAYED);
  });
});

describe('unauthorized.when', () => {
  /** What it saw of one answer. */
  async function seen(answer: FakeResponse, config: AxiosRequestConfig = {}): Promise<UnauthorizedAnswer> {
    const answers: UnauthorizedAnswer[] = [];
    const when = (it: UnauthorizedAnswer) => answers.push(it) < 0;
    const api = await Application.withServer({ unauthorized: { when } });
    api.server.respondToApiWith(answer);
    const { data } = await api.axios.get<unknown>('/x', config);
    if (data instanceof Readable) data.destroy();
    expect(answers).toHaveLength(1);
    return answers[0]!;
  }

  it.each<[string, FakeResponse, AxiosRequestConfig, unknown]>([
    ['JSON', { status: 200, body: { a: 1 } }, {}, { a: 1 }],
    [
      'JSON that the caller takes as text',
      { status: 200, body: { a: 1 } },
      { responseType: 'text' },
      { a: 1 },
    ],
    ['JSON in bytes', { status: 200, body: { a: 'ü' } }, { responseType: 'arraybuffer' }, { a: 'ü' }],
    ['JSON without a type', { status: 200, body: '{"a":1}' }, {}, { a: 1 }],
    ['JSON by fetch', { status: 200, body: { a: 1 } }, { adapter: 'fetch' }, { a: 1 }],
    ['text', { status: 200, body: 'Käthe' }, {}, 'Käthe'],
    ['digits', { status: 200, body: '123' }, {}, '123'],
    ['nothing', { status: 200 }, {}, ''],
    ['a stream', { status: 200, body: { a: 1 } }, { responseType: 'stream' }, undefined],
    [
      'a stream by fetch',
      { status: 200, body: { a: 1 } },
      { responseType: 'stream', adapter: 'fetch' },
      undefined,
    ],
    ['a blob', { status: 200, body: { a: 1 } }, { responseType: 'blob', adapter: 'fetch' }, undefined],
  ])('74. sees the data of %s', async (_, answer, config, data) => {
    expect((await seen(answer, config)).data).toEqual(data);
  });

  it('74. sees headers by lower-case names, once for each answer', async () => {
    const { status, headers } = await seen({ status: 200, headers: { 'X-Limit': '7' }, body: {} });
    expect(status).toBe(200);
    expect(headers['x-limit']).toBe('7');
  });

  it.each<[string, () => unknown]>([
    ['throws', () => { throw new Error('never shown: hunter2-value'); }], // prettier-ignore
    ['returns a promise', async () => true],
    ['returns no boolean', () => 1],
  ])('74. If it %s, the answer counts as accepted, and one warning names the option', async (_, when) => {
    const unauthorized = { when: when as () => boolean };
    const api = await Application.withServer({ unauthorized }, {}, { secrets: ['hunter2-value'] });
    for (let round = 0; round < 3; round++) expect((await api.get('/x')).data).toMatchObject({ ok: true });
    expect(api.posts).toBe(1);
    expect(api.log.texts.filter((line) => line.includes('unauthorized.when'))).toEqual([
      expect.stringContaining('Have it return true or false.'),
    ]);
    // The statuses still count.
    api.server.revokeAll();
    expect((await api.get('/x')).data).toMatchObject({ ok: true });
  });
});

describe('unauthorized in the configuration', () => {
  const client = { tokenEndpoint: 'https://as.example/token', clientId: 'me', clientSecret: CLIENT_SECRET };

  it.each<[Record<string, unknown>, string]>([
    [{ statuses: [] }, 'unauthorized.statuses must be a list of HTTP statuses from 300 to 599.'],
    [{ statuses: 401 }, 'unauthorized.statuses must be a list of HTTP statuses from 300 to 599.'],
    [{ statuses: [200] }, 'unauthorized.statuses must be a list of HTTP statuses from 300 to 599.'],
    [{ statuses: ['401'] }, 'unauthorized.statuses must be a list of HTTP statuses from 300 to 599.'],
    [{ when: true }, 'unauthorized.when must be a function.'],
  ])('74. %j is a problem at boot', async (unauthorized, problem) => {
    await expect(Application.client({ ...client, unauthorized })).rejects.toMatchObject({
      problems: [`Client "partner": ${problem}`],
    });
  });

  const variables = (api: Application) => ({
    OAUTH_CLIENTS: 'api',
    OAUTH_API_TOKEN_ENDPOINT: api.server.tokenEndpoint,
    OAUTH_API_CLIENT_ID: CLIENT_ID,
    OAUTH_API_CLIENT_SECRET: CLIENT_SECRET,
    OAUTH_API_BASE_URL: api.server.apiURL,
  });

  it('76. 74. Statuses can be set in the environment', async () => {
    const { server } = await refusing({}, { status: 419 });
    const api = await Application.environment({
      ...variables({ server } as Application),
      OAUTH_API_UNAUTHORIZED_STATUSES: '401, 419',
    });
    expect((await api.get('/x')).data).toMatchObject({ ok: true });
    expect(server.apiRequests).toHaveLength(3);
  });

  it('76. 74. retry can be set in the environment', async () => {
    const { server } = await refusing({}, { status: 401 });
    const api = await Application.environment({
      ...variables({ server } as Application),
      OAUTH_API_UNAUTHORIZED_RETRY: 'false',
    });
    expect(await api.failure(api.get('/x'))).toMatchObject({ response: { status: 401 } });
  });

  it('76. 74. A status that is no number is a problem', async () => {
    const { server } = await refusing({}, { status: 200 });
    const starting = Application.environment({
      ...variables({ server } as Application),
      OAUTH_API_UNAUTHORIZED_STATUSES: '401,forbidden',
    });
    await expect(starting).rejects.toMatchObject({
      problems: [
        'Client "api": OAUTH_API_UNAUTHORIZED_STATUSES must be a list of HTTP statuses from 300 to 599.',
      ],
    });
  });
});
