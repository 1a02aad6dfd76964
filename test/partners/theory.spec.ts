import { execFileSync } from 'node:child_process';
import { createPublicKey, type KeyObject } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { OAuthClientError } from 'nestjs-oauth-client';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { Application } from '../support/application.js';
import { closing } from '../support/closing.js';
import { cleanEnvironment } from '../support/environment.js';
import { CLIENT, KEY_ID, optionsOf, variablesOf, type Options, type Partner } from './partner.js';
import { PARTNERS } from './partners.js';

cleanEnvironment();
const folder = mkdtempSync(join(tmpdir(), 'partners-'));
const names = ['private.pem', 'certificate.pem', 'account.json', 'projected.jwt', 'other.jwt'];
const files = Object.fromEntries(names.map((name) => [name, join(folder, name)]));
let publicKey: KeyObject;

beforeAll(() => {
  const made = ['-keyout', join(folder, 'private.pem'), '-out', join(folder, 'certificate.pem')];
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=clinic'];
  execFileSync('openssl', [...request, ...made], { stdio: 'pipe' });
  const private_key = readFileSync(join(folder, 'private.pem'), 'utf8');
  publicKey = createPublicKey(private_key);
  const account = {
    type: 'service_account',
    client_email: 'robot@clinic.example',
    private_key,
    private_key_id: KEY_ID,
    token_uri: 'https://oauth2.googleapis.com/token',
  };
  writeFileSync(join(folder, 'account.json'), JSON.stringify(account));
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const projected = (aud: string) =>
    [part({ alg: 'RS256' }), part({ aud, exp, sub: 'system:serviceaccount:clinic:api' }), 'c2ln'].join('.');
  writeFileSync(join(folder, 'projected.jwt'), projected('api://AzureADTokenExchange'));
  writeFileSync(join(folder, 'other.jwt'), projected('https://elsewhere.example'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A fake that demands what the partner does. */
async function start({ demands, answers = {} }: Partner): Promise<[FakeAuthorizationServer, Options]> {
  const own =
    demands.parameters?.['grant_type'] !== undefined && demands.headers?.['Authorization'] === undefined;
  const signed = demands.assertion && !demands.assertion.audience?.startsWith('api:');
  const server = await FakeAuthorizationServer.start({
    ...answers,
    ...(own && { clients: { [CLIENT.clientId]: CLIENT.clientSecret } }),
    demands: { ...demands, ...(signed && { assertion: { ...demands.assertion, key: publicKey } }) },
  });
  return [closing(server), { tokenEndpoint: server.tokenEndpoint, baseURL: server.apiURL }];
}

/** Where the fake is, as the partner's options say it. */
function place(partner: Partner, server: FakeAuthorizationServer, here: Options): Options {
  const { requestToken, fhirBaseUrl } = partner.options;
  if (requestToken !== undefined) return { baseURL: server.apiURL };
  return fhirBaseUrl === undefined ? here : { fhirBaseUrl: server.url, baseURL: server.apiURL };
}

async function expectToWork(app: Application, server: FakeAuthorizationServer, partner: Partner) {
  const before = Date.now();
  expect((await app.get('/things')).status).toBe(200);
  expect((await app.get('/things')).status).toBe(200);
  expect(server.tokenRequests).toHaveLength(1);
  expect(server.apiRequests.filter(({ url }) => url === '/api/things')).toHaveLength(2);
  const { expiresAt } = await app.token();
  expect(Math.abs(expiresAt.getTime() - before - partner.lifetime * 1000)).toBeLessThan(20_000);
}

describe.each(Object.entries(PARTNERS))('75. partners: %s', (_, partners) => {
  it.each(partners.map((partner) => [partner.name, partner] as const))(
    '75. %s: one token for two API requests, from code',
    async (_name, partner) => {
      const [server, here] = await start(partner);
      const app = await Application.client(optionsOf(partner, place(partner, server, here), files));
      await expectToWork(app, server, partner);
    },
  );

  const plain = partners.filter((partner) => variablesOf(partner, {}, files) !== undefined);
  it.each(plain.map((partner) => [partner.name, partner] as const))(
    '76. %s: the same from variables',
    async (_name, partner) => {
      const [server, here] = await start(partner);
      const variables = variablesOf(partner, place(partner, server, here), files) ?? {};
      await expectToWork(await Application.environment(variables), server, partner);
    },
  );

  const odd = partners.filter(({ deadToken }) => deadToken !== undefined);
  if (odd.length > 0)
    it.each(odd.map((partner) => [partner.name, partner] as const))(
      '74. %s: a new token replaces it',
      async (_name, partner) => {
        const [server, here] = await start(partner);
        const app = await Application.client(optionsOf(partner, place(partner, server, here), files));
        await app.warmUp();
        server.respondToApiWith(partner.deadToken!);
        expect((await app.get('/things')).data).toMatchObject({ ok: true });
        expect(server.tokenRequests).toHaveLength(2);
      },
    );

  it.each(partners.map((partner) => [partner.name, partner] as const))(
    '75. %s: refuses what its documentation does not allow',
    async (_name, partner) => {
      const [server, here] = await start(partner);
      const other =
        partner.demands.authentication === 'client_secret_basic'
          ? 'client_secret_post'
          : 'client_secret_basic';
      const { wrong = { tokenEndpointAuthMethod: other } } = partner;
      const options = { ...partner, options: { ...partner.options, ...wrong } };
      const app = await Application.client(optionsOf(options, place(partner, server, here), files));
      const error = await app.failure(app.get('/things'));
      const status = (error as { response?: { status: number } }).response?.status;
      expect(['token_request_rejected', 400, 401]).toContain(
        error instanceof OAuthClientError ? error.code : status,
      );
    },
  );
});
