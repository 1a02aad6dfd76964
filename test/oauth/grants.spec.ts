import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { MemoryTokenStore, type OAuthClientOptions } from 'nestjs-oauth-client';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { inspect } from 'node:util';
import { Application } from '../support/application.js';

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

let server: FakeAuthorizationServer;

beforeEach(async () => {
  server = await FakeAuthorizationServer.start();
});
afterEach(() => server.close());

const client = (options: OAuthClientOptions): OAuthClientOptions => ({
  tokenEndpoint: server.tokenEndpoint,
  baseURL: server.apiURL,
  clientId: 'me',
  clientSecret: 'my secret',
  ...options,
});

/** The fields of the n-th token request. */
const fields = (index = 0) => Object.fromEntries(server.tokenRequests[index]!.form!);

describe('53. jwt_bearer', () => {
  it('53. exact fields: the assertion of the options', async () => {
    const app = await Application.client(
      client({ grant: { type: 'jwt_bearer', assertion: 'head.body.sig' } }),
    );
    await app.token();
    expect(fields()).toEqual({ grant_type: JWT_BEARER, assertion: 'head.body.sig' });
  });

  it('53. an assertion function is asked for each token request, also for each try of one', async () => {
    let made = 0;
    server.respondWith({ status: 503 });
    const app = await Application.client(
      client({
        grant: { type: 'jwt_bearer', assertion: async () => `assertion-${++made}` },
        retry: { attempts: 2, minDelayMs: 1 },
      }),
    );
    await app.token();
    await app.token({ forceRefresh: true });
    expect(server.tokenRequests.map(({ form }) => form!.get('assertion'))).toEqual([
      'assertion-1',
      'assertion-2',
      'assertion-3',
    ]);
  });

  it('53. TokenRequest.subjectToken takes the place of the assertion, with a token of its own', async () => {
    const app = await Application.client(client({ grant: { type: 'jwt_bearer', assertion: 'ours' } }));
    const tokens = [await app.token(), await app.token({ subjectToken: 'theirs' }), await app.token()];
    expect(tokens.map(({ value }) => value)).toEqual(['t1', 't2', 't1']);
    expect([fields(0)['assertion'], fields(1)['assertion']]).toEqual(['ours', 'theirs']);
  });

  it.each([undefined, ''])(
    '53. without any assertion → credentials_unavailable, no request',
    async (subjectToken) => {
      const app = await Application.client(client({ grant: { type: 'jwt_bearer' } }));
      const error = await app.failure(app.token(subjectToken === undefined ? {} : { subjectToken }));
      expect(error).toMatchObject({ code: 'credentials_unavailable', client: 'partner', retryable: false });
      expect(server.tokenRequests).toHaveLength(0);
    },
  );
});

