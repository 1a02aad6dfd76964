import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Application } from '../support/application.js';
import { Recorder } from '../support/recorder.js';
import { asSerializer, asTracker, everyOwnKey } from '../support/walks.js';

const names = fc.stringMatching(/^X-[A-Za-z][A-Za-z0-9-]{0,12}$/);

/** Where a library that walks everything comes by a token. */
function pathsToTokens(value: unknown): string[] {
  return [everyOwnKey, asSerializer, asTracker].flatMap((walk) =>
    walk(value).flatMap(([path, text]) => (/access-token-\w/.test(text) ? [path] : [])),
  );
}

describe('The header that a token goes in', () => {
  it('43. 82. Whatever its name, no redirect takes it elsewhere, and no error or response shows it', async () => {
    await fc.assert(
      fc.asyncProperty(names, fc.constantFrom(302, 307, 308), async (name, status) => {
        const evil = await Recorder.start();
        const api = await Application.withServer({ tokenHeader: { name } });
        api.server.onApiRequest = ({ url }) =>
          url.endsWith('/away')
            ? { status, headers: { location: `${evil.origin}/x` }, body: {} }
            : { status: 403, body: {} };
        await api.get('/away').then((response) => expect(pathsToTokens(response)).toEqual([]));
        expect(evil.requests).toHaveLength(1);
        expect(JSON.stringify(evil.requests[0]?.rawHeaders)).not.toMatch(/access-token/);
        expect(pathsToTokens(await api.failure(api.get('/x')))).toEqual([]);
        expect(api.server.apiRequests.at(-1)?.headers[name.toLowerCase()]).toMatch(/access-token-1$/);
      }),
      { numRuns: 12 },
    );
  });
});
