import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { MemoryTokenStore, type OAuthClientOptions, type SigningAlgorithm } from 'nestjs-oauth-client';
import { FakeAuthorizationServer, type FakeAnswer, type RecordedRequest } from 'nestjs-oauth-client/testing';
import { calculateJwkThumbprint, decodeJwt, exportJWK, exportPKCS8, generateKeyPair } from 'jose';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { Application } from '../support/application.js';
import { ProofChecker } from './proofs.js';

/** The authorization server; its own API is not used. */
let server: FakeAuthorizationServer;
/** The API, on an origin of its own. */
let api: FakeAuthorizationServer;
let tokenProofs: ProofChecker;
let apiProofs: ProofChecker;
/** The key that each token is bound to. */
let bound: Map<string, string>;
/** Nonces the servers insist on, if any; an answer to a right one brings `next`, if set. */
let nonces: { token?: string; api?: string; next?: () => string };

beforeEach(async () => {
  [server, api] = await Promise.all([FakeAuthorizationServer.start(), FakeAuthorizationServer.start()]);
  tokenProofs = new ProofChecker();
  apiProofs = new ProofChecker();
  bound = new Map();
  nonces = {};
  server.alwaysRespond(issue);
  api.onApiRequest = admit;
});
afterEach(async () => {
  await Promise.all([server.close(), api.close()]);
});

async function issue(request: RecordedRequest): Promise<FakeAnswer> {
  const { nonce, thumbprint } = await tokenProofs.check(server.url, request);
  if (nonces.token !== undefined && nonce !== nonces.token) {
    return { status: 400, headers: { 'dpop-nonce': nonces.token }, body: { error: 'use_dpop_nonce' } };
  }
  if (nonces.next) nonces.token = nonces.next();
  const token = server.nextToken({ token_type: 'DPoP', expires_in: 3600 + bound.size }) as {
    access_token: string;
  };
  bound.set(token.access_token, thumbprint);
  return { status: 200, headers: nonceHeader(nonces.token), body: token };
}

async function admit(request: RecordedRequest): Promise<FakeAnswer> {
  const [scheme, token = ''] = (request.headers.authorization ?? '').split(' ');
  expect(scheme).toBe('DPoP');
  const { nonce, thumbprint } = await apiProofs.check(api.url, request, token);
  if (nonces.api !== undefined && nonce !== nonces.api) {
    const challenge = 'DPoP error="use_dpop_nonce", error_description="nonce is needed"';
    return { status: 401, headers: { 'dpop-nonce': nonces.api, 'www-authenticate': challenge } };
  }
  if (bound.get(token) !== thumbprint)
    return { status: 401, headers: { 'www-authenticate': 'DPoP error="invalid_token"' } };
  if (nonces.next) nonces.api = nonces.next();
  return { status: 200, headers: nonceHeader(nonces.api), body: {} };
}

const nonceHeader = (nonce: string | undefined): Record<string, string> =>
  nonce === undefined ? {} : { 'dpop-nonce': nonce };

const client = (options: OAuthClientOptions = {}): OAuthClientOptions => ({
  tokenEndpoint: server.tokenEndpoint,
  baseURL: api.apiURL,
  clientId: 'me',
  clientSecret: 'my secret',
  dpop: true,
  ...options,
});

