import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { OAuthClientOptions } from 'nestjs-oauth-client';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { exportPKCS8, generateKeyPair, jwtVerify, type CryptoKey, type JWTVerifyResult } from 'jose';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Application } from '../support/application.js';
import { cleanEnvironment } from '../support/environment.js';

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const SECRET = 'a secret of at least thirty-two bytes';
const ACCOUNT = 'robot@project.example';

let server: FakeAuthorizationServer;
let key: { pem: string; publicKey: CryptoKey };
let folder: string;

cleanEnvironment();
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'signed-grants-'));
  const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true });
  key = { pem: await exportPKCS8(privateKey), publicKey };
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(async () => {
  server = await FakeAuthorizationServer.start();
});
afterEach(() => server.close());

/** The assertions that came, each checked as a server does, and the other fields of their requests. */
const assertions = (by: CryptoKey | Uint8Array = key.publicKey): Promise<[JWTVerifyResult, object][]> =>
  Promise.all(
    server.tokenRequests.map(async ({ form }) => {
      const { assertion = '', ...others } = Object.fromEntries(form!);
      return [await jwtVerify(assertion, by), others] as [JWTVerifyResult, object];
    }),
  );

const times = (lifetime: number, { iat = 0 }: { iat?: number }) => ({ iat, nbf: iat, exp: iat + lifetime });
const jti = expect.stringMatching(/^.{20,}$/);

