import { Agent } from 'node:https';
import { afterAll, describe, expect, it } from '@jest/globals';
import type { OAuthClientOptions } from 'nestjs-oauth-client';
import { Application } from '../support/application.js';
import { Authority } from '../support/certificates.js';
import { closing } from '../support/closing.js';
import { ConnectProxy, type ProxyKind } from '../support/connect-proxy.js';
import { TlsServer } from '../support/tls-server.js';

const SECRET = 'secret-through-the-proxy-9d';
const authority = new Authority();
const identity = authority.client('tunnelled');
afterAll(() => authority.remove());

/** A client whose every request goes through a proxy to a server that speaks TLS. */
async function start(kind: ProxyKind, more: (ca: string) => OAuthClientOptions) {
  const server = closing(
    await TlsServer.start(
      authority,
      ({ url }) => ({
        status: 200,
        body:
          url === '/token' ? { access_token: 'access-token-1', token_type: 'Bearer', expires_in: 60 } : {},
      }),
      { demanding: false },
    ),
  );
  const proxy = closing(await ConnectProxy.start(kind));
  const { http, ...options } = more(authority.ca);
  const api = await Application.client({
    tokenEndpoint: `${server.url}/token`,
    baseURL: server.url,
    clientId: 'tunnelled',
    clientSecret: SECRET,
    http: { proxy: proxy.address, ...http },
    ...options,
  });
  return { api, proxy, server };
}

const ways: [string, (ca: string) => OAuthClientOptions][] = [
  ['an agent', (ca) => ({ http: { httpsAgent: new Agent({ ca }) } })],
  ['`tls`', (ca) => ({ tls: { ...identity, ca } })],
];

describe.each(ways)('Through a hostile proxy, by %s', (_, options) => {
  it('83. One that opens the tunnel learns where it leads, and nothing else', async () => {
    const { api, proxy, server } = await start({}, options);
    await api.get('/private-path');
    expect(server.requests.map(({ url }) => url)).toEqual(['/token', '/private-path']);
    expect(proxy.requestLines.every((line) => line === `CONNECT ${new URL(server.url).host}`)).toBe(true);
    expect(proxy.seen).not.toMatch(/access-token|private-path|secret-through|tunnelled/);
  });

  it.each<[ProxyKind['instead'] & {}]>([['drop'], [200], [302], [401], [403], [407], [500], [502]])(
    '83. One that does %s in place of a tunnel gets nothing, and nothing goes past it',
    async (instead) => {
      const { api, proxy, server } = await start({ instead }, options);
      const error = await api.failure(api.get('/private-path'));
      expect(error).toBeInstanceOf(Error);
      expect(server.requests).toHaveLength(0);
      expect(proxy.requestLines.length).toBeGreaterThan(0);
      expect(proxy.seen).not.toMatch(/access-token|private-path|secret-through/);
    },
  );
});
