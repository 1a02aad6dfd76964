import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { TokenRequestError, type OAuthClientOptions } from 'nestjs-oauth-client';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { inspect } from 'node:util';
import { redacted } from '../../lib/core/server-text.js';
import { Application } from '../support/application.js';
import { Authority } from '../support/certificates.js';

const SECRET = 'q7&W<x>"y\'/z+ü=9~tail';
let server: FakeAuthorizationServer;

beforeEach(async () => {
  server = await FakeAuthorizationServer.start();
});
afterEach(() => server.close());

const start = (options: OAuthClientOptions = {}) =>
  Application.client({
    tokenEndpoint: server.tokenEndpoint,
    baseURL: server.apiURL,
    clientId: 'me',
    clientSecret: SECRET,
    tokenEndpointAuthMethod: 'client_secret_post',
    ...options,
  });

const base64 = (text: string) => Buffer.from(text).toString('base64');
const percent = (text: string) => Buffer.from(text).toString('hex').replace(/../g, '%$&');
const html = (text: string) => text.replace(/[&<>"']/g, (char) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[char] ?? '&#39;'); // prettier-ignore
const entities = (text: string, base: 10 | 16) => [...text].map((char) => `&#${base === 16 ? 'x' : ''}${char.codePointAt(0)!.toString(base)};`).join(''); // prettier-ignore

/** How servers and the proxies before them repeat what they were sent. */
const ECHOES: [string, (secret: string) => string][] = [
  ['as it is', String],
  ['in Base64', base64],
  ['in Base64 without padding', (secret) => base64(secret).replace(/=+$/, '')],
  ['in Base64url', (secret) => Buffer.from(secret).toString('base64url')],
  ['in Base64, after other text', (secret) => base64(`me:${secret}`)],
  ['in Base64, between other text', (secret) => base64(`secret=${secret}&x=1`)],
  ['in hex', (secret) => Buffer.from(secret).toString('hex')],
  ['in upper-case hex', (secret) => Buffer.from(secret).toString('hex').toUpperCase()],
  ['percent-encoded', encodeURIComponent],
  ['percent-encoded in lower case', (secret) => encodeURIComponent(secret).replace(/%../g, (one) => one.toLowerCase())],
  ['percent-encoded in every character', percent],
  ['percent-encoded twice', (secret) => encodeURIComponent(encodeURIComponent(secret))],
  ['percent-encoded three times', (secret) => encodeURIComponent(encodeURIComponent(encodeURIComponent(secret)))],
  ['percent-encoded in Latin-1', escape],
  ['form-encoded', (secret) => new URLSearchParams({ secret }).toString().slice(7)],
  ['HTML-escaped', html],
  ['HTML-escaped by PHP', (secret) => html(secret).replaceAll('&#39;', '&#039;')],
  ['in decimal entities', (secret) => entities(secret, 10)],
  ['in hexadecimal entities', (secret) => entities(secret, 16)],
  ['JSON-escaped', (secret) => JSON.stringify(secret).slice(1, -1)],
  ['JSON-escaped with slashes', (secret) => JSON.stringify(secret).slice(1, -1).replaceAll('/', '\\/')],
  ['JSON-escaped in ASCII', (secret) => secret.replace(/[^a-z0-9]/gi, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)],
  ['JSON-escaped twice', (secret) => JSON.stringify(JSON.stringify(secret).slice(1, -1)).slice(1, -1)],
  ['in another case', (secret) => secret.toUpperCase()],
  ['with a control character inside', (secret) => `${secret.slice(0, 5)}\u0000${secret.slice(5)}`],
  ['with an invisible character inside', (secret) => `${secret.slice(0, 5)}\u200b${secret.slice(5)}`],
  ['with an invisible character after each', (secret) => [...secret].join('\u200b')],
  ['broken into lines', (secret) => `${secret.slice(0, 9)}\r\n${secret.slice(9)}`],
]; // prettier-ignore

describe('84. A secret that the server repeats', () => {
  it.each(ECHOES)('84. %s is taken out of the error, whole and cut short', async (_, echo) => {
    const whole = echo(SECRET);
    const short = whole.slice(0, Math.ceil(whole.length * 0.75));
    for (const shown of [whole, short]) {
      server.alwaysRespond({ status: 400, body: { error: 'invalid_client', error_description: `got ${shown} here` } });
      const app = await start();
      const { errorDescription, message } = (await app.failure()) as TokenRequestError;
      expect(errorDescription).toMatch(/^got .{0,12}\[redacted\].{0,12} here$/);
      expect(message).toContain(errorDescription);
      expect(inspect([app.log.texts, app.events], { depth: 9 })).not.toContain(whole.slice(-12));
    }
  }); // prettier-ignore

  it('84. as an error code, at the cut, or in a redirect is taken out as well', async () => {
    const secret = 'a-secret-of-this-client';
    for (const answer of [
      { status: 400, body: { error: `no ${secret}` } },
      { status: 400, body: { error: 'x', error_description: `${'x'.repeat(245)}${secret}` } },
      { redirectTo: `https://${secret}.example/` },
    ]) {
      server.alwaysRespond(answer);
      const app = await start({ clientSecret: secret });
      const shown = inspect([await app.failure(), app.log.texts], { depth: 9 });
      expect(shown).not.toContain('a-secret');
      expect(shown).toContain('[redact');
    }
  });

  it('84. with a character outside of the BMP, as Python and Java escape it, is taken out', () => {
    expect(redacted('got ab\\ud83d\\ude00cd here', ['ab😀cd'])).toBe('got [redacted] here');
  });

  it('84. with blanks where it has plus signs, as a form reader decodes what is sent raw, is taken out', () => {
    expect(redacted('got ab c/d e here', ['ab+c/d+e'])).toBe('got [redacted] here');
  });

  it('84. words that only begin like a secret stay', () => {
    expect(redacted('client secret is wrong', ['client-secret-abc'])).toBe('client secret is wrong');
    expect(redacted('the scope reads', ['read', 'reads', 's'])).toBe('the scope reads');
  });
});

describe('84. The scope of an answer', () => {
  const LINE = 'a\r\nforged  https://as.example  client_secret_basic  ok';

  it.each([
    ['an escape character', 'read \u001b[2J\u001b[H'],
    ['a line break', LINE],
    ['a tab', 'read\twrite'],
    ['a quotation mark', 'read "write"'],
    ['a backslash', 'read\\write'],
    ['a character of another direction', 'read \u202ewrite'],
    ['another alphabet', 'lesen schreiben ä'],
    ['20 kB', 'x'.repeat(20_000)],
    ['20 kB in values', 'read '.repeat(4_000)],
  ])('84. with %s is not recorded, with one warning, and the token is used', async (_, scope) => {
    server.alwaysRespond(() => server.nextToken({ scope }));
    const app = await start({ scope: 'read' });
    for (const forceRefresh of [false, true])
      expect(await app.token({ forceRefresh })).toMatchObject({ scope: undefined });
    expect(app.events.map((event) => 'scope' in event && event.scope)).not.toContain(scope);
    expect(app.log.texts.join()).not.toContain(scope.slice(0, 12));
    expect(app.log.texts.filter((line) => line.includes('a scope with other characters'))).toHaveLength(1);
  });

  it('84. with the secret in it is recorded without it', async () => {
    const secret = 'a-secret-of-this-client';
    server.respondWith(() =>
      server.nextToken({ scope: `read ${secret} ${base64(secret).replace(/=+$/, '')}` }),
    );
    const app = await start({ clientSecret: secret });
    expect((await app.token()).scope).toBe('read [redacted] [redacted]');
    expect(app.events).toMatchObject([{ scope: 'read [redacted] [redacted]' }]);
  });

  it('84. with the characters of RFC 6749 §3.3 is recorded as it is', async () => {
    const scope = 'https://api.example/.default a:b/c?d=e#f !~[]';
    server.respondWith(() => server.nextToken({ scope }));
    expect((await (await start()).token()).scope).toBe(scope);
  });
});

describe('84. The metadata of a server', () => {
  const secure = 'https://as.example/token';
  const authority = new Authority();
  const tls = authority.client('client');
  afterAll(() => authority.remove());

  it.each<[string, unknown]>([
    ['a line break', 'https://as.example/to\r\nken'],
    ['a tab', 'https://as.example/\ttoken'],
    ['a blank before it', ' https://as.example/token'],
    ['an escape character', 'https://as.example/\u001b[2J'],
    ['an invisible character', 'https://as.example/to\u200bken'],
    ['3 kB', `https://as.example/${'x'.repeat(3_000)}`],
    ['a user name', 'https://me@as.example/token'],
    ['an empty fragment', 'https://as.example/token#'],
    ['another scheme', 'file:///etc/passwd'],
    ['plain http', 'http://as.example/token'],
    ['no text', { href: secure }],
    ['a list', [secure]],
  ])(
    '84. an endpoint with %s is refused, by itself and as an alias for certificates',
    async (_, endpoint) => {
      const discovered = { clientId: 'me', clientSecret: SECRET, issuer: server.issuer };
      for (const [options, metadata] of [
        [discovered, { token_endpoint: endpoint }],
        [
          { ...discovered, tls },
          { token_endpoint: secure, mtls_endpoint_aliases: { token_endpoint: endpoint } },
        ],
      ] as const) {
        server.metadata = metadata;
        const app = await Application.client(options);
        const error = await app.failure();
        expect(error).toMatchObject({ code: 'token_response_invalid', retryable: false });
        expect((error as Error).message).toMatch(/names (no|a) token_endpoint/);
      }
      expect(server.tokenRequests).toHaveLength(0);
    },
  );
});
