import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { getMaxListeners } from 'node:events';
import { Agent, globalAgent } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  InjectOAuthFetch,
  MemoryTokenStore,
  type OAuthClientOptions,
  type StoredToken,
} from 'nestjs-oauth-client';
import { inspect } from 'node:util';
import { Application } from '../support/application.js';
import { Authority, fingerprintOf, type Identity } from '../support/certificates.js';
import { closing } from '../support/closing.js';
import { ConnectProxy } from '../support/connect-proxy.js';
import { TlsServer } from '../support/tls-server.js';

const authority = new Authority();
let first: Identity;
let second: Identity;
let tokenServer: TlsServer;
let api: TlsServer;
let redirectTo: string | undefined;
let issued = 0;

beforeAll(async () => {
  first = authority.client('first');
  second = authority.client('second');
  const token = () => ({ access_token: `mtls-token-${++issued}`, token_type: 'Bearer', expires_in: 3600 });
  tokenServer = await TlsServer.start(authority, () => ({ status: 200, body: token() }));
  api = await TlsServer.start(authority, ({ url, headers, body }) => {
    if (redirectTo !== undefined && redirectTo !== url)
      return { status: 307, body: {}, headers: { location: redirectTo } };
    return { status: headers.authorization === undefined ? 401 : 200, body: { body } };
  });
});

beforeEach(() => {
  for (const { requests } of [tokenServer, api]) requests.length = 0;
  redirectTo = undefined;
});

afterAll(async () => {
  await Promise.all([tokenServer.close(), api.close()]);
  authority.remove();
});

const client = (own: OAuthClientOptions = {}): OAuthClientOptions => ({
  tokenEndpoint: `${tokenServer.url}/token`,
  clientId: 'me',
  baseURL: api.url,
  tokenEndpointAuthMethod: 'tls_client_auth',
  tls: { ...first, ca: authority.ca },
  ...own,
});

@Injectable()
class Service {
  constructor(@InjectOAuthFetch('partner') readonly fetch: typeof globalThis.fetch) {}
}
@Injectable()
class ByProperty {
  @InjectOAuthFetch('partner') readonly fetch!: typeof globalThis.fetch;
}

const start = (partner: OAuthClientOptions, provider: new (...args: never[]) => object = Service) =>
  Application.start({ oauth: { clients: { partner } }, providers: [provider] });

const certificates = ({ requests }: TlsServer) => requests.map(({ certificate }) => certificate);

describe('The client certificate of a fetch', () => {
  it.each<[string, (url: string, signal: AbortSignal) => Parameters<typeof fetch>]>([
    ['a URL', (url, signal) => [url, { signal }]],
    ['a Request', (url, signal) => [new Request(url, { method: 'POST', body: 'text', signal })]],
    ['a Request without a signal of its own', (url) => [new Request(url)]],
  ])('77. is presented when a request with a signal waited for its token: %s', async (_, make) => {
    const app = await Application.client(client());
    const { signal } = new AbortController();
    expect((await app.fetch()(...make(`${api.url}/x`, signal))).status).toBe(200);
    expect((await app.fetch()(...make(`${api.url}/x`, signal))).status).toBe(200);
    expect(certificates(api)).toEqual([fingerprintOf(first), fingerprintOf(first)]);
    expect(getMaxListeners(signal)).toBeGreaterThan(0); // else Node 20 takes it for no signal
  });

  it.each<[string, (url: string) => [string | Request, RequestInit?]]>([
    ['a string', () => ['/x', { method: 'POST', body: 'text' }]],
    ['bytes', () => ['/x', { method: 'POST', body: Buffer.from('text') }]],
    ['a stream', () => ['/x', { method: 'POST', body: new Blob(['text']).stream(), duplex: 'half' }]],
  ])('49. 77. is presented to the API: %s', async (_, make) => {
    const app = await Application.client(client());
    const response = await app.fetch()(...make(`${api.url}/x`));
    expect(response).toBeInstanceOf(Response);
    expect([response.url, response.clone().url]).toEqual([`${api.url}/x`, `${api.url}/x`]);
    expect(await response.json()).toEqual({ body: 'text' });
    expect(certificates(api)).toEqual([fingerprintOf(first)]);
  });

  it('77. leaves the body of the answer to the caller, who may read it after a garbage collection', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const app = await Application.client(client());
    const answers = await Promise.all([app.fetch()('/x'), app.fetch()('/y')]);
    const sent = 'x'.repeat(70_000);
    const { body } = await app.fetch()('/z', { method: 'POST', body: sent });
    for (let i = 0; i < 5; i++) {
      collect();
      await sleep(5);
    }
    expect(await Promise.all(answers.map((answer) => answer.json()))).toEqual([{ body: '' }, { body: '' }]);
    expect(await new Response(body).json()).toEqual({ body: sent });
  });

  it('49. 77. goes to allowed origins only, whatever redirects elsewhere', async () => {
    const elsewhere = closing(
      await TlsServer.start(authority, () => ({ status: 200, body: {} }), { demanding: false }),
    );
    const app = await Application.client(client());
    await app.fetch()('/x');
    expect((await app.fetch()('/x', { oauth: false })).status).toBe(401);
    redirectTo = `${elsewhere.url}/x`;
    const failure = await app.failure(app.fetch()('/x'));
    expect(failure).toMatchObject({ code: 'origin_not_allowed' });
    // Elsewhere the client's own authority means nothing.
    for (const url of ['/x', `${elsewhere.url}/x`])
      expect(await app.failure(app.fetch()(url, { oauth: false }))).toMatchObject({ name: 'TypeError' });
    expect(elsewhere.requests).toHaveLength(0);
    expect(new Set(certificates(api))).toEqual(new Set([fingerprintOf(first)]));
  });

  it('49. 77. follows a redirect within the API, which the response shows as that of fetch does', async () => {
    const app = await Application.client(client());
    redirectTo = '/y';
    const response = await app.fetch()('/x');
    for (const shown of [response, response.clone()])
      expect([shown.url, shown.redirected, shown.status]).toEqual([`${api.url}/y`, true, 200]);
    expect(certificates(api)).toEqual([fingerprintOf(first), fingerprintOf(first)]);
  });

  it('49. 77. that replaced another one is used by the next request', async () => {
    let { cert, key } = first;
    const app = await Application.client(
      client({ tls: { cert: () => cert, key: () => key, ca: authority.ca } }),
    );
    const parallel = () => Promise.all([app.fetch()('/x'), app.fetch()('/y')]);
    await parallel();
    ({ cert, key } = second);
    await app.token({ forceRefresh: true });
    await parallel();
    const [one, two] = [fingerprintOf(first), fingerprintOf(second)];
    expect(certificates(api)).toEqual([one, one, two, two]);
  });
});

