import { describe, expect, it } from '@jest/globals';
import { MemoryTokenStore } from 'nestjs-oauth-client';
import type { AccessToken, OAuthClientOptions, TokenRequestError } from 'nestjs-oauth-client';
import type { FakeAnswer, FakeResponse } from 'nestjs-oauth-client/testing';
import { Application } from '../support/application.js';
import { CLIENT_SECRET, clientOf } from '../support/server.js';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const HOUR_MS = 3_600_000;
const TOKEN = { access_token: 'access-token-1', token_type: 'Bearer' };
const once = { retry: { attempts: 1 } };

/** An application whose token endpoint answers that. */
async function answering(answer: FakeAnswer, options: OAuthClientOptions = once): Promise<Application> {
  const api = await Application.withServer(options);
  api.server.alwaysRespond(answer);
  return api;
}

async function tokenAfter(answer: FakeAnswer, options?: OAuthClientOptions): Promise<AccessToken> {
  return (await answering(answer, options)).token();
}

/** The error, and that one request led to it. */
async function failureAfter(
  answer: FakeAnswer,
  options: OAuthClientOptions = {},
): Promise<TokenRequestError> {
  const api = await answering(answer, { retry: { attempts: 3, minDelayMs: 1 }, ...options });
  const error = await api.failure();
  expect(api.posts).toBe(1);
  return error as TokenRequestError;
}

const inSeconds = (ms: number) => Math.floor((Date.now() + ms) / 1000);
const iso = (ms: number) => new Date(Date.now() + ms).toISOString();

describe('The type of a token', () => {
  it.each(['BearerToken', 'bearertoken', 'BEARERTOKEN', 'Bearer Token', 'bearer_token', ' Bearer '])(
    '69. token_type %p is Bearer',
    async (type) => {
      const token = await tokenAfter({ ...TOKEN, token_type: type });
      expect(token.authorization).toBe('Bearer access-token-1');
    },
  );

  it.each(['BearerX', 'MyBearerToken', 'token'])(
    '69. token_type %p is an error that names the option',
    async (type) => {
      const error = await failureAfter({ ...TOKEN, token_type: type });
      expect(error).toMatchObject({
        code: 'token_response_invalid',
        message: expect.stringContaining('readTokenResponse'),
      });
    },
  );
});

describe('A form-encoded answer', () => {
  it.each([
    'application/x-www-form-urlencoded',
    'application/x-www-form-urlencoded; charset=UTF-8',
    'Application/X-WWW-Form-URLEncoded',
  ])('69. %s is understood', async (type) => {
    const body =
      'access_token=access-token-%2B1&token_type=bearer&expires_in=3600&scope=read+write&region=eu';
    const token = await tokenAfter({ status: 200, headers: { 'content-type': type }, body });
    expect(token).toMatchObject({
      value: 'access-token-+1',
      tokenType: 'Bearer',
      scope: 'read write',
      details: { region: 'eu' },
    });
    expect(Math.abs(token.expiresAt.getTime() - Date.now() - HOUR_MS)).toBeLessThan(5_000);
  });

  it('69. JSON under that Content-Type is still JSON', async () => {
    const token = await tokenAfter({ status: 200, headers: FORM, body: JSON.stringify(TOKEN) });
    expect(token.value).toBe('access-token-1');
  });

  it('69. An error in it is told', async () => {
    const body = 'error=invalid_scope&error_description=No+such+scope';
    expect(await failureAfter({ status: 200, headers: FORM, body })).toMatchObject({
      code: 'token_request_rejected',
      error: 'invalid_scope',
      errorDescription: 'No such scope',
    });
  });

  it.each(['access-token-bare', 'access-token-padded==', ''])(
    '69. A bare text is none, and is not shown as the name of a member: %p',
    async (body) => {
      const api = await answering({ status: 200, headers: FORM, body });
      const error = await api.failure();
      expect(error).toMatchObject({ code: 'token_response_invalid', retryable: true });
      expect((error as Error).message).not.toContain('access-token-');
    },
  );
});

it('7. A scope that the answer has as a list is recorded like a text', async () => {
  const token = await tokenAfter({ ...TOKEN, scope: ['read', 'write'] }, { scope: 'read write all' });
  expect(token.scope).toBe('read write');
});

