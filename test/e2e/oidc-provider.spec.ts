import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { exportJWK, exportPKCS8, generateKeyPair } from 'jose';
import { X509Certificate } from 'node:crypto';
import type { ClientMetadata } from 'oidc-provider';
import { MemoryTokenStore, type OAuthClientOptions, type TokenEndpointAuthMethod } from 'nestjs-oauth-client';
import { Application } from '../support/application.js';
import { Authority, type Identity } from '../support/certificates.js';
import { RealProvider } from './provider.js';

const SECRET = 'a+b/c:%& and more than thirty-two bytes';

interface Registered {
  metadata: ClientMetadata;
  options: OAuthClientOptions;
}

/** A client as it is registered at the server, and as it is configured here. */
function register(
  clientId: string,
  method: TokenEndpointAuthMethod,
  metadata: object,
  options: OAuthClientOptions,
): Registered {
  return {
    metadata: {
      client_id: clientId,
      token_endpoint_auth_method: method,
      grant_types:
        method === 'none'
          ? ['refresh_token', 'authorization_code']
          : ['client_credentials', 'refresh_token', 'authorization_code'],
      redirect_uris: ['https://client.example/callback'],
      response_types: ['code'],
      scope: 'openid offline_access read write',
      ...metadata,
    },
    options: { clientId, tokenEndpointAuthMethod: method, ...options },
  };
}

const withSecret = (method: TokenEndpointAuthMethod) => {
  const id = method === 'client_secret_basic' ? 'me+you/us:%& id' : method;
  return register(id, method, { client_secret: SECRET }, { clientSecret: SECRET });
};

async function withKey(algorithm: 'RS256' | 'PS256' | 'ES256' | 'EdDSA'): Promise<Registered> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: algorithm, use: 'sig' }] };
  return register(
    `key ${algorithm}`,
    'private_key_jwt',
    { jwks, token_endpoint_auth_signing_alg: algorithm },
    { privateKey: await exportPKCS8(privateKey), keyId: algorithm, signingAlgorithm: algorithm },
  );
}

const byName = (registered: Registered[]) =>
  Object.fromEntries(registered.map((one) => [one.metadata.client_id, one]));

let plain: Record<string, Registered>;

beforeAll(async () => {
  plain = byName([
    ...(['client_secret_basic', 'client_secret_post', 'client_secret_jwt'] as const).map(withSecret),
    ...(await Promise.all((['RS256', 'PS256', 'ES256', 'EdDSA'] as const).map(withKey))),
    register('public', 'none', {}, {}),
  ]);
});

