import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  AuthorizationServerUnavailableError,
  TokenResponseError,
  type OAuthClientOptions,
} from 'nestjs-oauth-client';
import { FakeAuthorizationServer, type FakeFault, type RecordedRequest } from 'nestjs-oauth-client/testing';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { Application } from '../support/application.js';

let server: FakeAuthorizationServer;

beforeEach(async () => {
  server = await FakeAuthorizationServer.start();
});
afterEach(() => server.close());

const client = (options: OAuthClientOptions = {}): OAuthClientOptions => ({
  tokenEndpoint: server.tokenEndpoint,
  baseURL: server.apiURL,
  clientId: 'me',
  clientSecret: 'my secret',
  ...options,
});

/** The one token request that came. */
const onlyRequest = (): RecordedRequest => {
  expect(server.tokenRequests).toHaveLength(1);
  return server.tokenRequests[0]!;
};

const fieldsOf = ({ form }: RecordedRequest) => [...form!].sort(([a], [b]) => (a < b ? -1 : 1));

describe('46. client authentication', () => {
  const awkward = 'a+b/c:%& é';

  it.each<[string, string, OAuthClientOptions, string]>([
    ['each form-encoded', awkward, {}, 'a%2Bb%2Fc%3A%25%26+%C3%A9'],
    ['unreserved characters never encoded', 'A-Z.a_z~0', {}, 'A-Z.a_z~0'],
    ["!'()* encoded", "!'()*", {}, '%21%27%28%29%2A'],
    ['raw', 'a+b/c%& é-._~', { basicEncoding: 'raw' }, 'a+b/c%& é-._~'],
  ])('46. Basic: id and secret %s, then Base64', async (_, text, options, encoded) => {
    const app = await Application.client(client({ ...options, clientId: text, clientSecret: text }));
    await app.token();
    const { headers, form } = onlyRequest();
    expect(headers.authorization).toBe(`Basic ${Buffer.from(`${encoded}:${encoded}`).toString('base64')}`);
    expect([...form!]).toEqual([['grant_type', 'client_credentials']]);
  });

  it('46. Basic is understood by a server that form-decodes it', async () => {
    server.clients = { [awkward]: awkward };
    const app = await Application.client(client({ clientId: awkward, clientSecret: awkward }));
    expect((await app.token()).value).toBe('t1');
  });

  it('46. Post: only in the body', async () => {
    const app = await Application.client(
      client({ tokenEndpointAuthMethod: 'client_secret_post', clientId: awkward, clientSecret: awkward }),
    );
    await app.token();
    const request = onlyRequest();
    expect(request.headers.authorization).toBeUndefined();
    expect(request.url).toBe('/oauth/token');
    expect(fieldsOf(request)).toEqual([
      ['client_id', awkward],
      ['client_secret', awkward],
      ['grant_type', 'client_credentials'],
    ]);
  });

  it('46. JSON: same fields as a JSON object, several values as a list', async () => {
    const app = await Application.client(
      client({
        tokenEndpointAuthMethod: 'client_secret_post',
        requestFormat: 'json',
        clientSecret: awkward,
        scope: 'b a',
        resource: ['https://one.example', 'https://two.example'],
      }),
    );
    await app.token();
    const { headers, json } = onlyRequest();
    expect(headers['content-type']).toBe('application/json');
    expect(json).toEqual({
      grant_type: 'client_credentials',
      client_id: 'me',
      client_secret: awkward,
      scope: 'b a',
      resource: ['https://one.example', 'https://two.example'],
    });
  });

  it('46. JSON with Basic: the credentials stay in the header', async () => {
    const app = await Application.client(client({ requestFormat: 'json' }));
    await app.token();
    const { headers, json } = onlyRequest();
    expect(headers.authorization).toMatch(/^Basic /);
    expect(json).toEqual({ grant_type: 'client_credentials' });
  });

  it('46. none: the id and nothing else', async () => {
    const { clientSecret: _, ...rest } = client({ tokenEndpointAuthMethod: 'none' });
    const app = await Application.client(rest);
    await app.token();
    expect(fieldsOf(onlyRequest())).toEqual([
      ['client_id', 'me'],
      ['grant_type', 'client_credentials'],
    ]);
  });
});

