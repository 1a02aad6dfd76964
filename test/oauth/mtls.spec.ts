import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import axios from 'axios';
import { Agent, globalAgent } from 'node:https';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { MemoryTokenStore, type OAuthClientOptions } from 'nestjs-oauth-client';
import { Application } from '../support/application.js';
import { Authority, fingerprintOf, type Identity } from '../support/certificates.js';
import { closing } from '../support/closing.js';
import { TlsServer, type TlsRequest } from '../support/tls-server.js';

let authority: Authority;
let first: Identity;
let second: Identity;
let tokenServer: TlsServer;
let api: TlsServer;
let folder: string;
/** The certificate that each token is bound to (RFC 8705 §3). */
let bound: Map<string, string | undefined>;
let holdApi: Promise<void> | undefined;
let redirectTo: string | undefined;

beforeAll(() => {
  authority = new Authority();
  first = authority.client('first');
  second = authority.client('second');
});
afterAll(() => authority.remove());

const issue = ({ certificate }: TlsRequest) => {
  const value = `t${bound.size + 1}`;
  bound.set(value, certificate);
  return { status: 200, body: { access_token: value, token_type: 'Bearer', expires_in: 3600 + bound.size } };
};

beforeEach(async () => {
  bound = new Map();
  holdApi = redirectTo = undefined;
  folder = await mkdtemp(join(tmpdir(), 'mtls-'));
  tokenServer = await TlsServer.start(authority, issue);
  api = await TlsServer.start(authority, async ({ headers, certificate }) => {
    await holdApi;
    if (redirectTo !== undefined) return { status: 302, body: {}, headers: { location: redirectTo } };
    const token = headers.authorization?.replace('Bearer ', '') ?? '';
    return { status: bound.get(token) === certificate ? 200 : 401, body: {} };
  });
});
afterEach(async () => {
  await Promise.all([tokenServer.close(), api.close(), rm(folder, { recursive: true })]);
});

const client = (options: OAuthClientOptions = {}): OAuthClientOptions => ({
  tokenEndpoint: `${tokenServer.url}/token`,
  baseURL: api.url,
  clientId: 'me',
  tokenEndpointAuthMethod: 'tls_client_auth',
  tls: { ...first, ca: authority.ca },
  ...options,
});

const certificatesAt = ({ requests }: TlsServer) => requests.map(({ certificate }) => certificate);

/** The pair as mounted files, which are replaced now and then. */
async function mounted(identity: Identity) {
  const files = { cert: join(folder, 'tls.crt'), key: join(folder, 'tls.key'), ca: join(folder, 'ca.crt') };
  const put = async ({ cert, key }: Partial<Identity>) => {
    if (cert !== undefined) await writeFile(files.cert, cert);
    if (key !== undefined) await writeFile(files.key, key);
  };
  await Promise.all([put(identity), writeFile(files.ca, authority.ca)]);
  const variables = {
    OAUTH_CLIENTS: 'partner',
    OAUTH_PARTNER_TOKEN_ENDPOINT: `${tokenServer.url}/token`,
    OAUTH_PARTNER_BASE_URL: api.url,
    OAUTH_PARTNER_CLIENT_ID: 'me',
    OAUTH_PARTNER_TOKEN_ENDPOINT_AUTH_METHOD: 'tls_client_auth',
    OAUTH_PARTNER_TLS_CERT_FILE: files.cert,
    OAUTH_PARTNER_TLS_KEY_FILE: files.key,
    OAUTH_PARTNER_TLS_CA_FILE: files.ca,
    OAUTH_PARTNER_RETRY_ATTEMPTS: '1',
  };
  return { put, app: await Application.environment(variables) };
}

