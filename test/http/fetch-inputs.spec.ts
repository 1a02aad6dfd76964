import { describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { FormData as OtherFormData, Request as OtherRequest } from 'undici';
import { Application } from '../support/application.js';
import { Recorder } from '../support/recorder.js';

type Body = NonNullable<RequestInit['body']>;
type Init = RequestInit & { body: Body };

const POST = { method: 'POST', duplex: 'half' } as const;
/** A stream that never comes to its end. */
const endless = () => new ReadableStream({ pull: () => new Promise<void>(() => undefined) });

/** What reached the API: method and body of each request. */
function received({ server }: Application): string[] {
  return server.apiRequests.map(({ method, rawBody }) => `${method} ${String(rawBody)}`);
}

describe('What fetch is given', () => {
  it.each<[string, () => [body: Body, change: () => void]]>([
    [
      'URLSearchParams',
      () => {
        const params = new URLSearchParams({ page: '1' });
        return [params, () => params.set('page', '2')];
      },
    ],
    ['bytes', () => changing(Buffer.from('page=1'))],
    ['an ArrayBuffer', () => changing(new Uint8Array(Buffer.from('page=1')).buffer)],
    ['a view of one', () => changing(new DataView(new Uint8Array(Buffer.from('page=1')).buffer))],
  ])(
    '77. 80. %s that change after the call change nothing, neither at first nor in a replay',
    async (_, make) => {
      const api = await Application.withServer();
      api.server.respondToApiWith({ status: 401 });
      const [body, change] = make();
      const answer = api.fetch()('/x', { method: 'POST', body });
      change();
      expect((await answer).status).toBe(200);
      expect(received(api)).toEqual(['POST page=1', 'POST page=1']);
    },
  );

  it('77. An init may inherit its members, and be a Request of another class', async () => {
    const api = await Application.withServer();
    const headers = { 'x-trace': 'abc' };
    await api.fetch()('/x', Object.create({ method: 'PUT', body: 'a', headers }) as Init);
    const init = { method: 'PATCH', body: 'b', headers };
    const other = () => new OtherRequest(`${api.server.apiURL}/x`, init) as unknown as Request;
    await api.fetch()('/x', other());
    await api.fetch()(other());
    expect(received(api)).toEqual(['PUT a', 'PATCH b', 'PATCH b']);
    expect(api.server.apiRequests.map((request) => request.headers['x-trace'])).toEqual([
      'abc',
      'abc',
      'abc',
    ]);
  });

  it('77. What else a Request says holds, too: the hash of the answer, the cache mode and the referrer', async () => {
    const api = await Application.withServer();
    const integrity = `sha256-${'A'.repeat(43)}=`;
    const url = `${api.server.apiURL}/x`;
    const more: object = { cache: 'no-store', referrer: 'http://127.0.0.1/from' };
    expect(await api.failure(api.fetch()(new Request(url, { integrity })))).toMatchObject({
      name: 'TypeError',
    });
    await api.fetch()(new Request(url, more));
    expect(api.server.apiRequests.at(-1)?.headers).toMatchObject({
      'cache-control': 'no-cache',
      referer: 'http://127.0.0.1/',
    });
  });

  it('34. 77. A form of another class is sent again byte by byte', async () => {
    const api = await Application.withServer();
    api.server.respondToApiWith({ status: 401 });
    const form = new OtherFormData();
    form.append('name', 'Käthe');
    await api.fetch()('/x', { method: 'POST', body: form as unknown as FormData });
    const [first, again] = received(api);
    expect(first).toContain('Käthe');
    expect(again).toBe(first);
  });

  it.each<[string, () => Init]>([
    ['a form', () => ({ body: new FormData() })],
    ['URLSearchParams', () => ({ body: new URLSearchParams() })],
  ])('43. 77. %s that would go nowhere is origin_not_allowed, as anything else', async (_, make) => {
    const api = await Application.withServer({ baseURL: undefined, allowedOrigins: ['http://127.0.0.1:1'] });
    for (const url of ['/x', 'http://user:word@127.0.0.1:1/x'])
      expect(await api.failure(api.fetch()(url, { method: 'POST', ...make() }))).toMatchObject({
        code: 'origin_not_allowed',
      });
    expect(api.posts).toBe(0);
  });
});

describe('The signal of a fetch', () => {
  it('42. 77. ends the wait for the body of a Request', async () => {
    const api = await Application.withServer();
    const { signal } = aborting(20);
    const request = new Request(`${api.server.apiURL}/x`, { ...POST, body: endless(), signal });
    expect(await api.failure(api.fetch()(request))).toMatchObject({ name: 'AbortError' });
    expect(api.server.apiRequests).toHaveLength(0);
  });

  it.each<[string, (url: string, signal: AbortSignal) => Parameters<typeof fetch>]>([
    ['a form', (url, signal) => [url, { method: 'POST', body: new FormData(), signal }]],
    ['a Request', (url, signal) => [new Request(url, { signal })]],
  ])('42. 77. ends a request long after memory was cleaned up: %s', async (_, args) => {
    const api = await Recorder.start();
    api.answer = () => undefined;
    const app = await Application.withServer({ baseURL: api.origin });
    const controller = new AbortController();
    const answer = app.failure(app.fetch()(...args(`${api.origin}/x`, controller.signal)));
    while (api.requests.length === 0) await sleep(5);
    setFlagsFromString('--expose-gc');
    for (let i = 0; i < 5; i++) {
      (runInNewContext('gc') as () => void)();
      await sleep(5);
    }
    controller.abort();
    expect(await answer).toMatchObject({ name: 'AbortError' });
  });
});

describe('An answer that was redirected', () => {
  it('77. says so, and its clones do', async () => {
    const api = await Application.withServer();
    api.server.respondToApiWith({ status: 302, headers: { location: '/api/y' } });
    const answer = await api.fetch()('/x');
    for (const response of [answer, answer.clone(), answer.clone().clone()])
      expect([response.redirected, response.url]).toEqual([true, `${api.server.apiURL}/y`]);
  });
});

function changing(body: ArrayBuffer | ArrayBufferView<ArrayBuffer>): [Body, () => void] {
  const bytes =
    body instanceof ArrayBuffer ? new Uint8Array(body) : new Uint8Array(body.buffer, body.byteOffset);
  return [body as Body, () => bytes.set(Buffer.from('page=2'))];
}

function aborting(afterMs: number): AbortController {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), afterMs);
  return controller;
}
