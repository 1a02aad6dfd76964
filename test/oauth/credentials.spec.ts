import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { OAuthClientOptions } from 'nestjs-oauth-client';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportPKCS8, generateKeyPair, jwtVerify } from 'jose';
import { Application } from '../support/application.js';

let server: FakeAuthorizationServer;
let folder: string;

beforeEach(async () => {
  server = await FakeAuthorizationServer.start();
  folder = await mkdtemp(join(tmpdir(), 'credentials-'));
});
afterEach(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

const client = (options: OAuthClientOptions): OAuthClientOptions => ({
  tokenEndpoint: server.tokenEndpoint,
  clientId: 'me',
  tokenEndpointAuthMethod: 'client_secret_post',
  ...options,
});
const secretsSent = () => server.tokenRequests.map(({ form }) => form!.get('client_secret'));

describe('51. secrets that change', () => {
  it('51. A secret function is asked per token request, not per token', async () => {
    let asked = 0;
    const app = await Application.client(client({ clientSecret: async () => `secret-${++asked}` }));
    await app.token();
    await app.token();
    expect(asked).toBe(1);
    await app.token({ forceRefresh: true });
    expect(secretsSent()).toEqual(['secret-1', 'secret-2']);
  });

  it('51. A secret file is read per token request, without its trailing newline', async () => {
    const clientSecretFile = join(folder, 'secret');
    await writeFile(clientSecretFile, 'first\n');
    const app = await Application.client(client({ clientSecretFile }));
    await app.token();
    await writeFile(clientSecretFile, 'second \r\n');
    await app.token({ forceRefresh: true });
    expect(secretsSent()).toEqual(['first', 'second ']);
  });

  it.each([
    ['invalid_client in a 401', { status: 401, body: { error: 'invalid_client' } }],
    ['invalid_client in a 400', { status: 400, body: { error: 'invalid_client' } }],
    ['an empty 403', { status: 403 }],
    ['an HTML 400', { status: 400, body: '<h1>Bad Request</h1>' }],
    ['unauthorized_client in a 401', { status: 401, body: { error: 'unauthorized_client' } }],
  ])('51. %s with a changed secret → one retry with the new one', async (_, refusal) => {
    let secret = 'old';
    server.respondWith(() => {
      secret = 'new'; // rotated after we read it
      return refusal;
    });
    const app = await Application.client(client({ clientSecret: () => secret }));
    await app.token();
    expect(secretsSent()).toEqual(['old', 'new']);
  });

  it('51. invalid_client with the same secret → no retry; with one that changes all the time → one', async () => {
    server.alwaysRespond({ status: 401, body: { error: 'invalid_client' } });
    const steady = await Application.client(client({ clientSecret: () => 'steady' }));
    expect(await steady.failure()).toMatchObject({ error: 'invalid_client', retryable: false });
    expect(secretsSent()).toEqual(['steady']);

    let asked = 0;
    const restless = await Application.client(client({ clientSecret: () => `s${++asked}` }));
    expect(await restless.failure()).toMatchObject({ error: 'invalid_client' });
    expect(secretsSent().slice(1)).toEqual(['s1', 's2']);
  });

  it('51. a rejection that is not about the client is not tried again with a changed secret', async () => {
    let asked = 0;
    server.alwaysRespond({ status: 400, body: { error: 'invalid_scope' } });
    const app = await Application.client(client({ clientSecret: () => `s${++asked}` }));
    expect(await app.failure()).toMatchObject({ error: 'invalid_scope' });
    expect(server.tokenRequests).toHaveLength(1);
  });

  it('51. A key file is read per token request, and invalid_client with a changed key → one retry', async () => {
    const privateKeyFile = join(folder, 'key.pem');
    const keys = await Promise.all([1, 2].map(() => generateKeyPair('ES256', { extractable: true })));
    await writeFile(privateKeyFile, await exportPKCS8(keys[0]!.privateKey));
    const { tokenEndpointAuthMethod: _, ...options } = client({ privateKeyFile });
    server.respondWith(async () => {
      await writeFile(privateKeyFile, await exportPKCS8(keys[1]!.privateKey));
      return { status: 401, body: { error: 'invalid_client' } };
    });
    const app = await Application.client(options);
    await app.token();
    const assertions = server.tokenRequests.map(({ form }) => form!.get('client_assertion')!);
    expect(assertions).toHaveLength(2);
    await jwtVerify(assertions[0]!, keys[0]!.publicKey);
    await jwtVerify(assertions[1]!, keys[1]!.publicKey);
  });
});

describe('credentials that cannot be had', () => {
  const cases: [string, (folder: string) => OAuthClientOptions, RegExp][] = [
    ['a function that throws', () => ({ clientSecret: () => { throw new Error('the vault says hunter2'); } }), /clientSecret of OAuth client "partner"/],
    ['a function that rejects with a system error', () => ({ clientSecret: () => Promise.reject(Object.assign(new Error('hunter2'), { code: 'ECONNREFUSED' })) }), /clientSecret of .*\(ECONNREFUSED\)/],
    ['a function that returns nothing', () => ({ clientSecret: (() => undefined) as unknown as () => string }), /clientSecret of/],
    ['a function that returns an empty text', () => ({ clientSecret: () => '' }), /clientSecret of/],
    ['a function that returns an object', () => ({ clientSecret: (() => ({ hunter2: 1 })) as unknown as () => string }), /clientSecret of/],
    ['a file that is not there', (dir) => ({ clientSecretFile: join(dir, 'none') }), /clientSecretFile of .*\(ENOENT\)/],
    ['an empty file', (dir) => ({ clientSecretFile: join(dir, 'empty') }), /clientSecretFile of/],
    ['a key file that holds no key', (dir) => ({ tokenEndpointAuthMethod: 'private_key_jwt', privateKeyFile: join(dir, 'nonsense') }), /privateKeyFile of/],
    ['a key function that returns nonsense', () => ({ tokenEndpointAuthMethod: 'private_key_jwt', privateKey: () => 'hunter2' }), /privateKey of/],
    ['an assertion function that throws', () => ({ clientSecret: 'x', grant: { type: 'jwt_bearer', assertion: () => { throw new Error('hunter2'); } } }), /grant.assertion of/],
    ['an actor token function that returns nothing', () => ({ clientSecret: 'x', grant: { type: 'token_exchange', actorToken: () => '' } }), /grant.actorToken of/],
    ['a refresh token function that throws', () => ({ clientSecret: 'x', grant: { type: 'refresh_token', refreshToken: () => { throw new Error('hunter2'); } } }), /grant.refreshToken of/],
    ['a DPoP key function that throws', () => ({ clientSecret: 'x', dpop: { privateKey: () => { throw new Error('hunter2'); } } }), /dpop.privateKey of/],
  ]; // prettier-ignore

  it.each(cases)(
    '%s → credentials_unavailable, no request, the cause stays inside',
    async (_, options, message) => {
      await Promise.all([
        writeFile(join(folder, 'empty'), '\n'),
        writeFile(join(folder, 'nonsense'), 'hunter2'),
      ]);
      const app = await Application.client(client(options(folder)));
      const exchange = options(folder).grant?.type === 'token_exchange';
      const error = await app.failure(app.token(exchange ? { subjectToken: 's' } : {}));
      expect(error).toMatchObject({ code: 'credentials_unavailable', client: 'partner', retryable: true });
      expect((error as Error).message).toMatch(message);
      expect(`${String((error as Error).stack)} ${app.log.texts.join()}`).not.toContain('hunter2');
      expect((error as Error).cause).toBeUndefined();
      expect(server.tokenRequests).toHaveLength(0);
    },
  );

  it('a function that fails once is asked again by the retry', async () => {
    const secret = jest
      .fn<() => string>()
      .mockImplementationOnce(() => {
        throw new Error('not yet');
      })
      .mockReturnValue('now');
    const app = await Application.client(
      client({ clientSecret: secret, retry: { attempts: 2, minDelayMs: 1 } }),
    );
    await app.token();
    expect(secretsSent()).toEqual(['now']);
  });

  it('a function that never answers → the deadline of the token request holds', async () => {
    const app = await Application.client(
      client({ clientSecret: () => new Promise<string>(() => undefined), timeoutMs: 50 }),
    );
    expect(await app.failure()).toMatchObject({ timedOut: true });
  });
});
