import { describe, expect, it } from '@jest/globals';
import { OAuthClientError } from 'nestjs-oauth-client';
import { inspect } from 'node:util';
import { Application } from '../support/application.js';

const nested = (open: string, close: string, depth: number, inside = '') =>
  open.repeat(depth) + inside + close.repeat(depth);

describe('Answers are not trusted', () => {
  it.each<[string, number, string]>([
    ['lists, as an error', 400, nested('[', ']', 400_000)],
    ['lists, as an outage', 503, nested('[', ']', 400_000)],
    ['lists in a member, as an error', 400, `{"error_description":${nested('[', ']', 400_000)}}`],
    ['objects, as an error', 400, nested('{"message":', '}', 80_000, '1')],
    ['lists, as a success', 200, nested('[', ']', 400_000)],
    [
      'lists beside a token',
      200,
      `{"access_token":"access-token-1","expires_in":60,"x":${nested('[', ']', 400_000)}}`,
    ],
    [
      'lists beside a token, within the limit',
      200,
      `{"access_token":"access-token-1","expires_in":60,"x":${nested('[', ']', 8_000)}}`,
    ],
  ])(
    '84. A body that is nested deeper than any stack is a typed error or a token: %s',
    async (_, status, text) => {
      const api = await Application.withServer({ retry: { attempts: 1 } });
      const headers = { 'content-type': 'application/json' };
      api.server.alwaysRespond({ status, headers, body: text });
      const outcome: unknown = await api.token().catch((error: unknown) => error);
      if (text.includes('access-token')) expect(inspect(outcome)).toMatch(/^AccessToken\(/);
      else {
        expect(outcome).toBeInstanceOf(OAuthClientError);
        expect((outcome as OAuthClientError).cause).not.toBeInstanceOf(RangeError);
        expect((outcome as OAuthClientError).message).not.toMatch(/unexpectedly/);
      }
    },
  );

  it.each([
    ['a user name', (url: string) => url.replace('//', '//user:pass@')],
    ['a fragment', (url: string) => `${url}#x`],
    ['a line break', (url: string) => `${url}\r\nx`],
    ['another scheme', () => 'file:///etc/passwd'],
    ['plain http elsewhere', () => 'http://192.0.2.1/token'],
    ['no text', () => 17],
    ['3,000 characters', (url: string) => `${url}?${'x'.repeat(3_000)}`],
  ])('84. Credentials go to no token endpoint in metadata that has %s', async (_, change) => {
    const api = await Application.withServer(({ issuer }) => ({
      tokenEndpoint: undefined,
      issuer,
      retry: { attempts: 1 },
    }));
    api.server.metadata = { token_endpoint: change(api.server.tokenEndpoint) };
    expect(await api.failure()).toMatchObject({ code: 'token_response_invalid' });
    expect(api.posts).toBe(0);
  });
});