describe('over http on loopback', () => {
  let server: RealProvider;

  beforeEach(async () => {
    server = await RealProvider.start({ clients: Object.values(plain).map(({ metadata }) => metadata) });
  });
  afterEach(() => server.close());

  const client = (name: string, more: OAuthClientOptions = {}): OAuthClientOptions => ({
    issuer: server.issuer,
    baseURL: server.apiURL,
    ...plain[name]!.options,
    ...more,
  });
  const BASIC = 'me+you/us:%& id';

  it('1. Empty cache → one POST, Authorization: Bearer. Again → no POST', async () => {
    const app = await Application.client(client(BASIC));
    const http = app.axios;
    expect((await http.get('/things')).status).toBe(200);
    expect((await http.get('/things')).status).toBe(200);
    const { value } = await app.token();
    expect(server.tokenRequests.map(({ status }) => status)).toEqual([200]);
    expect(server.apiRequests).toEqual([
      { authorization: `Bearer ${value}`, accepted: true },
      { authorization: `Bearer ${value}`, accepted: true },
    ]);
  });

  it('34. 401 → invalidate, refresh, replay once', async () => {
    const app = await Application.client(client(BASIC));
    await app.axios.get('/things');
    const old = await app.token();
    await server.revoke(old.value);
    expect((await app.axios.post('/things', { a: 1 })).status).toBe(200);
    expect(server.apiRequests.map(({ accepted }) => accepted)).toEqual([true, false, true]);
    expect(server.tokenRequests).toHaveLength(2);
    expect((await app.token()).value).not.toBe(old.value);
  });

  it('46. Basic: id and secret each form-encoded; Post: only in the body. Exactly one authentication method', async () => {
    await (await Application.client(client(BASIC))).token();
    await (await Application.client(client('client_secret_post'))).token();
    const [basic, post] = server.tokenRequests;
    expect(basic!.authorization).toMatch(/^Basic /);
    expect(basic!.fields).toMatchObject({ grant_type: 'client_credentials', client_secret: undefined });
    expect(post).toMatchObject({
      authorization: undefined,
      fields: { client_id: 'client_secret_post', client_secret: SECRET },
    });
  });

  it('every way to authenticate × client_credentials and refresh_token', async () => {
    const outcomes: [string, number, number][] = [];
    for (const name of Object.keys(plain)) {
      let [own, refreshed] = [0, 0];
      if (name !== 'public') {
        const app = await Application.client(client(name, { scope: 'read' }));
        own = (await app.axios.get('/things')).status;
        expect((await app.token()).scope).toBe('read');
      }
      const grant = { type: 'refresh_token', refreshToken: await server.consent(name) } as const;
      const app = await Application.client(client(name, { grant }));
      refreshed = (await app.axios.get('/things')).status;
      outcomes.push([name, own, refreshed]);
    }
    expect(outcomes).toEqual(Object.keys(plain).map((name) => [name, name === 'public' ? 0 : 200, 200]));
  });

  it('48. the assertion’s audience in both forms that the server knows', async () => {
    for (const audience of ['issuer', 'token_endpoint']) {
      await (await Application.client(client('key ES256', { assertion: { audience } }))).token();
    }
    const app = await Application.client(
      client('key ES256', { assertion: { audience: 'https://elsewhere.example' } }),
    );
    expect(await app.failure()).toMatchObject({ error: 'invalid_client', status: 401 });
  });

  it('resource indicators: the token is for that API; an unknown one is refused for good', async () => {
    const app = await Application.client(client(BASIC, { resource: server.apiURL, scope: 'read' }));
    expect(await server.audienceOf((await app.token()).value)).toBe(server.apiURL);
    expect((await app.axios.get('/things')).status).toBe(200);
    expect(await app.failure(app.token({ resource: 'https://other.example' }))).toMatchObject({
      error: 'invalid_target',
      retryable: false,
    });
  });

  it('7. a scope that the server drops without a word → recorded', async () => {
    const app = await Application.client(
      client(BASIC, { resource: server.apiURL, scope: 'read offline_access' }),
    );
    expect((await app.token()).scope).toBe('read');
    expect(app.events).toMatchObject([{ type: 'token_acquired', scope: 'read' }]);
  });

  it('wrong credentials, scope and grant → token_request_rejected with the server’s code', async () => {
    const cases: [OAuthClientOptions, string][] = [
      [client(BASIC, { clientSecret: 'another secret' }), 'invalid_client'],
      [client(BASIC, { scope: 'admin' }), 'invalid_scope'],
      [client(BASIC, { grant: { type: 'refresh_token', refreshToken: 'unknown' } }), 'invalid_grant'],
      [client(BASIC, { grant: { type: 'jwt_bearer', assertion: 'a.b.c' } }), 'unsupported_grant_type'],
    ];
    for (const [options, error] of cases) {
      const app = await Application.client(options);
      expect(await app.failure()).toMatchObject({ code: 'token_request_rejected', error, retryable: false });
    }
    expect(server.tokenRequests).toHaveLength(cases.length);
  });

  it('52. refresh tokens rotate: each is used once, the next process goes on with the newest, a second use is the end', async () => {
    const store = new MemoryTokenStore();
    const grant = { type: 'refresh_token', refreshToken: await server.consent(BASIC) } as const;
    const app = await Application.client(client(BASIC, { grant }), { store });
    for (let round = 0; round < 3; round++) await app.token({ forceRefresh: true });
    const next = await Application.client(client(BASIC, { grant }), { store });
    await next.axios.get('/things');
    await next.token({ forceRefresh: true });
    // Other tokens of the same grant, all at once.
    const requests = [{ scope: 'openid' }, { parameters: { tenant: 'a' } }, { parameters: { tenant: 'b' } }];
    await Promise.all(requests.map((request) => next.token(request)));
    const used = server.tokenRequests.map(({ fields }) => fields['refresh_token']);
    expect(new Set(used).size).toBe(7);
    expect(server.tokenRequests.map(({ status }) => status)).toEqual(Array.from(used, () => 200));

    // The first one again, without the store: this server revokes the whole grant, and says so.
    const forgetful = await Application.client(client(BASIC, { grant }));
    expect(await forgetful.failure()).toMatchObject({ error: 'invalid_grant' });
    expect(await next.failure(next.token({ forceRefresh: true }))).toMatchObject({ error: 'invalid_grant' });
  });
});

