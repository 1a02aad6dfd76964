import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Application } from '../support/application.js';
import { echoAuthorization } from '../support/server.js';

describe('Between tenants', () => {
  it('80. A request object that its caller refills between calls gives no tenant another one’s token', async () => {
    const api = await Application.withServer();
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

  it('77. 80. What a fetch was asked, and its headers, stay as they were when it was called', async () => {
    const api = await Application.withServer();
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
    const api = await Application.withServer();
    for (let i = 0; i < 2; i++) {
      expect(await api.failure(api.fetch()('/x', { oauth }))).toMatchObject({
        code: 'configuration_invalid',
      });
      await api.warmUp();
    }
    expect(api.posts).toBe(1);
  });
});
