import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { OAuthClientOptions } from 'nestjs-oauth-client';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { Application } from '../support/application.js';
import { cleanEnvironment } from '../support/environment.js';

const FORM = 'application/x-www-form-urlencoded';

let server: FakeAuthorizationServer;

cleanEnvironment();
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

/** The headers that the server got, by the kind of request. */
const received = (name: string) => ({
  metadata: server.metadataRequests.map(({ headers }) => headers[name]),
  token: server.tokenRequests.map(({ headers }) => headers[name]),
  api: server.apiRequests.map(({ headers }) => headers[name]),
});

describe('68. headers of one’s own', () => {
  /** From code and from variables the same. */
  const scenario = async (app: Application) => {
    await app.get('/queries');
    expect(received('x-subscription')).toEqual({
      metadata: [undefined],
      token: ['key & more'],
      api: [undefined],
    });
    expect(received('x-partner')).toEqual({ metadata: ['clinic'], token: ['clinic'], api: ['clinic'] });
  };

  it('68. tokenRequestHeaders reach the token endpoint alone, http.headers the API as well', async () => {
    const { tokenEndpoint: _, ...options } = client({ issuer: server.issuer });
    const app = await Application.client({
      ...options,
      tokenRequestHeaders: { 'X-Subscription': 'key & more' },
      http: { headers: { 'X-Partner': 'clinic' } },
    });
    await scenario(app);
  });

  it('76. and 68. the same from variables', async () => {
    const app = await Application.environment({
      OAUTH_CLIENTS: 'partner',
      OAUTH_PARTNER_ISSUER: server.issuer,
      OAUTH_PARTNER_BASE_URL: server.apiURL,
      OAUTH_PARTNER_CLIENT_ID: 'me',
      OAUTH_PARTNER_CLIENT_SECRET: 'my secret',
      OAUTH_PARTNER_TOKEN_REQUEST_HEADERS: 'X-Subscription=key%20%26%20more',
      OAUTH_PARTNER_HTTP_HEADERS: 'X-Partner=clinic',
    });
    await scenario(app);
  });

  it('68. a function is asked at each request, also for each try of one', async () => {
    let asked = 0;
    server.respondWith({ status: 503 });
    const app = await Application.client(
      client({
        tokenRequestHeaders: { 'WM_QOS.CORRELATION_ID': async () => `correlation-${++asked}` },
        retry: { attempts: 2, minDelayMs: 1 },
      }),
    );
    await app.token();
    await app.token();
    await app.token({ forceRefresh: true });
    expect(received('wm_qos.correlation_id').token).toEqual([
      'correlation-1',
      'correlation-2',
      'correlation-3',
    ]);
  });

  it('68. the Accept of API requests may come from a function too, and a caller’s own takes precedence', async () => {
    let asked = 0;
    const headers = { Accept: () => `application/vnd.partner.v${++asked}+json` };
    const app = await Application.client(client({ http: { headers } }));
    await app.get('/queries');
    await app.get('/queries', { headers: { accept: 'text/csv' } });
    await app.fetch()('/queries');
    expect(received('accept')).toMatchObject({
      token: ['application/json'],
      api: [
        expect.stringMatching(/^application\/vnd\.partner\.v\d\+json$/),
        'text/csv',
        expect.stringContaining('vnd'),
      ],
    });
  });

  it.each<[string, () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('sesame-open');
      },
    ],
    ['returns nothing', () => undefined],
    ['returns an empty text', () => ''],
    ['returns a number', () => 7],
    ['returns a second header', () => 'sesame-open\r\nX-Other: 1'],
    ['returns what no header can carry', () => 'sesame-open€'],
  ])(
    '68. a function that %s → credentials_unavailable that names the header, and no request',
    async (_, value) => {
      // prettier-ignore
      const app = await Application.client(
      client({ tokenRequestHeaders: { 'X-Api-Key': value as () => string } }),
    );
      const error = await app.failure();
      expect(error).toMatchObject({ code: 'credentials_unavailable', client: 'partner', retryable: true });
      expect((error as Error).message).toContain(
        'The tokenRequestHeaders.X-Api-Key of OAuth client "partner"',
      );
      expect((error as Error).message).not.toContain('sesame');
      expect(server.tokenRequests).toHaveLength(0);
    },
  );

  it('68. what the server repeats of a header value is taken out, a Content-Type is not', async () => {
    server.alwaysRespond({
      status: 400,
      body: {
        error: 'invalid_request',
        error_description: `no ${FORM} from Basic c2VzYW1l-open or c2VzYW1l-open`,
      },
    });
    const app = await Application.client({
      ...client({ tokenEndpointAuthMethod: 'none', tokenRequestHeaders: { Authorization: 'Basic c2VzYW1l-open', 'Content-Type': FORM } }),
      clientSecret: undefined,
    }); // prettier-ignore
    expect(await app.failure()).toMatchObject({
      errorDescription: `no ${FORM} from [redacted] or [redacted]`,
    });
  });

  it('68. with the method none an Authorization header may be given', async () => {
    const { clientSecret: _, ...options } = client({ tokenEndpointAuthMethod: 'none' });
    const app = await Application.client({
      ...options,
      tokenRequestHeaders: { Authorization: () => 'Basic c2VzYW1l-open' },
    });
    await app.get('/queries');
    expect(received('authorization')).toMatchObject({ token: ['Basic c2VzYW1l-open'], api: ['Bearer t1'] });
  });

  it('68. two clients whose headers differ have tokens of their own, in a shared store too', async () => {
    const of = (key: string) => client({ tokenRequestHeaders: { 'X-Tenant': key } });
    const app = await Application.start({
      oauth: { clients: { north: of('north-key'), south: of('south-key') } },
    });
    expect([(await app.token({}, 'north')).value, (await app.token({}, 'south')).value]).toEqual([
      't1',
      't2',
    ]);
  });

  it('68. headers of the module’s defaults and of a client merge, whatever their case', async () => {
    const defaults = { tokenRequestHeaders: { 'X-One': '1', 'X-Two': '2' } };
    const app = await Application.client(client({ tokenRequestHeaders: { 'x-two': '22', 'X-Three': '3' } }), { defaults }); // prettier-ignore
    await app.token();
    expect(server.tokenRequests[0]!.headers).toMatchObject({ 'x-one': '1', 'x-two': '22', 'x-three': '3' });
  });
});

