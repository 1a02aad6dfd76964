import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Application } from '../support/application.js';
import { CLIENT_ID, CLIENT_SECRET } from '../support/server.js';

const TAKEN = ['grant_type', 'client_id', 'client_secret', 'client_assertion', 'client_assertion_type', 'refresh_token', 'assertion', 'subject_token', 'actor_token']; // prettier-ignore

/** How forgiving servers would still read a name: in another case, with an index, other separators, wide letters or blanks. */
const spelling = fc
  .tuple(
    fc.constantFrom(...TAKEN),
    fc.array(
      fc.constantFrom<(name: string) => string>(
        (name) => name.toUpperCase(),
        (name) => `${name}[]`,
        (name) => `${name}[0]`,
        (name) => `[${name}]`,
        (name) => ` ${name} `,
        (name) => `${name}\u0000`,
        (name) => name.replace('_', '.'),
        (name) => name.replace('_', '-'),
        (name) => name.replace('_', ''),
        (name) => name.replace(/[a-z]/g, (char) => String.fromCharCode(char.charCodeAt(0) + 0xfee0)),
      ),
      { maxLength: 3 },
    ),
  )
  .map(([name, changes]) => changes.reduce((spelt, change) => change(spelt), name));

/** The most forgiving reading of a parameter's name. */
const plain = (name: string) =>
  name
    .normalize('NFKC')
    .toLowerCase()
    .replace(/\[\d*\]/g, '')
    .replace(/[^a-z]/g, '');

describe('Credentials', () => {
  it.each(['client_secret_basic', 'client_secret_post'] as const)(
    '68. Parameters from a web request bring no credential and no grant in, however their names are spelt: %s',
    async (tokenEndpointAuthMethod) => {
      const api = await Application.withServer({ tokenEndpointAuthMethod });
      const value = fc.constantFrom('evil', CLIENT_ID);
      await fc.assert(
        fc.asyncProperty(fc.dictionary(spelling, value, { minKeys: 1, maxKeys: 3 }), async (parameters) => {
          await api.token({ parameters, forceRefresh: true });
          const sent = [...(api.server.tokenRequests.at(-1)?.form ?? [])];
          const taken = TAKEN.map(plain);
          const values = sent.filter(([name]) => taken.includes(plain(name))).map(([, one]) => one);
          expect(
            values.filter((one) => !['client_credentials', CLIENT_ID, CLIENT_SECRET].includes(one)),
          ).toEqual([]);
          expect(sent.filter(([name]) => plain(name) === 'granttype')).toHaveLength(1);
          expect(sent.filter(([name]) => plain(name) === 'clientid').length).toBeLessThan(2);
        }),
        { numRuns: 80, examples: [[{ ' [grant_type] ': 'evil' }]] },
      );
    },
  );

  it('66. No secret stands in a URL of any request', async () => {
    const api = await Application.withServer({ tokenEndpointAuthMethod: 'client_secret_post' });
    await api.warmUp();
    const urls = [...api.server.tokenRequests, ...api.server.apiRequests].map(({ url }) => url);
    expect(urls).toHaveLength(2);
    expect(urls.some((url) => url.includes(CLIENT_SECRET) || url.includes('access-token'))).toBe(false);
  });
});
