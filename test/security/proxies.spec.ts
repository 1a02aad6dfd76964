import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Agent } from 'node:https';
import type { OAuthClientOptions } from 'nestjs-oauth-client';
import { Application } from '../support/application.js';
import { Authority, fingerprintOf } from '../support/certificates.js';
import { closing } from '../support/closing.js';
import { ConnectProxy, type ProxyKind } from '../support/connect-proxy.js';
import { TlsServer } from '../support/tls-server.js';

const SECRET = 'secret-of-the-client-5b1e';
let authority: Authority;
let other: Authority;
beforeAll(() => {
  authority = new Authority();
  other = new Authority();
});
afterAll(() => {
  authority.remove();
  other.remove();
});

/** A client behind a proxy, whose servers have certificates of `by`. */
async function behind(kind: ProxyKind, by = authority, more?: (proxy: ConnectProxy) => OAuthClientOptions) {
  const proxy = closing(await ConnectProxy.start(kind));
  const body = { access_token: 'access-token-1', token_type: 'Bearer', expires_in: 3_600 };
  const server = closing(await TlsServer.start(by, () => ({ status: 200, body }), { demanding: false }));
  const api = await Application.client({
    tokenEndpoint: `${server.url}/token-path`,
    baseURL: server.url,
    clientId: 'me',
    clientSecret: SECRET,
    http: { proxy: proxy.address, httpsAgent: new Agent({ ca: authority.ca }) },
    ...more?.(proxy),
  });
  return { api, proxy, server };
}

const seenBy = ({ seen }: ConnectProxy) =>
  [SECRET, Buffer.from(`me:${SECRET}`).toString('base64'), 'token-path', 'access-token', 'api-path'].filter(
    (text) => seen.includes(text),
  ).length;

describe('Through a proxy', () => {
  it('83. A proxy that leads the tunnel to a server of its own gets no credentials, since its certificate is another’s', async () => {
    const { api, proxy, server } = await behind({}, other);
    expect(await api.failure(api.get('/api-path'))).toMatchObject({
      code: 'authorization_server_unavailable',
    });
    expect(server.requests).toHaveLength(0);
    expect(seenBy(proxy)).toBe(0);
  });

  it('83. Nor with a certificate of the client, which only the server itself is shown', async () => {
    const tls = { ...authority.client('me'), ca: authority.ca };
    const strange = await behind({}, other, (proxy) => ({ tls, http: { proxy: proxy.address } }));
    expect(await strange.api.failure()).toMatchObject({ code: 'authorization_server_unavailable' });
    expect(strange.server.requests).toHaveLength(0);
    const sound = await behind({}, authority, (proxy) => ({
      tls,
      http: { proxy: proxy.address },
    }));
    await sound.api.get('/api-path');
    expect(new Set(sound.server.requests.map(({ certificate }) => certificate))).toEqual(
      new Set([fingerprintOf(tls)]),
    );
    expect(seenBy(sound.proxy)).toBe(0);
  });
});
