import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { TokenRequestError, TokenResponseError, type OAuthClientOptions } from 'nestjs-oauth-client';
import { FakeAuthorizationServer, type FakeAnswer } from 'nestjs-oauth-client/testing';
import { inspect } from 'node:util';
import { Application } from '../support/application.js';

let server: FakeAuthorizationServer;

beforeEach(async () => {
  server = await FakeAuthorizationServer.start();
});
afterEach(() => server.close());

const YEAR_MS = 365 * 24 * 3_600_000;

const client = (options = {}) => ({
  tokenEndpoint: server.tokenEndpoint,
  baseURL: server.apiURL,
  clientId: 'me',
  clientSecret: 'my secret',
  ...options,
});

/** The lifetime, in ms, that one token response leads to. */
async function lifetimeAfter(answer: FakeAnswer): Promise<number> {
  server.respondWith(answer);
  const app = await Application.client(client());
  const before = Date.now();
  const { expiresAt } = await app.token();
  const after = Date.now();
  const upper = expiresAt.getTime() - before;
  const lower = expiresAt.getTime() - after;
  expect(upper).toBeGreaterThanOrEqual(lower);
  return Math.round(upper / 1000) * 1000;
}

/** The error that one answer of the token endpoint leads to, and that nothing of it was kept. */
async function failureAfter(answer: FakeAnswer, options = {}) {
  server.alwaysRespond(answer);
  const app = await Application.client(client(options));
  const error = await app.failure();
  const { expiresAt, state } = app.tokens.status()[0]!;
  expect({ expiresAt, state }).toEqual({ expiresAt: undefined, state: 'down' });
  return error;
}

describe('3. expires_in', () => {
  it.each([
    [3600, 3_600_000],
    ['3600', 3_600_000],
    [' 3600 ', 3_600_000],
    [3600.5, 3_600_500],
    ['3600.5', 3_600_500],
    [2 ** 40, YEAR_MS],
    [1e308, YEAR_MS],
  ])('3. expires_in %p → accepted, capped at a year', async (expiresIn, lifetimeMs) => {
    const lifetime = await lifetimeAfter({ access_token: 'a', token_type: 'Bearer', expires_in: expiresIn });
    expect(Math.abs(lifetime - lifetimeMs)).toBeLessThanOrEqual(1000);
  });

  it.each([
    ['absent', undefined],
    ['null', null],
  ])('3. expires_in %s → defaultLifetimeMs and one warning', async (_, expiresIn) => {
    server.alwaysRespond(() => server.nextToken({ expires_in: expiresIn }));
    const app = await Application.client(client({ defaultLifetimeMs: 120_000 }));
    for (let round = 0; round < 3; round++) {
      const before = Date.now();
      const { expiresAt } = await app.token({ forceRefresh: true });
      expect(expiresAt.getTime() - before).toBeGreaterThanOrEqual(120_000);
      expect(expiresAt.getTime() - Date.now()).toBeLessThanOrEqual(120_000);
    }
    expect(app.log.texts.filter((line) => line.includes('expires_in'))).toEqual([
      expect.stringContaining('120000 ms are assumed'),
    ]);
  });

  it.each([0, -1, '-3600', 'zzz', '', {}, [], true, '1e3', '0x10'])(
    '3. expires_in %p → token_response_invalid',
    async (expiresIn) => {
      const error = await failureAfter({ access_token: 'a', token_type: 'Bearer', expires_in: expiresIn });
      expect(error).toBeInstanceOf(TokenResponseError);
      expect(error).toMatchObject({ code: 'token_response_invalid', client: 'partner' });
    },
  );
});