describe('50. DPoP with required nonces', () => {
  let server: RealProvider;

  beforeEach(async () => {
    server = await RealProvider.start({
      clients: Object.values(plain).map(({ metadata }) => metadata),
      dpopNonces: true,
    });
  });
  afterEach(() => server.close());

  it.each(['client_secret_basic', 'client_secret_jwt', 'key ES256', 'key EdDSA'])(
    '50. %s: one refusal, then nonces in hand; the API accepts the proofs',
    async (name) => {
      const registered = plain[name] ?? plain['me+you/us:%& id']!;
      const app = await Application.client({
        ...registered.options,
        issuer: server.issuer,
        baseURL: server.apiURL,
        dpop: true,
      });
      expect((await app.axios.get('/things')).status).toBe(200);
      await app.token({ forceRefresh: true });
      expect(server.tokenRequests.map(({ status }) => status)).toEqual([400, 200, 200]);
      expect(server.apiRequests[0]!.authorization).toMatch(/^DPoP /);
    },
  );

  it('50. 52. refresh tokens of a public client stay bound to the given key, through rotation and a restart', async () => {
    const { privateKey } = await generateKeyPair('EdDSA', { extractable: true });
    const dpop = { privateKey: await exportPKCS8(privateKey) };
    const grant = { type: 'refresh_token', refreshToken: await server.consent('public') } as const;
    const options = {
      ...plain['public']!.options,
      issuer: server.issuer,
      baseURL: server.apiURL,
      grant,
      dpop,
    };
    const store = new MemoryTokenStore();
    for (const app of [
      await Application.client(options, { store }),
      await Application.client(options, { store }),
    ]) {
      await app.token();
      await app.token({ forceRefresh: true });
      expect((await app.axios.get('/things')).status).toBe(200);
    }
    expect(server.tokenRequests.filter(({ status }) => status === 200)).toHaveLength(3);
  });
});

describe('49. mutual TLS', () => {
  let authority: Authority;
  let identity: Identity;
  let own: Identity;
  let server: RealProvider;
  let clients: Record<string, Registered>;

  beforeAll(async () => {
    authority = new Authority();
    [identity, own] = [authority.client('me'), authority.selfSigned('me')];
    const jwk = await certificateJwk(own);
    const bound = { tls_client_certificate_bound_access_tokens: true };
    const { ca } = authority;
    const signed = withSecret('client_secret_post');
    clients = byName([
      register(
        'ca',
        'tls_client_auth',
        { ...bound, tls_client_auth_subject_dn: 'CN=me' },
        { tls: { ca, ...identity } },
      ),
      register(
        'own',
        'self_signed_tls_client_auth',
        { ...bound, jwks: { keys: [jwk] } },
        { tls: { ca, ...own } },
      ),
      register(
        'bound',
        'client_secret_post',
        { ...bound, client_secret: SECRET },
        { ...signed.options, clientId: 'bound', tls: { ca, ...identity } },
      ),
    ]);
    server = await RealProvider.start({
      clients: Object.values(clients).map(({ metadata }) => metadata),
      authority,
    });
  });
  afterAll(async () => {
    await server.close();
    authority.remove();
  });

  it.each(['ca', 'own', 'bound'])(
    '49. %s × client_credentials and refresh_token: tokens bound to the certificate, which the API sees too',
    async (name) => {
      const options = { ...clients[name]!.options, issuer: server.issuer, baseURL: server.apiURL };
      const app = await Application.client(options);
      expect((await app.axios.get('/things')).status).toBe(200);
      const grant = { type: 'refresh_token', refreshToken: await server.consent(name) } as const;
      const refreshing = await Application.client({ ...options, grant });
      expect((await refreshing.axios.get('/things')).status).toBe(200);
      await refreshing.token({ forceRefresh: true });
      expect(server.tokenRequests.at(-1)).toMatchObject({
        authorization: undefined,
        fields: { client_id: name },
        status: 200,
      });
    },
  );

  it('49. another certificate → invalid_client', async () => {
    const tls = { ca: authority.ca, ...authority.client('someone-else') };
    const app = await Application.client({ ...clients['ca']!.options, issuer: server.issuer, tls });
    expect(await app.failure()).toMatchObject({ error: 'invalid_client', status: 401 });
  });
});

/** The public key of a self-signed certificate, as it is registered (RFC 8705 §2.2.2). */
async function certificateJwk({ cert }: Identity) {
  const certificate = new X509Certificate(cert);
  return {
    ...(await exportJWK(certificate.publicKey)),
    use: 'sig',
    x5c: [certificate.raw.toString('base64')],
  };
}
