import { describe, expect, it } from '@jest/globals';
import type { OAuthClientModuleOptions } from 'nestjs-oauth-client';
import type { FakeAnswer, RecordedRequest } from 'nestjs-oauth-client/testing';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { rejectedClientOf } from '../../lib/http/refusals.js';
import { Application } from '../support/application.js';
import { fastClock } from '../support/fast-clock.js';

function form(): FormData {
  const made = new FormData();
  made.append('name', 'Käthe');
  made.append('file', new Blob([Buffer.from([0, 1, 2, 255])]), 'bytes.bin');
  return made;
}

function stream(): ReadableStream {
  return new Blob(['ab']).stream();
}

/** What must be the same in a replay: all but the token. */
function sent({ method, url, headers, rawBody }: RecordedRequest) {
  const { authorization: _, 'content-length': length, 'transfer-encoding': encoding, ...rest } = headers;
  return { method, url, headers: { ...rest, length, encoding }, body: rawBody.toString('latin1') };
}

const text = { 'content-type': 'text/plain', 'x-trace': 'abc' };
const requests: [string, RequestInit][] = [
  ['GET', { headers: { 'X-Trace': 'abc' } }],
  ['HEAD', { method: 'HEAD' }],
  ['POST without a body', { method: 'POST' }],
  ['DELETE with a body', { method: 'DELETE', body: '{}' }],
  ['PUT of a string', { method: 'PUT', body: 'Käthe', headers: text }],
  ['PATCH of a Buffer', { method: 'PATCH', body: Buffer.from([0, 1, 2, 254, 255]) }],
  ['POST of an ArrayBuffer', { method: 'POST', body: new Uint8Array([9, 8, 7]).buffer }],
  ['POST of a Blob', { method: 'POST', body: new Blob(['a', Buffer.from([255])], { type: 'image/png' }) }],
  ['POST of URLSearchParams', { method: 'POST', body: new URLSearchParams({ a: 'b c', d: 'é' }) }],
  ['POST of FormData', { method: 'POST', body: form() }],
  ['POST of 3 MB', { method: 'POST', body: 'x'.repeat(3_000_000) }],
];

