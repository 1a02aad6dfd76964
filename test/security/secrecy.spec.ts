import { describe, expect, it } from '@jest/globals';
import { AxiosError, type AxiosRequestConfig } from 'axios';
import fc from 'fast-check';
import { inspect } from 'node:util';
import { Application } from '../support/application.js';
import { CLIENT_SECRET } from '../support/server.js';
import { asSerializer, asTracker, everyOwnKey } from '../support/walks.js';

const TOKEN = /access-token-\w/;
type Redirected = Parameters<NonNullable<AxiosRequestConfig['beforeRedirect']>>;

/** Where a library that walks everything comes by a token. */
function pathsToTokens(value: unknown): string[] {
  return [everyOwnKey, asSerializer, asTracker].flatMap((walk) =>
    walk(value).flatMap(([path, text]) => (TOKEN.test(text) ? [path] : [])),
  );
}

describe('What never shows', () => {
  it.each<[string, object]>([
    ['Authorization', {}],
    ['a header of its own', { tokenHeader: { name: 'X-Partner-Token' } }],
    ['DPoP', { dpop: true }],
  ])('82. A beforeRedirect of the caller sees no token: %s', async (_, options) => {
    const api = await Application.withServer(options);
    if ('dpop' in options)
      api.server.alwaysRespond(() =>
        api.server.nextToken({ access_token: 'access-token-1', token_type: 'DPoP' }),
      );
    api.server.onApiRequest = ({ url }) =>
      url.endsWith('/moved') ? { redirectTo: '/api/x' } : { status: 200, body: {} };
    const seen: string[] = [];
    const beforeRedirect = (...given: Redirected) => {
      // Nothing but what is about this request; the loopback server's own objects are behind the rest.
      const [{ headers }, answer, sent] = given;
      seen.push(inspect([headers, answer, sent], { depth: 9 }));
    };
    await api.get('/moved', { beforeRedirect });
    expect(seen).toHaveLength(1);
    expect(seen.filter((text) => TOKEN.test(text) || /eyJ[\w-]+\.eyJ/.test(text))).toHaveLength(0);
  });

  it('82. Nothing that a library finds by walking a response, its config or an error made of them leads to a token', async () => {
    const api = await Application.withServer();
    const kinds = fc.constantFrom('response', 'wrapped', 'refused', 'reset', 'timeout');
    const methods = fc.constantFrom('get', 'post', 'put', 'delete');
    const adapter = fc.constantFrom('http', 'fetch');
    await fc.assert(
      fc.asyncProperty(kinds, methods, adapter, async (kind, method, by) => {
        const request = { url: '/x', method, adapter: by, timeout: kind === 'timeout' ? 40 : 2_000 };
        if (kind === 'refused') api.server.respondToApiWith({ status: 403, body: {} });
        if (kind === 'reset') api.server.respondToApiWith('reset');
        if (kind === 'timeout') api.server.respondToApiWith('hang');
        const outcome: unknown = await api.axios.request(request).then(
          (response) => {
            const { config, request: sent } = response;
            return kind === 'wrapped' ? new AxiosError('x', 'X', config, sent, response) : response;
          },
          (error: unknown) => error,
        );
        expect(pathsToTokens(outcome)).toEqual([]);
      }),
      { numRuns: 30 },
    );
    expect(api.authorizations.filter((value) => TOKEN.test(value ?? '')).length).toBeGreaterThan(0);
  });

  it('66. 84. Whatever a hostile server makes of the secret it was sent, no error, event or log shows it', async () => {
    const encodings: ((text: string) => string)[] = [
      String,
      (text) => text.toUpperCase(),
      (text) => Buffer.from(text).toString('base64'),
      (text) => Buffer.from(text).toString('base64url'),
      (text) => Buffer.from(text).toString('hex'),
      (text) => Buffer.from(text).toString('hex').replace(/../g, '%$&'),
      (text) => [...text].map((char) => `&#${char.charCodeAt(0)};`).join(''),
    ];
    const member = fc.constantFrom('error', 'error_description', 'message', 'detail', 'title');
    const around = fc.string({ maxLength: 300 });
    const status = fc.constantFrom(400, 401, 403, 500, 503);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...encodings),
        member,
        around,
        status,
        async (encode, name, text, code) => {
          const api = await Application.withServer({
            tokenEndpointAuthMethod: 'client_secret_post',
            retry: { attempts: 1 },
          });
          const said = encode(CLIENT_SECRET);
          api.server.alwaysRespond({ status: code, body: { [name]: `${text} ${said} ${text}` } });
          const error = await api.failure(api.token({ forceRefresh: true }));
          const shown = inspect([error, api.events, api.log.lines], { depth: 9 });
          expect(shown.includes(said)).toBe(false);
        },
      ),
      { numRuns: 60 },
    );
  });
});
