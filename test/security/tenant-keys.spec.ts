import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { TokenRequest } from 'nestjs-oauth-client';
import { Application } from '../support/application.js';

const word = fc.constantFrom('a', 'b', 'a b', 'a,b', 'a&b=c', '{"a":"b"}', '%61');
const token = fc.constantFrom('a', 'b', 'a:b');
const texts = fc.oneof(word, fc.uniqueArray(word, { minLength: 1, maxLength: 2 }));
/** Requests that are easily taken for one another: the same few words in different places. */
const requests = fc.record(
  {
    scope: token,
    audience: texts,
    resource: texts,
    subjectToken: word,
    parameters: fc.dictionary(fc.constantFrom('tenant', 'a', 'b', '__proto__'), texts, { maxKeys: 2 }),
  },
  { requiredKeys: [] },
);

const listed = (value: string | readonly string[] | undefined) => [value ?? []].flat().sort();

/** What a request asks for, whatever the order. */
function meaningOf({ scope, audience, resource, subjectToken, parameters = {} }: TokenRequest): string {
  const further = Object.entries(parameters).map(([name, value]) => [name, listed(value)]);
  return JSON.stringify([
    listed(scope),
    listed(audience),
    listed(resource),
    listed(subjectToken),
    further.sort(),
  ]);
}

describe('Between tenants', () => {
  it('5. 80. Whatever two requests ask for, they share a token only if they ask for the same', async () => {
    const api = await Application.withServer({ grant: { type: 'token_exchange' } });
    api.server.alwaysRespond(() => api.server.nextToken());
    const owners = new Map<string, string>();
    await fc.assert(
      fc.asyncProperty(requests, requests, async (one, other) => {
        for (const request of [one, other]) {
          const meaning = meaningOf({ subjectToken: 'none', ...request });
          const { value } = await api.token({ subjectToken: 'none', ...request });
          expect(owners.get(value) ?? meaning).toBe(meaning);
          owners.set(value, meaning);
        }
      }),
      { numRuns: 150 },
    );
    expect(owners.size).toBeGreaterThan(50);
    expect(api.posts).toBe(owners.size);
  });

  it('80. One object that is refilled for the next tenant at any moment changes no request', async () => {
    const api = await Application.withServer();
    const tenants = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,6}$/), { minLength: 2, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(tenants, async (names) => {
        const parameters = { tenant: '' };
        const tokens = names.map((tenant) => {
          parameters.tenant = tenant;
          return api.token({ parameters });
        });
        parameters.tenant = 'nobody';
        const values = (await Promise.all(tokens)).map(({ value }) => value);
        expect(values).toEqual(
          names.map((tenant) => expect.stringMatching(new RegExp(`^access-token-${tenant}-`))),
        );
      }),
      { numRuns: 30 },
    );
  });
});