describe('When the token expires', () => {
  const moments: [string, () => unknown][] = [
    ['epoch seconds', () => inSeconds(HOUR_MS)],
    ['epoch seconds as text', () => ` ${inSeconds(HOUR_MS)} `],
    ['epoch seconds with a fraction', () => inSeconds(HOUR_MS) + 0.25],
    ['epoch milliseconds', () => Date.now() + HOUR_MS],
    ['an ISO date', () => iso(HOUR_MS)],
    ['an ISO date without a zone, which is UTC', () => iso(HOUR_MS).replace('Z', '')],
    ['a date with a space', () => iso(HOUR_MS).replace('T', ' ').replace(/\..*/, '')],
    ['a date with another zone', () => iso(3 * HOUR_MS).replace(/\..*/, '+02:00')],
    ['an HTTP date', () => new Date(Date.now() + HOUR_MS).toUTCString()],
    ['epoch microseconds', () => (Date.now() + HOUR_MS) * 1e3],
    ['epoch nanoseconds as text', () => `${Date.now() + HOUR_MS}000000`],
    ['a date with microseconds', () => iso(HOUR_MS).replace('Z', '456Z')],
    [
      'a date with an offset of hours alone',
      () =>
        iso(3 * HOUR_MS)
          .replace('T', ' ')
          .replace('Z', '+02'),
    ],
    ['a date with the name of its zone', () => iso(3 * HOUR_MS).replace('Z', '+02:00[Europe/Athens]')],
    [
      'a date as JavaScript writes it',
      () => `${new Date(Date.now() + 3 * HOUR_MS).toUTCString()}+0200 (EET)`,
    ],
    ['a date of another zone', () => new Date(Date.now() - 4 * HOUR_MS).toUTCString().replace('GMT', 'EST')],
    ['seconds to live', () => 3600],
  ];
  const rows = ['expires_at', 'expires_on', 'expires'].flatMap((member) =>
    moments.map(([what, moment]) => [member, what, moment] as const),
  );
  it.each(rows)('69. %s as %s counts where expires_in is missing', async (member, _, moment) => {
    const token = await tokenAfter(() => ({ ...TOKEN, [member]: moment() }));
    expect(Math.abs(token.expiresAt.getTime() - Date.now() - HOUR_MS)).toBeLessThan(5_000);
  });

  it('69. An American date, as Azure’s identity endpoint has it', async () => {
    const token = await tokenAfter({ ...TOKEN, expires_on: '4/15/2100 9:05:35 PM +00:00' });
    expect(token.expiresAt.getTime()).toBeGreaterThan(Date.now() + 364 * 24 * HOUR_MS); // capped at a year
  });

  it('69. expires_in takes precedence', async () => {
    const token = await tokenAfter({ ...TOKEN, expires_in: 60, expires_at: inSeconds(HOUR_MS) });
    expect(token.expiresAt.getTime()).toBeLessThan(Date.now() + 61_000);
  });

  it.each([null, 'never', 0, -1, true, {}, 'token 1', '0001-01-01T00:00:00Z', '0000-00-00 00:00:00'])(
    '69. Of an `expires` of %p nothing is known: defaultLifetimeMs, and a warning',
    async (expires) => {
      const api = await answering({ ...TOKEN, expires }, { defaultLifetimeMs: 120_000 });
      const { expiresAt } = await api.token();
      expect(Math.abs(expiresAt.getTime() - Date.now() - 120_000)).toBeLessThan(5_000);
      expect(api.log.texts.join()).toContain('120000 ms are assumed');
    },
  );

  it('69. A moment that has passed is an error', async () => {
    const api = await answering(() => ({ ...TOKEN, expires_at: inSeconds(-5_000) }));
    expect(await api.failure()).toMatchObject({
      code: 'token_response_invalid',
      message: expect.stringContaining('expires_at that has passed'),
    });
  });

  it.each([-2 * HOUR_MS, 2 * HOUR_MS])(
    '69. A server whose clock is off by %d ms means its own time',
    async (offMs) => {
      const token = await tokenAfter(() => ({
        status: 200,
        headers: { date: new Date(Date.now() + offMs).toUTCString() },
        body: { ...TOKEN, expires_at: inSeconds(offMs + HOUR_MS) },
      }));
      expect(Math.abs(token.expiresAt.getTime() - Date.now() - HOUR_MS)).toBeLessThan(5_000);
    },
  );
});

