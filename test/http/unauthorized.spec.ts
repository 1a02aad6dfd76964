import { describe, expect, it } from '@jest/globals';
import axios, { AxiosError, type AxiosAdapter, type AxiosRequestConfig } from 'axios';
import MultipartForm from 'form-data';
import { MemoryTokenStore, type OAuthClientModuleOptions } from 'nestjs-oauth-client';
import type { FakeAnswer, RecordedRequest } from 'nestjs-oauth-client/testing';
import { Agent } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Readable } from 'node:stream';
import { rejectedClientOf } from '../../lib/http/refusals.js';
import { systemClock, type Clock } from '../../lib/core/clock.js';
import { Application } from '../support/application.js';
import { Recorder } from '../support/recorder.js';
import { fastClock } from '../support/fast-clock.js';

const BODY = { name: 'Käthe', list: [1, 2, 3] };

function nativeForm(): FormData {
  const form = new FormData();
  form.append('name', 'Käthe');
  form.append('file', new Blob([Buffer.from([0, 1, 2, 255])]), 'bytes.bin');
  return form;
}

function packageForm(): MultipartForm {
  const form = new MultipartForm();
  form.append('name', 'value');
  return form;
}

/** What must be the same in a replay: all but the token. */
function sent({ method, url, headers, rawBody }: RecordedRequest) {
  const { authorization: _, ...rest } = headers;
  return { method, url, headers: rest, body: rawBody.toString('latin1') };
}