describe('50. proofs', () => {
  it('50. fresh proof per request and per retry with htm, htu without query, ath, jti', async () => {
    server.respondWith(async (request) => {
      await tokenProofs.check(server.url, request);
      return { status: 503 };
    });
    const app = await Application.client(
      client({ tokenEndpoint: `${server.tokenEndpoint}?realm=1`, retry: { attempts: 2, minDelayMs: 1 } }),
    );
    const http = app.axios;
    await http.get('/things/1?page=2', { params: { size: 3 } });
    await http.post('/things', { a: 1 });
    await http.delete('/things/1#part');
    expect(api.apiRequests.map(({ method, url }) => `${method} ${url}`)).toEqual([
      'GET /api/things/1?page=2&size=3',
      'POST /api/things',
      'DELETE /api/things/1',
    ]);
    expect([tokenProofs.proofs.length, apiProofs.proofs.length]).toEqual([2, 3]);
    const keys = [...tokenProofs.proofs, ...apiProofs.proofs].map(({ thumbprint }) => thumbprint);
    expect(new Set(keys).size).toBe(1);
    expect((await app.token()).tokenType).toBe('DPoP');
  });

  it.each(['RS256', 'PS256', 'ES256', 'EdDSA'] as const)('50. a generated key for %s', async (algorithm) => {
    const app = await Application.client(client({ dpop: { algorithm } }));
    await app.axios.get('/things');
    expect([...tokenProofs.proofs, ...apiProofs.proofs].map((proof) => proof.algorithm)).toEqual([
      algorithm,
      algorithm,
    ]);
  });

  it.each<[string, SigningAlgorithm]>([
    ['PEM', 'ES256'],
    ['JWK', 'EdDSA'],
    ['function', 'RS256'],
    ['file', 'ES384'],
  ])(
    '50. a given key, %s: the same in every process, which then share their tokens',
    async (format, algorithm) => {
      const folder = await mkdtemp(join(tmpdir(), 'dpop-'));
      const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
      const pem = await exportPKCS8(privateKey);
      await writeFile(join(folder, 'key.pem'), pem);
      const jwk = await exportJWK(privateKey);
      const given = { PEM: pem, JWK: jwk, function: async () => pem, file: undefined }[format];
      const start = (store: MemoryTokenStore) =>
        given === undefined
          ? Application.environment({
              OAUTH_CLIENTS: 'partner',
              OAUTH_PARTNER_TOKEN_ENDPOINT: server.tokenEndpoint,
              OAUTH_PARTNER_BASE_URL: api.apiURL,
              OAUTH_PARTNER_CLIENT_ID: 'me',
              OAUTH_PARTNER_CLIENT_SECRET: 'my secret',
              OAUTH_PARTNER_DPOP_PRIVATE_KEY_FILE: join(folder, 'key.pem'),
            })
          : Application.client(client({ dpop: { privateKey: given } }), { store });
      const store = new MemoryTokenStore();
      const thumbprint = await calculateJwkThumbprint(await exportJWK(publicKey));
      for (const app of [await start(store), await start(store)]) {
        await app.axios.get('/things');
      }
      expect(new Set(apiProofs.proofs.map((proof) => proof.thumbprint))).toEqual(new Set([thumbprint]));
      expect(tokenProofs.proofs).toHaveLength(given === undefined ? 2 : 1);
      await rm(folder, { recursive: true });
    },
  );

  it('50. a generated key is the process’s own: no token is used with another key, also from a shared store', async () => {
    const store = new MemoryTokenStore();
    for (const app of [
      await Application.client(client(), { store }),
      await Application.client(client(), { store }),
    ]) {
      await app.axios.get('/things');
    }
    expect(tokenProofs.proofs).toHaveLength(2);
    expect(api.apiRequests).toHaveLength(2); // not one 401
    expect(new Set(apiProofs.proofs.map(({ thumbprint }) => thumbprint)).size).toBe(2);
  });

  it('50. nor is that of a grant whose refresh token another key goes on with', async () => {
    const store = new MemoryTokenStore();
    const start = async () => {
      const { privateKey } = await generateKeyPair('ES256', { extractable: true });
      const grant = { type: 'refresh_token', refreshToken: 'rt0' } as const;
      const dpop = { privateKey: await exportPKCS8(privateKey) };
      return Application.client(client({ grant, dpop }), { store });
    };
    for (const app of [await start(), await start()]) await app.axios.get('/things');
    expect(api.apiRequests.map(({ headers }) => headers.authorization)).toEqual(['DPoP t1', 'DPoP t2']);
  });

  it('50. a DPoP client and a Bearer client of the same registration never share a token', async () => {
    const store = new MemoryTokenStore();
    await (await Application.client(client(), { store })).token();
    server.alwaysRespond(undefined);
    const { dpop: _, ...plain } = client();
    expect((await (await Application.client(plain, { store })).token()).authorization).toBe('Bearer t2');
  });

  it('50. replay after a 401: a new token, bound to the same key, and a new proof', async () => {
    const app = await Application.client(client());
    await app.axios.get('/things');
    bound.delete('t1'); // revoked
    await app.axios.get('/things');
    expect(api.apiRequests.map(({ headers }) => headers.authorization)).toEqual([
      'DPoP t1',
      'DPoP t1',
      'DPoP t2',
    ]);
    expect(new Set(apiProofs.proofs.map(({ jti }) => jti)).size).toBe(3);
    expect(server.tokenRequests).toHaveLength(2);
  });
});