describe('readTokenResponse', () => {
  it('69. gives other members their names', async () => {
    const token = await tokenAfter(
      { data: { jwt: 'access-token-7', validFor: '30 min' }, ok: true },
      {
        readTokenResponse: (body) => {
          const { data } = body as { data: { jwt: string; validFor: string } };
          return { access_token: data.jwt, expires_in: parseInt(data.validFor, 10) * 60, plan: 'gold' };
        },
      },
    );
    expect(token).toMatchObject({ value: 'access-token-7', tokenType: 'Bearer', details: { plan: 'gold' } });
    expect(Math.abs(token.expiresAt.getTime() - Date.now() - HOUR_MS / 2)).toBeLessThan(5_000);
  });

  it.each<[string, FakeResponse, unknown]>([
    ['JSON', { status: 200, body: { a: 1 } }, { a: 1 }],
    [
      'JSON under another type',
      { status: 200, headers: { 'content-type': 'text/plain' }, body: '{"a":1}' },
      { a: 1 },
    ],
    ['a JSON text', { status: 200, headers: { 'content-type': 'application/json' }, body: '"t"' }, 't'],
    ['a list', { status: 200, headers: { 'content-type': 'application/json' }, body: '[1]' }, [1]],
    ['a form', { status: 200, headers: FORM, body: 'a=1&b=2' }, { a: '1', b: '2' }],
    ['digits in plain text', { status: 200, headers: { 'content-type': 'text/plain' }, body: '123' }, '123'],
    ['XML', { status: 200, headers: { 'content-type': 'text/xml' }, body: '<t>1</t>' }, '<t>1</t>'],
  ])('69. gets the body of %s, and headers by lower-case names', async (_, answer, seen) => {
    const calls: unknown[] = [];
    const token = await tokenAfter(
      { ...answer, headers: { ...answer.headers, 'X-Token': 'access-token-9' } },
      {
        readTokenResponse: (body, headers) => {
          calls.push(body);
          return { access_token: headers['x-token'], token_type: 'Bearer', expires_in: 60 };
        },
      },
    );
    expect(token.value).toBe('access-token-9');
    expect(calls).toEqual([seen]);
  });

  it('69. is not asked about refusals, and may find one itself', async () => {
    const readTokenResponse = (body: unknown) => ({
      error: 'invalid_client',
      error_description: 'Code 17',
      body,
    });
    expect(await failureAfter({ errorCode: 17 }, { readTokenResponse })).toMatchObject({
      code: 'token_request_rejected',
      error: 'invalid_client',
      errorDescription: 'Code 17',
      status: 200,
    });
    const refused = { status: 400, body: { error: 'invalid_scope' } };
    expect(await failureAfter(refused, { readTokenResponse })).toMatchObject({ error: 'invalid_scope' });
    expect(await failureAfter({ error: 'invalid_scope' }, { readTokenResponse })).toMatchObject({
      error: 'invalid_scope',
    });
  });

  it('69. may ignore an `error` that is none', async () => {
    const token = await tokenAfter(
      { error: { code: 0 }, token: 'access-token-5' },
      { readTokenResponse: (body) => ({ access_token: (body as { token: string }).token }) },
    );
    expect(token.value).toBe('access-token-5');
    expect((await tokenAfter({ ...TOKEN, error: 0 })).value).toBe('access-token-1');
    expect((await tokenAfter({ ...TOKEN, error: false })).value).toBe('access-token-1');
  });

  const broken = (body: unknown): never => {
    throw new Error(`cannot read ${JSON.stringify(body)}`);
  };

  it('69. Whatever it throws is not shown: token_response_invalid, with the names of the members', async () => {
    const error = await failureAfter({ jwt: 'access-token-secret', user: {} }, { readTokenResponse: broken });
    expect(error).toMatchObject({ code: 'token_response_invalid', client: 'api', retryable: false });
    expect(error.cause).toBeUndefined();
    expect(error.message).toMatch(/its members are jwt; readTokenResponse threw/);
  });

  it.each(['access_token', 'token_type', 'expires_in', 'error', 'region'])(
    '69. What a getter of `%s` throws is not shown either',
    async (name) => {
      const members = { ...TOKEN, expires_in: 60 };
      const get = () => broken({ jwt: 'access-token-secret' });
      const read = () => Object.defineProperty(members, name, { get, enumerable: true });
      const error = await failureAfter({ jwt: 'access-token-secret' }, { readTokenResponse: read });
      expect(error).toMatchObject({ code: 'token_response_invalid', retryable: false });
      expect(error.cause).toBeUndefined();
    },
  );

  it('69. An instance of a class will do, with getters', async () => {
    class Answer {
      readonly access_token = 'access-token-2';
      get expires_at() {
        return new Date(Date.now() + HOUR_MS);
      }
    }
    const token = await tokenAfter({ jwt: 'x' }, { readTokenResponse: () => new Answer() });
    expect(token.value).toBe('access-token-2');
    expect(Math.abs(token.expiresAt.getTime() - Date.now() - HOUR_MS)).toBeLessThan(5_000);
  });

  it('69. Where it throws at a page, the request is made again', async () => {
    const api = await answering('html', { readTokenResponse: broken, retry: { attempts: 2, minDelayMs: 1 } });
    api.server.respondWith('html');
    expect(await api.failure()).toMatchObject({ code: 'token_response_invalid', retryable: true });
    expect(api.posts).toBe(2);
  });

  it('69. Where it throws at an error, that is told', async () => {
    const answer = { error: { message: 'Wrong tenant' } };
    expect(await failureAfter(answer, { readTokenResponse: broken })).toMatchObject({
      code: 'token_request_rejected',
      errorDescription: 'Wrong tenant',
    });
  });

  it.each([undefined, null, 'access-token-1', 7, {}, { access_token: 7 }])(
    '69. %p is no token response',
    async (read) => {
      const error = await failureAfter({ jwt: 'x' }, { readTokenResponse: () => read });
      expect(error).toMatchObject({ code: 'token_response_invalid', retryable: false });
      expect(error.message).toContain('its members are jwt; readTokenResponse threw, or returned none.');
    },
  );
});

