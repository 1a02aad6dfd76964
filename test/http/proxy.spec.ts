import { Agent } from 'node:https';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { OAuthClientOptions } from 'nestjs-oauth-client';
import { Application } from '../support/application.js';
import { Authority, fingerprintOf, type Identity } from '../support/certificates.js';
import { TlsServer, type TlsRequest } from '../support/tls-server.js';
import { ConnectProxy, type ProxyCredentials } from '../support/connect-proxy.js';

const SECRET = 'secret-of-the-client-5b1e';
const PROXY_CREDENTIALS: ProxyCredentials = { username: 'from-here', password: 'through-the-wall' };
const PROXY_VARIABLES = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'NO_PROXY'].flatMap((name) => [
  name,
  name.toLowerCase(),
]);

let authority: Authority;
let identity: Identity;
let environment: NodeJS.ProcessEnv;
let proxy: ConnectProxy;
let tokenServer: TlsServer;
let api: TlsServer;
let issued: number;

beforeAll(() => {
  authority = new Authority();
  identity = authority.client('me');
});
afterAll(() => authority.remove());

beforeEach(async () => {
  environment = { ...process.env };
  for (const name of PROXY_VARIABLES) delete process.env[name];
  issued = 0;
  proxy = await ConnectProxy.start();
  tokenServer = await TlsServer.start(authority, answerTokenRequest, { demanding: false });
  api = await TlsServer.start(authority, answerApiRequest, { demanding: false });
});
afterEach(async () => {
  for (const name of PROXY_VARIABLES) delete process.env[name];
  Object.assign(process.env, environment);
  await Promise.all([proxy.close(), tokenServer.close(), api.close()]);
});

function answerTokenRequest({ url }: TlsRequest) {
  const metadata = { issuer: tokenServer.url, token_endpoint: `${tokenServer.url}/token-path` };
  if (url.startsWith('/.well-known/')) return { status: 200, body: metadata };
  const body = { access_token: `access-token-${++issued}`, token_type: 'Bearer', expires_in: 3600 };
  return { status: 200, body };
}

/** Knows the newest token only. */
function answerApiRequest({ headers }: TlsRequest) {
  return { status: headers.authorization === `Bearer access-token-${issued}` ? 200 : 401, body: {} };
}

const client = (
  http: object,
  where: OAuthClientOptions = { tokenEndpoint: `${tokenServer.url}/token-path` },
): OAuthClientOptions => ({
  baseURL: api.url,
  clientId: 'me',
  clientSecret: SECRET,
  ...where,
  http: { httpsAgent: new Agent({ ca: authority.ca }), ...http },
});

/** Where a tunnel to a server leads. */
const tunnelTo = ({ url }: TlsServer) => `CONNECT ${new URL(url).host}`;

/** Nothing but where the tunnels lead came in clear text. */
function expectNothingSeen(...more: string[]): void {
  const basic = Buffer.from(`me:${SECRET}`).toString('base64');
  for (const secret of [
    SECRET,
    basic,
    'token-path',
    'api-path',
    'access-token',
    'body-of-the-call',
    ...more,
  ]) {
    expect(proxy.seen.includes(secret)).toBe(false); // a failed comparison of the texts would print them
  }
}

/** The proxy as an option, or from the environment. */
const WAYS: [string, (proxy: ConnectProxy, credentials?: ProxyCredentials) => object][] = [
  ['http.proxy', ({ address }, auth) => ({ proxy: { ...address, ...(auth && { auth }) } })],
  [
    'HTTPS_PROXY',
    (to, credentials) => {
      process.env['HTTPS_PROXY'] = to.urlFor(credentials);
      return {};
    },
  ],
];

describe.each(WAYS)('83. through an http proxy by %s', (_, through) => {
  it('83. https to the token endpoint and the API is tunnelled: the proxy sees no path, secret or token', async () => {
    const app = await Application.client(client(through(proxy)));
    const { status } = await app.axios.post('/api-path', 'body-of-the-call');
    expect(status).toBe(200);
    expect(tokenServer.requests.map(({ url }) => url)).toEqual(['/token-path']);
    expect(api.requests.map(({ url, body }) => [url, body])).toEqual([['/api-path', 'body-of-the-call']]);
    expect(proxy.requestLines).toEqual([tunnelTo(tokenServer), tunnelTo(api)]);
    expectNothingSeen();
  });

  it('83. so are discovery, a new token after a 401, and the replay', async () => {
    const app = await Application.client(client(through(proxy), { issuer: tokenServer.url }));
    await app.token();
    issued++;
    const { status } = await app.axios.post('/api-path', 'body-of-the-call');
    expect(status).toBe(200);
    expect(api.requests.map(({ body }) => body)).toEqual(['body-of-the-call', 'body-of-the-call']);
    expect(proxy.requestLines.filter((line) => line === tunnelTo(api))).toHaveLength(2);
    expect(new Set(proxy.requestLines)).toEqual(new Set([tunnelTo(tokenServer), tunnelTo(api)]));
    expectNothingSeen();
  });

  it("83. the proxy's credentials go to the proxy alone, with each tunnel", async () => {
    await proxy.close();
    proxy = await ConnectProxy.start(PROXY_CREDENTIALS);
    const app = await Application.client(client(through(proxy, PROXY_CREDENTIALS)));
    const { status } = await app.axios.post('/api-path', 'body-of-the-call');
    expect(status).toBe(200);
    expect(proxy.requestLines).toEqual([tunnelTo(tokenServer), tunnelTo(api)]);
    for (const { headers } of [...tokenServer.requests, ...api.requests]) {
      expect(headers).not.toHaveProperty('proxy-authorization');
    }
    expectNothingSeen();
  });

  it('83. a proxy that refuses the tunnel gets nothing, and nothing goes past it', async () => {
    await proxy.close();
    proxy = await ConnectProxy.start(PROXY_CREDENTIALS);
    const app = await Application.client(client(through(proxy)));
    expect(await app.failure()).toBeInstanceOf(Error);
    expect(new Set(proxy.requestLines)).toEqual(new Set([tunnelTo(tokenServer)]));
    expect(tokenServer.connections).toBe(0);
    expectNothingSeen();
  });

  it('83. a proxy that cannot be reached: nothing goes past it', async () => {
    const http = through(proxy);
    await proxy.close();
    const app = await Application.client(client(http));
    expect(await app.failure()).toMatchObject({ code: 'authorization_server_unavailable', retryable: true });
    expect(tokenServer.connections).toBe(0);
    proxy = await ConnectProxy.start();
  });

  it('83. an httpsAgent holds for the target: its certificate is presented, its authorities are trusted', async () => {
    const httpsAgent = new Agent({ ...identity, ca: authority.ca });
    const app = await Application.client(client({ ...through(proxy), httpsAgent }));
    const { status } = await app.axios.get('/api-path');
    expect(status).toBe(200);
    const certificates = [...tokenServer.requests, ...api.requests].map(({ certificate }) => certificate);
    expect(certificates).toEqual([fingerprintOf(identity), fingerprintOf(identity)]);
    expect(proxy.requestLines).toEqual([tunnelTo(tokenServer), tunnelTo(api)]);
  });

  it('83. an httpsAgent holds for the target: a server of another authority is refused before anything is sent', async () => {
    const stranger = new Authority();
    const httpsAgent = new Agent({ ca: stranger.ca });
    stranger.remove();
    const app = await Application.client(client({ ...through(proxy), httpsAgent }));
    expect(await app.failure()).toMatchObject({ code: 'authorization_server_unavailable' });
    expect(tokenServer.requests).toEqual([]);
    expectNothingSeen();
  });
});