describe('49. the client certificate', () => {
  it('49. token endpoint and API refuse the connection without it', async () => {
    const secret = { tokenEndpointAuthMethod: 'client_secret_post', clientSecret: 'my secret' } as const;
    const app = await Application.client(client({ ...secret, tls: { ca: authority.ca } }));
    expect(await app.failure()).toMatchObject({ code: 'authorization_server_unavailable', retryable: true });
    const httpsAgent = new Agent({ ca: authority.ca });
    await expect(axios.get(`${api.url}/things`, { httpsAgent })).rejects.toThrow(
      /certificate required|ECONNRESET|socket hang up/i,
    );
    expect([tokenServer.requests, api.requests]).toEqual([[], []]);
  });

  it.each([String, (pem: string) => () => pem])(
    '49. a PEM may stand on one line, in code as well (%#)',
    async (given) => {
      const [cert, key, ca] = [first.cert, first.key, authority.ca].map((pem) =>
        given(pem.replaceAll('\n', '\\n')),
      );
      const app = await Application.client(client({ tls: { cert, key, ca } }));
      expect(await app.get('/things')).toMatchObject({ status: 200 });
    },
  );

  it('49. token endpoint and API accept the connection with it; client_id in the body, no other authentication', async () => {
    const app = await Application.client(client({ scope: 'read' }));
    const { status } = await app.axios.get('/things');
    expect(status).toBe(200);
    const [request] = tokenServer.requests;
    expect(Object.fromEntries(request!.form)).toEqual({
      grant_type: 'client_credentials',
      client_id: 'me',
      scope: 'read',
    });
    expect(request!.headers.authorization).toBeUndefined();
    expect([...certificatesAt(tokenServer), ...certificatesAt(api)]).toEqual([
      fingerprintOf(first),
      fingerprintOf(first),
    ]);
  });

  it('49. on an instance of the user’s own as well; and of `oauth: false` no error shows the key', async () => {
    const app = await Application.client(client({}));
    const instance = axios.create({ baseURL: api.url });
    app.interceptor.attach(instance, 'partner');
    expect((await instance.get('/things')).status).toBe(200);
    const error: unknown = await app
      .http()
      .axiosRef.get('/things', { oauth: false })
      .catch((e: unknown) => e);
    expect(error).toMatchObject({ response: { status: 401 } });
    expect(inspect(error, { depth: 12, showHidden: true })).not.toMatch(/PRIVATE KEY|Bearer t/);
  });

  it('49. goes to allowed origins only: not with a redirect to elsewhere, nor there with `oauth: false`', async () => {
    const elsewhere = closing(
      await TlsServer.start(authority, () => ({ status: 200, body: {} }), { demanding: false }),
    );
    const app = await Application.client(client());
    expect((await app.axios.get('/things')).status).toBe(200);
    redirectTo = `${elsewhere.url}/x`;
    globalAgent.options.ca = authority.ca;
    try {
      for (const request of [{}, { oauth: false as const }]) await app.axios.get('/things', request);
      await app.axios.get(`${elsewhere.url}/x`, { oauth: false });
    } finally {
      delete globalAgent.options.ca;
      globalAgent.destroy();
    }
    expect(elsewhere.requests.map(({ headers }) => headers.authorization)).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(certificatesAt(elsewhere)).toEqual([undefined, undefined, undefined]);
    expect(certificatesAt(api)).toEqual([fingerprintOf(first), fingerprintOf(first), fingerprintOf(first)]);
  });

  it('49. goes to allowed origins only, from an instance of the user’s own too, and no further than a path limit', async () => {
    const elsewhere = closing(
      await TlsServer.start(authority, () => ({ status: 200, body: {} }), { demanding: false }),
    );
    const app = await Application.client(client({ allowedOrigins: [`${api.url}/things`] }));
    globalAgent.options.ca = authority.ca;
    try {
      for (const name of ['partner', undefined]) {
        const instance = axios.create({ baseURL: api.url });
        app.interceptor.attach(instance, name);
        await instance.get('/things');
        await instance.get(`${elsewhere.url}/x`, { oauth: false });
        await instance.get(`${elsewhere.url}/x`, { headers: { Authorization: 'Bearer own' } });
        redirectTo = `${elsewhere.url}/x`;
        await instance.get('/things');
        redirectTo = undefined;
        const outside = instance.get('/things/..;/other', { oauth: false });
        await expect(outside).rejects.toThrow(/certificate required|ECONNRESET|socket hang up/i);
      }
    } finally {
      delete globalAgent.options.ca;
      globalAgent.destroy();
    }
    expect(certificatesAt(elsewhere)).toEqual(Array.from({ length: 6 }, () => undefined));
    expect(certificatesAt(api)).toEqual(Array.from({ length: 4 }, () => fingerprintOf(first)));
  });

  it('49. beside another method: private certificate and Basic credentials on the same request', async () => {
    const app = await Application.client(
      client({ tokenEndpointAuthMethod: 'client_secret_basic', clientSecret: 'my secret' }),
    );
    await app.token();
    expect(tokenServer.requests[0]).toMatchObject({
      certificate: fingerprintOf(first),
      headers: { authorization: expect.stringMatching(/^Basic /) },
    });
    expect(tokenServer.requests[0]!.form.has('client_id')).toBe(false);
  });

  it('49. self_signed_tls_client_auth, and a key behind a passphrase', async () => {
    const own = authority.selfSigned('me');
    await tokenServer.close();
    tokenServer = await TlsServer.start(authority, issue, { demanding: false });
    const tls = {
      cert: own.cert,
      key: authority.encrypt(own, 'open sesame'),
      passphrase: 'open sesame',
      ca: authority.ca,
    };
    const app = await Application.client(
      client({ tokenEndpointAuthMethod: 'self_signed_tls_client_auth', tls }),
    );
    await app.token();
    expect(certificatesAt(tokenServer)).toEqual([fingerprintOf(own)]);
    expect(tokenServer.requests[0]!.form.get('client_id')).toBe('me');
  });

  it('49. an untrusted server is refused (RFC 6749 §10.9)', async () => {
    const { ca: _, ...tls } = client().tls!;
    const app = await Application.client(client({ tls }));
    const error = await app.failure();
    expect(error).toMatchObject({ code: 'authorization_server_unavailable' });
    expect(`${String(error)} ${String((error as Error).cause)}`).toMatch(
      /UNABLE_TO|self-signed|unable to verify/i,
    );
    expect(tokenServer.requests).toHaveLength(0);
  });

  it('49. a request without an agent of its own has ours, however it says so', async () => {
    const app = await Application.client(client());
    for (const httpsAgent of [undefined, null]) await app.axios.get('/things', { httpsAgent });
    expect(certificatesAt(api)).toEqual([fingerprintOf(first), fingerprintOf(first)]);
  });

  it('49. connections to the API are kept and used again', async () => {
    const app = await Application.client(client());
    for (let round = 0; round < 3; round++) await app.axios.get('/things');
    expect(api.connections).toBe(1);
  });
});

