import { Agent as PlainAgent, type ClientRequest } from 'node:http';
import { Agent, globalAgent } from 'node:https';
import { connect } from 'node:net';
import { connect as connectSecurely, type ConnectionOptions } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import axios from 'axios';
import {
  MemoryTokenStore,
  type OAuthClientOptions,
  type OAuthConfigurationError,
  type TlsOptions,
} from 'nestjs-oauth-client';
import { isExempt, openTunnel } from '../../lib/http/tunnel.js';
import { Application } from '../support/application.js';
import { expectNoSecret } from '../support/secrets.js';
import { Authority, fingerprintOf, type Identity } from '../support/certificates.js';
import { TlsServer, type TlsRequest } from '../support/tls-server.js';
import { Recorder, loopbackAgent } from '../support/recorder.js';
import { ConnectProxy, type ProxyCredentials, type ProxyKind } from '../support/connect-proxy.js';

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

/** Another proxy in place of the present one. */
async function use(kind: ProxyKind): Promise<void> {
  await proxy.close();
  proxy = await ConnectProxy.start(kind);
}

/** A client with `tls` in place of an agent. */
const mutual = (
  http: Record<string, unknown>,
  tls: TlsOptions = { ...identity, ca: authority.ca },
): OAuthClientOptions => {
  const { http: _, ...options } = client({});
  return { ...options, tls, http };
};

