import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { AccessToken, OAuthClientError } from 'nestjs-oauth-client';
import { Application } from '../support/application.js';
import { CLIENT_SECRET } from '../support/server.js';

const MEMBERS = [
  'access_token',
  'token_type',
  'expires_in',
  'scope',
  'error',
  'error_description',
  '__proto__',
];
const hostile = fc.constantFrom(
  'Bearer',
  'a\r\nb: c',
  '\u001b[2J',
  '\u202e',
  -1,
  'DPoP',
  '9'.repeat(400),
  CLIENT_SECRET,
);

describe('Answers of a hostile authorization server', () => {
  it('8. 84. Whatever JSON it sends, callers get a token or a typed error without control characters', async () => {
    const api = await Application.withServer({ retry: { attempts: 1 } });
    const body = fc.dictionary(fc.constantFrom(...MEMBERS), fc.oneof(hostile, fc.jsonValue({ maxDepth: 2 })));
    await fc.assert(
      fc.asyncProperty(body, fc.constantFrom(200, 201, 400, 401, 503), async (members, status) => {
        api.server.alwaysRespond({ status, body: members });
        const outcome: unknown = await api.token({ forceRefresh: true }).catch((error: unknown) => error);
        if (outcome instanceof AccessToken) {
          expect(outcome.value).toMatch(/^[\x21-\x7e]+$/);
          expect(outcome.scope ?? '').not.toMatch(/[\p{Cc}\p{Cf}]/u);
          return;
        }
        expect(outcome).toBeInstanceOf(OAuthClientError);
        const { message } = outcome as OAuthClientError;
        expect(message).not.toMatch(/[\p{Cc}\p{Cf}]/u);
        expect(message.includes(CLIENT_SECRET)).toBe(false);
        expect(message.length).toBeLessThan(1_500);
      }),
      { numRuns: 80 },
    );
  });

  it.each([400, 503])('84. A body of %i nested deeper than any stack is a typed error', async (status) => {
    const api = await Application.withServer({ retry: { attempts: 1 } });
    const headers = { 'content-type': 'application/json' };
    const body = '['.repeat(400_000) + ']'.repeat(400_000);
    api.server.alwaysRespond({ status, headers, body });
    const error = await api.failure();
    expect(error).toBeInstanceOf(OAuthClientError);
    expect((error as OAuthClientError).cause).not.toBeInstanceOf(RangeError);
  });
});
