import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Agent } from 'node:https';
import type { Clock, OAuthClientOptions } from 'nestjs-oauth-client';
import { FakeAuthorizationServer, type FakeAnswer } from 'nestjs-oauth-client/testing';
import { asyncScheduler } from 'rxjs';
import { Application } from '../support/application.js';
import { Authority } from '../support/certificates.js';
import { closing } from '../support/closing.js';
import { TlsServer } from '../support/tls-server.js';

let server: FakeAuthorizationServer;

beforeEach(async () => {
  server = await FakeAuthorizationServer.start();
});
afterEach(() => server.close());

const client = (options: OAuthClientOptions = {}): OAuthClientOptions => ({
  issuer: server.issuer,
  baseURL: server.apiURL,
  clientId: 'me',
  clientSecret: 'my secret',
  ...options,
});
const metadataPaths = () => server.metadataRequests.map(({ url }) => url);

const authority = new Authority();
afterAll(() => authority.remove());

/** An issuer on https that serves `metadata`, and how a client reaches it on this machine, whatever its host is. */
async function secureIssuer(metadata: Record<string, unknown>) {
  const answer = () => ({ status: 200, body: metadata });
  const issuer = closing(await TlsServer.start(authority, answer, { demanding: false }));
  const { hostname: host, port } = new URL(issuer.url);
  const reach = { ca: authority.ca, host, port: Number(port), servername: 'localhost' };
  return { issuer, http: { httpsAgent: new Agent(reach) } };
}

/** The machine's clock, an adjustable time ahead. */
function clockAhead() {
  const ahead = { ms: 0 };
  const clock: Clock = {
    scheduler: asyncScheduler,
    now: () => Date.now(),
    monotonic: () => performance.now() + ahead.ms,
    random: () => 0.5,
  };
  return { clock, ahead };
}