const certificatesAt = (...servers: TlsServer[]) =>
  servers.flatMap(({ requests }) => requests.map(({ certificate }) => certificate));

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
const WAYS: [string, (proxy: ConnectProxy, credentials?: ProxyCredentials) => Record<string, unknown>][] = [
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
    expect(proxy.seen).not.toMatch(/^proxy-authorization$/im);
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
    await use({ credentials: PROXY_CREDENTIALS });
    const app = await Application.client(client(through(proxy, PROXY_CREDENTIALS)));
    const { status } = await app.axios.post('/api-path', 'body-of-the-call');
    expect(status).toBe(200);
    expect(proxy.requestLines).toEqual([tunnelTo(tokenServer), tunnelTo(api)]);
    for (const { headers } of [...tokenServer.requests, ...api.requests]) {
      expect(headers).not.toHaveProperty('proxy-authorization');
    }
    expect(/^authorization$/im.test(proxy.seen)).toBe(false); // they would stand in that header, too
    expectNothingSeen();
  });

  it('83. a proxy that refuses the tunnel gets nothing, and nothing goes past it', async () => {
    await use({ credentials: PROXY_CREDENTIALS });
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

  it('83. `tls` holds for the target: certificate and authorities, and connections are kept', async () => {
    const app = await Application.client(mutual(through(proxy)));
    for (let round = 0; round < 3; round++) expect((await app.axios.get('/api-path')).status).toBe(200);
    const own = fingerprintOf(identity);
    expect(certificatesAt(tokenServer, api)).toEqual([own, own, own, own]);
    expect(proxy.requestLines).toEqual([tunnelTo(tokenServer), tunnelTo(api)]);
    expectNothingSeen();
  });

  it('83. `tls` holds for the target: a server of another authority is refused before anything is sent', async () => {
    const stranger = new Authority();
    stranger.remove();
    const trusting = await Application.client(mutual(through(proxy)));
    await trusting.token();
    await api.close();
    const elsewhere = new Authority();
    api = await TlsServer.start(elsewhere, answerApiRequest, { demanding: false });
    elsewhere.remove();
    const reaching = await Application.client(mutual(through(proxy)));
    expect(String(await reaching.failure(reaching.axios.get('/api-path')))).toMatch(/certificate/);
    const app = await Application.client(mutual(through(proxy), { ...identity, ca: stranger.ca }));
    expect(await app.failure()).toMatchObject({ code: 'authorization_server_unavailable' });
    expect(api.requests).toEqual([]);
    expect(tokenServer.requests).toHaveLength(2);
    expectNothingSeen();
  });

  it('83. `tls` holds for the target after the certificate was replaced, and no old connection is used again', async () => {
    let current = identity;
    const tls = { cert: () => current.cert, key: () => current.key, ca: authority.ca };
    const app = await Application.client(mutual(through(proxy), tls));
    await app.axios.get('/api-path');
    current = authority.client('me, later');
    await app.token({ forceRefresh: true });
    await app.axios.get('/api-path');
    const [before, after] = [fingerprintOf(identity), fingerprintOf(current)];
    expect(certificatesAt(tokenServer, api)).toEqual([before, after, before, after]);
    expectNothingSeen();
  });

  it('83. `tls` holds on an Axios instance of the user’s own, with or without an agent of its own', async () => {
    const http = through(proxy);
    const app = await Application.client(mutual({}));
    for (const httpsAgent of [undefined, new Agent({ keepAlive: true })]) {
      const instance = axios.create({
        baseURL: api.url,
        ...http,
        ...(httpsAgent && { httpsAgent }),
      });
      app.interceptor.attach(instance, 'partner');
      expect((await instance.get('/api-path')).status).toBe(200);
      httpsAgent?.destroy();
    }
    expect(certificatesAt(api)).toEqual([fingerprintOf(identity), fingerprintOf(identity)]);
    expect(proxy.requestLines).toContain(tunnelTo(api));
    expectNothingSeen();
  });

  it.each(['tls', 'httpsAgent'])(
    '83. an https proxy gets no certificate of the client, by %s, and no more than any proxy',
    async (kind) => {
      const ofProxy = new Authority();
      await use({ authority: ofProxy, credentials: PROXY_CREDENTIALS });
      ofProxy.remove();
      if (kind === 'tls') globalAgent.options.ca = ofProxy.ca;
      try {
        const http = through(proxy, PROXY_CREDENTIALS);
        const httpsAgent = new Agent({ ...identity, ca: [authority.ca, ofProxy.ca] });
        const app = await Application.client(kind === 'tls' ? mutual(http) : client({ ...http, httpsAgent }));
        expect((await app.axios.get('/api-path')).status).toBe(200);
      } finally {
        delete globalAgent.options.ca;
      }
      expect(certificatesAt(tokenServer, api)).toEqual([fingerprintOf(identity), fingerprintOf(identity)]);
      expect(proxy.certificates).toEqual([undefined, undefined]);
      expectNothingSeen(identity.cert);
    },
  );

  it('83. an https proxy of an unknown authority gets neither credentials nor tunnels', async () => {
    const ofProxy = new Authority();
    await use({ authority: ofProxy, credentials: PROXY_CREDENTIALS });
    ofProxy.remove();
    const app = await Application.client(mutual(through(proxy, PROXY_CREDENTIALS)));
    expect(await app.failure()).toMatchObject({ code: 'authorization_server_unavailable' });
    expect(proxy.requestLines).toEqual([]);
  });

  const refusals: (number | 'drop')[] = [401, 403, 407, 503, 'drop'];

  it.each(refusals)(
    '83. a proxy that does this to CONNECT is no answer of the token endpoint: %s',
    async (instead) => {
      await use({ instead });
      const app = await Application.client(client(through(proxy, PROXY_CREDENTIALS)));
      const error = await app.failure();
      expect(error).toMatchObject({ code: 'authorization_server_unavailable', retryable: true });
      const why = instead === 'drop' ? 'ECONNRESET' : `it answered ${instead}`;
      expect(String(error)).toContain(`The proxy at 127.0.0.1:${proxy.port} opened no tunnel`);
      expect(String(error)).toContain(why);
      expectNoSecret([error], ...Object.values(PROXY_CREDENTIALS));
      expect(tokenServer.connections).toBe(0);
    },
  );

  it.each(refusals)('83. nor of the API, so that no token is rejected: %s', async (instead) => {
    await use({ instead });
    const app = await Application.client(client(through(proxy)), { store: await storeWithToken() });
    const error = await app.failure(app.axios.get('/api-path'));
    expect(error).toMatchObject({
      code: 'ERR_PROXY_TUNNEL',
      message: expect.stringContaining('The proxy at'),
    });
    expect(error).not.toHaveProperty('response.status');
    expect(app.eventTypes).toEqual(['token_acquired']);
    expect(api.connections).toBe(0);
  });
});

