import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { OAuthClientOptions, SigningAlgorithm } from 'nestjs-oauth-client';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import {
  exportJWK,
  exportPKCS8,
  generateKeyPair,
  jwtVerify,
  type CryptoKey,
  type JWTPayload,
  type JWTVerifyResult,
} from 'jose';
import { generateKeyPairSync } from 'node:crypto';
import { Application } from '../support/application.js';

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'] as const;

let server: FakeAuthorizationServer;

beforeEach(async () => {
  server = await FakeAuthorizationServer.start();
});
afterEach(() => server.close());

const client = (options: OAuthClientOptions): OAuthClientOptions => ({
  tokenEndpoint: server.tokenEndpoint,
  clientId: 'me',
  ...options,
});

/** The assertions that came, each checked as a server does. */
async function assertions(key: CryptoKey | Uint8Array): Promise<JWTVerifyResult[]> {
  return Promise.all(
    server.tokenRequests.map(async ({ form, headers }) => {
      expect([...form!.keys()].sort()).toEqual([
        'client_assertion',
        'client_assertion_type',
        'client_id',
        'grant_type',
      ]);
      expect(form!.get('client_assertion_type')).toBe(ASSERTION_TYPE);
      expect(form!.get('client_id')).toBe('me');
      expect(headers.authorization).toBeUndefined();
      return jwtVerify(form!.get('client_assertion')!, key);
    }),
  );
}

function expectClaims(payload: JWTPayload, audience: string) {
  const now = Date.now() / 1000;
  expect(payload).toEqual({
    iss: 'me',
    sub: 'me',
    aud: audience,
    jti: expect.stringMatching(/^.{20,}$/),
    iat: expect.any(Number),
    nbf: expect.any(Number),
    exp: expect.any(Number),
  });
  expect(Math.abs(payload.iat! - now)).toBeLessThan(30);
  expect(payload.nbf).toBe(payload.iat);
  expect(payload.exp! - payload.iat!).toBeLessThanOrEqual(60);
}

describe('48. private_key_jwt', () => {
  const formats: [string, (key: CryptoKey, alg: SigningAlgorithm) => Promise<OAuthClientOptions>][] = [
    ['PEM', async (key) => ({ privateKey: await exportPKCS8(key) })],
    ['PEM on one line', async (key) => ({ privateKey: (await exportPKCS8(key)).replaceAll('\n', '\\n') })],
    [
      'function of a PEM on one line',
      async (key) => ({ privateKey: async () => (await exportPKCS8(key)).replaceAll('\n', '\\n') }),
    ],
    ['JWK', async (key, alg) => ({ privateKey: { ...(await exportJWK(key)), kid: 'k1', alg } })],
    ['function', async (key) => ({ privateKey: async () => JSON.stringify(await exportJWK(key)) })],
  ];
  it.each(ALGORITHMS.flatMap((alg) => formats.map(([format, options]) => [alg, format, options] as const)))(
    '48. %s, key as %s: iss = sub = client_id, aud one plain string, exp ≤ 60 s, verified by the server',
    async (alg, format, options) => {
      const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
      const given = await options(privateKey, alg);
      // An RSA key alone does not tell PS256 from RS256.
      const app = await Application.client(
        client({ ...given, ...(alg === 'PS256' && { signingAlgorithm: alg }) }),
      );
      await app.token();
      const [assertion] = await assertions(publicKey);
      const kid = format === 'JWK' ? { kid: 'k1' } : {};
      expect(assertion!.protectedHeader).toEqual({ alg, typ: 'client-authentication+jwt', ...kid });
      expectClaims(assertion!.payload, server.tokenEndpoint);
    },
  );

  it.each([
    ['RS256', 'rsa'],
    ['ES384', 'P-384'],
    ['ES512', 'P-521'],
    ['EdDSA', 'ed25519'],
  ])('48. the algorithm follows from the key: %s for %s', async (alg, type) => {
    const { privateKey } =
      type === 'rsa'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : type === 'ed25519'
          ? generateKeyPairSync('ed25519')
          : generateKeyPairSync('ec', { namedCurve: type });
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const app = await Application.client(client({ privateKey: pem, keyId: 'named' }));
    await app.token();
    const header = server.tokenRequests[0]!.form!.get('client_assertion')!.split('.')[0]!;
    expect(JSON.parse(Buffer.from(header, 'base64url').toString())).toEqual({
      alg,
      typ: 'client-authentication+jwt',
      kid: 'named',
    });
  });

  it('48. a JWK whose alg is Ed25519 is announced as EdDSA, which servers know', async () => {
    const { privateKey, publicKey } = await generateKeyPair('Ed25519', { extractable: true });
    const jwk = { ...(await exportJWK(privateKey)), alg: 'Ed25519' };
    await (await Application.client(client({ privateKey: jwk }))).token();
    expect((await assertions(publicKey))[0]!.protectedHeader.alg).toBe('EdDSA');
  });

  it('48. fresh jti on every attempt, retries included', async () => {
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    server.respondWith({ status: 503 }, 'reset', { status: 503 });
    const app = await Application.client(
      client({ privateKey: await exportPKCS8(privateKey), retry: { attempts: 4, minDelayMs: 1 } }),
    );
    await app.token();
    await app.token({ forceRefresh: true });
    const jtis = (await assertions(publicKey)).map(({ payload }) => payload.jti);
    expect(jtis).toHaveLength(5);
    expect(new Set(jtis).size).toBe(5);
  });
});

