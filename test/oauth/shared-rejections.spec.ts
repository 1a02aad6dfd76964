import { describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { MemoryTokenStore, type OAuthClientOptions, type StoredToken } from 'nestjs-oauth-client';
import { systemClock } from '../../lib/core/clock.js';
import { Application } from '../support/application.js';
import { CLIENT_ID, clientOf, sharedServer } from '../support/server.js';

const server = await sharedServer();
const SECRET = 'a-revoked-secret-19be';

/** Keeps all that was ever written. */
class RecordingStore extends MemoryTokenStore {
  readonly written: StoredToken[] = [];

  override set(key: string, token: StoredToken): Promise<void> {
    this.written.push(token);
    return super.set(key, token);
  }
}

/** Two instances of one service that ask one after the other; gives the token requests that they made. */
async function requestsOf(
  one: OAuthClientOptions,
  other: OAuthClientOptions,
  { aheadMs = 0, store = new RecordingStore() } = {},
): Promise<number> {
  server.clients = { [CLIENT_ID]: 'the-new-secret-55d0' };
  server.alwaysRespond(undefined);
  const clock = { ...systemClock, now: () => Date.now() + aheadMs };
  const first = await Application.client(clientOf(server, one), { store });
  const second = await Application.client(clientOf(server, other), { store, clock });
  for (const app of [first, second])
    expect(await app.failure()).toMatchObject({
      code: 'token_request_rejected',
      error: 'invalid_client',
      status: 401,
    });
  return server.tokenRequests.length;
}

describe('A rejection in a store that instances share', () => {
  it.each(['client_secret_basic', 'client_secret_post', 'client_secret_jwt'] as const)(
    '85. The same credentials (%s) are not sent again by another instance; others are',
    async (tokenEndpointAuthMethod) => {
      const own = { tokenEndpointAuthMethod, clientSecret: SECRET };
      expect(await requestsOf(own, own)).toBe(1);
      server.reset();
      expect(await requestsOf(own, { ...own, clientSecret: () => 'another-secret-77aa' })).toBe(2);
    },
  );

  it('85. A secret that is read from a function is the same if its text is', async () => {
    expect(await requestsOf({ clientSecret: SECRET }, { clientSecret: () => Promise.resolve(SECRET) })).toBe(
      1,
    );
  });

  it('85. Credentials in headers of the token request are told apart as well', async () => {
    const own = (sent: string): OAuthClientOptions => ({
      tokenEndpointAuthMethod: 'none',
      clientSecret: undefined,
      tokenRequestHeaders: { Authorization: () => `Basic ${sent}` },
    });
    const extension = { grant: { type: 'account_credentials' } };
    for (const more of [{}, extension]) {
      expect(await requestsOf({ ...own(SECRET), ...more }, { ...own(SECRET), ...more })).toBe(1);
      server.reset();
      expect(await requestsOf({ ...own(SECRET), ...more }, { ...own('another-secret-77aa'), ...more })).toBe(
        2,
      );
      server.reset();
    }
  });

  it('85. What is signed with another clock is not the same', async () => {
    const own = { tokenEndpointAuthMethod: 'client_secret_jwt', clientSecret: SECRET } as const;
    expect(await requestsOf(own, own, { aheadMs: 3_600_000 })).toBe(2);
  });

  it('85. 66. The store shows neither the secret nor a hash that a guess could be compared with', async () => {
    const store = new RecordingStore();
    await requestsOf({ clientSecret: SECRET }, { clientSecret: SECRET }, { store });
    expect(store.written).toHaveLength(1);
    const text = JSON.stringify(store.written);
    expect(text).toContain('credentials');
    expect(text).not.toContain(SECRET);
    for (const encoding of ['hex', 'base64', 'base64url'] as const)
      expect(text).not.toContain(createHash('sha256').update(SECRET).digest(encoding));
  });
});