/** A store that has the client's token, so that the token endpoint need not be reached. */
async function storeWithToken(): Promise<MemoryTokenStore> {
  const store = new MemoryTokenStore();
  const proxies = Object.fromEntries(PROXY_VARIABLES.map((name) => [name, process.env[name]]));
  for (const name of PROXY_VARIABLES) delete process.env[name];
  await (await Application.client(client({}), { store })).token();
  for (const [name, value] of Object.entries(proxies)) if (value !== undefined) process.env[name] = value;
  return store;
}

describe('83. what stands between', () => {
  it('83. an answer without TLS, from an agent of another library, is not taken for that of the server', async () => {
    await use({ instead: 401 });
    /** Hands on what the proxy answers to CONNECT, as such libraries do. */
    class HandingOn extends PlainAgent {
      override createConnection({ host, port }: { host?: string | null; port?: number | string | null }) {
        const socket = connect(proxy.port, '127.0.0.1');
        socket.write(`CONNECT ${host}:${port} HTTP/1.1\r\n\r\n`);
        const written = socket.write.bind(socket);
        socket.write = (...[, , done]: unknown[]) => written('', done as () => void);
        return socket;
      }
    }
    const httpsAgent = Object.assign(new HandingOn(), { protocol: 'https:', defaultPort: 443 });
    const app = await Application.client(client({ proxy: false, httpsAgent }), {
      store: await storeWithToken(),
    });
    const error = await app.failure(app.axios.get('/api-path'));
    expect(error).toMatchObject({ code: 'ERR_PROXY_TUNNEL' });
    expect(await app.failure(app.token({ scope: 'other' }))).toMatchObject({
      code: 'authorization_server_unavailable',
      message: expect.stringContaining('it answered 401'),
    });
    expect(app.eventTypes).toEqual(['token_acquired', 'token_request_failed']);
    httpsAgent.destroy();
  });

  it('83. a proxy that is neither http nor https is refused by name', async () => {
    process.env['HTTPS_PROXY'] = `socks5://127.0.0.1:${proxy.port}`;
    const app = await Application.client(mutual({}));
    expect(String(await app.failure())).toContain('it must be an http or https proxy');
    expect(tokenServer.connections).toBe(0);
  });

  it('83. redirects to another server are tunnelled too, without certificate and token, and the way back as well', async () => {
    const elsewhere = await TlsServer.start(authority, () => ({ status: 200, body: {} }), {
      demanding: false,
    });
    const redirecting = await TlsServer.start(
      authority,
      () => ({ status: 302, body: {}, headers: { location: `${elsewhere.url}/x` } }),
      { demanding: false },
    );
    globalAgent.options.ca = authority.ca;
    try {
      const app = await Application.client({ ...mutual({ proxy: proxy.address }), baseURL: redirecting.url });
      for (const oauth of [{}, false as const]) await app.axios.get('/api-path', { oauth });
    } finally {
      delete globalAgent.options.ca;
      await Promise.all([elsewhere.close(), redirecting.close()]);
    }
    expect(certificatesAt(redirecting, elsewhere)).toEqual([
      fingerprintOf(identity),
      fingerprintOf(identity),
      undefined,
      undefined,
    ]);
    expect(elsewhere.requests.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined]);
    expect(proxy.requestLines.filter((line) => line === tunnelTo(elsewhere)).length).toBeGreaterThan(0);
    expect(elsewhere.connections).toBe(
      proxy.requestLines.filter((line) => line === tunnelTo(elsewhere)).length,
    );
  });

  it('83. NO_PROXY excepts a server from HTTPS_PROXY, also for `tls`', async () => {
    process.env['HTTPS_PROXY'] = proxy.urlFor();
    process.env['NO_PROXY'] = `example.test, 127.0.0.0/8:1, 127.0.0.1:${new URL(api.url).port}`;
    for (const options of [client({}), mutual({})]) {
      const app = await Application.client(options);
      expect((await app.axios.get('/api-path')).status).toBe(200);
    }
    expect(new Set(proxy.requestLines)).toEqual(new Set([tunnelTo(tokenServer)]));
  });

  it('83. `proxy: false` excepts a client, or a request, from HTTPS_PROXY, also for `tls`', async () => {
    process.env['HTTPS_PROXY'] = proxy.urlFor();
    for (const make of [client, mutual]) {
      const app = await Application.client(make({ proxy: false }));
      expect((await app.axios.get('/api-path')).status).toBe(200);
    }
    expect(proxy.requestLines).toEqual([]);
    const app = await Application.client(mutual({}));
    await app.token();
    expect((await app.axios.get('/api-path', { proxy: false })).status).toBe(200);
    expect(proxy.requestLines).toEqual([tunnelTo(tokenServer)]);
  });

  it.each(['the environment', 'the request'])(
    '83. NO_PROXY does not hold for a proxy that a request names, even if HTTPS_PROXY is the same: first by %s',
    async (first) => {
      process.env['HTTPS_PROXY'] = proxy.urlFor();
      process.env['NO_PROXY'] = '127.0.0.1';
      const app = await Application.client(mutual({}));
      const [direct, tunnelled] = [{}, { proxy: proxy.address }];
      const configs = first === 'the request' ? [tunnelled, direct] : [direct, tunnelled];
      for (const config of configs) expect((await app.axios.get('/api-path', config)).status).toBe(200);
      expect(proxy.requestLines).toEqual([tunnelTo(api)]);
      expect(api.connections).toBe(2);
    },
  );

  it('83. a request to a Unix socket goes through none', async () => {
    process.env['HTTPS_PROXY'] = proxy.urlFor();
    const app = await Application.client(mutual({ socketPath: '/nowhere/api.sock' }));
    const request = app.axios.get('/api-path', { oauth: false });
    expect(await app.failure(request)).toMatchObject({ code: 'ENOENT' });
    expect(proxy.requestLines).toEqual([]);
  });

  it.each(['with a proxy in the environment', 'with tls, if it has a certificate itself'])(
    '83. an agent that is none of Node’s is used as it is: %s',
    async (kind) => {
      let used = 0;
      const httpsAgent = {
        options: kind.includes('tls') ? identity : {},
        addRequest(request: ClientRequest, { host, port }: ConnectionOptions) {
          used++;
          request.onSocket(connectSecurely({ host: String(host), port: Number(port), ca: authority.ca }));
        },
      };
      const store = await storeWithToken();
      if (!kind.includes('tls')) process.env['HTTPS_PROXY'] = proxy.urlFor();
      const app = await Application.client(kind.includes('tls') ? mutual({}) : client({}), { store });
      const config = { httpsAgent, proxy: false, headers: { connection: 'close' } } as const;
      expect((await app.axios.get('/api-path', config)).status).toBe(200);
      expect(used).toBe(1);
      expect(proxy.requestLines).toEqual([]);
    },
  );

  it('83. a proxy that is a URL keeps its credentials', async () => {
    const credentials = { username: 'from here', password: 'through:the@wall' };
    await use({ credentials });
    const url = new URL(proxy.urlFor());
    Object.assign(url, credentials);
    const app = await Application.client(client({}));
    const { status } = await app.axios.get('/api-path', { proxy: url as never });
    expect(status).toBe(200);
    expect(proxy.requestLines).toEqual([tunnelTo(api)]);
    expectNothingSeen(credentials.password);
  });

  it('83. a tunnel to an IPv6 address is asked for in brackets', async () => {
    await use({ instead: 502 });
    const error = await new Promise<Error | null>((resolve) => {
      openTunnel(new URL(proxy.urlFor()), { host: '::1', port: 443 }, undefined, resolve);
    });
    expect(error?.message).toContain('no tunnel to [::1]:443');
    expect(proxy.requestLines).toEqual(['CONNECT [::1]:443']);
    expect(proxy.seen).toMatch(/^host\n\[::1\]:443$/im);
  });

  it('83. an https proxy is verified by its own name, not by that of the server behind it', async () => {
    const ofProxy = new Authority();
    await use({ authority: ofProxy, instead: 502 });
    ofProxy.remove();
    for (const name of ['127.0.0.1', 'localhost']) {
      const url = new URL(proxy.urlFor());
      url.hostname = name;
      const error = await new Promise<Error | null>((resolve) => {
        openTunnel(url, { host: 'api.test', port: 443 }, ofProxy.ca, resolve);
      });
      expect(error?.message).toContain('no tunnel to api.test:443: it answered 502');
    }
    expect(proxy.requestLines).toEqual(['CONNECT api.test:443', 'CONNECT api.test:443']);
  });

  it.each([
    ['*', 'api.test', true],
    ['', 'api.test', false],
    ['other.test,api.test', 'api.test', true],
    ['other.test API.TEST', 'api.test.', true],
    ['api.test', 'x.api.test', false],
    ['.api.test', 'x.api.test', true],
    ['*.api.test', 'x.api.test', true],
    ['*.api.test', 'xapi.test', false],
    ['api.test:443', 'api.test', true],
    ['api.test:444', 'api.test', false],
    ['localhost', '127.0.0.1', true],
    ['localhost', 'xlocalhost', false],
    ['127.0.0.1', 'localhost.test', false],
    ['10.0.0.0/8', '10.1.2.3', true],
    ['10.0.0.0/8', '11.1.2.3', false],
    ['10.0.0.0/8', 'api.test', false],
    ['10.0.0.0/99', '10.0.0.1', false],
    ['fd00::/8', 'fd00::1', true],
    ['[fd00::1]:443', 'fd00::1', true],
    ['fd00::1', 'fd00::1', true],
    ['FD00:0:0::0:1', 'fd00::1', true],
    ['fd00::1', 'fd00::2', false],
    ['10.0.0.1', '10.0.0.1', true],
    ['api.test.', 'api.test', true],
    ['*.', 'api.test', false],
    ['localhost', '127.0.0.1', true],
  ])('83. NO_PROXY=%s and %s: excepted is %s', (list, host, expected) => {
    process.env['no_proxy'] = list;
    expect(isExempt({ host, port: 443 })).toBe(expected);
  });
});

