import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { OAuthClientError, OAuthConfigurationError } from 'nestjs-oauth-client';
import { Application } from '../support/application.js';
import { Recorder } from '../support/recorder.js';
import { CLIENT_ID, CLIENT_SECRET } from '../support/server.js';

const PROTOCOL = ['grant_type', 'client_id', 'client_secret', 'client_assertion', 'client_assertion_type'];
const methods = ['client_secret_basic', 'client_secret_post'] as const;
const BASIC = `Basic ${Buffer.from(`${CLIENT_ID}:${CLIENT_SECRET}`).toString('base64')}`;

/** A name in another spelling, as somebody tries it who fills in a web form. */
const spelt = fc
  .tuple(fc.constantFrom(...PROTOCOL), fc.constantFrom('as it is', 'upper', 'blank', 'dash', 'camel'))
  .map(([name, how]) => {
    if (how === 'upper') return name.toUpperCase();
    if (how === 'blank') return ` ${name}`;
    if (how === 'dash') return name.replaceAll('_', '-');
    return how === 'camel' ? name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()) : name;
  });
const names = fc.oneof(spelt, fc.constantFrom('__proto__', 'constructor', 'toString', 'tenant'));

describe.each(methods)('Credentials, sent by %s', (tokenEndpointAuthMethod) => {
  it('9. 80. Whatever parameters a web request brings, the client authenticates as itself, once', async () => {
    const api = await Application.withServer({ tokenEndpointAuthMethod });
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(names, fc.constantFrom('evil', 'x&grant_type=evil')),
        async (parameters) => {
          const before = api.posts;
          const outcome: unknown = await api
            .token({ parameters, forceRefresh: true })
            .catch((error: unknown) => error);
          if (outcome instanceof Error) {
            expect(outcome).toBeInstanceOf(OAuthConfigurationError);
            expect(api.posts).toBe(before);
            return;
          }
          const { form, headers, url } = api.server.tokenRequests.at(-1)!;
          const byPost = tokenEndpointAuthMethod === 'client_secret_post';
          expect(form?.getAll('grant_type')).toEqual(['client_credentials']);
          expect(form?.getAll('client_secret')).toEqual(byPost ? [CLIENT_SECRET] : []);
          expect(form?.getAll('client_id')).toEqual(byPost ? [CLIENT_ID] : []);
          expect(headers.authorization).toBe(byPost ? undefined : BASIC);
          expect(url).not.toMatch(/secret|evil/);
        },
      ),
      { numRuns: 80 },
    );
    expect(api.posts).toBeGreaterThan(0);
  });

  it.each([301, 302, 303, 307, 308])(
    '31. A token endpoint that redirects by %i gets them nowhere',
    async (status) => {
      const evil = await Recorder.start();
      const api = await Application.withServer({ tokenEndpointAuthMethod, retry: { attempts: 1 } });
      const location = `${evil.origin}/token`;
      api.server.alwaysRespond({ status, body: {}, headers: { location } });
      const error = await api.failure();
      expect(error).toBeInstanceOf(OAuthClientError);
      expect((error as Error).message).toContain(evil.origin);
      expect(evil.requests).toHaveLength(0);
      expect(api.posts).toBe(1);
    },
  );
});
