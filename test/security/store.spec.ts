import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { MemoryTokenStore, type StoredToken } from 'nestjs-oauth-client';
import { inspect } from 'node:util';
import { Application } from '../support/application.js';

/** What somebody wrote in place of the entries of this package. */
class TamperedStore extends MemoryTokenStore {
  /** Entries by the end of their key: `''` for the token. */
  entry: (key: string) => unknown = () => undefined;

  override async get(key: string): Promise<StoredToken | undefined> {
    return (this.entry(key) ?? (await super.get(key))) as StoredToken | undefined;
  }
}

const sound = () => ({
  value: 'stored-token',
  tokenType: 'Bearer',
  issuedAt: Date.now() - 1_000,
  expiresAt: Date.now() + 3_600_000,
});
const isToken = (key: string) => /^[\da-f]{64}$/.test(key);

async function start() {
  const store = new TamperedStore();
  const api = await Application.withServer({ retry: { attempts: 1 } }, { store });
  return { api, store };
}

describe('What a shared store holds is not trusted', () => {
  it('58. A well-formed entry is used, so that the others below are refused for what they are', async () => {
    const { api, store } = await start();
    store.entry = (key) => (isToken(key) ? sound() : undefined);
    expect((await api.token()).value).toBe('stored-token');
    expect(api.posts).toBe(0);
  });

  it.each<[string, object]>([
    ['a value with a line break', { value: 'access-token-x\r\nx-evil: 1' }],
    ['a value that no header can carry', { value: 'access-token-\u20ac' }],
    ['an empty value', { value: '' }],
    ['a value that is no text', { value: { toString: 1 } }],
    ['no value', { value: undefined }],
    ['no type', { tokenType: undefined }],
    ['another type of token', { tokenType: 'Basic' }],
    ['a type with a line break', { tokenType: 'Bearer\r\nx-evil: 1' }],
    ['a scope with an escape sequence', { scope: 'a\u001b[2J' }],
    ['a scope that is no text', { scope: ['a'] }],
    ['a moment that is text', { expiresAt: '9999999999999' }],
    ['no end', { expiresAt: Number.POSITIVE_INFINITY }],
    ['a failure in place of a token', { value: '', failure: { message: 'x' } }],
  ])('58. An entry with %s counts as a miss', async (_, change) => {
    const { api, store } = await start();
    store.entry = (key) => (isToken(key) ? { ...sound(), ...change } : undefined);
    expect((await api.token()).value).toBe('access-token-1');
    await api.fetch()('/x');
    await api.get('/x');
    expect(api.authorizations).toEqual(['Bearer access-token-1', 'Bearer access-token-1']);
  });

  it('58. 84. A failure that somebody forged shows no control characters and no endless text', async () => {
    const { api, store } = await start();
    for (const message of ['\u001b[2J ok\r\nforged line', 'x'.repeat(200_000), 17]) {
      const further = { message: 'x', remedy: message, cause: message, retryAfterMs: message };
      for (const failure of [
        { message },
        { message: 'x', error: message, credentials: 'x' },
        further,
        { ...further, credentials: 'x' },
      ]) {
        store.entry = (key) => (isToken(key) ? undefined : { ...sound(), value: '', failure });
        const outcome: unknown = await api.token({ forceRefresh: true }).catch((error: unknown) => error);
        const shown = inspect([outcome, api.log.texts]);
        expect(shown.length).toBeLessThan(20_000);
        expect(shown).not.toMatch(/forged line/);
      }
    }
  });

  it('58. Whatever JSON stands there, calls go on with a token from the server', async () => {
    const { api, store } = await start();
    const value = fc.jsonValue({ maxDepth: 1 });
    const members = ['value', 'tokenType', 'scope', 'details', 'issuedAt', 'refreshToken', 'failure'];
    const entry = fc.oneof(value, fc.dictionary(fc.constantFrom(...members), value));
    await fc.assert(
      fc.asyncProperty(entry, async (foreign) => {
        store.entry = () => foreign;
        expect((await api.token({ forceRefresh: true })).value).toMatch(/^access-token-/);
      }),
      { numRuns: 60 },
    );
  });
});