describe('An answer without a token', () => {
  it('69. names the members there were, and the option that helps', async () => {
    const error = await failureAfter({
      accessToken: 'access-token-1',
      data: { token: 'x', ttl: 1 },
      ok: true,
    });
    expect(error.message).toBe(
      'The token response for OAuth client "api" has no access_token; its members are accessToken, data.token, data.ttl, ok; if the token is there, say with readTokenResponse where.',
    );
  });

  it('69. shows no name that may be a value, and none of its secrets', async () => {
    const names = ['a\u0000b', 'x'.repeat(41), 'eyJ/+=', 'two words', '<b>', CLIENT_SECRET];
    const error = await failureAfter(Object.fromEntries(names.map((name) => [name, 1])));
    expect(error.message).toContain('its members are [redacted];');
  });

  it('69. Of a page it says that it is none', async () => {
    const api = await answering('html');
    expect(await api.failure()).toMatchObject({
      retryable: true,
      message: expect.stringContaining(
        'is neither a JSON object nor a form. Check tokenEndpoint: nothing there takes token requests.',
      ),
    });
  });
});

describe('A refusal without an error code', () => {
  it.each<[string, string | object, string]>([
    ['message', { message: 'Invalid client id.' }, 'Invalid client id.'],
    ['Message', { Message: 'Denied' }, 'Denied'],
    ['error_message', { error_message: 'Denied' }, 'Denied'],
    ['errorMessage', { errorMessage: 'Denied' }, 'Denied'],
    ['errorSummary', { errorCode: 'E1', errorSummary: 'Denied' }, 'Denied'],
    ['detail', { type: 'about:blank', detail: 'Denied' }, 'Denied'],
    ['title', { title: 'Unauthorized', status: 401 }, 'Unauthorized'],
    ['title and detail', { title: 'Unauthorized', detail: 'Denied' }, 'Denied'],
    [
      'fault.faultstring',
      { fault: { faultstring: 'Invalid ApiKey', detail: { errorcode: 'x' } } },
      'Invalid ApiKey',
    ],
    ['errors[0].message', { errors: [{ message: 'Denied' }, { message: 'No' }] }, 'Denied'],
    ['errors[0]', { errors: ['Denied'] }, 'Denied'],
    ['an error that is an object', { error: { code: 7, message: 'Denied' } }, 'Denied'],
    ['a code below an error', { error: { code: 'Denied', status: 401 } }, 'Denied'],
    ['a code alone', { code: 'Denied' }, 'Denied'],
    ['a code beside a message of another name', { code: 'E1', responseMessage: 'Denied' }, 'Denied'],
    ['error_description alone', { error_description: 'Denied' }, 'Denied'],
    ['a list', [{ message: 'Denied' }], 'Denied'],
    ['errors below another member', { response: { errors: [{ code: '1', message: 'Denied' }] } }, 'Denied'],
    ['a fault below others', { Envelope: { Body: { Fault: { Reason: { Text: 'Denied' } } } } }, 'Denied'],
    ['a name that ends like a usual one', { httpCode: '401', httpMessage: 'Denied' }, 'Denied'],
    ['a list of messages', { errorMessages: ['Denied'] }, 'Denied'],
    ['lists by field', { errors: { client_id: ['Denied'] } }, 'Denied'],
    ['lists by field at the top', { client_id: ['Denied'] }, 'Denied'],
    ['a code beside another list', { code: 'Denied', scopes: ['read', 'write'] }, 'Denied'],
    ['an error code beside links', { error_code: 'Denied', links: ['https://x.example/help'] }, 'Denied'],
    ['plain text', 'Denied', 'Denied'],
    ['a page with scripts', '<html><script>if (a < b) x()</script><style>p{}</style><p>Denied', 'Denied'],
    ['a page with an empty title', '<html><title></title><h1>Denied</h1>', 'Denied'],
    ['XML with CDATA', '<e><m><![CDATA[Denied]]></m></e>', 'Denied'],
    [
      'a page with a title',
      '<html><head><title>403 Denied</title><style>a{}</style></head></html>',
      '403 Denied',
    ],
    ['a page with a heading', '<h1>Denied</h1><p>Go away', 'Denied'],
    ['XML', '<?xml version="1.0"?>\n<e><c>7</c>\n<m>Denied</m></e>', '7 Denied'],
  ])('70. is told in the message: %s', async (_, body, said) => {
    const error = await failureAfter({ status: 400, body });
    expect(error).toMatchObject({
      code: 'token_request_rejected',
      error: undefined,
      errorDescription: said,
      status: 400,
    });
    expect(error.message).toContain(`with status 400: ${said.replace(/\.$/, '')}. ${error.remedy}`);
  });

  it.each<[string, string | object]>([
    ['nothing', ''],
    ['no text', { error: { code: 17 }, message: 7, errors: [] }],
    [
      'a depth of its own',
      { error: { error: { error: { error: { error: { error: { message: 'x' } } } } } } },
    ],
    ['an empty page', '<html></html>'],
  ])('70. has no text if it says %s', async (_, body) => {
    const error = await failureAfter({ status: 400, body });
    expect(error.errorDescription).toBeUndefined();
    expect(error.message).toContain('with status 400. Check');
  });

  it('70. A message beside an error code is told as well', async () => {
    const body = { error: 'Unauthorized', message: 'No such client' };
    expect(await failureAfter({ status: 401, body })).toMatchObject({
      error: 'Unauthorized',
      errorDescription: 'No such client',
    });
  });

  it('70. is cleaned, redacted and cut', async () => {
    const message = `bad\u0000\u202E secret ${CLIENT_SECRET} ${'x'.repeat(500)}`;
    for (const body of [{ message }, message]) {
      const error = await failureAfter({ status: 400, body });
      expect(error.errorDescription).toMatch(/^bad +secret \[redacted\] x+$/);
      expect(error.errorDescription?.length).toBeLessThanOrEqual(256);
    }
  });

  it.each([500, 503, 429])('70. A server that is unavailable (%d) is quoted too', async (status) => {
    const api = await answering({ status, body: { message: 'Unknown client' } });
    expect(await api.failure()).toMatchObject({
      code: 'authorization_server_unavailable',
      message: `The authorization server of OAuth client "api" is unavailable: it answered ${status} and said: Unknown client.`,
    });
  });

  it('70. basicEncoding is named where the encodings differ for id or secret', async () => {
    const refused = { status: 401, body: { message: 'Denied' } };
    const named = (options: OAuthClientOptions) =>
      failureAfter(refused, options).then(({ message }) => message.includes('basicEncoding'));
    expect(await named({ clientSecret: 'secret+with/slash=' })).toBe(true);
    expect(await named({ clientSecret: 'secret+with/slash=', basicEncoding: 'raw' })).toBe(true);
    expect(await named({ clientId: 'me@example.com' })).toBe(true);
    expect(await named({ clientSecret: 'secret-._~plain' })).toBe(false);
    expect(await named({ clientSecret: 'secret+/=', tokenEndpointAuthMethod: 'client_secret_post' })).toBe(
      false,
    );
    const { message } = await failureAfter(
      { status: 400, body: { error: 'invalid_scope' } },
      { clientSecret: 'secret+/=' },
    );
    expect(message).not.toContain('basicEncoding');
  });
});

