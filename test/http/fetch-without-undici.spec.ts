import { expect, it, jest } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import type { OAuthClientOptions } from 'nestjs-oauth-client';

jest.unstable_mockModule('undici', () => {
  throw new Error("Cannot find package 'undici'");
});
const { InjectOAuthFetch } = await import('nestjs-oauth-client');
const { Application } = await import('../support/application.js');

@Injectable()
class Service {
  constructor(@InjectOAuthFetch('partner') readonly fetch: typeof globalThis.fetch) {}
}

const client = (own: OAuthClientOptions): OAuthClientOptions => ({
  tokenEndpoint: 'https://server.test/token',
  baseURL: 'https://api.test',
  clientId: 'me',
  clientSecret: 'my-secret-4711',
  ...own,
});
const boot = (own: OAuthClientOptions, providers: (typeof Service)[]) =>
  Application.start({ oauth: { clients: { partner: client(own) } }, providers });

const needing: [string, OAuthClientOptions][] = [
  ['tls', { tls: { ca: () => 'never read' } }],
  ['http.proxy', { http: { proxy: { host: '127.0.0.1', port: 9 } } }],
];

it.each(needing)(
  '77. Without the package undici, %s is a problem at boot when fetch is injected',
  async (name, own) => {
    await expect(boot(own, [Service])).rejects.toMatchObject({
      code: 'configuration_invalid',
      problems: [
        `Client "partner": ${name} needs the package undici to work with fetch; install it, or send its requests by @InjectOAuthHttp.`,
      ],
    });
    const { app } = await boot(own, []);
    expect(app).toBeDefined();
  },
);

it('77. Nothing else needs it', async () => {
  const { app } = await boot({}, [Service]);
  expect(app.get(Service).fetch).toBeInstanceOf(Function);
});