describe('32. discovery', () => {
  it('32. lazily, once for all, with a GET that carries no credentials', async () => {
    const app = await Application.client(client());
    expect(server.metadataRequests).toHaveLength(0);
    await Promise.all(['a', 'b', 'c', 'd'].map((scope) => app.token({ scope })));
    await app.token({ forceRefresh: true });
    expect(metadataPaths()).toEqual(['/.well-known/openid-configuration']);
    const [{ method, headers, rawBody }] = server.metadataRequests as [(typeof server.metadataRequests)[0]];
    expect({ method, authorization: headers.authorization, body: rawBody.length }).toEqual({
      method: 'GET',
      authorization: undefined,
      body: 0,
    });
    expect(server.tokenRequests).toHaveLength(5);
  });

  it('32. Discovery fails once → the next call tries again', async () => {
    server.respondToMetadataWith({ status: 404 }, { status: 404 });
    const app = await Application.client(client());
    expect(await app.failure()).toMatchObject({ code: 'token_response_invalid', retryable: true });
    const retrying = await Application.client(client({ retry: { attempts: 2, minDelayMs: 1 } }));
    server.respondToMetadataWith('html', 'empty');
    expect((await retrying.token()).value).toBe('t1');
  });

  it.each<[string, FakeAnswer, object]>([
    ['503', { status: 503, headers: { 'retry-after': '7' } }, { status: 503, retryAfterMs: 7000 }],
    ['429', { status: 429 }, { status: 429 }],
    ['a reset connection', 'reset', {}],
  ])('32. %s → authorization_server_unavailable', async (_, answer, expected) => {
    server.respondToMetadataWith(answer, answer, answer);
    const app = await Application.client(client());
    const error = (await app.failure()) as { code: string };
    // A reset after the headers is a broken answer.
    const codes =
      answer === 'reset'
        ? ['authorization_server_unavailable', 'token_response_invalid']
        : ['authorization_server_unavailable'];
    expect(codes).toContain(error.code);
    expect(error).toMatchObject({ retryable: true, ...expected });
  });

  it.each<[string, FakeAnswer, RegExp]>([
    [
      'Issuer mismatch',
      { issuer: 'https://evil.example', token_endpoint: 'https://evil.example/token' },
      /names another issuer/,
    ],
    ['No issuer', { token_endpoint: 'https://as.example/token' }, /names no issuer/],
    ['An HTML login page with status 200', 'html', /is not a metadata document/],
    ['A JSON login page', { status: 200, body: '"please sign in"' }, /is not a metadata document/],
    ['404', { status: 404 }, /is not a metadata document: http:\S+\/\.well-known\/\S+ answered 404\./],
  ])('32. %s → typed error, no token request', async (_, answer, message) => {
    server.respondToMetadataWith(answer, answer);
    const app = await Application.client(client());
    const error = await app.failure();
    expect(error).toMatchObject({ code: 'token_response_invalid', client: 'partner' });
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toMatch(/set tokenEndpoint instead/);
    expect(server.tokenRequests).toHaveLength(0);
  });

  it.each(['login.microsoftonline.com', 'tenant.b2clogin.com', 'as.example'])(
    '84. the issuer is compared for every host: %s',
    async (host) => {
      const other = { issuer: 'https://as.example/other', token_endpoint: `https://${host}/token` };
      const { issuer, http } = await secureIssuer(other);
      const app = await Application.client(client({ issuer: `https://${host}/tenant/v2.0`, http }));
      const error = await app.failure();
      expect(issuer.requests.map(({ method }) => method)).toEqual(['GET', 'GET']);
      expect(error).toMatchObject({ code: 'token_response_invalid', retryable: false });
      expect((error as Error).message).toMatch(/names another issuer/);
    },
  );

  it('84. an https issuer may not name a token endpoint without https, not even on loopback', async () => {
    const metadata = { issuer: 'https://as.example', token_endpoint: server.tokenEndpoint };
    const { issuer, http } = await secureIssuer(metadata);
    const app = await Application.client(client({ issuer: 'https://as.example', http }));
    const error = await app.failure();
    expect(error).toMatchObject({ code: 'token_response_invalid', retryable: false });
    expect((error as Error).message).toMatch(/without https/);
    expect(issuer.requests.map(({ method }) => method)).toEqual(['GET', 'GET']);
    expect(server.tokenRequests).toHaveLength(0);
  });

  it('84. the issuer is compared to the letter, a slash at its end included (RFC 8414 §3.3)', async () => {
    const app = await Application.client(client({ issuer: `${server.issuer}/` }));
    expect((await app.failure()) as Error).toMatchObject({
      code: 'token_response_invalid',
      message: expect.stringContaining('names another issuer'),
    });
    expect(server.tokenRequests).toHaveLength(0);
  });

  it('32. A redirect → typed error that names its target, nothing asked there', async () => {
    await using elsewhere = await FakeAuthorizationServer.start();
    const redirect = { redirectTo: `${elsewhere.url}/.well-known/openid-configuration` };
    server.respondToMetadataWith(redirect, redirect);
    const app = await Application.client(client());
    expect(await app.failure()).toMatchObject({
      code: 'token_response_invalid',
      message: expect.stringContaining(`redirects to ${elsewhere.url}`),
    });
    expect([elsewhere.metadataRequests, elsewhere.tokenRequests]).toEqual([[], []]);
  });

  it.each(['openid-configuration', 'oauth-authorization-server'])(
    '32. Issuers with a path work in both well-known forms: %s',
    async (form) => {
      await using tenant = await FakeAuthorizationServer.start({ issuerPath: '/tenants/7' });
      const others = form === 'openid-configuration' ? [] : [{ status: 404 }];
      tenant.respondToMetadataWith(...others);
      const app = await Application.client(client({ issuer: tenant.issuer }));
      await app.token();
      expect(tenant.metadataRequests.at(-1)!.url).toBe(
        form === 'openid-configuration'
          ? '/tenants/7/.well-known/openid-configuration'
          : '/.well-known/oauth-authorization-server/tenants/7',
      );
    },
  );

  it('32. An issuer that fails in one form is found in the other, whatever the failure', async () => {
    for (const failure of [
      { status: 500 },
      'html',
      { redirectTo: 'https://login.example/' },
    ] satisfies FakeAnswer[]) {
      server.reset();
      server.respondToMetadataWith(failure);
      const app = await Application.client(client());
      expect((await app.token()).value).toBe('t1');
      expect(metadataPaths()).toEqual([
        '/.well-known/openid-configuration',
        '/.well-known/oauth-authorization-server',
      ]);
    }
  });

  it('32. Metadata that omits client_credentials is no obstacle', async () => {
    server.metadata = { grant_types_supported: ['authorization_code'], response_types_supported: undefined };
    const app = await Application.client(client());
    expect((await app.token()).value).toBe('t1');
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ['no token_endpoint', { token_endpoint: undefined }, /names no token_endpoint/],
    ['a token_endpoint that is no URL', { token_endpoint: '/token' }, /names no token_endpoint/],
    ['a token_endpoint without https', { token_endpoint: 'http://as.example/token' }, /without https/],
    [
      'a token_endpoint of another scheme',
      { token_endpoint: 'ftp://as.example/token' },
      /names no token_endpoint/,
    ],
    [
      'a token_endpoint with user info',
      { token_endpoint: 'https://me:pass@as.example/token' },
      /without user name/,
    ],
    ['a token_endpoint with a fragment', { token_endpoint: 'https://as.example/token#part' }, /fragment/],
  ])('32. %s → typed error', async (_, metadata, message) => {
    server.metadata = metadata;
    const app = await Application.client(client());
    const error = await app.failure();
    expect(error).toMatchObject({ code: 'token_response_invalid', retryable: false });
    expect((error as Error).message).toMatch(message);
  });

  it('a tokenEndpoint of the options is taken instead of discovery', async () => {
    const app = await Application.client(client({ tokenEndpoint: server.tokenEndpoint }));
    await app.token();
    expect(server.metadataRequests).toHaveLength(0);
  });

  it('metadata that speaks against the options → a warning, once, and the request all the same', async () => {
    server.metadata = { token_endpoint_auth_methods_supported: ['private_key_jwt'] };
    const app = await Application.client(client());
    await app.token();
    await app.token({ forceRefresh: true });
    expect(app.log.texts.filter((line) => line.includes('_supported'))).toEqual([
      expect.stringMatching(
        /does not list client_secret_basic in token_endpoint_auth_methods_supported.*change tokenEndpointAuthMethod/,
      ),
    ]);
  });
});

