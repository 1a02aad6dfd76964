import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { AssertionOptions, OAuthClientOptions } from 'nestjs-oauth-client';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { jwtVerify } from 'jose';
import { X509Certificate, createPublicKey, hash } from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Application } from '../support/application.js';
import { Authority, type Identity } from '../support/certificates.js';
import { cleanEnvironment } from '../support/environment.js';

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const SECRET = 'a secret of at least thirty-two bytes';

let server: FakeAuthorizationServer;
let authority: Authority;
let identity: Identity;

cleanEnvironment();
beforeAll(() => {
  authority = new Authority();
  identity = authority.client('me');
});
afterAll(() => authority.remove());
beforeEach(async () => {
  server = await FakeAuthorizationServer.start();
});
afterEach(() => server.close());

const client = (options: OAuthClientOptions): OAuthClientOptions => ({
  tokenEndpoint: server.tokenEndpoint,
  clientId: 'me',
  ...options,
});
const keyed = (assertion: AssertionOptions, of = identity) => client({ privateKey: of.key, assertion });

const sent = (index = 0) => server.tokenRequests[index]!.form!.get('client_assertion')!;
const received = (of = identity, index = 0) => jwtVerify(sent(index), createPublicKey(of.cert));
const x5tOf = ({ cert }: Identity) => {
  const { raw } = new X509Certificate(cert);
  return { x5t: hash('sha1', raw, 'base64url'), 'x5t#S256': hash('sha256', raw, 'base64url') };
};

describe('75. client assertions as a server wants them', () => {
  const scenario = async (app: Application) => {
    await app.token();
    const { protectedHeader, payload } = await received();
    expect(protectedHeader).toEqual({
      alg: 'ES256',
      typ: 'JWT',
      kid: 'key-1',
      x5u: 'https://me.example/cert',
    });
    expect(payload).toMatchObject({ iss: 'me', sub: 'me', aud: 'https://as.example', purpose: 'care' });
    expect(payload.exp! - payload.iat!).toBe(300);
  };

  it('75. typ, header and claims of one’s own, audience and lifetime', async () => {
    const app = await Application.client({
      ...keyed({
        audience: 'https://as.example',
        typ: 'JWT',
        header: { x5u: 'https://me.example/cert' },
        claims: { purpose: 'care' },
        lifetimeMs: 300_000,
      }),
      keyId: 'key-1',
    });
    await scenario(app);
  });

  it('76. and 75. the same from variables', async () => {
    const app = await Application.environment({
      OAUTH_CLIENTS: 'partner',
      OAUTH_PARTNER_TOKEN_ENDPOINT: server.tokenEndpoint,
      OAUTH_PARTNER_CLIENT_ID: 'me',
      OAUTH_PARTNER_PRIVATE_KEY: identity.key,
      OAUTH_PARTNER_KEY_ID: 'key-1',
      OAUTH_PARTNER_ASSERTION_AUDIENCE: 'https://as.example',
      OAUTH_PARTNER_ASSERTION_TYP: 'JWT',
      OAUTH_PARTNER_ASSERTION_HEADER: 'x5u=https%3A%2F%2Fme.example%2Fcert',
      OAUTH_PARTNER_ASSERTION_CLAIMS: '{"purpose":"care"}',
      OAUTH_PARTNER_ASSERTION_LIFETIME_MS: '300000',
    });
    await scenario(app);
  });

  it('75. claims and header that are no JSON in a variable fail the boot', async () => {
    const start = Application.environment({
      OAUTH_CLIENTS: 'partner',
      OAUTH_PARTNER_TOKEN_ENDPOINT: server.tokenEndpoint,
      OAUTH_PARTNER_CLIENT_ID: 'me',
      OAUTH_PARTNER_PRIVATE_KEY: identity.key,
      OAUTH_PARTNER_ASSERTION_CLAIMS: '{"purpose":',
    });
    await expect(start).rejects.toThrow(/OAUTH_PARTNER_ASSERTION_CLAIMS must be an object of JSON values/);
  });

  it('75. other claims mean other tokens', async () => {
    const of = (purpose: string) => keyed({ claims: { purpose } });
    const app = await Application.start({ oauth: { clients: { care: of('care'), billing: of('billing') } } });
    expect((await app.token({}, 'care')).value).not.toBe((await app.token({}, 'billing')).value);
  });

  it.each(['HS256', 'HS384', 'HS512'] as const)('75. client_secret_jwt by %s', async (alg) => {
    const app = await Application.client(
      client({ tokenEndpointAuthMethod: 'client_secret_jwt', clientSecret: SECRET, signingAlgorithm: alg, keyId: 'k' }),
    ); // prettier-ignore
    await app.token();
    const { protectedHeader } = await jwtVerify(sent(), new TextEncoder().encode(SECRET));
    expect(protectedHeader).toEqual({ alg, typ: 'client-authentication+jwt', kid: 'k' });
  });
});