describe('An API that answers 401 to fetch', () => {
  for (const kind of ['init', 'a Request'])
    it.each(requests)(
      `34. 77. Refresh, and one replay with the same method, URL, headers and byte-equal body: %s, as ${kind}`,
      async (_, init) => {
        const api = await Application.withServer();
        await api.warmUp();
        api.server.revokeAll();
        const url = `${api.server.apiURL}/a%2Fb?q=%20`;
        const fetch = api.fetch();
        const answer = await (kind === 'init' ? fetch(url, init) : fetch(new Request(url, init)));
        expect(answer.status).toBe(200);
        expect(api.authorizations.slice(1)).toEqual(['Bearer access-token-1', 'Bearer access-token-2']);
        const [, first, again] = api.server.apiRequests;
        expect(sent(again!)).toEqual(sent(first!));
        const direct = await globalThis.fetch(url, { ...init, headers: new Headers(init.headers) });
        expect(direct.status).toBe(401);
        const { headers, body, ...rest } = sent(api.server.apiRequests[3]!);
        expect(sent(first!)).toMatchObject(rest);
        expect(Object.keys(sent(first!).headers)).toEqual(Object.keys(headers));
        expect(sent(first!).body).toHaveLength(body.length);
        expect(api.posts).toBe(2);
      },
    );

  it('34. 77. The Content-Type of a form names the boundary that its body has', async () => {
    const api = await Application.withServer();
    await api.fetch()('/x', { method: 'POST', body: form() });
    const [request] = api.server.apiRequests;
    const boundary = /boundary=(.+)$/.exec(request!.headers['content-type']!)![1]!;
    expect(String(request!.rawBody)).toMatch(new RegExp(`^--${boundary}\r\n`));
  });

  it.each<[string, FakeAnswer]>([
    ['an empty body', { status: 401 }],
    ['HTML', { status: 401, headers: { 'content-type': 'text/html' }, body: '<h1>Sign in</h1>' }],
    ['a 2 MB body', { status: 401, body: 'x'.repeat(2_000_000) }],
    ['invalid_token', { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' } }],
    ['Basic', { status: 401, headers: { 'www-authenticate': 'Basic realm="partner"' } }],
  ])('34. 77. Whatever its body or `WWW-Authenticate` says: %s', async (_, answer) => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.respondToApiWith(answer);
    expect(await (await api.fetch()('/x')).json()).toMatchObject({ ok: true });
    expect(api.authorizations.slice(1)).toEqual(['Bearer access-token-1', 'Bearer access-token-2']);
  });

  it('34. 77. A second 401 is the answer, whole, and `@UseOAuthClient` knows whose it is', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.onApiRequest = () => ({ status: 401, body: { no: 'entry' } });
    const response = await api.fetch()('/x');
    expect([response.status, await response.json()]).toEqual([401, { no: 'entry' }]);
    expect(api.server.apiRequests).toHaveLength(3);
    expect(api.posts).toBe(2);
    expect(rejectedClientOf(Object.assign(new Error('HTTP 401'), { response }))).toBe('api');
  });

  it('34. 77. `unauthorized: { retry: false }` → the 401 surfaces, the token is refreshed', async () => {
    const api = await Application.withServer({ unauthorized: { retry: false } });
    await api.warmUp();
    api.server.revokeAll();
    expect((await api.fetch()('/x')).status).toBe(401);
    expect((await api.fetch()('/x')).status).toBe(200);
    expect(api.posts).toBe(2);
  });

  it('35. 77. 100 requests with one revoked token → exactly one POST, 100 successes', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.revokeAll();
    api.server.latencyMs = 50;
    const post = (path: string) => api.fetch()(path, { method: 'POST', body: path });
    const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => post(`/x/${i}`)));
    const bodies = (await Promise.all(answers.map((answer) => answer.json()))) as { body: string }[];
    expect(bodies.map(({ body }) => body)).toEqual(answers.map((_, i) => `/x/${i}`));
    expect(api.posts).toBe(2);
  });

  it('36. 77. Late 401 for an old token while a newer one exists → no POST, replay with the newer', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    let answer!: (response: FakeAnswer) => void;
    api.server.respondToApiWith(() => new Promise<FakeAnswer>((resolve) => (answer = resolve)));
    const slow = api.fetch()('/slow');
    while (api.server.apiRequests.length < 2) await sleep(5);
    await api.token({ forceRefresh: true });
    answer({ status: 401 });
    expect((await slow).status).toBe(200);
    expect(api.authorizations.slice(1)).toEqual(['Bearer access-token-1', 'Bearer access-token-2']);
    expect(api.posts).toBe(2);
  });

  it('37. 77. Refresh returns the same token → no replay, the 401 surfaces', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.alwaysRespond(() => api.server.nextToken({ access_token: 'access-token-1' }));
    api.server.revokeAll();
    expect((await api.fetch()('/x')).status).toBe(401);
    expect(api.server.apiRequests).toHaveLength(2);
    expect(api.posts).toBe(2);
  });

  it('37. 77. Permanent 401s → refreshes are rate limited and reported', async () => {
    const api = await Application.withServer({}, { clock: fastClock(20) });
    await api.warmUp();
    api.server.onApiRequest = () => ({ status: 401 });
    for (let i = 0; i < 100; i++) expect((await api.fetch()('/x')).status).toBe(401);
    expect(api.posts).toBeLessThan(50);
    expect(api.events).toContainEqual(expect.objectContaining({ type: 'token_rejected', limited: true }));
  });

  it.each<[string, () => BodyInitOfTests]>([
    ['a stream', stream],
    ['a stream of Node', () => Readable.from(['ab'])],
  ])('38. 77. %s → token refreshed, original 401 surfaces, no replay', async (_, body) => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.revokeAll();
    const post = () => api.fetch()('/x', { method: 'POST', body: body(), duplex: 'half' });
    expect((await post()).status).toBe(401);
    expect(api.server.apiRequests).toHaveLength(2);
    const answer = await post();
    expect(await answer.json()).toMatchObject({ ok: true, body: 'ab' });
    expect(api.posts).toBe(2);
  });

  it('34. 77. A Request made of a stream is sent as it comes, and replayed', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.revokeAll();
    const init = { method: 'POST', body: stream(), duplex: 'half' } as const;
    const answer = await api.fetch()(new Request(`${api.server.apiURL}/x`, init));
    expect(await answer.json()).toMatchObject({ ok: true, body: 'ab' });
    expect(api.server.apiRequests.slice(1).map(({ rawBody }) => String(rawBody))).toEqual(['ab', 'ab']);
  });

  it.each([400, 403, 404, 429, 500, 503])('39. 77. %d → no refresh, no replay by us', async (status) => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.respondToApiWith({ status });
    expect((await api.fetch()('/x')).status).toBe(status);
    expect(api.server.apiRequests).toHaveLength(2);
    expect(api.posts).toBe(1);
  });

  it('41. 77. No token after the 401 → the caller gets our typed error', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.revokeAll();
    api.server.respondWith({ status: 400, body: { error: 'unauthorized_client' } });
    expect(await api.failure(api.fetch()('/x'))).toMatchObject({ code: 'token_request_rejected' });
    expect(api.server.apiRequests).toHaveLength(2);
  });
});