describe('AccessToken.details', () => {
  it('71. has the other members, deeply frozen', async () => {
    const token = await tokenAfter({
      ...TOKEN,
      expires_in: 60,
      scope: 'a',
      instance_url: 'https://eu1.example',
      org: { id: 7, tags: ['x', { y: 1 }] },
    });
    const details = token.details as Record<string, { tags: object[] }>;
    expect(details).toEqual({ instance_url: 'https://eu1.example', org: { id: 7, tags: ['x', { y: 1 }] } });
    for (const part of [details, details['org'], details['org']!.tags, details['org']!.tags[1]])
      expect(Object.isFrozen(part)).toBe(true);
  });

  it('71. is undefined where there is nothing else', async () => {
    expect((await tokenAfter({ ...TOKEN, expires_in: 60, scope: 'a' })).details).toBeUndefined();
    expect((await tokenAfter({ ...TOKEN, refresh_token: 'r', id_token: 'i' })).details).toBeUndefined();
  });

  it('71. holds no token, whatever it is called and wherever it stands', async () => {
    const jwt = 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.c2ln';
    const token = await tokenAfter({
      ...TOKEN,
      refresh_token: 'refresh-secret-1',
      id_token: jwt,
      IdToken: 'x',
      sessionToken: 'x',
      device_secret: 'x',
      apiKey: 'x',
      'api-key': 'x',
      refresh: 'x',
      private_key: 'x',
      credentials: { user: 'x' },
      encrypted: 'eyJhbGciOiJkaXIifQ..aXY.dGV4dA.dGFn',
      log: `issued ${jwt}`,
      same: 'access-token-1',
      link: 'https://api.example/?t=access-token-1',
      again: 'refresh-secret-1',
      proof: jwt,
      data: { token: 'x', list: [{ jwt: 'x', name: 'kept' }] },
      token_endpoint: 'https://as.example/token',
      host: 'eyre.eyes.example.com',
    });
    expect(token.details).toEqual({
      data: { list: [{ name: 'kept' }] },
      token_endpoint: 'https://as.example/token',
      host: 'eyre.eyes.example.com',
    });
  });

  it('71. leaves out what is too large to keep, with a warning', async () => {
    const api = await answering({ ...TOKEN, everything: 'x'.repeat(20_000) });
    expect((await api.token()).details).toBeUndefined();
    expect(api.log.texts.join()).toContain('or more than 16 KiB');
  });

  it('71. comes with a token that another instance put into the store', async () => {
    const store = new MemoryTokenStore();
    const first = await Application.withServer(once, { store });
    first.server.alwaysRespond({ ...TOKEN, instance_url: 'https://eu1.example' });
    const second = await Application.start({ oauth: { clients: { api: clientOf(first.server) }, store } });
    await first.token();
    const { details } = await second.token();
    expect(details).toEqual({ instance_url: 'https://eu1.example' });
    expect(Object.isFrozen(details)).toBe(true);
    expect(first.posts).toBe(1);
  });

  it('71. does not show in what is logged of a token', async () => {
    const token = await tokenAfter({ ...TOKEN, patient: 'Käthe' });
    expect(JSON.stringify(token)).not.toContain('Käthe');
    expect(String(token)).not.toContain('Käthe');
  });
});
