import { describe, expect, it } from '@jest/globals';
import axios, { type InternalAxiosRequestConfig } from 'axios';
import type { OAuthClientOptions } from 'nestjs-oauth-client';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { Application } from '../support/application.js';
import { closing } from '../support/closing.js';

/** A token endpoint that answers each chunk it receives as `answer` says, counted over all connections. */
async function rawEndpoint(answer: (socket: Socket, count: number) => void) {
  const endpoint = { requests: 0, url: '' };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('data', () => answer(socket, ++endpoint.requests));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  closing({
    close: () => {
      for (const socket of sockets) socket.destroy();
      return once(server.close(), 'close');
    },
  });
  return Object.assign(endpoint, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/token` });
}

const client = (tokenEndpoint: string) =>
  Application.client({ tokenEndpoint, clientId: 'me', clientSecret: 'my secret' });

const TOKEN = JSON.stringify({ access_token: 't', token_type: 'Bearer', expires_in: 3600 });
const HEAD = 'Content-Type: application/json\r\nConnection: keep-alive\r\n';

describe('What `http` says about the API', () => {
  it.each<[string, NonNullable<OAuthClientOptions['http']>]>([
    ['a ban on absolute URLs', { allowAbsoluteUrls: false }],
    ['a timeout', { timeout: 1 }],
    ['a type of response', { responseType: 'arraybuffer' }],
    ['a type of response, by fetch', { adapter: 'fetch', responseType: 'formdata' }],
    ['a streamed response', { responseType: 'stream' }],
    ['a transform of requests', { transformRequest: () => 'nothing' }],
    ['a transform of responses', { transformResponse: () => 'nothing' }],
    ['a judgement of statuses', { validateStatus: () => false }],
    ['a limit of its answers', { maxContentLength: 1 }],
  ])('does not hold for token requests: %s', async (_, http) => {
    const api = await Application.withServer({ http });
    api.server.latencyMs = 20;
    expect((await api.token()).value).toBe('access-token-1');
    const [request] = api.server.tokenRequests;
    expect([...(request?.form ?? [])]).toEqual([['grant_type', 'client_credentials']]);
    api.server.respondWith({ status: 400, body: { error: 'invalid_scope' } });
    expect(await api.failure(api.token({ scope: 'x' }))).toMatchObject({ error: 'invalid_scope' });
  });

  it('does not hold where it is Axios’s own default: a baseURL with a ban on absolute URLs', async () => {
    Object.assign(axios.defaults, { baseURL: 'http://127.0.0.1:9', allowAbsoluteUrls: false });
    try {
      const api = await Application.withServer();
      expect((await api.token()).value).toBe('access-token-1');
    } finally {
      delete axios.defaults.baseURL;
      delete axios.defaults.allowAbsoluteUrls;
    }
  });

  it('68. does hold for headers: a function that fails is `credentials_unavailable`, and nothing is sent', async () => {
    const thrown = 'what-the-function-threw';
    const headers = { 'x-key': () => Promise.reject(new Error(thrown)) };
    const api = await Application.withServer({ http: { headers } }, {}, { secrets: [thrown] });
    expect(await api.failure()).toMatchObject({
      code: 'credentials_unavailable',
      retryable: true,
      message: expect.stringContaining('The function http.headers.x-key of OAuth client "api" failed'),
    });
    expect(api.posts).toBe(0);
  });

  it('does hold where it is about the network: an adapter that fails without a code is an outage', async () => {
    const adapter = () => Promise.reject(new Error('no way'));
    const api = await Application.withServer({ http: { adapter }, retry: { attempts: 1 } });
    expect(await api.failure()).toMatchObject({
      code: 'authorization_server_unavailable',
      message:
        'The authorization server of OAuth client "api" could not be reached. Check tokenEndpoint, the network and the proxy.',
      cause: { message: 'no way' },
    });
  });
});

describe('An answer of the token endpoint', () => {
  it.each([204, 205, 304])('8. without a body by its status, %d → token_response_invalid', async (status) => {
    const api = await Application.withServer({ retry: { attempts: 1 } });
    api.server.respondWith({ status });
    expect(await api.failure()).toMatchObject({ code: 'token_response_invalid', client: 'api' });
  });

  it.each([400, 401, 500])('30. that is broken off → its status counts, from %d on', async (status) => {
    const endpoint = await rawEndpoint((socket) => {
      socket.write(`HTTP/1.1 ${status} X\r\n${HEAD}Content-Length: 500\r\n\r\n{"err`);
      setTimeout(() => socket.destroy(), 20);
    });
    const app = await client(endpoint.url);
    expect(await app.failure()).toMatchObject({ status });
    expect(endpoint.requests).toBe(1);
  });

  it('28. that is broken off → its Retry-After counts as well', async () => {
    const endpoint = await rawEndpoint((socket) => {
      socket.write(`HTTP/1.1 503 X\r\n${HEAD}Retry-After: 30\r\nContent-Length: 500\r\n\r\n{"err`);
      setTimeout(() => socket.destroy(), 20);
    });
    const app = await client(endpoint.url);
    expect(await app.failure()).toMatchObject({ status: 503, retryAfterMs: 30_000 });
  });
});

describe('A request that is not sent again', () => {
  it('is one whose new connection broke: nobody knows whether it arrived', async () => {
    const endpoint = await rawEndpoint((socket) => socket.resetAndDestroy());
    const app = await client(endpoint.url);
    expect(await app.failure()).toMatchObject({
      code: 'authorization_server_unavailable',
      message: expect.stringContaining('(ECONNRESET)'),
      cause: { code: 'ECONNRESET' },
    });
    expect(endpoint.requests).toBe(1);
  });

  it('is one on a kept connection that broke after its answer had begun', async () => {
    const endpoint = await rawEndpoint((socket, count) => {
      if (count === 1) {
        socket.write(`HTTP/1.1 200 OK\r\n${HEAD}Content-Length: ${TOKEN.length}\r\n\r\n${TOKEN}`);
        return;
      }
      socket.write(`HTTP/1.1 200 OK\r\n${HEAD}Content-Length: 500\r\n\r\n{"acc`);
      setTimeout(() => socket.resetAndDestroy(), 20);
    });
    const app = await client(endpoint.url);
    await app.token();
    expect(await app.failure(app.token({ scope: 'other' }))).toMatchObject({
      code: 'authorization_server_unavailable',
    });
    expect(endpoint.requests).toBe(2);
  });
});

describe('A request on a kept connection that the server had closed', () => {
  it.each(['ECONNRESET', 'EPIPE'])('is sent again, once it fails with %s', async (code) => {
    let sent = 0;
    const adapter = (config: InternalAxiosRequestConfig) => {
      const stale = Object.assign(new Error('gone'), { code, request: { reusedSocket: true } });
      return ++sent === 1 ? Promise.reject(stale) : axios.getAdapter('http')(config);
    };
    const api = await Application.withServer({ http: { adapter }, retry: { attempts: 1 } });
    expect((await api.token()).value).toBe('access-token-1');
    expect([sent, api.posts]).toEqual([2, 1]);
  });
});