describe('4. and 7. token_type', () => {
  it.each(['Bearer', 'bearer', 'BEARER', 'bEaReR'])(
    '7. token_type %p → the header says Bearer, in that case',
    async (type) => {
      server.respondWith(server.nextToken({ token_type: type }));
      const app = await Application.client(client());
      await app.axios.get('/things');
      expect(server.apiRequests[0]?.headers.authorization).toBe('Bearer t1');
      expect((await app.token()).tokenType).toBe('Bearer');
      expect(app.log.texts.join()).not.toContain('token_type');
    },
  );

  it.each([
    ['absent', undefined],
    ['null', null],
  ])('4. token_type %s → Bearer with one warning', async (_, type) => {
    server.alwaysRespond(() => server.nextToken({ token_type: type }));
    const app = await Application.client(client());
    await app.token();
    expect((await app.token({ forceRefresh: true })).authorization).toBe('Bearer t2');
    expect(app.log.texts.filter((line) => line.includes('token_type'))).toHaveLength(1);
  });

  it.each(['mac', 'DPoP', 'N_A', 'pop', 7, ''])('4. token_type %p → typed error', async (type) => {
    const error = await failureAfter(() => server.nextToken({ token_type: type }));
    expect(error).toMatchObject({ code: 'token_response_invalid', retryable: false });
  });
});

describe('7. refresh token and scope', () => {
  it('7. A refresh token that comes with client_credentials is ignored', async () => {
    server.alwaysRespond(() => server.nextToken({ refresh_token: 'unwanted' }));
    const app = await Application.client(client());
    await app.token();
    await app.token({ forceRefresh: true });
    expect(server.tokenRequests.map(({ form }) => [...form!.keys()])).toEqual([
      ['grant_type'],
      ['grant_type'],
    ]);
  });

  it.each([
    ['narrower', 'a', 'a'],
    ['wider', 'a b c', 'a b c'],
    ['no', undefined, 'a b'],
    ['an empty', '', ''],
  ])('7. A response with %s scope → recorded on the token and in the event', async (_, granted, recorded) => {
    server.respondWith(() => server.nextToken({ scope: granted }));
    const app = await Application.client(client({ scope: 'a b' }));
    expect((await app.token()).scope).toBe(recorded);
    expect(app.events).toMatchObject([{ type: 'token_acquired', scope: recorded }]);
  });
});

describe('8. answers that are no token', () => {
  it('8. 200 with {"error": …} → token_request_rejected', async () => {
    const error = await failureAfter({ error: 'invalid_client', error_description: 'no such client' });
    expect(error).toBeInstanceOf(TokenRequestError);
    expect(error).toMatchObject({
      code: 'token_request_rejected',
      error: 'invalid_client',
      errorDescription: 'no such client',
      status: 200,
    });
  });

  it('8. 200 with an error that is no text is one as well', async () => {
    const answer = { error: { code: 17 }, access_token: 't', token_type: 'Bearer' };
    expect(await failureAfter(answer)).toMatchObject({ code: 'token_request_rejected', error: undefined });
  });

  it.each<[string, FakeAnswer]>([
    ['HTML', 'html'],
    ['an empty body', 'empty'],
    ['broken JSON', 'garbage'],
    ['a JSON array', { status: 200, body: '[]' }],
    ['a JSON text', { status: 200, body: '"t1"' }],
    ['null', { status: 200, body: 'null' }],
    ['access_token with a line break', { access_token: 'a\r\nX-Evil: 1', token_type: 'Bearer' }],
    ['204', { status: 204 }],
  ])('8. 200 with %s → token_response_invalid, nothing cached, retried as transient', async (_, answer) => {
    const error = await failureAfter(answer, { retry: { attempts: 2, minDelayMs: 1 } });
    expect(error).toBeInstanceOf(TokenResponseError);
    expect(error).toMatchObject({ code: 'token_response_invalid', retryable: true });
    expect(server.tokenRequests).toHaveLength(2);
  });

  it.each<[string, FakeAnswer]>([
    ['no access_token', { token_type: 'Bearer', expires_in: 60 }],
    ['access_token null', { access_token: null, token_type: 'Bearer' }],
    ['access_token a number', { access_token: 7, token_type: 'Bearer' }],
    ['access_token empty', { access_token: '', token_type: 'Bearer' }],
    ['no members', {}],
  ])(
    '8. 69. A well-formed object with %s → token_response_invalid, not asked for again',
    async (_, answer) => {
      const error = await failureAfter(answer, { retry: { attempts: 2, minDelayMs: 1 } });
      expect(error).toMatchObject({ code: 'token_response_invalid', retryable: false });
      expect(server.tokenRequests).toHaveLength(1);
    },
  );

  it('8. An access token is opaque: a JWT is not looked into, not even for its exp (RFC 9068 §6)', async () => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const value = [part({ alg: 'none' }), part({ exp: 1, scope: 'admin', token_type: 'mac' }), ''].join('.');
    server.respondWith({ access_token: value, token_type: 'Bearer' });
    const app = await Application.client(client({ scope: 'read' }));
    const token = await app.token();
    expect(token).toMatchObject({ value, scope: 'read', tokenType: 'Bearer' });
    expect(token.expiresAt.getTime()).toBeGreaterThan(Date.now() + 290_000);
  });

  it('8. Unknown members are ignored, and a JSON token under another Content-Type is one', async () => {
    const body = JSON.stringify({
      ...server.nextToken(),
      created_at: 1592972935,
      id_token: 'x.y.z',
      error: null,
    });
    server.respondWith({ status: 200, headers: { 'content-type': 'text/html' }, body });
    const app = await Application.client(client());
    expect((await app.token()).value).toBe('t1');
  });
});