describe('49. mtls_endpoint_aliases', () => {
  /** An issuer that publishes `alias` and issues tokens itself, and the options of a client that discovers it. */
  async function discovered(alias: string, own: OAuthClientOptions = {}) {
    const metadata: Record<string, unknown> = {};
    const issuer = await TlsServer.start(
      authority,
      (request) => (request.method === 'GET' ? { status: 200, body: metadata } : issue(request)),
      { demanding: false },
    );
    Object.assign(metadata, {
      issuer: issuer.url,
      token_endpoint: `${issuer.url}/plain`,
      mtls_endpoint_aliases: { token_endpoint: alias },
    });
    const { tokenEndpoint: _, ...options } = client({ issuer: issuer.url, ...own });
    return { issuer: closing(issuer), options };
  }

  it('49. honoured: the token request goes to the alias', async () => {
    const { issuer, options } = await discovered(`${tokenServer.url}/alias`);
    await (await Application.client(options)).token();
    expect(tokenServer.requests.map(({ url }) => url)).toEqual(['/alias']);
    expect(issuer.requests.map(({ method }) => method)).toEqual(['GET']);
  });

  it('49. left alone by a client that only trusts an authority of its own', async () => {
    const { issuer, options } = await discovered(`${tokenServer.url}/alias`, {
      tokenEndpointAuthMethod: 'client_secret_post',
      clientSecret: 'my secret',
      tls: { ca: authority.ca },
    });
    await (await Application.client(options)).token();
    expect(issuer.requests.at(-1)!.url).toBe('/plain');
  });

  it.each([
    ['elsewhere', 'http://as.example/alias'],
    ['on loopback, named by an https issuer,', 'http://127.0.0.1:9/alias'],
  ])('49. 84. an alias %s without https → typed error', async (_, alias) => {
    const { options } = await discovered(alias);
    const error = await (await Application.client(options)).failure();
    expect(error).toMatchObject({
      code: 'token_response_invalid',
      message: expect.stringContaining('without https'),
    });
  });
});