describe('An API that answers 401', () => {
  it('34. The replay goes through the same adapter, also one that takes itself out of the request', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    const statuses = [401, 200];
    // As mock adapters do.
    const adapter: AxiosAdapter = async (config) => {
      delete config.adapter;
      const answer = { status: statuses.shift()!, statusText: '', headers: {}, data: 'mocked', config };
      if (answer.status === 401) throw new AxiosError('no', 'ERR_BAD_REQUEST', config, undefined, answer);
      return answer;
    };
    expect((await api.axios.get('/x', { adapter })).data).toBe('mocked');
    expect(statuses).toEqual([]);
    expect(api.server.apiRequests).toHaveLength(1);
  });

  it.each<[string, AxiosRequestConfig]>([
    ['GET', { method: 'get', params: { q: 'a b&c', list: [1, 2] }, headers: { 'X-Trace': 'abc' } }],
    ['HEAD', { method: 'head' }],
    ['DELETE with a body', { method: 'delete', data: BODY }],
    ['POST of JSON', { method: 'post', data: BODY }],
    ['PUT of a string', { method: 'put', data: 'Käthe', headers: { 'Content-Type': 'text/plain' } }],
    [
      'POST of a string that looks like JSON',
      { method: 'post', data: '{"a": 1 }', headers: { 'Content-Type': 'application/json' } },
    ],
    ['PATCH of a Buffer', { method: 'patch', data: Buffer.from([0, 1, 2, 254, 255]) }],
    ['POST of an ArrayBuffer', { method: 'post', data: new Uint8Array([9, 8, 7]).buffer }],
    ['POST of URLSearchParams', { method: 'post', data: new URLSearchParams({ a: 'b c', d: 'é' }) }],
    ['POST of native FormData', { method: 'post', data: nativeForm() }],
    ['POST without a body', { method: 'post' }],
    ['a path with encoded characters', { url: '/a%2Fb/%C3%A9?x=%20', params: { y: 'ü' } }],
  ])(
    '34. 401 → invalidate, refresh, replay once with the same method, URL, headers and byte-equal body: %s',
    async (_, request) => {
      const api = await Application.withServer();
      await api.warmUp();
      api.server.revokeAll();
      const answer = await api.axios.request({ url: '/x', ...request });
      expect(answer.status).toBe(200);
      expect(api.authorizations.slice(1)).toEqual(['Bearer access-token-1', 'Bearer access-token-2']);
      const [, first, again] = api.server.apiRequests;
      expect(sent(again!)).toEqual(sent(first!));
      expect(api.posts).toBe(2);
      expect(api.eventTypes).toEqual([
        'token_acquired',
        'token_rejected',
        'token_invalidated',
        'token_acquired',
      ]);
    },
  );

  it.each<[string, () => [request: AxiosRequestConfig, change: () => void]]>([
    ['a Buffer', () => changing(Buffer.from('page=1'))],
    ['a view', () => changing(new Uint8Array(Buffer.from('page=1')))],
    ['an ArrayBuffer', () => changing(new Uint8Array(Buffer.from('page=1')).buffer)],
    [
      'a form',
      () => {
        const data = new FormData();
        data.append('page', '1');
        data.append('file', new File(['page=1'], 'a.txt'));
        return [{ data }, () => data.set('page', '2')];
      },
    ],
    [
      'URLSearchParams',
      () => {
        const params = new URLSearchParams({ page: '1' });
        return [{ data: 'page=1', params }, () => params.set('page', '2')];
      },
    ],
  ])(
    '80. %s that changes after the call changes nothing, neither at first nor in a replay',
    async (what, make) => {
      const api = await Application.withServer();
      api.server.respondToApiWith({ status: 401 });
      const [request, change] = make();
      const answer = api.axios.request({ method: 'post', url: '/x', ...request });
      change();
      expect((await answer).status).toBe(200);
      const [first, again] = api.server.apiRequests;
      expect(String(first?.rawBody)).toContain(what === 'a form' ? 'filename="a.txt"' : 'page=1');
      expect(String(first?.rawBody)).not.toMatch(/^2|=2/m);
      expect(first?.url).toBe(what === 'URLSearchParams' ? '/api/x?page=1' : '/api/x');
      expect(sent(again!)).toEqual(sent(first!));
    },
  );

  it.each<[string, FakeAnswer]>([
    ['an empty body', { status: 401 }],
    ['HTML', { status: 401, headers: { 'content-type': 'text/html' }, body: '<h1>Sign in</h1>' }],
    ['broken JSON', { status: 401, headers: { 'content-type': 'application/json' }, body: '{"error":' }],
    ['a 2 MB body', { status: 401, body: 'x'.repeat(2_000_000) }],
    ['Bearer', { status: 401, headers: { 'www-authenticate': 'Bearer' } }],
    ['invalid_token', { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' } }],
    [
      'insufficient_scope',
      { status: 401, headers: { 'www-authenticate': 'Bearer error="insufficient_scope"' } },
    ],
    [
      'a misquoted challenge',
      { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token, realm=x"y' } },
    ],
    ['Basic', { status: 401, headers: { 'www-authenticate': 'Basic realm="partner"' } }],
    ['several challenges', { status: 401, headers: { 'www-authenticate': ['Negotiate', 'Bearer'] } }],
    ['an empty challenge', { status: 401, headers: { 'www-authenticate': '' } }],
    ['a JSON error of another name', { status: 401, body: { error: 'invalid_client' } }],
  ])('34. 401, whatever its body or `WWW-Authenticate` says → replayed: %s', async (_, answer) => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.respondToApiWith(answer);
    expect((await api.get('/x')).data).toMatchObject({ ok: true });
    expect(api.authorizations.slice(1)).toEqual(['Bearer access-token-1', 'Bearer access-token-2']);
  });

  it.each<[string, AxiosRequestConfig]>([
    ['text', {}],
    ['bytes', { responseType: 'arraybuffer' }],
    ['without redirects', { maxRedirects: 0 }],
  ])('34. A 401 that is larger than `maxContentLength` is replayed as well: %s', async (_, request) => {
    const api = await Application.withServer();
    const answer = { status: 401, body: 'x'.repeat(2_000) };
    api.server.respondToApiWith(answer);
    const bounds = { maxContentLength: 1_000, ...request };
    expect((await api.axios.post('/x', BODY, bounds)).status).toBe(200);
    expect(api.authorizations).toEqual(['Bearer access-token-1', 'Bearer access-token-2']);
    api.server.onApiRequest = () => answer;
    const error = await api.failure(api.axios.get('/x', bounds));
    expect(error).toMatchObject({
      code: AxiosError.ERR_BAD_RESPONSE,
      message: expect.stringMatching(/maxContentLength/),
    });
  });

  describe.each<AxiosRequestConfig>([
    { adapter: 'http' },
    { adapter: 'http', maxRedirects: 0, responseType: 'arraybuffer' },
    { adapter: 'fetch' },
    { adapter: ['xhr', 'fetch'], responseType: 'arraybuffer' },
    { adapter: 'fetch', maxContentLength: 900 },
  ])('34. A 401 whose body does not arrive is replayed as well: %j', (request) => {
    const cuts: [string, (socket: Socket) => unknown][] = [
      ['it ends too early', (socket) => socket.end()],
      ['the connection is reset', (socket) => socket.resetAndDestroy()],
      ['it is no chunk', (socket) => socket.end('zz\r\n')],
      ['it stalls until the timeout', () => undefined],
    ];
    it.each(cuts)('34. %s', async (why, cut) => {
      const partner = await Recorder.start();
      partner.answer = ({ headers }, response) => {
        if (!headers.authorization?.endsWith('-1')) return response.end('{}');
        response.writeHead(401, why === 'it is no chunk' ? {} : { 'content-length': 500 }).write('abc');
        return setTimeout(() => cut(response.socket!), 20);
      };
      const api = await Application.withServer({ baseURL: partner.origin });
      expect((await api.axios.post('/x', BODY, { timeout: 300, ...request })).status).toBe(200);
      expect(partner.credentials).toEqual(['Bearer access-token-1', 'Bearer access-token-2']);
      expect(api.posts).toBe(2);
    });

    it('34. A second one like that surfaces, and `@UseOAuthClient` knows whose it is', async () => {
      const partner = await Recorder.start();
      partner.answer = (_, response) => {
        response.writeHead(401, { 'content-length': 500 }).write('abc');
        setTimeout(() => response.socket?.resetAndDestroy(), 20);
      };
      const api = await Application.withServer({ baseURL: partner.origin });
      const error = await api.failure(api.axios.post('/x', BODY, request));
      expect(rejectedClientOf(error)).toBe('api');
      expect(partner.requests).toHaveLength(2);
    });
  });

  it('34. Interceptors of the caller see one request and one response', async () => {
    const api = await Application.withServer();
    const seen: string[] = [];
    api.axios.interceptors.request.use((config) => {
      seen.push('request');
      return config;
    });
    api.axios.interceptors.response.use((response) => {
      seen.push(`response ${response.status}`);
      return response;
    });
    await api.warmUp();
    seen.length = 0;
    api.server.revokeAll();
    await api.get('/x');
    expect(seen).toEqual(['request', 'response 200']);
  });

  it('34. A header that the caller took off stays off', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    api.axios.interceptors.request.use((config) => {
      config.headers.delete('Accept');
      return config;
    });
    api.server.revokeAll();
    await api.axios.get('/x', { headers: { 'User-Agent': false } });
    const [first, second] = api.server.apiRequests.slice(1).map(sent);
    expect(first!.headers).not.toHaveProperty('accept');
    expect(second).toEqual(first);
  });

  it('34. A second 401 surfaces as Axios’s own error', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.onApiRequest = () => ({ status: 401, body: { no: 'entry' } });
    const error = await api.failure(api.get('/x'));
    expect(axios.isAxiosError(error)).toBe(true);
    expect(error).toMatchObject({
      code: 'ERR_BAD_REQUEST',
      response: { status: 401, data: { no: 'entry' } },
    });
    expect(api.server.apiRequests).toHaveLength(3);
    expect(api.posts).toBe(2);
    expect(rejectedClientOf(error)).toBe('api');
  });

  it('34. With a `validateStatus` of the caller’s own a 401 is replayed as well, and comes as a response', async () => {
    const api = await Application.withServer();
    const validateStatus = () => true;
    await api.warmUp();
    api.server.revokeAll();
    expect((await api.get('/x', { validateStatus })).status).toBe(200);
    expect(api.posts).toBe(2);
    api.server.onApiRequest = () => ({ status: 401 });
    expect((await api.get('/x', { validateStatus })).status).toBe(401);
    expect(api.posts).toBe(3);
  });

  it('34. `unauthorized: { retry: false }` → the 401 surfaces at once, the token is refreshed', async () => {
    const api = await Application.withServer({ unauthorized: { retry: false } });
    await api.warmUp();
    api.server.revokeAll();
    let release!: () => void;
    const held = new Promise<void>((resolve) => (release = resolve));
    api.server.respondWith(() => held.then(() => undefined));
    expect(await api.failure(api.get('/x'))).toMatchObject({ response: { status: 401 } });
    expect(api.server.apiRequests).toHaveLength(2);
    release();
    await api.get('/x');
    expect(api.posts).toBe(2);
  });

  it('34. A streamed 401 that a replay replaces does not keep its connection', async () => {
    const httpAgent = new Agent();
    const api = await Application.withServer({ http: { httpAgent } });
    await api.warmUp();
    api.server.respondToApiWith({ status: 401, body: 'x'.repeat(5_000_000) });
    const { data } = await api.axios.get<Readable>('/x', { responseType: 'stream' });
    data.resume();
    while (Object.keys(httpAgent.sockets).length > 0) await sleep(5);
    expect(api.posts).toBe(2);
  });

  it('41. No token after the 401 → the caller gets our typed error', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.revokeAll();
    api.server.respondWith({ status: 400, body: { error: 'unauthorized_client' } });
    expect(await api.failure(api.get('/x'))).toMatchObject({
      code: 'token_request_rejected',
      error: 'unauthorized_client',
    });
    expect(api.server.apiRequests).toHaveLength(2);
  });
});