describe('50. nonces', () => {
  it('50. one retry on use_dpop_nonce of the authorization server, with everything fresh', async () => {
    nonces.token = 'n1';
    const { privateKey } = await generateKeyPair('ES256', { extractable: true });
    const { clientSecret: _, ...options } = client({ privateKey: await exportPKCS8(privateKey) });
    const app = await Application.client(options);
    await app.token();
    expect(tokenProofs.proofs.map(({ nonce }) => nonce)).toEqual([undefined, 'n1']);
    const assertions = server.tokenRequests.map(({ form }) => decodeJwt(form!.get('client_assertion')!).jti);
    expect(new Set(assertions).size).toBe(2);
    await app.token({ forceRefresh: true });
    expect(tokenProofs.proofs.map(({ nonce }) => nonce)).toEqual([undefined, 'n1', 'n1']);
  });

  it('50. a 401 use_dpop_nonce of the authorization server is answered as well', async () => {
    server.respondWith({
      status: 401,
      headers: { 'dpop-nonce': 'n9', 'www-authenticate': 'DPoP error="use_dpop_nonce"' },
      body: { error: 'use_dpop_nonce' },
    });
    await (await Application.client(client())).token();
    expect(tokenProofs.proofs.map(({ nonce }) => nonce)).toEqual(['n9']);
  });

  it('50. only one retry: a server that is never content → token_request_rejected', async () => {
    let round = 0;
    const refuse = (nonce: () => string) => () => ({
      status: 400,
      headers: { 'dpop-nonce': nonce() },
      body: { error: 'use_dpop_nonce' },
    });
    server.alwaysRespond(refuse(() => `n${++round}`));
    const app = await Application.client(client({ retry: { attempts: 3, minDelayMs: 1 } }));
    expect(await app.failure()).toMatchObject({ code: 'token_request_rejected', error: 'use_dpop_nonce' });
    expect(server.tokenRequests).toHaveLength(2);

    server.alwaysRespond(refuse(() => 'n2')); // the very nonce that the proof has
    await app.failure(app.token({ scope: 'other' }));
    expect(server.tokenRequests).toHaveLength(3);
  });

  it('50. use_dpop_nonce without a nonce → no retry', async () => {
    server.alwaysRespond({ status: 400, body: { error: 'use_dpop_nonce' } });
    expect(await (await Application.client(client())).failure()).toMatchObject({ error: 'use_dpop_nonce' });
    expect(server.tokenRequests).toHaveLength(1);
  });

  it('50. one retry on use_dpop_nonce of the API: same token, fresh proof, no token request', async () => {
    nonces.api = 'a1';
    const app = await Application.client(client());
    await app.axios.get('/things');
    await app.axios.get('/things');
    expect(apiProofs.proofs.map(({ nonce }) => nonce)).toEqual([undefined, 'a1', 'a1']);
    expect(server.tokenRequests).toHaveLength(1);
  });

  it.each<[string, OAuthClientOptions, () => unknown]>([
    ['a body that cannot be sent twice', {}, () => Readable.from(['abc'])],
    ['unauthorized: { retry: false }', { unauthorized: { retry: false } }, () => 'abc'],
  ])('50. with %s the 401 surfaces, but its nonce is used from then on', async (_, options, body) => {
    nonces.api = 'a1';
    const app = await Application.client(client(options));
    const post = () => app.axios.post('/things', body());
    await expect(post()).rejects.toMatchObject({ response: { status: 401 } });
    expect((await post()).status).toBe(200);
    expect(apiProofs.proofs.map(({ nonce }) => nonce)).toEqual([undefined, 'a1']);
    expect(server.tokenRequests).toHaveLength(1);
  });

  it('50. a nonce that the API asks for only of the new token is given to it', async () => {
    const app = await Application.client(client());
    await app.axios.get('/things');
    api.respondToApiWith({ status: 401 });
    nonces.api = 'a1';
    expect((await app.axios.get('/things')).status).toBe(200);
    expect(api.apiRequests.map(({ headers }) => headers.authorization)).toEqual([
      'DPoP t1',
      'DPoP t1',
      'DPoP t2',
      'DPoP t2',
    ]);
    expect(server.tokenRequests).toHaveLength(2);
  });

  it('50. many requests at once, all refused with the same nonce → each is replayed with the same token, no token request', async () => {
    nonces.api = 'a1';
    const app = await Application.client(client());
    await app.token();
    const answers = await Promise.all(Array.from({ length: 20 }, () => app.axios.get('/things')));
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
    expect(apiProofs.proofs.filter(({ nonce }) => nonce === 'a1')).toHaveLength(20);
    expect(server.tokenRequests).toHaveLength(1);
  });

  it('50. nonces that rotate are taken from 200s too, of both servers, before they are asked for', async () => {
    let count = 0;
    nonces = { next: () => `r${++count}` };
    const app = await Application.client(client());
    for (let round = 0; round < 4; round++) {
      await app.token({ forceRefresh: true });
      await app.axios.get('/things');
    }
    expect([server.tokenRequests.length, api.apiRequests.length]).toEqual([4, 4]);
    expect(tokenProofs.proofs.map(({ nonce }) => nonce)).toEqual([undefined, 'r1', 'r3', 'r5']);
    expect(apiProofs.proofs.map(({ nonce }) => nonce)).toEqual([undefined, 'r2', 'r4', 'r6']);
  });

  it('50. nonces per client: those of two clients of one server are kept apart', async () => {
    const current = new Map<string, string>();
    let count = 0;
    server.alwaysRespond(async (request: RecordedRequest) => {
      const { nonce } = await tokenProofs.check(server.url, request);
      const id = request.form!.get('client_id')!;
      const right = nonce !== undefined && nonce === current.get(id);
      current.set(id, `${id}-${++count}`);
      const headers = { 'dpop-nonce': current.get(id)! };
      if (!right) return { status: 400, headers, body: { error: 'use_dpop_nonce' } };
      return { status: 200, headers, body: server.nextToken({ token_type: 'DPoP' }) };
    });
    const options = (clientId: string) => client({ clientId, tokenEndpointAuthMethod: 'client_secret_post' });
    const app = await Application.start({ oauth: { clients: { north: options('n'), south: options('s') } } });
    for (let round = 0; round < 3; round++) {
      for (const name of ['north', 'south']) await app.token({ forceRefresh: true }, name);
    }
    expect(server.tokenRequests).toHaveLength(8); // one refusal each, at the start
  });

  it('50. many keys at once, all refused with the same nonce → each is asked once more, none fails', async () => {
    nonces.token = 'n1';
    const app = await Application.client(client());
    const scopes = ['a', 'b', 'c', 'd', 'e', 'f'];
    await Promise.all(scopes.map((scope) => app.token({ scope })));
    expect(server.tokenRequests.length).toBeLessThanOrEqual(2 * scopes.length);
  });

  it('50. nonces per origin, and of one origin that is both servers apart', async () => {
    nonces = { token: 'for-tokens', api: 'for-api' };
    await using other = await FakeAuthorizationServer.start();
    const otherProofs = new ProofChecker();
    other.onApiRequest = async (request) => {
      const { nonce } = await otherProofs.check(other.url, request, request.headers.authorization!.slice(5));
      if (nonce === 'for-other') return { status: 200 };
      return { status: 401, headers: { 'dpop-nonce': 'for-other' } };
    };
    server.onApiRequest = async (request) => {
      const { nonce } = await apiProofs.check(server.url, request, request.headers.authorization!.slice(5));
      return nonce === 'for-api' ? { status: 200 } : { status: 401, headers: { 'dpop-nonce': 'for-api' } };
    };
    const app = await Application.client(client({ baseURL: server.apiURL, allowedOrigins: [other.url] }));
    for (let round = 0; round < 2; round++) {
      await app.token({ forceRefresh: true });
      await app.axios.get('/things');
      await app.axios.get(`${other.apiURL}/things`);
    }
    expect(tokenProofs.proofs.map(({ nonce }) => nonce)).toEqual([undefined, 'for-tokens', 'for-tokens']);
    expect(apiProofs.proofs.map(({ nonce }) => nonce)).toEqual([undefined, 'for-api', 'for-api']);
    expect(otherProofs.proofs.map(({ nonce }) => nonce)).toEqual([undefined, 'for-other', 'for-other']);
  });
});

describe('50. never Bearer', () => {
  it.each([
    ['Bearer', 'Bearer'],
    ['bearer', 'bearer'],
    ['absent', undefined],
    ['N_A', 'N_A'],
  ])(
    '50. a %s answer to a DPoP client → token_response_invalid, and the API is not asked',
    async (_, type) => {
      server.alwaysRespond(() => server.nextToken({ token_type: type }));
      const app = await Application.client(client());
      await expect(app.axios.get('/things')).rejects.toMatchObject({
        code: 'token_response_invalid',
        retryable: false,
      });
      expect(api.apiRequests).toHaveLength(0);
      expect(server.tokenRequests).toHaveLength(1);
    },
  );

  it.each(['DPoP', 'dpop', 'DPOP'])('7. 50. token_type %p → the header says DPoP', async (type) => {
    server.respondWith(async (request: RecordedRequest) => {
      bound.set('x', (await tokenProofs.check(server.url, request)).thumbprint);
      return { access_token: 'x', token_type: type, expires_in: 60 };
    });
    const app = await Application.client(client());
    await app.axios.get('/things');
    expect(api.apiRequests[0]!.headers.authorization).toBe('DPoP x');
  });
});
