import { describe, expect, it } from '@jest/globals';
import type { AxiosAdapter } from 'axios';
import { Injectable, Module } from '@nestjs/common';
import { InjectOAuthFetch, OAuthClientModule, getOAuthFetchToken } from 'nestjs-oauth-client';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { Application } from '../support/application.js';
import { Recorder } from '../support/recorder.js';
import { clientOf } from '../support/server.js';

const signals: [string, (signal: AbortSignal) => [string | Request, RequestInit]][] = [
  ['of init', (signal) => ['/x', { signal }]],
  ['of a Request', (signal) => [new Request('http://127.0.0.1/x', { signal }), {}]],
];

/** The next token request waits until it is told to go on. */
function holdToken({ server }: Application): () => void {
  let release!: () => void;
  const held = new Promise<void>((resolve) => (release = resolve));
  server.respondWith(() => held.then(() => undefined));
  return release;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5);
}

describe('A fetch of a client', () => {
  it('77. is injected by name, from forRoot as from forFeature, and is one function per client', async () => {
    const api = await Application.withServer();

    @Injectable()
    class Service {
      constructor(@InjectOAuthFetch('api') readonly fetch: typeof globalThis.fetch) {}
    }
    @Module({ imports: [OAuthClientModule.forFeature('api')], providers: [Service] })
    class Feature {}

    const { app } = await Application.start({
      oauth: { clients: { api: clientOf(api.server) } },
      imports: [Feature],
    });
    const { fetch } = app.get(Service, { strict: false });
    expect(fetch).toBe(app.get(getOAuthFetchToken('api'), { strict: false }));
    const response = await fetch('/x');
    expect(response).toBeInstanceOf(Response);
    expect(await response.json()).toMatchObject({ ok: true, path: '/api/x' });
    expect(api.authorizations).toEqual(['Bearer access-token-1']);
  });

  it('77. of an unknown name fails the boot, and lists the known ones', async () => {
    await expect(
      Application.start({ oauth: { clients: {} }, imports: [OAuthClientModule.forFeature('nobody')] }),
    ).rejects.toMatchObject({ code: 'unknown_client' });
  });

  it.each<[string, (url: string) => Parameters<typeof fetch>, string]>([
    ['a path', () => ['/x?q=1'], 'GET /api/x?q=1'],
    ['a path without a slash', () => ['x/y'], 'GET /api/x/y'],
    ['an empty string', () => [''], 'GET /api'],
    ['a path with encoded characters', () => ['/a%2Fb/%C3%A9?x=%20'], 'GET /api/a%2Fb/%C3%A9?x=%20'],
    ['an absolute URL', (url) => [`${url}/x`], 'GET /api/x'],
    ['a URL object', (url) => [new URL(`${url}/x`)], 'GET /api/x'],
    ['a Request', (url) => [new Request(`${url}/x`, { method: 'DELETE' })], 'DELETE /api/x'],
    ['a Request and init', (url) => [new Request(`${url}/x`), { method: 'PUT' }], 'PUT /api/x'],
    ['a path and a Request as init', (url) => ['/y', new Request(url, { method: 'PUT' })], 'PUT /api/y'],
    [
      'a Request of another class',
      (url) => [
        { url: `${url}/x`, method: 'PATCH', headers: new Headers(), body: null } as unknown as Request,
      ],
      'PATCH /api/x',
    ],
    ['null as init', () => ['/x', null as unknown as RequestInit], 'GET /api/x'],
  ])('77. takes %s, as fetch does; relative URLs are below baseURL', async (_, args, line) => {
    const api = await Application.withServer();
    const response = await api.fetch()(...args(api.server.apiURL));
    expect(response.status).toBe(200);
    expect(api.server.apiRequests.map(({ method, url }) => `${method} ${url}`)).toEqual([line]);
    expect(api.authorizations).toEqual(['Bearer access-token-1']);
    expect([response.url, response.redirected]).toEqual([`${api.server.url}${line.split(' ')[1]}`, false]);
  });

  it('77. leaves the caller’s init, headers and Request without a header of ours', async () => {
    const api = await Application.withServer();
    const init = { method: 'POST', headers: new Headers({ 'x-trace': 'abc' }), body: 'text', oauth: {} };
    const request = new Request(`${api.server.apiURL}/x`, { method: 'POST', body: 'text' });
    for (const response of [await api.fetch()('/x', init), await api.fetch()(request)])
      expect(inspect(response, { depth: 8, showHidden: true })).not.toContain('access-token');
    expect([...init.headers]).toEqual([['x-trace', 'abc']]);
    expect(Object.keys(init)).toEqual(['method', 'headers', 'body', 'oauth']);
    expect([...request.headers.keys()]).toEqual(['content-type']);
    expect(request.bodyUsed).toBe(true); // as fetch leaves it
    expect(api.authorizations).toEqual(['Bearer access-token-1', 'Bearer access-token-1']);
  });

  it('77. keeps `oauth` from the fetch below it', async () => {
    const api = await Application.withServer();
    const below = globalThis.fetch;
    const seen: unknown[] = [];
    globalThis.fetch = (input, init) => {
      seen.push(Object.keys(init ?? {}));
      return below(input, init);
    };
    try {
      await api.fetch()('/x', { oauth: { parameters: { tenant: 'acme' } } });
    } finally {
      globalThis.fetch = below;
    }
    expect(seen).toEqual([expect.not.arrayContaining(['oauth'])]);
    expect(api.authorizations).toEqual(['Bearer access-token-acme-1']);
  });

  it('77. sends `http.headers`, also those by method, unless the caller sets them', async () => {
    const headers = {
      'x-api-version': 7,
      common: { 'x-common': 'yes' },
      post: { 'x-post': 'yes' },
      get: { 'x-get': 'yes' },
    };
    const api = await Application.withServer({ http: { headers } });
    await api.fetch()('/x', { method: 'POST' });
    await api.fetch()('/x', { headers: { 'X-Api-Version': '8' } });
    const [first, second] = api.server.apiRequests.map(({ headers: sent }) => sent);
    expect(first).toMatchObject({ 'x-api-version': '7', 'x-common': 'yes', 'x-post': 'yes' });
    expect(second).toMatchObject({ 'x-api-version': '8', 'x-common': 'yes', 'x-get': 'yes' });
    expect(first).not.toHaveProperty('x-get');
  });

  it('77. gives what an adapter that is a function answers as JSON, and says so, unless it is a text', async () => {
    const adapter: AxiosAdapter = (config) =>
      Promise.resolve({
        data: config.url === '/text' ? 'a text' : { a: 1 },
        status: 200,
        statusText: 'OK',
        headers: config.url === '/text' ? { 'content-type': 'text/csv' } : {},
        config,
      });
    const api = await Application.withServer({ http: { adapter } });
    const seen = [];
    for (const path of ['/json', '/text']) {
      const response = await api.fetch()(path, { oauth: false });
      seen.push([response.headers.get('content-type'), await response.text()]);
    }
    expect(seen).toEqual([
      ['application/json', '{"a":1}'],
      ['text/csv', 'a text'],
    ]);
  });

  it('12. 77. 200 concurrent cold callers → one POST, all get the same token', async () => {
    const api = await Application.withServer();
    api.server.latencyMs = 50;
    const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => api.fetch()(`/x/${i}`)));
    await Promise.all(answers.map((answer) => answer.text()));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(api.authorizations)).toEqual(new Set(['Bearer access-token-1']));
    expect(api.posts).toBe(1);
  });

  it('77. `init.oauth` says which token, also of which client', async () => {
    const other = await Application.withServer();
    const api = await Application.withServer({}, { clients: { other: clientOf(other.server) } });
    await api.fetch()('/x', { oauth: { scope: 'read' } });
    const oauth = { client: 'other', scope: 'write' };
    await api.fetch()(`${other.server.apiURL}/x`, { method: 'POST', body: 'text', oauth });
    await api.fetch()(new Request(`${other.server.apiURL}/x`, { method: 'POST', body: 'text' }), { oauth });
    expect(api.authorizations).toEqual(['Bearer access-token-read-1']);
    expect(other.authorizations).toEqual(['Bearer access-token-write-1', 'Bearer access-token-write-1']);
    expect(other.server.apiRequests.map(({ rawBody }) => String(rawBody))).toEqual(['text', 'text']);
    for (const elsewhere of [`${api.server.apiURL}/x`, '/x'])
      expect(await api.failure(api.fetch()(elsewhere, { oauth }))).toMatchObject({
        code: 'origin_not_allowed',
        client: 'other',
      });
  });
});