describe('9. and parameters', () => {
  it('9. Per-request parameters override client ones, but never grant_type, client_id or credentials', async () => {
    const app = await Application.client(
      client({ scope: 'a', audience: 'one', parameters: { tenant: 'x', region: 'eu' } }),
    );
    await app.token({
      scope: 'b',
      audience: ['two', 'three'],
      parameters: {
        tenant: ['y', 'z'],
        grant_type: 'password',
        client_id: 'you',
        client_secret: 'stolen',
        client_assertion: 'forged',
        refresh_token: 'forged',
        assertion: 'forged',
        subject_token: 'forged',
      },
    });
    const request = onlyRequest();
    expect(fieldsOf(request)).toEqual([
      ['audience', 'two'],
      ['audience', 'three'],
      ['grant_type', 'client_credentials'],
      ['region', 'eu'],
      ['scope', 'b'],
      ['tenant', 'y'],
      ['tenant', 'z'],
    ]);
    expect(request.headers.authorization).toBe(`Basic ${Buffer.from('me:my+secret').toString('base64')}`);
  });

  it('no empty-valued or doubled parameters, and an existing query in the endpoint URL is kept', async () => {
    const app = await Application.client(
      client({
        tokenEndpoint: `${server.tokenEndpoint}?realm=a%20b&x=`,
        audience: 'one',
        parameters: { audience: 'two', empty: '', nothing: [] },
      }),
    );
    await app.token({ scope: ' a  a ' });
    const request = onlyRequest();
    expect(request.url).toBe('/oauth/token?realm=a%20b&x=');
    expect(fieldsOf(request)).toEqual([
      ['audience', 'two'],
      ['grant_type', 'client_credentials'],
      ['scope', 'a'],
    ]);
  });

  it('a token request is a POST that accepts JSON, without the API defaults that make no sense for it', async () => {
    const app = await Application.client(
      client({
        http: {
          params: { page: 1 },
          headers: { 'X-Partner': 'clinic', 'User-Agent': 'clinic/1.0' },
          timeout: 1,
          maxRedirects: 9,
        },
      }),
    );
    await app.token();
    const { method, url, headers } = onlyRequest();
    expect({ method, url }).toEqual({ method: 'POST', url: '/oauth/token' });
    expect(headers).toMatchObject({
      accept: 'application/json',
      'content-type': 'application/x-www-form-urlencoded',
      'x-partner': 'clinic',
      'user-agent': 'clinic/1.0',
    });
  });

  it('5. Different scope, audience, resource, parameters or subject token → separate tokens; order and duplicates of scopes do not matter', async () => {
    const app = await Application.client(client({ scope: 'a b' }));
    const requests = [
      {},
      { scope: 'a' },
      { audience: 'one' },
      { audience: ['one', 'two'] },
      { resource: 'https://one.example' },
      { parameters: { tenant: '1' } },
      { parameters: { tenant: '2' } },
      { subjectToken: 'alice' },
      { subjectToken: 'bob' },
    ];
    const tokens = await Promise.all(requests.map((request) => app.token(request)));
    expect(new Set(tokens.map(({ value }) => value)).size).toBe(requests.length);
    const [first] = tokens;
    for (const scope of ['b a', 'a b a', ' a b '])
      expect((await app.token({ scope })).value).toBe(first!.value);
    expect(server.tokenRequests).toHaveLength(requests.length);
  });
});

