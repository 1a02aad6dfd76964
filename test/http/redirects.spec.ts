import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { AxiosRequestConfig } from 'axios';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { Agent } from 'node:https';
import { connect, createServer as createTcpServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Application } from '../support/application.js';
import { Authority, fingerprintOf, type Identity } from '../support/certificates.js';
import { closing } from '../support/closing.js';
import { Recorder } from '../support/recorder.js';
import { TlsServer } from '../support/tls-server.js';

type BeforeRedirect = NonNullable<AxiosRequestConfig['beforeRedirect']>;

/** An API that redirects `/api/moved` to `/api/x`. */
async function moving(options: Parameters<typeof Application.withServer>[0] = {}): Promise<Application> {
  const api = await Application.withServer(options);
  api.server.onApiRequest = ({ url }) => (url.endsWith('/moved') ? { redirectTo: '/api/x' } : undefined);
  return api;
}

describe('A redirect within the API', () => {
  it('50. goes on without a proof, which holds for one URL only, and its 401 says nothing about the token', async () => {
    const api = await moving({ dpop: true });
    api.server.alwaysRespond(() => api.server.nextToken({ token_type: 'DPoP' }));
    expect(await api.failure(api.get('/moved'))).toMatchObject({ response: { status: 401 } });
    expect(api.server.apiRequests.map(({ url, headers }) => [url, headers['dpop'] !== undefined])).toEqual([
      ['/api/moved', true],
      ['/api/x', false],
    ]);
    expect(api.authorizations).toEqual(['DPoP t1', undefined]);
    expect(api.posts).toBe(1);
  });

  it('43. carries our token, whatever Authorization a beforeRedirect of the caller adds', async () => {
    const api = await moving();
    const beforeRedirect: BeforeRedirect = ({ headers }) =>
      void Object.assign(headers as object, { authorization: 'Own x', AUTHORIZATION: 'Own y', dpop: 'z' });
    expect((await api.get('/moved', { beforeRedirect })).status).toBe(200);
    expect(api.authorizations).toEqual(['Bearer access-token-1', 'Bearer access-token-1']);
    expect(api.server.apiRequests[1]?.headers).not.toHaveProperty('dpop');
  });

  it('43. keeps headers of the caller whose names only resemble ours', async () => {
    const api = await moving();
    const own = { 'authorization-context': 'a', 'x-authorization': 'b', 'dpop-debug': 'c', 'x-dpop': 'd' };
    expect((await api.get('/moved', { headers: own })).status).toBe(200);
    expect(api.server.apiRequests[1]?.headers).toMatchObject(own);
  });

  it('43. carries it also when a beforeRedirect of the caller took all headers off', async () => {
    const api = await moving();
    const beforeRedirect: BeforeRedirect = (options) => void delete options['headers'];
    expect((await api.get('/moved', { beforeRedirect })).status).toBe(200);
    expect(api.authorizations).toEqual(['Bearer access-token-1', 'Bearer access-token-1']);
  });
});

describe('A beforeRedirect of the caller that sends the request elsewhere', () => {
  it.each<[string, (evil: Recorder) => object]>([
    ['by its port', ({ port }) => ({ port })],
    ['by its host name', () => ({ hostname: 'localhost' })],
    ['by its host', () => ({ host: 'localhost' })],
    ['by its path', () => ({ path: '/api/delete-all' })],
    ['by its URL, which nothing looks at', ({ origin }) => ({ href: origin })],
    ['by a URL that is none', () => ({ href: 'nowhere' })],
  ])('43. takes no token along: %s', async (_, change) => {
    const evil = await Recorder.start();
    const api = await moving();
    await api.warmUp();
    const beforeRedirect: BeforeRedirect = (options) => void Object.assign(options, change(evil));
    await api.get('/moved', { beforeRedirect }).catch(() => undefined); // the API may not like it
    expect(evil.requests.length + api.server.apiRequests.length).toBe(3);
    expect(evil.credentials).toEqual([]);
    expect(api.authorizations.slice(2)).toEqual(evil.requests.length ? [] : [undefined]);
    expect(api.posts).toBe(1);
  });

  it('43. takes no token along: to a socket of this machine', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'redirects-'));
    const seen: (string | undefined)[] = [];
    const socketPath = join(folder, 'socket');
    const server = createServer(({ headers }, response) => {
      seen.push(headers.authorization);
      response.end('{}');
    });
    await once(server.listen(socketPath), 'listening');
    const api = await moving();
    const beforeRedirect: BeforeRedirect = (options) => void Object.assign(options, { socketPath });
    await api.get('/moved', { beforeRedirect });
    expect(seen).toEqual([undefined]);
    await once(server.close(), 'close');
    rmSync(folder, { recursive: true });
  });
});