describe('Requests of fetch without a token of ours', () => {
  it('40. 77. Caller set Authorization itself → untouched, also when the API answers 401', async () => {
    const api = await Application.withServer();
    const url = `${api.server.apiURL}/x`;
    for (const args of [
      ['/x', { headers: { authorization: 'Basic abc' } }],
      [new Request(url, { headers: { Authorization: 'Bearer own' } })],
    ] as Parameters<typeof fetch>[])
      expect((await api.fetch()(...args)).status).toBe(401);
    expect(api.authorizations).toEqual(['Basic abc', 'Bearer own']);
    expect(api.posts).toBe(0);
  });

  it('40. 77. `oauth: false` → no token, to any origin', async () => {
    const api = await Application.withServer();
    const elsewhere = await Application.withServer();
    for (const url of ['/x', `${elsewhere.server.apiURL}/x`])
      expect((await api.fetch()(url, { oauth: false })).status).toBe(401);
    expect([...api.authorizations, ...elsewhere.authorizations]).toEqual([undefined, undefined]);
    expect(api.posts).toBe(0);
  });

  it.each(['/x', 'Request'])('41. 77. Token failure → our typed error, nothing is sent: %s', async (kind) => {
    const api = await Application.withServer({ retry: { attempts: 1 } });
    api.server.alwaysRespond({ status: 400, body: { error: 'invalid_scope' } });
    const input =
      kind === 'Request' ? new Request(`${api.server.apiURL}/x`, { method: 'POST', body: 'a' }) : kind;
    const error = await api.failure(api.fetch()(input));
    expect(error).toMatchObject({ code: 'token_request_rejected', client: 'api' });
    expect(api.server.apiRequests).toHaveLength(0);
  });

  it('41. 77. After the shutdown → `closed`; an unknown client → an error that lists the known ones', async () => {
    const api = await Application.withServer();
    const unknown = api.fetch()('/x', { oauth: { client: 'nobody' } });
    expect(await api.failure(unknown)).toMatchObject({ code: 'unknown_client' });
    await api.fetch()('/x');
    const { fetch } = { fetch: api.fetch() };
    await api.app.close();
    expect(await api.failure(fetch('/x'))).toMatchObject({ code: 'closed', client: 'api' });
    expect(api.server.apiRequests).toHaveLength(1);
  });

  it('39. 77. Without an answer → fetch’s own TypeError, which shows no token', async () => {
    const gone = await Recorder.start();
    const api = await Application.withServer({ allowedOrigins: [gone.origin] });
    await api.warmUp();
    await gone.close();
    const refused = await api.failure(api.fetch()(`${gone.origin}/x`));
    expect(refused).toMatchObject({ name: 'TypeError', cause: { code: 'ECONNREFUSED' } });
    api.server.respondToApiWith('reset');
    const broken = api
      .fetch()('/x')
      .then((answer) => answer.text());
    expect(await api.failure(broken)).toMatchObject({ name: 'TypeError' });
    expect(api.server.apiRequests).toHaveLength(2);
    expect(api.posts).toBe(1);
  });
});