describe('Many requests with one revoked token', () => {
  it('35. 100 requests in flight, token revoked, 401s arriving staggered → exactly one POST, 100 successes', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    // Each is held until all are in flight, then answered a little later than the one before.
    let arrived = 0;
    let release!: () => void;
    const all = new Promise<void>((resolve) => (release = resolve));
    api.server.onApiRequest = async ({ headers }) => {
      if (headers.authorization !== 'Bearer access-token-1') return undefined;
      const place = ++arrived;
      if (place === 100) {
        api.server.revokeAll();
        release();
      }
      await all;
      await sleep(place * 3);
      return undefined;
    };
    api.server.latencyMs = 50;
    const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => api.get(`/x/${i}`)));
    expect(answers.map(({ status, data }) => [status, data.path])).toEqual(
      answers.map((_, i) => [200, `/api/x/${i}`]),
    );
    expect(api.posts).toBe(2);
    expect(api.server.apiRequests).toHaveLength(1 + 200);
  });

  it('35. The same with a token that the API never accepted: one POST, 100 successes', async () => {
    const api = await Application.withServer();
    await api.tokens.getToken('api');
    api.server.revoke('access-token-1');
    const answers = await Promise.all(Array.from({ length: 100 }, () => api.get('/x')));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(api.posts).toBe(2);
  });

  it('36. Late 401 for an old token while a newer one exists → no POST, replay with the newer', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    let answer!: (response: FakeAnswer) => void;
    api.server.respondToApiWith(() => new Promise<FakeAnswer>((resolve) => (answer = resolve)));
    const slow = api.get('/slow');
    while (api.server.apiRequests.length < 2) await sleep(5);
    await api.tokens.getToken('api', { forceRefresh: true });
    expect(api.posts).toBe(2);
    answer({ status: 401 });
    expect((await slow).status).toBe(200);
    expect(api.authorizations.slice(1)).toEqual(['Bearer access-token-1', 'Bearer access-token-2']);
    expect(api.posts).toBe(2);
    expect(api.eventTypes).not.toContain('token_rejected');
  });

  it.each<[string, (api: Application) => Promise<unknown>]>([
    ['is replaced meanwhile', (api) => api.tokens.getToken('api', { forceRefresh: true })],
    [
      'is being replaced',
      async (api) => {
        const asked = api.posts;
        api.server.alwaysRespond(async () => {
          await sleep(50);
          return api.server.nextToken();
        });
        void api.tokens.getToken('api', { forceRefresh: true });
        while (api.posts === asked) await sleep(5);
      },
    ],
    [
      'was replaced by another instance',
      async (api) => {
        const other = await Application.start({ oauth: api.options });
        await other.tokens.getToken('api', { forceRefresh: true });
      },
    ],
  ])('36. A replay is refused whose token %s → goes out with the newer one', async (_, replace) => {
    const api = await Application.withServer({}, { store: new MemoryTokenStore() });
    await api.warmUp();
    const refused = () => ({ status: 401 });
    api.server.respondToApiWith(refused(), async () => {
      await replace(api);
      return refused();
    });
    expect((await api.get('/x')).status).toBe(200);
    expect(api.authorizations.slice(1).map((header) => header!.at(-1))).toEqual(['1', '2', '3']);
    expect(api.posts).toBe(3);
  });

  it('36. Every replay is refused whose token is replaced meanwhile → the fourth 401 surfaces', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.onApiRequest = async () => {
      await api.tokens.getToken('api', { forceRefresh: true });
      return { status: 401 };
    };
    expect(await api.failure(api.get('/x'))).toMatchObject({ response: { status: 401 } });
    expect(api.authorizations.slice(1).map((header) => header!.at(-1))).toEqual(['1', '2', '3', '4']);
  });

  it('37. Refresh returns the same token → no replay, the 401 surfaces', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.alwaysRespond(() => api.server.nextToken({ access_token: 'access-token-1' }));
    api.server.revokeAll();
    expect(await api.failure(api.get('/x'))).toMatchObject({ response: { status: 401 } });
    expect(api.server.apiRequests).toHaveLength(2);
    expect(api.posts).toBe(2);
  });

  it('37. Permanent 401s under load → refreshes are rate limited and reported', async () => {
    const api = await Application.withServer({}, { clock: fastClock(20) });
    await api.warmUp();
    api.server.onApiRequest = () => ({ status: 401 });
    const started = performance.now();
    const load = Array.from({ length: 20 }, async () => {
      while (performance.now() - started < 3_500) {
        expect(await api.failure(api.get('/x'))).toMatchObject({ response: { status: 401 } });
      }
    });
    await Promise.all(load);
    // Each pause after the first is at least 0.5 s, 1 s, 2 s …
    const elapsed = (performance.now() - started) * 20;
    const most = [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500, 63_500, 123_500].filter(
      (pause) => pause <= elapsed,
    );
    expect(api.posts - 1).toBeLessThanOrEqual(most.length);
    expect(api.server.apiRequests.length).toBeGreaterThan(40);
    const rejected = api.events.filter(({ type }) => type === 'token_rejected');
    expect(rejected.some((event) => 'limited' in event && event.limited)).toBe(true);
    expect(rejected.some((event) => 'limited' in event && !event.limited)).toBe(true);
  });
});