describe('33. and 33a. rejections', () => {
  it.each([
    ['control characters', 'bad\u0000\r\n\u001b[31mcode\u2028end', 'bad [31mcode end'],
    ['bidirectional overrides', 'user \u202Eevil\u2066', 'user  evil'],
    ['100 kB', 'x'.repeat(100_000), 'x'.repeat(256)],
    ['a character cut in two', `a${'😀'.repeat(300)}`, `a${'😀'.repeat(127)}`],
  ])(
    '33. error_description with %s → cleaned and cut to 256 characters before it reaches a log',
    async (_, text, cleaned) => {
      server.alwaysRespond({ status: 400, body: { error: 'invalid_scope', error_description: text } });
      const app = await Application.client(client());
      const error = await app.failure();
      expect(error).toMatchObject({ error: 'invalid_scope', errorDescription: cleaned });
      for (const line of app.log.texts) expect(line).not.toMatch(/[\p{Cc}\p{Cf}\u2028]|x{257}/u);
      expect(app.log.texts.join()).toContain('invalid_scope');
    },
  );

  it.each(['client_secret_basic', 'client_secret_post'] as const)(
    '33. a secret that the server repeats in its error, plain or encoded, is taken out: %s',
    async (method) => {
      const secret = 'p@ss w+rd/ü';
      server.alwaysRespond(({ rawBody, headers }) => ({
        status: 401,
        body: {
          error: 'invalid_client',
          error_description: `secret ${secret} is wrong in ${rawBody.toString()} and ${headers.authorization}`,
        },
      }));
      const app = await Application.client(client({ clientSecret: secret, tokenEndpointAuthMethod: method }));
      const shown = inspect(await app.failure(), { depth: 9 }) + app.log.texts.join();
      expect(shown).toContain('secret [redacted] is wrong in');
      const basic = Buffer.from('me:p%40ss+w%2Brd%2F%C3%BC').toString('base64');
      for (const form of [secret, encodeURIComponent(secret), 'p%40ss+w%2Brd%2F%C3%BC', basic]) {
        expect(shown).not.toContain(form);
      }
    },
  );

  it('33. The same as JSON, and as a form inside Basic', async () => {
    const secret = 'quo"te\\+x/y=';
    server.alwaysRespond(({ rawBody, headers }) => {
      const basic = Buffer.from(headers.authorization?.slice(6) ?? '', 'base64').toString();
      return { status: 401, body: { error: 'invalid_client', error_description: `${rawBody} ${basic}` } };
    });
    const asked: OAuthClientOptions[] = [
      { requestFormat: 'json', tokenEndpointAuthMethod: 'client_secret_post' },
      {},
    ];
    for (const options of asked) {
      const app = await Application.client(client({ clientSecret: secret, ...options }));
      const { errorDescription } = (await app.failure()) as TokenRequestError;
      expect(errorDescription).toContain('[redacted]');
      expect(errorDescription).not.toMatch(/quo/);
    }
  });

  it.each(['s', 'secret', 'nonce', 'scope'])(
    '33. A secret that is a plain short word (%s) makes no code or sentence illegible',
    async (clientSecret) => {
      server.alwaysRespond({
        status: 400,
        body: { error: 'invalid_scope', error_description: 'wrong secret, nonce or scope' },
      });
      const app = await Application.client(client({ clientSecret: () => clientSecret }));
      expect(await app.failure()).toMatchObject({
        error: 'invalid_scope',
        errorDescription: 'wrong secret, nonce or scope',
      });
    },
  );

  const codes: [string, string | object][] = [
    ['invalid_client', { error: 'invalid_client' }],
    ['another code', { error: 'scope_invalid' }],
    ['an empty body', ''],
    ['an HTML body', '<html><body>Forbidden</body></html>'],
  ];
  const refusals = [400, 401, 403, 404, 405, 422].flatMap((status) =>
    codes.map(([what, body]) => [status, what, { status, body }] as const),
  );
  it.each(refusals)(
    '33a. Failed client authentication comes as %d with %s → token_request_rejected, not retried',
    async (status, _, answer) => {
      const error = await failureAfter(answer, { retry: { attempts: 3, minDelayMs: 1 } });
      expect(error).toBeInstanceOf(TokenRequestError);
      expect(error).toMatchObject({ code: 'token_request_rejected', status, retryable: false });
      expect(server.tokenRequests).toHaveLength(1);
    },
  );

  it.each([408, 429, 500, 502, 503, 504])(
    '33a. 27. %d, whatever its body says, is retried',
    async (status) => {
      server.respondWith({ status, body: { error: 'invalid_client' } });
      const app = await Application.client(client({ retry: { attempts: 2, minDelayMs: 1 } }));
      expect((await app.token()).value).toBe('t1');
    },
  );
});