describe('Callers of fetch that leave', () => {
  it.each(signals)('42. 77. The signal %s ends the wait for a token with its own reason', async (_, make) => {
    const api = await Application.withServer({ allowedOrigins: ['http://127.0.0.1'] });
    const release = holdToken(api);
    const controller = new AbortController();
    const request = api.failure(api.fetch()(...make(controller.signal)));
    await until(() => api.posts === 1);
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await request).toBe(reason);
    release();
    await api.token();
    expect(api.server.apiRequests).toHaveLength(0);
  });

  it('42. 77. A signal that is aborted already → nothing is sent, also with a token at hand', async () => {
    const api = await Application.withServer();
    const reason = new Error('too late');
    for (const init of [
      { signal: AbortSignal.abort(reason) },
      { oauth: { signal: AbortSignal.abort(reason) } },
    ])
      for (const warm of [false, true]) {
        if (warm) await api.token();
        expect(await api.failure(api.fetch()('/x', init))).toBe(reason);
      }
    expect(api.server.apiRequests).toHaveLength(0);
  });

  it('42. 77. The signal ends the request itself, and the body that is still to come', async () => {
    const api = await Application.withServer();
    for (const fault of ['hang', 'drip'] as const) {
      api.server.respondToApiWith(fault);
      const controller = new AbortController();
      const before = api.server.apiRequests.length;
      const request = api.failure(
        api
          .fetch()('/x', { signal: controller.signal })
          .then((answer) => answer.text()),
      );
      await until(() => api.server.apiRequests.length > before);
      controller.abort();
      expect(await request).toMatchObject({ name: 'AbortError' });
    }
  });

  it('42. 77. A signal that is aborted while a 401 is being mended → no replay', async () => {
    const api = await Application.withServer({}, { shutdownGraceMs: 0 });
    await api.warmUp();
    api.server.revokeAll();
    api.server.alwaysRespond('hang');
    const controller = new AbortController();
    const request = api.failure(api.fetch()('/x', { signal: controller.signal }));
    await until(() => api.posts === 2);
    controller.abort();
    expect(await request).toMatchObject({ name: 'AbortError' });
    expect(api.server.apiRequests).toHaveLength(2);
  });
});