describe('A request that cannot be sent again', () => {
  it.each<[string, () => unknown, Record<string, string>?]>([
    ['a stream', () => Readable.from(['a', 'b'])],
    ['a form of the form-data package', packageForm],
    ['a form that Axios makes of an object', () => BODY, { 'Content-Type': 'multipart/form-data' }],
  ])('38. %s → token refreshed, original 401 surfaces, no replay', async (_, data, headers = {}) => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.revokeAll();
    expect(await api.failure(api.axios.post('/x', data(), { headers }))).toMatchObject({
      response: { status: 401 },
    });
    expect(api.server.apiRequests).toHaveLength(2);
    expect((await api.axios.post('/x', data(), { headers })).status).toBe(200);
    expect(api.posts).toBe(2);
  });

  it('38. The 401 does not wait for a refresh that hangs', async () => {
    const api = await Application.withServer({}, { shutdownGraceMs: 0 });
    await api.warmUp();
    api.server.revokeAll();
    api.server.respondWith('hang');
    const error = await api.failure(api.axios.post('/x', Readable.from(['a'])));
    expect(error).toMatchObject({ response: { status: 401 } });
    expect(api.eventTypes).not.toContain('token_request_failed');
  });
});

describe('Other failures of an API', () => {
  it.each([400, 402, 403, 404, 407, 418, 429, 500, 502, 503])(
    '39. %d → no refresh, no replay by us',
    async (status) => {
      const api = await Application.withServer();
      await api.warmUp();
      api.server.respondToApiWith({
        status,
        headers: { 'www-authenticate': 'Bearer error="insufficient_scope"' },
      });
      expect(await api.failure(api.get('/x'))).toMatchObject({ response: { status } });
      expect(api.server.apiRequests).toHaveLength(2);
      expect(api.posts).toBe(1);
    },
  );

  it.each(['reset', 'hang'] as const)(
    '39. Network error (%s) → no refresh, no replay by us',
    async (fault) => {
      const api = await Application.withServer();
      await api.warmUp();
      api.server.respondToApiWith(fault);
      const error = await api.failure(api.get('/x', { timeout: 150 }));
      expect(axios.isAxiosError(error)).toBe(true);
      expect(api.server.apiRequests).toHaveLength(2);
      expect(api.posts).toBe(1);
    },
  );

  it('39. A replay that fails otherwise surfaces that, without a third try', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.respondToApiWith({ status: 401 }, { status: 503 });
    expect(await api.failure(api.get('/x'))).toMatchObject({ response: { status: 503 } });
    expect(api.server.apiRequests).toHaveLength(3);
    expect(api.posts).toBe(2);
  });
});