describe('68. Content-Type', () => {
  it.each<[string, OAuthClientOptions, string]>([
    ['a form has none but its name', {}, FORM],
    ['JSON', { requestFormat: 'json' }, 'application/json'],
    ['one given wins', { tokenRequestHeaders: { 'Content-Type': `${FORM};charset=utf-8` } }, `${FORM};charset=utf-8`],
    ['one given in lower case wins', { tokenRequestHeaders: { 'content-type': `${FORM}; charset=UTF-8` } }, `${FORM}; charset=UTF-8`],
    ['one given for JSON wins', { requestFormat: 'json', tokenRequestHeaders: { 'CONTENT-TYPE': 'application/vnd.partner+json' } }, 'application/vnd.partner+json'],
    ['that of the API’s requests is not one', { http: { headers: { 'Content-Type': 'application/fhir+json' } } }, FORM],
  ])('68. %s', async (_, options, type) => {
    const app = await Application.client(client(options));
    await app.token();
    const [request] = server.tokenRequests;
    expect(request!.headers['content-type']).toBe(type);
    const names = request!.headers['content-type']?.includes('json') ? Object.keys(request!.json as object) : [...request!.form!.keys()];
    expect(names).toEqual(['grant_type']);
  }); // prettier-ignore

  it('68. an Accept given wins as well', async () => {
    const app = await Application.client(client({ tokenRequestHeaders: { accept: '*/*' } }));
    await app.token();
    expect(received('accept').token).toEqual(['*/*']);
  });
});

describe('68. parameters and credentials', () => {
  it('68. client_id may repeat the client’s own id, and is sent once', async () => {
    const basic = await Application.client(client({ parameters: { client_id: 'me' } }));
    await basic.token();
    const post = await Application.client(client({ tokenEndpointAuthMethod: 'client_secret_post' }));
    await post.token({ parameters: { client_id: 'me' } });
    expect(server.tokenRequests.map(({ form }) => form!.getAll('client_id'))).toEqual([['me'], ['me']]);
    expect(server.tokenRequests[0]!.headers.authorization).toMatch(/^Basic /);
  });

  it('68. no other credential of a request is sent, however it is spelt', async () => {
    const names = ['Client_Secret', 'CLIENT_ID', 'grant_type[]', 'grant_type ', '\tclient_id', 'client_id\0', 'client_ſecret', 'ｃlient_secret', 'clıent_assertion', 'clİent_id', 'client.secret', 'client secret', 'client-secret', '[client_secret]', ']client_secret', 'refresh_token[0]', 'assertion[a][b]', 'clientSecret', 'subjectToken', 'actor-token-type', 'client_secret\0x', 'client[secret', 'grant[type', 'refresh[token[', 'client%5Fsecret', 'client_secret%00x']; // prettier-ignore
    const app = await Application.client(client());
    await app.token({
      parameters: {
        tenant: 'a',
        ...Object.fromEntries(names.map((name) => [name, 'forged'])),
        client_id: 'you',
      },
    });
    expect([...server.tokenRequests[0]!.form!]).toEqual([
      ['tenant', 'a'],
      ['grant_type', 'client_credentials'],
    ]);
  });
});
