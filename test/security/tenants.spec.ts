import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { TokenRequest } from 'nestjs-oauth-client';
import { Application } from '../support/application.js';
import { echoAuthorization } from '../support/server.js';

/** As a careless handler would build it of what a web request brings. */
const text = fc.oneof(
  fc.string({ minLength: 1, maxLength: 6 }).filter((value) => value.trim() !== ''),
  fc.constantFrom('a', 'b', 'a b', '["a"]', '__proto__', 'constructor', '\ud800', 'é', 'e\u0301', 'a&b=c'),
);
const list = fc.oneof(text, fc.array(text, { minLength: 1, maxLength: 2 }));
const scope = fc.constantFrom('read', 'write', 'read write', 'write read');
const request: fc.Arbitrary<TokenRequest> = fc.record(
  { scope, audience: list, resource: list, parameters: fc.dictionary(text, list, { maxKeys: 2 }) },
  { requiredKeys: [] },
);

/** An authorization server whose tokens say what was asked for. */
async function start() {
  const api = await Application.withServer();
  const asked = new Map<string, string>();
  let issued = 0;
  api.server.alwaysRespond(({ form }) => {
    const token = `access-token-${++issued}`;
    asked.set(
      token,
      [...(form ?? [])]
        .map((pair) => JSON.stringify(pair))
        .sort()
        .join(),
    );
    return api.server.nextToken({ access_token: token });
  });
  return { api, asked };
}

describe('Between tenants', () => {
  it('80. Two requests share a token only if the server is asked the same for both', async () => {
    const { api, asked } = await start();
    const what = async (one: TokenRequest) => {
      const shared = (await api.token(one)).value;
      const own = (await api.token({ ...one, forceRefresh: true })).value;
      return [asked.get(shared), asked.get(own)];
    };
    await fc.assert(
      fc.asyncProperty(request, request, async (one, other) => {
        for (const each of [one, other]) {
          const [shared, own] = await what(each);
          expect(shared?.split(',').sort()).toEqual(own?.split(',').sort());
        }
      }),
      { numRuns: 80 },
    );
  });

  it('80. A request object that its caller refills between calls gives no tenant another one’s token', async () => {
    const { api } = await start();
    api.server.alwaysRespond(({ form }) =>
      api.server.nextToken({ access_token: `access-token-of-${form?.get('tenant')}` }),
    );
    echoAuthorization(api.server);
    const tenants = fc.array(fc.stringMatching(/^[a-z]{1,3}$/), { minLength: 2, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(tenants, fc.boolean(), async (names, byFetch) => {
        const oauth = { parameters: { tenant: '' } };
        const send = api.fetch();
        const calls = names.map(async (name) => {
          oauth.parameters.tenant = name;
          if (!byFetch) return (await api.get('/x', { oauth })).data as { authorization: string };
          return (await (await send('/x', { oauth })).json()) as { authorization: string };
        });
        const answers = await Promise.all(calls);
        expect(answers.map(({ authorization }) => authorization)).toEqual(
          names.map((name) => `Bearer access-token-of-${name}`),
        );
      }),
      { numRuns: 40 },
    );
  });

  it('77. 80. What a fetch is asked stays as it was for a refresh in the background, and so do its headers', async () => {
    const { api } = await start();
    api.server.expiresIn = 2;
    api.server.alwaysRespond(({ form }) =>
      api.server.nextToken({ access_token: `access-token-of-${form?.get('tenant')}` }),
    );
    const oauth = { parameters: { tenant: 'a' } };
    const headers = { 'x-tenant': 'a' };
    const sent = api.fetch()('/x', { oauth, headers });
    Object.assign(headers, { 'x-tenant': 'b' });
    await sent;
    oauth.parameters.tenant = 'b';
    expect(api.server.apiRequests[0]?.headers['x-tenant']).toBe('a');
    await api.fetch()('/x', { oauth: { parameters: { tenant: 'a' }, forceRefresh: true } });
    expect(api.authorizations).toEqual(['Bearer access-token-of-a', 'Bearer access-token-of-a']);
  });

  it.each<[string, object]>([
    ['a parameter that is an object', { parameters: { tenant: new (class Tenant {})() } }],
    ['a parameter that is NaN', { parameters: { tenant: Number.NaN } }],
    ['an audience that is blank', { audience: ' ' }],
    ['a scope with a line break', { scope: 'a\r\nb' }],
  ])('77. 80. %s is a typed error of fetch too, with a token in hand and without', async (_, oauth) => {
    const { api } = await start();
    for (let i = 0; i < 2; i++) {
      expect(await api.failure(api.fetch()('/x', { oauth }))).toMatchObject({
        code: 'configuration_invalid',
      });
      await api.warmUp();
    }
    expect(api.posts).toBe(1);
  });
});