describe('48. aud', () => {
  it.each<
    [
      string,
      (server: FakeAuthorizationServer) => OAuthClientOptions,
      (server: FakeAuthorizationServer) => string,
    ]
  >([
    ['token endpoint, without an issuer', () => ({}), ({ tokenEndpoint }) => tokenEndpoint],
    ['issuer, with one', ({ issuer }) => ({ issuer, tokenEndpoint: undefined }), ({ issuer }) => issuer],
    [
      'issuer, by name',
      ({ issuer }) => ({ issuer, assertion: { audience: 'issuer' } }),
      ({ issuer }) => issuer,
    ],
    [
      'token endpoint, by name',
      ({ issuer }) => ({ issuer, assertion: { audience: 'token_endpoint' } }),
      ({ tokenEndpoint }) => tokenEndpoint,
    ],
    [
      'a value',
      () => ({ assertion: { audience: 'https://as.example/audience' } }),
      () => 'https://as.example/audience',
    ],
    [
      'a value that is a property of every object',
      () => ({ assertion: { audience: 'toString' } }),
      () => 'toString',
    ],
  ])('48. one plain string as configured: %s', async (_, options, audience) => {
    const secret = 'a secret of at least thirty-two bytes';
    const app = await Application.client(
      client({ tokenEndpointAuthMethod: 'client_secret_jwt', clientSecret: secret, ...options(server) }),
    );
    await app.token();
    const [assertion] = await assertions(new TextEncoder().encode(secret));
    expectClaims(assertion!.payload, audience(server));
  });
});

describe('48. client_secret_jwt', () => {
  it('48. HS256 with the secret, fresh jti on every attempt, the secret nowhere in the request', async () => {
    const secret = 'a secret of at least thirty-two bytes';
    server.respondWith({ status: 503 });
    const app = await Application.client(
      client({
        tokenEndpointAuthMethod: 'client_secret_jwt',
        clientSecret: secret,
        retry: { attempts: 2, minDelayMs: 1 },
      }),
    );
    await app.token();
    const made = await assertions(new TextEncoder().encode(secret));
    expect(made.map(({ protectedHeader }) => protectedHeader)).toEqual([
      { alg: 'HS256', typ: 'client-authentication+jwt' },
      { alg: 'HS256', typ: 'client-authentication+jwt' },
    ]);
    expect(made[0]!.payload.jti).not.toBe(made[1]!.payload.jti);
    for (const { rawBody } of server.tokenRequests)
      expect(rawBody.toString()).not.toMatch(/secret(\+|%20)of/);
  });

  it('48. an assertion that the server repeats in its error is taken out', async () => {
    server.alwaysRespond(({ form }) => ({
      status: 401,
      body: { error: 'invalid_client', error_description: `bad ${form!.get('client_assertion')}` },
    }));
    const app = await Application.client(
      client({
        tokenEndpointAuthMethod: 'client_secret_jwt',
        clientSecret: 'a secret of at least thirty-two bytes',
      }),
    );
    expect(await app.failure()).toMatchObject({ errorDescription: 'bad [redacted]' });
  });
});