describe('75. certificate thumbprints', () => {
  it('75. x5t and x5t#S256 of a certificate, or of the first of a chain', async () => {
    await (await Application.client(keyed({ certificate: identity.cert }))).token();
    await (await Application.client(keyed({ certificate: () => identity.cert + authority.ca }))).token();
    for (const index of [0, 1]) expect((await received(identity, index)).protectedHeader).toMatchObject(x5tOf(identity));
  }); // prettier-ignore

  it('76. and 75. from files that rotate, read at each token request', async () => {
    const [key, cert] = ['rotating.key', 'rotating.pem'].map((name) => join(authority.folder, name)) as [string, string]; // prettier-ignore
    const put = async (of: Identity) => {
      await writeFile(key, of.key);
      await writeFile(cert, of.cert);
    };
    await put(identity);
    const app = await Application.environment({
      OAUTH_CLIENTS: 'partner',
      OAUTH_PARTNER_TOKEN_ENDPOINT: server.tokenEndpoint,
      OAUTH_PARTNER_CLIENT_ID: 'me',
      OAUTH_PARTNER_PRIVATE_KEY_FILE: key,
      OAUTH_PARTNER_ASSERTION_CERTIFICATE_FILE: cert,
    });
    await app.token();
    const next = authority.client('me');
    await put(next);
    await app.token({ forceRefresh: true });
    expect((await received(identity, 0)).protectedHeader).toMatchObject(x5tOf(identity));
    expect((await received(next, 1)).protectedHeader).toMatchObject(x5tOf(next));
  });

  it('75. a certificate of another key → credentials_unavailable that names the option, no request', async () => {
    const app = await Application.client(keyed({ certificate: () => authority.client('other').cert }));
    const error = await app.failure();
    expect(error).toMatchObject({ code: 'credentials_unavailable', retryable: true });
    expect((error as Error).message).toContain('The assertion.certificate of OAuth client "partner"');
    expect(server.tokenRequests).toHaveLength(0);
  });
});

describe('75. an assertion that is made elsewhere', () => {
  it('75. is read from its file at each token request, and sent with the client’s id', async () => {
    const file = join(authority.folder, 'token');
    await writeFile(file, 'head.first.sig\n');
    const app = await Application.environment({
      OAUTH_CLIENTS: 'partner',
      OAUTH_PARTNER_TOKEN_ENDPOINT: server.tokenEndpoint,
      OAUTH_PARTNER_CLIENT_ID: 'me',
      OAUTH_PARTNER_ASSERTION_TOKEN_FILE: file,
    });
    await app.token();
    await writeFile(`${file}.next`, 'head.second.sig');
    await rename(`${file}.next`, file);
    await app.token({ forceRefresh: true });
    expect(server.tokenRequests.map(({ form }) => Object.fromEntries(form!))).toEqual(
      ['head.first.sig', 'head.second.sig'].map((assertion) => ({
        grant_type: 'client_credentials',
        client_id: 'me',
        client_assertion: assertion,
        client_assertion_type: ASSERTION_TYPE,
      })),
    );
  });

  it('75. comes from a function, with a type URN of its own', async () => {
    const clientAssertionType = 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer';
    let asked = 0;
    const app = await Application.client(
      client({ assertion: { token: async () => `assertion-${++asked}`, clientAssertionType } }),
    );
    await app.token();
    await app.token({ forceRefresh: true });
    const forms = server.tokenRequests.map(({ form }) => form!);
    expect(forms.map((form) => form.get('client_assertion'))).toEqual(['assertion-1', 'assertion-2']);
    expect(forms[0]!.get('client_assertion_type')).toBe(clientAssertionType);
  });

  it('75. is taken out of an error that repeats it, and a new one is tried once after invalid_client', async () => {
    let token = 'head.expired.sig';
    server.alwaysRespond(({ form }) => {
      token = 'head.renewed.sig';
      const error_description = `bad ${form!.get('client_assertion')}`;
      return { status: 401, body: { error: 'invalid_client', error_description } };
    });
    const app = await Application.client(client({ assertion: { token: () => token } }));
    expect(await app.failure()).toMatchObject({ errorDescription: 'bad [redacted]' });
    expect([sent(0), sent(1)]).toEqual(['head.expired.sig', 'head.renewed.sig']);
    expect(server.tokenRequests).toHaveLength(2);
  });

  it('75. one of a client takes the place of a file of the defaults', async () => {
    const defaults = { assertion: { tokenFile: '/run/projected/token' } };
    const app = await Application.client(client({ assertion: { token: 'head.own.sig' } }), { defaults });
    await app.token();
    expect(sent()).toBe('head.own.sig');
  });

  it('75. a file that is not there → credentials_unavailable, no request', async () => {
    const tokenFile = join(authority.folder, 'missing');
    const app = await Application.client(client({ assertion: { tokenFile } }));
    const error = await app.failure();
    expect(error).toMatchObject({ code: 'credentials_unavailable' });
    expect((error as Error).message).toContain('The assertion.tokenFile of OAuth client "partner" could not be read (ENOENT)');
    expect(server.tokenRequests).toHaveLength(0);
  }); // prettier-ignore
});