describe('The certificate of a client', () => {
  let authority: Authority;
  let own: Identity;
  let other: Identity;
  beforeAll(() => {
    authority = new Authority();
    own = authority.client('own');
    other = authority.client('other');
  });
  afterAll(() => authority.remove());

  const answers = (redirectTo: () => string) =>
    TlsServer.start(
      authority,
      ({ url }) =>
        url === '/moved'
          ? { status: 307, body: {}, headers: { location: redirectTo() } }
          : { status: 200, body: { access_token: 't', token_type: 'Bearer', expires_in: 60 } },
      { demanding: false },
    );
  /** A client with a certificate, its API, and a server elsewhere. */
  async function scene(redirectTo: (elsewhere: TlsServer) => string) {
    const elsewhere = closing(await answers(() => ''));
    const api = closing(await answers(() => redirectTo(elsewhere)));
    const app = await Application.client({
      tokenEndpoint: `${api.url}/token`,
      baseURL: api.url,
      clientId: 'me',
      tokenEndpointAuthMethod: 'tls_client_auth',
      tls: { ...own, ca: authority.ca },
    });
    await app.token();
    return { app, api, elsewhere };
  }
  const certificatesAt = ({ requests }: TlsServer) =>
    requests.filter(({ url }) => url !== '/token').map(({ certificate }) => certificate);

  it.each([{}, { oauth: false as const }])('49. follows a redirect within the API: %j', async (request) => {
    const { app, api } = await scene(() => '/x');
    expect((await app.axios.get('/moved', request)).status).toBe(200);
    expect(certificatesAt(api)).toEqual([fingerprintOf(own), fingerprintOf(own)]);
  });

  it('43. A token never goes in clear text: not when a beforeRedirect of the caller makes http of https', async () => {
    const api = closing(await answers(() => '/x'));
    const received: Buffer[] = [];
    const front = createTcpServer((socket) => {
      const upstream = connect(Number(new URL(api.url).port), '127.0.0.1');
      socket.on('data', (chunk) => received.push(chunk)).pipe(upstream);
      upstream.pipe(socket).on('error', () => upstream.destroy());
      upstream.on('error', () => socket.destroy());
    });
    await once(front.listen(0, '127.0.0.1'), 'listening');
    closing({ close: () => once(front.close(), 'close') });
    const baseURL = `https://127.0.0.1:${(front.address() as AddressInfo).port}`;
    const httpsAgent = new Agent({ ca: authority.ca });
    const options = { tokenEndpoint: `${api.url}/token`, clientId: 'me', clientSecret: 'my secret', baseURL };
    const app = await Application.client({ ...options, http: { httpsAgent } });
    const { authorization } = await app.token();
    const beforeRedirect: BeforeRedirect = (request) => void Object.assign(request, { protocol: 'http:' });
    await app.failure(app.axios.get('/moved', { beforeRedirect }));
    const inClearText = Buffer.concat(received).toString('latin1');
    expect(inClearText).toContain('GET /x HTTP/1.1');
    expect(inClearText.includes(authorization)).toBe(false);
    httpsAgent.destroy();
  });

  it.each([{}, { oauth: false as const }, { maxRedirects: 0 }])(
    '49. gives way to an httpsAgent of the request that has a certificate itself, which goes wherever the request goes: %j',
    async (request) => {
      const { app, api, elsewhere } = await scene(({ url }) => `${url}/x`);
      const httpsAgent = new Agent({ ...other, ca: authority.ca });
      const { status } = await app.axios.get('/moved', {
        validateStatus: () => true,
        ...request,
        httpsAgent,
      });
      expect(status).toBe('maxRedirects' in request ? 307 : 200);
      expect(certificatesAt(api)).toEqual([fingerprintOf(other)]);
      expect(certificatesAt(elsewhere)).toEqual('maxRedirects' in request ? [] : [fingerprintOf(other)]);
      expect(elsewhere.requests.flatMap(({ headers }) => headers.authorization ?? [])).toEqual([]);
      httpsAgent.destroy();
    },
  );
});