describe('75. a JWT bearer grant that is signed here', () => {
  /** A service account: no client at all, the scope a claim. */
  const scenario = async (app: Application) => {
    await app.token();
    await app.token({ forceRefresh: true });
    const [first, second] = await assertions();
    const [{ protectedHeader, payload }, others] = first!;
    expect(protectedHeader).toEqual({ alg: 'RS256', typ: 'JWT', kid: 'key-1' });
    expect(payload).toEqual({
      iss: ACCOUNT,
      sub: 'someone@clinic.example',
      aud: server.tokenEndpoint,
      scope: 'read write',
      jti,
      ...times(3600, payload),
    });
    expect(Math.abs(payload.iat! - Date.now() / 1000)).toBeLessThan(30);
    expect(others).toEqual({ grant_type: JWT_BEARER });
    expect(server.tokenRequests[0]!.headers.authorization).toBeUndefined();
    expect(second![0].payload.jti).not.toBe(payload.jti);
  };

  it('75. without client authentication and without a clientId', async () => {
    const app = await Application.client({
      tokenEndpoint: server.tokenEndpoint,
      tokenEndpointAuthMethod: 'none',
      privateKey: () => key.pem,
      keyId: 'key-1',
      grant: {
        type: 'jwt_bearer',
        issuer: ACCOUNT,
        subject: 'someone@clinic.example',
        claims: { scope: 'read write' },
        lifetimeMs: 3_600_000,
      },
    });
    await scenario(app);
  });

  it.each([
    ['a query string', 'scope=read%20write'],
    ['JSON', '{"scope":"read write"}'],
  ])('76. and 75. the same from variables, with claims as %s', async (_, claims) => {
    await writeFile(join(folder, 'key.pem'), key.pem);
    const app = await Application.environment({
      OAUTH_CLIENTS: 'partner',
      OAUTH_PARTNER_TOKEN_ENDPOINT: server.tokenEndpoint,
      OAUTH_PARTNER_TOKEN_ENDPOINT_AUTH_METHOD: 'none',
      OAUTH_PARTNER_PRIVATE_KEY_FILE: join(folder, 'key.pem'),
      OAUTH_PARTNER_KEY_ID: 'key-1',
      OAUTH_PARTNER_GRANT_TYPE: 'jwt_bearer',
      OAUTH_PARTNER_GRANT_ISSUER: ACCOUNT,
      OAUTH_PARTNER_GRANT_SUBJECT: 'someone@clinic.example',
      OAUTH_PARTNER_GRANT_CLAIMS: claims,
      OAUTH_PARTNER_GRANT_LIFETIME_MS: '3600000',
    });
    await scenario(app);
  });

  it('75. no subject unless one is given, 60 s by default, and the client’s own id where there is one', async () => {
    const app = await Application.client({
      tokenEndpoint: server.tokenEndpoint,
      tokenEndpointAuthMethod: 'none',
      clientId: 'me',
      privateKey: key.pem,
      signingAlgorithm: 'RS256',
      grant: { type: 'jwt_bearer', issuer: ACCOUNT },
    });
    await app.token();
    const [[{ payload }, others]] = (await assertions()) as [[JWTVerifyResult, object]];
    expect(payload).toEqual({ iss: ACCOUNT, aud: server.tokenEndpoint, jti, ...times(60, payload) });
    expect(others).toEqual({ grant_type: JWT_BEARER, client_id: 'me' });
  });

  it.each<[string, OAuthClientOptions, (it: FakeAuthorizationServer) => string]>([
    ['the issuer of the tokens, with one', {}, ({ issuer }) => issuer],
    ['the token endpoint, by name', { grant: { type: 'jwt_bearer', issuer: ACCOUNT, audience: 'token_endpoint' } }, ({ tokenEndpoint }) => tokenEndpoint],
    ['a value', { grant: { type: 'jwt_bearer', issuer: ACCOUNT, audience: 'https://login.example' } }, () => 'https://login.example'],
  ])('75. aud: %s', async (_, options, audience) => {
    const app = await Application.client({
      issuer: server.issuer,
      tokenEndpointAuthMethod: 'none',
      privateKey: key.pem,
      grant: { type: 'jwt_bearer', issuer: ACCOUNT },
      ...options,
    });
    await app.token();
    expect((await assertions())[0]![0].payload.aud).toBe(audience(server));
  }); // prettier-ignore

  it.each(['HS256', 'HS384', 'HS512'] as const)(
    '75. with client authentication by secret, signed with the secret: %s',
    async (alg) => {
      const app = await Application.client({
        tokenEndpoint: server.tokenEndpoint,
        clientId: 'me',
        clientSecret: SECRET,
        ...(alg !== 'HS256' && { signingAlgorithm: alg }),
        grant: { type: 'jwt_bearer', issuer: 'me', subject: 'me' },
      });
      await app.token();
      const [[{ protectedHeader }, others]] = (await assertions(new TextEncoder().encode(SECRET))) as [[JWTVerifyResult, object]]; // prettier-ignore
      expect(protectedHeader).toEqual({ alg, typ: 'JWT' });
      expect(others).toEqual({ grant_type: JWT_BEARER });
      expect(server.tokenRequests[0]!.headers.authorization).toMatch(/^Basic /);
    },
  );

  it('75. with client authentication by the same key: two JWTs, each with a typ of its own', async () => {
    const app = await Application.client({
      tokenEndpoint: server.tokenEndpoint,
      clientId: 'me',
      privateKey: key.pem,
      grant: { type: 'jwt_bearer', issuer: ACCOUNT },
    });
    await app.token();
    const form = Object.fromEntries(server.tokenRequests[0]!.form!);
    const client = await jwtVerify(form['client_assertion']!, key.publicKey);
    const grant = await jwtVerify(form['assertion']!, key.publicKey);
    expect([client.protectedHeader.typ, client.payload.iss]).toEqual(['client-authentication+jwt', 'me']);
    expect([grant.protectedHeader.typ, grant.payload.iss]).toEqual(['JWT', ACCOUNT]);
  });

  it('75. TokenRequest.subjectToken takes its place', async () => {
    const app = await Application.client({
      tokenEndpoint: server.tokenEndpoint,
      tokenEndpointAuthMethod: 'none',
      privateKey: key.pem,
      grant: { type: 'jwt_bearer', issuer: ACCOUNT },
    });
    await app.token({ subjectToken: 'head.body.sig' });
    expect(Object.fromEntries(server.tokenRequests[0]!.form!)).toEqual({
      grant_type: JWT_BEARER,
      assertion: 'head.body.sig',
    });
  });

  it('75. a key that cannot be read → credentials_unavailable, no request', async () => {
    const app = await Application.client({
      tokenEndpoint: server.tokenEndpoint,
      tokenEndpointAuthMethod: 'none',
      privateKeyFile: join(folder, 'missing.pem'),
      grant: { type: 'jwt_bearer', issuer: ACCOUNT },
    });
    expect(await app.failure()).toMatchObject({ code: 'credentials_unavailable', retryable: true });
    expect(server.tokenRequests).toHaveLength(0);
  });

  it('75. it can be fetched at boot, and other claims mean other tokens', async () => {
    const of = (tenant: string): OAuthClientOptions => ({
      tokenEndpoint: server.tokenEndpoint,
      tokenEndpointAuthMethod: 'none',
      privateKey: key.pem,
      prefetch: 'required',
      grant: { type: 'jwt_bearer', issuer: ACCOUNT, claims: { tenant, roles: ['a', { b: 1 }] } },
    });
    const app = await Application.start({ oauth: { clients: { north: of('north'), south: of('south') } } });
    expect(server.tokenRequests).toHaveLength(2);
    const values = [await app.token({}, 'north'), await app.token({}, 'south')].map(({ value }) => value);
    expect(values.toSorted()).toEqual(['t1', 't2']);
    const [first] = await assertions();
    expect(first![0].payload).toMatchObject({ roles: ['a', { b: 1 }] });
  });
});