describe('83. plain http that stays on this machine', () => {
  const ways: [string, (url: string) => Record<string, unknown>][] = [
    ...['HTTP_PROXY', 'http_proxy', 'ALL_PROXY'].map(
      (name): [string, (url: string) => Record<string, unknown>] => [
        name,
        (url) => {
          process.env[name] = url;
          return {};
        },
      ],
    ),
    ['http.proxy', () => ({ proxy: proxy.address })],
  ];

  it.each(ways)(
    '83. goes through no proxy, named by %s: token request, API, own instances and `oauth: false`',
    async (_, name) => {
      const http = name(proxy.urlFor());
      const app = await Application.withServer({ http });
      expect((await app.axios.get('/x')).status).toBe(200);
      const instance = axios.create({ baseURL: app.server.apiURL, ...http });
      app.interceptor.attach(instance, 'api');
      await instance.get('/x');
      await app.failure(app.axios.get('/x', { oauth: false }));
      const headers = { Authorization: 'Bearer of-another-kind' };
      await app.failure(app.axios.get(`${app.server.apiURL}/x`, { headers }));
      expect([app.posts, app.server.apiRequests.length]).toEqual([1, 4]);
      expect(proxy.seen).toBe('');
    },
  );

  it('83. may take another way than agents with `tls` too, since no certificate is presented', async () => {
    const app = await Application.withServer({ tls: { ...identity, ca: authority.ca } });
    expect((await app.axios.get('/x', { adapter: 'fetch' })).status).toBe(200);
  });

  it('83. goes through one like any other where allowInsecureRequests lets it leave the machine', async () => {
    const evil = await Recorder.start();
    const insecure = {
      allowInsecureRequests: true,
      http: { proxy: proxy.address, httpAgent: loopbackAgent() },
    };
    const app = await Application.client({
      ...insecure,
      tokenEndpoint: `http://api.test:${evil.port}/token`,
      clientId: 'me',
      clientSecret: SECRET,
    });
    expect(await app.failure()).toMatchObject({ status: 502 });
    expect(proxy.requestLines).toEqual([`POST http://api.test:${evil.port}/token`]);
    expect(evil.requests).toEqual([]);
  });
});