describe('30. and 31. what may go wrong on the way', () => {
  it('79. A kept connection that the server had closed meanwhile → the request is sent again, and nothing failed', async () => {
    const sockets = new Set<Socket>();
    const impatient = createServer((socket) => {
      sockets.add(socket);
      let requests = 0;
      socket
        .on('error', () => undefined)
        .on('data', () => {
          // By the time of the second request it has closed the connection, as far as it knows.
          if (++requests > 1) return void socket.resetAndDestroy();
          const body = JSON.stringify({
            access_token: `t${sockets.size}`,
            token_type: 'Bearer',
            expires_in: 3600,
          });
          socket.write(
            `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
          );
        });
    });
    await once(impatient.listen(0, '127.0.0.1'), 'listening');
    const { port } = impatient.address() as AddressInfo;
    try {
      const app = await Application.client(client({ tokenEndpoint: `http://127.0.0.1:${port}/token` }));
      expect((await app.token()).value).toBe('t1');
      expect((await app.token({ forceRefresh: true })).value).toBe('t2');
      expect(app.eventTypes).toEqual(['token_acquired', 'token_acquired']);
    } finally {
      for (const socket of sockets) socket.destroy();
      impatient.close();
    }
  });

  it.each<[FakeFault, string, boolean]>([
    ['hang', 'authorization_server_unavailable', true],
    ['hang_after_headers', 'authorization_server_unavailable', true],
    ['drip', 'authorization_server_unavailable', true],
    ['huge', 'token_response_invalid', false],
    ['reset', 'authorization_server_unavailable', false],
  ])(
    '30. Server %s → deadline and the 1 MiB cap hold, the lock is free again',
    async (fault, code, timedOut) => {
      server.respondWith(fault);
      const app = await Application.client(client({ timeoutMs: timedOut ? 400 : 3_000 }));
      const started = performance.now();
      const error = await app.failure();
      expect(performance.now() - started).toBeLessThan(4_000);
      expect(error).toMatchObject({ retryable: true });
      expect(error).toMatchObject(timedOut ? { code, timedOut } : { code });
      const next = await Application.client(client());
      expect((await next.token()).value).toBe('t1');
    },
  );

  it('30. An answer that is broken off is an outage, whichever way the connection ends', async () => {
    const http = createHttpServer((_request, response) => {
      response.writeHead(200, { 'content-length': 500 }).write('{"acc');
      setTimeout(() => response.socket?.end(), 20);
    });
    await once(http.listen(0, '127.0.0.1'), 'listening');
    const { port } = http.address() as AddressInfo;
    const app = await Application.client(client({ tokenEndpoint: `http://127.0.0.1:${port}/token` }));
    expect(await app.failure()).toMatchObject({ code: 'authorization_server_unavailable', retryable: true });
    http.closeAllConnections();
    await once(http.close(), 'close');
  });

  it('30. Of an error page that is too large, status and Retry-After count', async () => {
    const page = 'x'.repeat(2_000_000);
    const app = await Application.client(client());
    server.respondWith({ status: 401, body: page });
    expect(await app.failure(app.token({ scope: 'a' }))).toMatchObject({
      code: 'token_request_rejected',
      status: 401,
    });
    server.respondWith({ status: 503, headers: { 'retry-after': '30' }, body: page });
    expect(await app.failure(app.token({ scope: 'b' }))).toMatchObject({ status: 503, retryAfterMs: 30_000 });
  });

  it.each([301, 302, 303, 307, 308])(
    '31. %d from the token endpoint → refused, the error names the target origin; credentials are not re-sent',
    async (status) => {
      await using elsewhere = await FakeAuthorizationServer.start();
      server.alwaysRespond({ status, headers: { location: `${elsewhere.tokenEndpoint}?x=1` } });
      const app = await Application.client(client());
      const error = await app.failure();
      expect(error).toBeInstanceOf(TokenResponseError);
      expect(error).toMatchObject({ code: 'token_response_invalid', retryable: false });
      expect((error as Error).message).toContain(elsewhere.url);
      expect(elsewhere.tokenRequests).toHaveLength(0);
      expect(server.tokenRequests).toHaveLength(1);
    },
  );

  it.each([
    ['/login', () => server.url],
    ['//login.example/x', () => 'http://login.example'],
    ['http://', () => 'nowhere'],
  ])('31. a redirect to %p is named as well', async (location, origin) => {
    server.alwaysRespond({ status: 302, headers: { location } });
    const app = await Application.client(client());
    const message: unknown = expect.stringContaining(`redirects to ${origin()};`);
    expect(await app.failure()).toMatchObject({ message });
  });

  it('a proxy that closes idle sockets just as one is used again → asked again on a new one', async () => {
    await using proxy = await closingProxy();
    const app = await Application.client(
      client({ tokenEndpoint: `${proxy.url}/oauth/token`, retry: { attempts: 2, minDelayMs: 1 } }),
    );
    for (const round of [1, 2, 3]) {
      expect((await app.token({ forceRefresh: true })).value).toBe(`p${round}`);
    }
    expect(proxy.resets).toBeGreaterThan(0);
    expect(app.eventTypes).toEqual(['token_acquired', 'token_acquired', 'token_acquired']);
  });

  it('a connection refused → authorization_server_unavailable that names the client and no credential', async () => {
    await server.close();
    const app = await Application.client(client());
    const error = await app.failure();
    expect(error).toBeInstanceOf(AuthorizationServerUnavailableError);
    expect((error as Error).message).toMatch(/OAuth client "partner".*ECONNREFUSED/);
  });
});

/** Answers one request on each connection, promises to keep it, and resets it when it is used again. */
async function closingProxy() {
  let answered = 0;
  const state = { resets: 0 };
  const sockets = new Set<Socket>();
  const net = createServer((socket) => {
    let used = false;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      if (used) {
        state.resets++;
        socket.resetAndDestroy();
        return;
      }
      if (!chunk.toString().includes('grant_type=')) return;
      used = true;
      const body = JSON.stringify({
        access_token: `p${++answered}`,
        token_type: 'Bearer',
        expires_in: answered * 1000,
      });
      socket.write(
        `HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      );
    });
  });
  await once(net.listen(0, '127.0.0.1'), 'listening');
  return {
    url: `http://127.0.0.1:${(net.address() as AddressInfo).port}`,
    get resets() {
      return state.resets;
    },
    async [Symbol.asyncDispose]() {
      const closed = once(net.close(), 'close');
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