describe('real servers are odd', () => {
  it.each<[string, FakeAnswer, object]>([
    ['failed client authentication as an empty 403', { status: 403 }, { status: 403, error: undefined }],
    [
      'failed client authentication as an HTML 400',
      { status: 400, headers: { 'content-type': 'text/html' }, body: '<h1>Bad Request</h1>' },
      { status: 400, error: undefined },
    ],
    [
      'the error code scope_invalid',
      { status: 400, body: { error: 'scope_invalid' } },
      { error: 'scope_invalid' },
    ],
    [
      'an error code of control characters beside a description',
      { status: 400, body: { error: '\u0007', error_description: 'Ask for access.' } },
      { error: '', message: expect.stringMatching(/with status 400: Ask for access\. Check/) },
    ],
    [
      'an error that is an object',
      { status: 400, body: { error: { code: 17 } } },
      { status: 400, error: undefined },
    ],
  ])('%s → token_request_rejected, not retried', async (_, answer, expected) => {
    const error = await failureAfter(answer, { retry: { attempts: 3, minDelayMs: 1 } });
    expect(error).toMatchObject({ code: 'token_request_rejected', ...expected });
    expect(server.tokenRequests).toHaveLength(1);
  });

  it('expires_in is the time left on a token handed out again → counted from the request, whatever created_at says', async () => {
    const reused = { access_token: 'same', token_type: 'bearer', created_at: 1_592_972_935 };
    server.respondWith({ ...reused, expires_in: 43_200 }, { ...reused, expires_in: 40_000 });
    const app = await Application.client(client());
    await app.token();
    const before = Date.now();
    const again = await app.token({ forceRefresh: true });
    expect(again.value).toBe('same');
    // Nothing fresher came of it, so the token in hand stays.
    expect(again.expiresAt.getTime()).toBeGreaterThan(before + 40_000_000);
  });

  it('temporarily_unavailable in a 400 is transient', async () => {
    server.respondWith({ status: 400, body: { error: 'temporarily_unavailable' } });
    const app = await Application.client(client({ retry: { attempts: 2, minDelayMs: 1 } }));
    expect((await app.token()).value).toBe('t1');
  });
});