describe('An API that learns of a token late', () => {
  /** The API took a first token; a second one is there that it has not seen yet. */
  async function renewed(module: OAuthClientModuleOptions = {}): Promise<Application> {
    const api = await Application.withServer({}, module);
    await api.warmUp();
    await api.tokens.getToken('api', { forceRefresh: true });
    return api;
  }
  const numbers = ({ authorizations }: Application) => authorizations.map((header) => header!.at(-1));

  it('88. A 401 to a token seconds old, after another was accepted → the same token again, after growing pauses, no POST', async () => {
    const api = await renewed();
    api.server.apiLearnsAfterMs = 600;
    expect((await api.get('/x')).status).toBe(200);
    expect(numbers(api)).toEqual(['1', '2', '2', '2']);
    expect(api.posts).toBe(2);
    expect(api.eventTypes).not.toContain('token_rejected');
  });

  it('88. The pauses grow from 250 ms to 2 s, and a token that is 5 s old is replaced', async () => {
    const api = await renewed({ clock: fastClock(5) });
    api.server.revoke('access-token-2');
    const arrivals: number[] = [];
    api.server.onApiRequest = () => void arrivals.push(performance.now());
    expect((await api.get('/x')).status).toBe(200);
    const pauses = arrivals.slice(1, -1).map((arrival, i) => (arrival - (arrivals[i] ?? 0)) * 5);
    expect(numbers(api)).toEqual(['1', '2', ...pauses.map(() => '2'), '3']);
    expect(api.posts).toBe(3);
    expect(pauses.length).toBeGreaterThanOrEqual(4);
    pauses.forEach((pause, i) => expect(pause).toBeGreaterThan(([250, 500, 1_000][i] ?? 2_000) * 0.95));
  });

  it('88. No chain of replacements: the 401 to a replay surfaces at once', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.onApiRequest = () => ({ status: 401 });
    expect(await api.failure(api.get('/x'))).toMatchObject({ response: { status: 401 } });
    expect(numbers(api)).toEqual(['1', '1', '2']);
    expect(api.posts).toBe(2);
  });

  it('88. An API that learns 2 s late under load → not one failure, one token', async () => {
    const api = await Application.withServer({}, { clock: fastClock(10) });
    await api.warmUp();
    api.server.apiLearnsAfterMs = 200; // 2 s on that clock
    api.server.revoke('access-token-1');
    const first = api.failure(api.axios.post('/x', Readable.from(['a'])));
    expect(await first).toMatchObject({ response: { status: 401 } });
    const answers = await Promise.all(Array.from({ length: 50 }, () => api.get('/x')));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(api.posts).toBe(2);
  });

  it('88. Another instance has a newer one than the API refuses → that at once, without a pause', async () => {
    const api = await renewed({ store: new MemoryTokenStore() });
    api.server.revoke('access-token-2');
    const other = await Application.start({ oauth: api.options });
    await other.tokens.getToken('api', { forceRefresh: true });
    expect((await api.get('/x')).status).toBe(200);
    expect(numbers(api)).toEqual(['1', '2', '3']);
    expect(api.posts).toBe(3);
  });

  it('88. A caller who cancels during a pause hears of it at once, and nothing more is sent', async () => {
    const api = await renewed();
    api.server.revoke('access-token-2');
    const error = await api.failure(api.get('/x', { signal: AbortSignal.timeout(400) }));
    expect(axios.isCancel(error)).toBe(true);
    await sleep(500);
    expect(numbers(api)).toEqual(['1', '2', '2']);
  });

  it('34. The first token of all is replaced at once', async () => {
    const api = await Application.withServer();
    api.server.respondToApiWith({ status: 401 });
    expect((await api.get('/x')).status).toBe(200);
    expect(numbers(api)).toEqual(['1', '2']);
    expect(api.posts).toBe(2);
  });

  it('A token that was accepted once gets no second chance', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.revokeAll();
    await api.get('/x');
    expect(numbers(api)).toEqual(['1', '1', '2']);
  });

  it('A token that is not seconds old any more gets none either', async () => {
    let shift = 0;
    const clock: Clock = {
      ...systemClock,
      now: () => Date.now() + shift,
      monotonic: () => performance.now() + shift,
    };
    const api = await renewed({ clock });
    shift = 5_000;
    api.server.revoke('access-token-2');
    await api.get('/x');
    expect(numbers(api)).toEqual(['1', '2', '3']);
  });
});

/** Bytes, and what changes their last one. */
function changing(data: ArrayBuffer | Uint8Array): [request: AxiosRequestConfig, change: () => void] {
  const bytes = ArrayBuffer.isView(data) ? data : new Uint8Array(data);
  return [{ data }, () => void (bytes[bytes.length - 1] = '2'.charCodeAt(0))];
}