/** Holds a token already: how a token request gets through a proxy is not the question here. */
class Stocked extends MemoryTokenStore {
  override get(): Promise<StoredToken> {
    const [issuedAt, expiresAt] = [Date.now(), Date.now() + 3_600_000];
    return Promise.resolve({ value: 'stocked-token-5512', tokenType: 'Bearer', issuedAt, expiresAt });
  }
}

describe('A fetch and a proxy', () => {
  const credentials = { username: 'proxy-user', password: 'proxy-password-91' };

  it('83. 77. https goes through a tunnel, in which the client certificate holds for the target', async () => {
    const proxy = closing(await ConnectProxy.start({ credentials }));
    const { host, port } = proxy.address;
    const http = { proxy: { host, port, auth: credentials } };
    const app = await Application.client(client({ http }), { store: new Stocked() });
    const response = await app.fetch()('/x', { method: 'POST', body: 'text' });
    expect(await response.json()).toEqual({ body: 'text' });
    expect(proxy.requestLines).toEqual([`CONNECT ${new URL(api.url).host}`]);
    expect(certificates(api)).toEqual([fingerprintOf(first)]);
    expect(api.requests[0]!.headers.authorization).toBe('Bearer stocked-token-5512');
    expect(proxy.seen).not.toContain('stocked-token-5512');
  });

  it('83. 77. A proxy that refuses is an error that shows neither its password nor a token', async () => {
    const proxy = closing(await ConnectProxy.start({ credentials }));
    const { host, port } = proxy.address;
    const auth = { ...credentials, password: 'another-password-17' };
    const app = await Application.client(client({ http: { proxy: { host, port, auth } } }), {
      store: new Stocked(),
    });
    const error = await app.failure(app.fetch()('/x'));
    expect(error).toMatchObject({ name: 'TypeError', message: 'fetch failed' });
    expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/another-password|stocked-token/);
    expect(api.requests).toHaveLength(0);
  });

  it('83. 77. Plain http that stays on this machine ignores it', async () => {
    const proxy = closing(await ConnectProxy.start());
    const server = await Application.withServer({ http: { proxy: proxy.address } }, { store: new Stocked() });
    server.server.onApiRequest = () => ({ status: 200 });
    expect((await server.fetch()('/x')).status).toBe(200);
    expect(server.authorizations).toEqual(['Bearer stocked-token-5512']);
    expect(proxy.requestLines).toEqual([]);
  });
});

describe('What fetch cannot do', () => {
  const message = (says: string) => ({
    code: 'configuration_invalid',
    problems: [expect.stringContaining(says)],
  });

  it.each([Service, ByProperty])('77. is a problem at boot when it is injected: %p', async (provider) => {
    const httpsAgent = new Agent({ ca: authority.ca });
    const {
      tls: _,
      tokenEndpointAuthMethod: _method,
      ...secret
    } = client({ clientSecret: 'my-secret-4711' });
    await expect(start({ ...secret, http: { httpsAgent } }, provider)).rejects.toMatchObject(
      message('Client "partner": http.httpsAgent does not work with fetch'),
    );
  });

  it.each(['httpAgent', 'socketPath', 'transport', 'lookup'])('77. http.%s is one of these', async (name) => {
    const server = await Application.withServer();
    const { tokenEndpoint, apiURL: baseURL } = server.server;
    const partner = { tokenEndpoint, baseURL, clientId: 'me', clientSecret: 'my-secret-4711' };
    await expect(start({ ...partner, http: { [name]: {} } })).rejects.toMatchObject(message(`http.${name}`));
  });

  it('77. is none when nobody injects a fetch, and fails the call that comes nevertheless', async () => {
    const app = await Application.withServer({ http: { httpAgent: globalAgent } });
    expect(await app.failure(app.fetch()('/x'))).toMatchObject(message('http.httpAgent'));
    expect(app.server.apiRequests).toHaveLength(0);
  });
});
