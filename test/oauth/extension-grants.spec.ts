import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { MemoryTokenStore, type GrantOptions, type OAuthClientOptions } from 'nestjs-oauth-client';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { inspect } from 'node:util';
import { Application } from '../support/application.js';
import { cleanEnvironment } from '../support/environment.js';

let server: FakeAuthorizationServer;

cleanEnvironment();
beforeEach(async () => {
  server = await FakeAuthorizationServer.start();
});
afterEach(() => server.close());

const client = (grant: GrantOptions, options: OAuthClientOptions = {}): OAuthClientOptions => ({
  tokenEndpoint: server.tokenEndpoint,
  clientId: 'me',
  clientSecret: 'my secret',
  grant,
  ...options,
});

/** The fields of each token request. */
const fields = () => server.tokenRequests.map(({ form }) => Object.fromEntries(form!));

describe('67. a grant of any type', () => {
  const scenario = async (app: Application) => {
    await app.token();
    expect(fields()).toEqual([{ grant_type: 'account_credentials', account_id: 'the account & more' }]);
    expect(server.tokenRequests[0]!.headers.authorization).toBe(
      `Basic ${Buffer.from('me:my+secret').toString('base64')}`,
    );
  };

  it('67. goes out as it is, with its parameters and the client’s authentication', async () => {
    const parameters = { account_id: 'the account & more' };
    await scenario(await Application.client(client({ type: 'account_credentials', parameters })));
  });

  it('76. and 67. the same from variables', async () => {
    const app = await Application.environment({
      OAUTH_CLIENTS: 'partner',
      OAUTH_PARTNER_TOKEN_ENDPOINT: server.tokenEndpoint,
      OAUTH_PARTNER_CLIENT_ID: 'me',
      OAUTH_PARTNER_CLIENT_SECRET: 'my secret',
      OAUTH_PARTNER_GRANT_TYPE: 'account_credentials',
      OAUTH_PARTNER_GRANT_PARAMETERS: 'account_id=the%20account%20%26%20more',
    });
    await scenario(app);
  });

  it.each([
    'password',
    'authorization_code',
    'account_credentials',
    'partner_credentials',
    'server_credentials',
    'client_certificate',
    'session_token',
    'exchange_token',
    'fb_exchange_token',
    'api_key',
    'urn:ibm:params:oauth:grant-type:apikey',
    'urn:partner:grant-type:jwt-bearer',
    'urn:ietf:params:oauth:grant-type:saml2-bearer',
    'urn:ietf:params:oauth:grant-type:device_code',
    'urn:ietf:params:oauth:grant-type:uma-ticket',
    'https://partner.example/grants/robot',
  ])('67. %s is no near miss of a known type', async (type) => {
    const app = await Application.client(client({ type }));
    await app.token();
    expect(fields()).toEqual([{ grant_type: type }]);
  });

  it('67. its parameters may be what other grants reserve, such as an assertion', async () => {
    const type = 'urn:ietf:params:oauth:grant-type:saml2-bearer';
    const app = await Application.client(client({ type, parameters: { assertion: () => 'PHNhbWw+' } }));
    await app.token();
    expect(fields()).toEqual([{ grant_type: type, assertion: 'PHNhbWw+' }]);
  });

  it('67. a function is asked at each request, also for each try of one', async () => {
    let asked = 0;
    server.respondWith({ status: 503 });
    const app = await Application.client(
      client(
        { type: 'passcode', parameters: { code: async () => `code-${++asked}` } },
        { retry: { attempts: 2, minDelayMs: 1 } },
      ),
    );
    await app.token();
    await app.token();
    await app.token({ forceRefresh: true });
    expect(fields().map(({ code }) => code)).toEqual(['code-1', 'code-2', 'code-3']);
  });

  it('67. a function that fails → credentials_unavailable that names the parameter, and no request', async () => {
    const broken = () => Promise.reject(new Error('sesame-open'));
    const app = await Application.client(client({ type: 'passcode', parameters: { code: broken } }));
    const error = await app.failure();
    expect(error).toMatchObject({ code: 'credentials_unavailable', retryable: true });
    expect((error as Error).message).toContain('The grant.parameters.code of OAuth client "partner"');
    expect(server.tokenRequests).toHaveLength(0);
  });

  it('67. neither client_id nor secret is needed where the server asks for none', async () => {
    const app = await Application.client({
      tokenEndpoint: server.tokenEndpoint,
      tokenEndpointAuthMethod: 'none',
      grant: { type: 'urn:ibm:params:oauth:grant-type:apikey', parameters: { apikey: 'the-api-key' } },
    });
    await app.token();
    expect(fields()).toEqual([
      { grant_type: 'urn:ibm:params:oauth:grant-type:apikey', apikey: 'the-api-key' },
    ]);
  });

  it('67. parameters of a request never replace those of the grant, however they are spelt', async () => {
    const app = await Application.client(
      client({ type: 'passcode', parameters: { pass_code: 'ours-is-right' } }),
    );
    await app.token({ parameters: { pass_code: 'theirs', 'Pass_Code[]': 'theirs', passCode: 'theirs', tenant: 'a' } }); // prettier-ignore
    expect(fields()).toEqual([{ grant_type: 'passcode', pass_code: 'ours-is-right', tenant: 'a' }]);
  });

  it('67. what the server repeats of a parameter is taken out', async () => {
    server.alwaysRespond(({ form }) => ({
      status: 400,
      body: { error: 'invalid_grant', error_description: `wrong ${form!.get('account_id')}` },
    }));
    const parameters = { account_id: 'account-0815' };
    const app = await Application.client(client({ type: 'account_credentials', parameters }));
    expect(await app.failure()).toMatchObject({ errorDescription: 'wrong [redacted]' });
  });

  it('67. invalid_client with a parameter that has changed since → one retry with the new one', async () => {
    let key = 'old-key';
    server.respondWith(() => {
      key = 'new-key';
      return { status: 401, body: { error: 'invalid_client' } };
    });
    const app = await Application.client(client({ type: 'apikey', parameters: { key: () => key } }));
    await app.token();
    expect(fields().map(({ key: sent }) => sent)).toEqual(['old-key', 'new-key']);
  });
});

describe('67. keys', () => {
  class WatchedStore extends MemoryTokenStore {
    readonly seen: unknown[] = [];
    override async set(...args: Parameters<MemoryTokenStore['set']>) {
      this.seen.push(args);
      return super.set(...args);
    }
  }

  it('67. clients of one name that differ in a parameter have tokens of their own, and the store never sees a value', async () => {
    const store = new WatchedStore();
    const tokens: string[] = [];
    for (const account of ['account-one', 'account-two', 'account-one']) {
      const parameters = { account_id: account };
      const app = await Application.client(client({ type: 'account_credentials', parameters }), { store });
      tokens.push((await app.token()).value);
    }
    expect(tokens).toEqual(['t1', 't2', 't1']);
    expect(inspect(store.seen, { depth: 9 })).not.toMatch(/account-(one|two)/);
  });

  it('67. clients whose parameters are functions of their own never share a token', async () => {
    const of = (code: string) => client({ type: 'passcode', parameters: { code: () => code } });
    const clients = { north: of('for-north'), south: of('for-south') };
    const app = await Application.start({ oauth: { clients } });
    expect((await app.token({}, 'north')).value).not.toBe((await app.token({}, 'south')).value);
  });
});