describe('83. what cannot work', () => {
  const problemsOf = async (options: OAuthClientOptions) => {
    const error: unknown = await Application.client(options).catch((reason: unknown) => reason);
    return (error as OAuthConfigurationError).problems;
  };
  const ignored =
    'Client "partner": http may not choose the fetch adapter or HTTP/2 together with tls or a proxy, which they ignore; remove adapter and httpVersion.';

  it.each([
    [{ adapter: 'fetch' }, [ignored]],
    [{ adapter: ['xhr', 'fetch', 'http'] }, [ignored]],
    [{ httpVersion: 2 }, [ignored]],
    [{ httpVersion: '2' }, [ignored]],
  ])('83. is a problem at boot: tls, or a proxy, with %j', async (http, problems) => {
    expect(await problemsOf(mutual(http))).toEqual(problems);
    expect(await problemsOf(client({ ...http, proxy: proxy.address }))).toEqual(problems);
  });

  it.each([{}, { host: '' }, { port: 8080 }, 'http://proxy.test', true])(
    '83. is a problem at boot: http.proxy as %j',
    async (unfit) => {
      expect(await problemsOf(client({ proxy: unfit }))).toEqual([
        'Client "partner": http may hold a proxy only with its host and port, or false; correct it.',
      ]);
    },
  );

  it('83. a request that chooses another way than agents of Node is refused before it is sent with `tls`', async () => {
    /** Connects by itself, as those of other libraries do. */
    class OtherAgent extends Agent {
      override createConnection() {
        return connectSecurely({ port: Number(new URL(api.url).port), rejectUnauthorized: false });
      }
    }
    const app = await Application.client(mutual({}));
    const foreign = Object.assign(new PlainAgent(), { protocol: 'https:', defaultPort: 443 });
    const agents = [foreign, new OtherAgent()].map((httpsAgent) => ({ httpsAgent }));
    for (const config of [{ adapter: 'fetch' }, { httpVersion: 2 as const }, ...agents]) {
      const instance = axios.create({ baseURL: api.url, ...config });
      app.interceptor.attach(instance, 'partner');
      for (const request of [app.axios.get('/api-path', config), instance.get('/api-path')])
        expect(await app.failure(request)).toMatchObject({
          code: 'configuration_invalid',
          message: expect.stringContaining(
            'Client "partner": the fetch adapter, HTTP/2 and agents that connect in their own way cannot present its tls',
          ),
        });
    }
    expect(api.connections).toBe(0);
  });

  it('83. but not if the agent has a certificate itself, which is the one presented', async () => {
    const own = authority.client('its own');
    class OtherAgent extends Agent {
      override createConnection(options: ConnectionOptions) {
        return connectSecurely({ ...options, ...own });
      }
    }
    const app = await Application.client(mutual({}));
    const httpsAgent = new OtherAgent({ ...own, ca: authority.ca });
    await app.axios.get('/api-path', { httpsAgent });
    expect(certificatesAt(api)).toEqual([fingerprintOf(own)]);
    httpsAgent.destroy();
  });
});