describe('49. a replaced certificate', () => {
  it('49. is picked up without restart, by the token endpoint and the API; requests under way go on', async () => {
    const { app, put } = await mounted(first);
    const http = app.axios;
    await http.get('/before');
    let release = () => {};
    holdApi = new Promise((resolve) => (release = resolve));
    const underWay = http.get('/under-way');
    await until(() => api.requests.length === 2);

    await put(second);
    await app.token({ forceRefresh: true });
    release();
    expect((await underWay).status).toBe(200);
    expect((await http.get('/after')).status).toBe(200);
    const [one, two] = [fingerprintOf(first), fingerprintOf(second)];
    expect(certificatesAt(tokenServer)).toEqual([one, two]);
    expect(certificatesAt(api)).toEqual([one, one, two]);
  });

  it('49. half replaced → the old pair stays in use, the token request is retried; then the new one', async () => {
    const { app, put } = await mounted(first);
    const http = app.axios;
    await http.get('/before');
    await put({ cert: second.cert });
    const error = await app.failure(app.token({ scope: 'other' }));
    expect(error).toMatchObject({ code: 'credentials_unavailable', retryable: true });
    expect((error as Error).message).toMatch(/tls\.cert and tls\.key/);
    expect((await http.get('/meanwhile')).status).toBe(200);
    await put(second);
    await app.token({ scope: 'another' });
    expect(certificatesAt(tokenServer)).toEqual([fingerprintOf(first), fingerprintOf(second)]);
  });

  it('49. replaces the tokens bound to the old one: every request gets one that fits, whatever was in hand', async () => {
    const { app, put } = await mounted(first);
    const http = app.axios;
    const scopes = ['a', 'b', 'c'];
    for (const scope of scopes) await http.get('/before', { oauth: { scope } });
    await put(second);
    await app.token({ scope: 'a', forceRefresh: true });
    for (const scope of scopes) expect((await http.get('/after', { oauth: { scope } })).status).toBe(200);
    expect(app.eventTypes).not.toContain('token_rejected');
    const tokens = new Set(
      [...bound].filter(([, certificate]) => certificate === fingerprintOf(second)).map(([value]) => value),
    );
    expect(tokens.size).toBe(3);
  });

  it('25. a token that the API still takes serves on while no other can be had', async () => {
    const { app, put } = await mounted(first);
    const http = app.axios;
    await http.get('/before');
    for (const token of bound.keys()) bound.set(token, fingerprintOf(second)); // the API does not ask for the first
    await put(second);
    await tokenServer.close();
    await expect(app.token({ scope: 'other' })).rejects.toMatchObject({
      code: 'authorization_server_unavailable',
    });
    for (let call = 0; call < 5; call++) expect((await http.get('/meanwhile')).status).toBe(200);
    expect(app.eventTypes).not.toContain('token_invalidated');
  });

  it('49. replaces a rotated grant’s access token, and keeps its refresh token', async () => {
    const used: (string | null)[] = [];
    await tokenServer.close();
    tokenServer = await TlsServer.start(authority, (request) => {
      used.push(request.form.get('refresh_token'));
      const { status, body } = issue(request);
      return { status, body: { ...body, refresh_token: `rt${used.length}` } };
    });
    let current = first;
    const tls = { cert: () => current.cert, key: () => current.key, ca: authority.ca };
    const app = await Application.client(
      client({ grant: { type: 'refresh_token', refreshToken: 'rt0' }, tls }),
    );
    const http = app.axios;
    await http.get('/a', { oauth: { scope: 'a' } });
    await http.get('/b', { oauth: { scope: 'b' } });
    current = second;
    await app.token({ scope: 'a', forceRefresh: true });
    await http.get('/a', { oauth: { scope: 'a' } });
    await http.get('/b', { oauth: { scope: 'b' } });
    expect(used).toEqual(['rt0', 'rt1', 'rt2', 'rt3']);
    expect(app.eventTypes).not.toContain('token_rejected');
  });

  it('49. tokens of two certificates are kept apart in a shared store', async () => {
    const store = new MemoryTokenStore();
    const one = await Application.client(client(), { store });
    const two = await Application.client(client({ tls: { ...second, ca: authority.ca } }), { store });
    expect((await one.token()).value).not.toBe((await two.token()).value);
    const again = await Application.client(client(), { store });
    expect((await again.token()).value).toBe((await one.token()).value);
    expect(tokenServer.requests).toHaveLength(2);
  });

  it('49. 52. a rotated refresh token is found again after certificate and process were replaced', async () => {
    const store = new MemoryTokenStore();
    const used: (string | null)[] = [];
    await tokenServer.close();
    tokenServer = await TlsServer.start(authority, (request) => {
      used.push(request.form.get('refresh_token'));
      const { status, body } = issue(request);
      return { status, body: { ...body, refresh_token: `rt${used.length}` } };
    });
    const grant = { type: 'refresh_token', refreshToken: 'rt0' } as const;
    await (await Application.client(client({ grant }), { store })).axios.get('/before');
    const renewed = { ...second, ca: authority.ca };
    const app = await Application.client(client({ grant, tls: renewed }), { store });
    expect((await app.axios.get('/after')).status).toBe(200);
    expect(used).toEqual(['rt0', 'rt1']);
  });

  it('49. a certificate function that never answers → credentials_unavailable, not a wait without end', async () => {
    const tls = { cert: () => new Promise<string>(() => undefined), key: first.key };
    const app = await Application.client(client({ tls }));
    jest.useFakeTimers({
      doNotFake: ['setInterval', 'setImmediate', 'nextTick', 'queueMicrotask', 'Date', 'performance'],
    });
    try {
      const failure = app.failure();
      await jest.advanceTimersByTimeAsync(10_000);
      expect(await failure).toMatchObject({
        code: 'credentials_unavailable',
        message: expect.stringContaining('tls.cert'),
      });
    } finally {
      jest.useRealTimers();
    }
  });

  it('49. invalid_client with a certificate that was replaced meanwhile → one retry with the new one', async () => {
    let refused = false;
    const current = () => (refused ? second : first);
    await tokenServer.close();
    tokenServer = await TlsServer.start(authority, (request) => {
      if (refused) return issue(request);
      refused = true;
      return { status: 401, body: { error: 'invalid_client' } };
    });
    const tls = { cert: () => current().cert, key: () => current().key, ca: authority.ca };
    await (await Application.client(client({ tls }))).token();
    expect(certificatesAt(tokenServer)).toEqual([fingerprintOf(first), fingerprintOf(second)]);
  });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('49. an agent or a process that accepts any server', () => {
  const insecure = { rejectUnauthorized: false };

  it('49. as http.httpsAgent it is a problem at boot', async () => {
    const { tls: _, ...options } = client({ http: { httpsAgent: new Agent(insecure) }, clientSecret: 's' });
    const app = Application.client({ ...options, tokenEndpointAuthMethod: 'client_secret_post' });
    await expect(app).rejects.toMatchObject({
      problems: [
        'Client "partner": http may not hold an httpsAgent that accepts any server (rejectUnauthorized: false); trust its authority with tls.ca instead.',
      ],
    });
  });

  it('49. on an instance of the user’s own it is a warning that names the client', async () => {
    const app = await Application.client(client());
    const warnings = () => app.log.lines.filter(({ level }) => level === 'warn').map(String);
    app.interceptor.attach(axios.create({ httpsAgent: new Agent() }), 'partner');
    const before = warnings().length;
    app.interceptor.attach(axios.create({ httpsAgent: new Agent(insecure) }), 'partner');
    expect(warnings()).toHaveLength(before + 1);
    const lines = app.log.lines.map(({ message }) => String(message));
    expect(lines.at(-1)).toMatch(/accepts any server.*client "partner"/);
  });

  it.each(['NODE_TLS_REJECT_UNAUTHORIZED=0', 'the global agent'])(
    '49. by %s it is a warning that names each client',
    async (kind) => {
      if (kind === 'the global agent') globalAgent.options.rejectUnauthorized = false;
      else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
      try {
        const app = await Application.client(client());
        const warnings = app.log.lines.filter(({ level }) => level === 'warn');
        expect(warnings.map(({ message }) => String(message))).toEqual([
          expect.stringContaining('Client "partner" accepts any server'),
        ]);
      } finally {
        delete globalAgent.options.rejectUnauthorized;
        delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
      }
    },
  );

  it('49. otherwise nothing is said', async () => {
    const app = await Application.client(client());
    expect(app.log.lines.filter(({ level }) => level === 'warn')).toEqual([]);
  });
});