describe('53. token_exchange', () => {
  it('53. exact fields, least and most', async () => {
    const least = await Application.client(client({ grant: { type: 'token_exchange' } }));
    await least.token({ subjectToken: 'subject' });
    expect(fields(0)).toEqual({
      grant_type: TOKEN_EXCHANGE,
      subject_token: 'subject',
      subject_token_type: ACCESS_TOKEN,
    });

    const most = await Application.client(
      client({
        grant: {
          type: 'token_exchange',
          subjectTokenType: 'urn:ietf:params:oauth:token-type:jwt',
          actorToken: () => 'the-actor',
          actorTokenType: 'urn:ietf:params:oauth:token-type:id_token',
          requestedTokenType: ACCESS_TOKEN,
        },
        scope: 'read',
        audience: ['one', 'two'],
        resource: ['https://a.example', 'https://b.example'],
      }),
    );
    await most.token({ subjectToken: 'subject' });
    expect([...server.tokenRequests[1]!.form!].sort(([a], [b]) => (a < b ? -1 : 1))).toEqual([
      ['actor_token', 'the-actor'],
      ['actor_token_type', 'urn:ietf:params:oauth:token-type:id_token'],
      ['audience', 'one'],
      ['audience', 'two'],
      ['grant_type', TOKEN_EXCHANGE],
      ['requested_token_type', ACCESS_TOKEN],
      ['resource', 'https://a.example'],
      ['resource', 'https://b.example'],
      ['scope', 'read'],
      ['subject_token', 'subject'],
      ['subject_token_type', 'urn:ietf:params:oauth:token-type:jwt'],
    ]);
  });

  it('53. a requested_token_type may also come with the request', async () => {
    const app = await Application.client(client({ grant: { type: 'token_exchange' } }));
    await app.token({ subjectToken: 's', parameters: { requested_token_type: ACCESS_TOKEN } });
    expect(fields()).toMatchObject({ requested_token_type: ACCESS_TOKEN });
  });

  it('53. without a subject token → credentials_unavailable, no request', async () => {
    const app = await Application.client(client({ grant: { type: 'token_exchange' } }));
    expect(await app.failure()).toMatchObject({ code: 'credentials_unavailable' });
    expect(server.tokenRequests).toHaveLength(0);
  });

  it('53. token_type N_A is taken as Bearer, and a missing issued_token_type with one warning', async () => {
    server.alwaysRespond(() => server.nextToken({ token_type: 'N_A' }));
    const app = await Application.client(client({ grant: { type: 'token_exchange' } }));
    expect((await app.token({ subjectToken: 'a' })).authorization).toBe('Bearer t1');
    await app.token({ subjectToken: 'b' });
    expect(app.log.texts.filter((line) => line.includes('issued_token_type'))).toHaveLength(1);
  });

  it('53. a refresh token in the answer is ignored', async () => {
    server.alwaysRespond(() =>
      server.nextToken({ refresh_token: 'unwanted', issued_token_type: ACCESS_TOKEN }),
    );
    const app = await Application.client(client({ grant: { type: 'token_exchange' } }));
    await app.token({ subjectToken: 'a' });
    await app.token({ subjectToken: 'a', forceRefresh: true });
    expect(fields(1)).not.toHaveProperty('refresh_token');
  });
});

describe('53. and 5. keys', () => {
  class WatchedStore extends MemoryTokenStore {
    readonly seen: unknown[] = [];
    override async get(key: string) {
      this.seen.push(key);
      return super.get(key);
    }
    override async set(...args: Parameters<MemoryTokenStore['set']>) {
      this.seen.push(args);
      return super.set(...args);
    }
  }

  it('53. The subject, actor and refresh tokens and assertions are in keys only as hashes, and nowhere else in the store', async () => {
    const store = new WatchedStore();
    const grant = { type: 'token_exchange', actorToken: 'actor-secret' } as const;
    const exchange = await Application.client(client({ grant }), { store });
    await exchange.token({ subjectToken: 'subject-secret' });
    const bearer = await Application.client(
      client({ grant: { type: 'jwt_bearer', assertion: 'assertion-secret' } }),
      { store },
    );
    await bearer.token();
    const shown = inspect(store.seen, { depth: 9 });
    expect(store.seen.length).toBeGreaterThan(3);
    expect(shown).not.toMatch(/(subject|actor|assertion)-secret/);
    for (const seen of store.seen) expect([seen].flat()[0]).toMatch(/^[0-9a-f]{64}(\.(failure|rejection))?$/);
  });

  it('5. Clients that ask for tokens by functions of their own never share one, whatever else they share', async () => {
    const clients = {
      north: client({ grant: { type: 'jwt_bearer', assertion: () => 'for-north' } }),
      south: client({ grant: { type: 'jwt_bearer', assertion: () => 'for-south' } }),
    };
    const app = await Application.start({ oauth: { clients } });
    const north = await app.token({}, 'north');
    const south = await app.token({}, 'south');
    expect(north.value).not.toBe(south.value);
    expect(server.tokenRequests.map(({ form }) => form!.get('assertion')).sort()).toEqual([
      'for-north',
      'for-south',
    ]);
  });
});