describe('the age of the document', () => {
  const HOUR = 3_600_000;

  it('is used for an hour, then asked for again', async () => {
    const { clock, ahead } = clockAhead();
    const app = await Application.client(client(), { clock });
    await app.token();
    ahead.ms = HOUR - 10_000;
    await app.token({ forceRefresh: true });
    expect(server.metadataRequests).toHaveLength(1);
    ahead.ms = HOUR + 1;
    server.metadata = { token_endpoint: `${server.tokenEndpoint}?moved` };
    await app.token({ forceRefresh: true });
    expect(server.metadataRequests).toHaveLength(2);
    expect(server.tokenRequests.map(({ url }) => url)).toEqual([
      '/oauth/token',
      '/oauth/token',
      '/oauth/token?moved',
    ]);
  });

  it.each<[string, FakeAnswer]>([
    ['fails', { status: 503 }],
    ['brings a login page', 'html'],
    [
      'names another issuer',
      { issuer: 'https://evil.example', token_endpoint: 'https://evil.example/token' },
    ],
    ['hangs', 'hang'],
  ])('the old document is kept when a refresh %s, and for a minute nobody asks again', async (_, answer) => {
    const { clock, ahead } = clockAhead();
    const app = await Application.client(client({ timeoutMs: 1_000 }), { clock });
    await app.token();
    ahead.ms = HOUR + 1;
    server.respondToMetadataWith(answer, answer);
    await app.token({ forceRefresh: true });
    const asked = server.metadataRequests.length;
    expect(asked).toBeGreaterThan(1);
    await app.token({ forceRefresh: true });
    expect(server.metadataRequests).toHaveLength(asked);
    ahead.ms += 60_001;
    await app.token({ forceRefresh: true });
    expect(server.metadataRequests).toHaveLength(asked + 1);
    expect(server.tokenRequests).toHaveLength(4);
  });
});