type BodyInitOfTests = NonNullable<RequestInit['body']>;

describe('An API that learns of a token late, asked by fetch', () => {
  async function renewed(module: OAuthClientModuleOptions = {}): Promise<Application> {
    const api = await Application.withServer({}, module);
    await api.warmUp();
    await api.token({ forceRefresh: true });
    return api;
  }

  it('88. 77. The same token again, after growing pauses, no POST', async () => {
    const api = await renewed({ clock: fastClock(5) });
    api.server.apiLearnsAfterMs = 120;
    const answer = await api.fetch()('/x', { method: 'POST', body: 'text' });
    expect(await answer.json()).toMatchObject({ ok: true, body: 'text' });
    expect(new Set(api.authorizations.slice(1))).toEqual(new Set(['Bearer access-token-2']));
    expect(api.authorizations.length).toBeGreaterThan(2);
    expect(api.posts).toBe(2);
  });

  it('88. 77. A signal that is aborted during a pause ends it, and nothing more is sent', async () => {
    const api = await renewed();
    api.server.revoke('access-token-2');
    const error = await api.failure(api.fetch()('/x', { signal: AbortSignal.timeout(400) }));
    expect(error).toMatchObject({ name: 'TimeoutError' });
    const sentBefore = api.server.apiRequests.length;
    await sleep(500);
    expect(api.server.apiRequests).toHaveLength(sentBefore);
  });
});

describe('DPoP with fetch', () => {
  async function bound(): Promise<Application> {
    const api = await Application.withServer({ dpop: true });
    api.server.alwaysRespond(() => api.server.nextToken({ token_type: 'DPoP', access_token: 'bound-token' }));
    return api;
  }
  const payloads = ({ server }: Application) =>
    server.apiRequests.map(
      ({ headers }) =>
        JSON.parse(String(Buffer.from(String(headers['dpop']).split('.')[1]!, 'base64url'))) as {
          htm: string;
          htu: string;
          nonce?: string;
        },
    );

  it('50. 77. A proof for each sending, with the nonce that the API asks for', async () => {
    const api = await bound();
    api.server.onApiRequest = ({ headers }) => {
      const proof = String(Buffer.from(String(headers['dpop']).split('.')[1]!, 'base64url'));
      const challenge = { 'www-authenticate': 'DPoP error="use_dpop_nonce"', 'dpop-nonce': 'n-1' };
      return proof.includes('"nonce":"n-1"') ? { status: 200 } : { status: 401, headers: challenge };
    };
    expect((await api.fetch()('/x?q=1', { method: 'post', body: 'a' })).status).toBe(200);
    const htu = `${api.server.apiURL}/x`;
    expect(payloads(api)).toMatchObject([
      { htm: 'POST', htu },
      { htm: 'POST', htu, nonce: 'n-1' },
    ]);
    expect(api.authorizations).toEqual(['DPoP bound-token', 'DPoP bound-token']);
    expect(api.posts).toBe(1);
  });

  it('50. 77. A redirect within the origin gets a proof of its own', async () => {
    const api = await bound();
    api.server.onApiRequest = ({ url }) =>
      url === '/api/x' ? { status: 303, headers: { location: 'moved' } } : { status: 200 };
    expect((await api.fetch()('/x', { method: 'POST' })).status).toBe(200);
    expect(payloads(api)).toMatchObject([
      { htm: 'POST', htu: `${api.server.apiURL}/x` },
      { htm: 'GET', htu: `${api.server.apiURL}/moved` },
    ]);
  });
});
