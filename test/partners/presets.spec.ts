import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import { decodeProtectedHeader } from 'jose';
import { OAuthConfigurationError } from 'nestjs-oauth-client';
import {
  entra,
  googleServiceAccount,
  shopify,
  smartBackend,
  walmart,
  zoom,
} from 'nestjs-oauth-client/partners';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { Application } from '../support/application.js';
import { closing } from '../support/closing.js';
import { cleanEnvironment } from '../support/environment.js';

cleanEnvironment();
const folder = mkdtempSync(join(tmpdir(), 'presets-'));
afterAll(() => rmSync(folder, { recursive: true }));

let server: FakeAuthorizationServer;
beforeEach(async () => {
  server = closing(await FakeAuthorizationServer.start());
});

const pem = (pair: { privateKey: { export(options: object): string | Buffer } }) =>
  pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const rsa = pem(generateKeyPairSync('rsa', { modulusLength: 2048 }));
const p384 = pem(generateKeyPairSync('ec', { namedCurve: 'secp384r1' }));
const write = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const secrets = [rsa.split('\n')[1]!, p384.split('\n')[1]!, 'shown-once'];
const credentials = { clientId: 'clinic', clientSecret: 'shown-once' };
const headerOf = (at: number, name = 'client_assertion') =>
  decodeProtectedHeader(server.tokenRequests[at]!.form!.get(name)!);

describe('smartBackend', () => {
  it.each([
    ['RSA', rsa, 'RS384'],
    ['P-384', p384, 'ES384'],
  ])('75. a key of type %s signs as SMART wants it, from a file and from code', async (type, key, alg) => {
    const own = { fhirBaseUrl: `${server.url}/`, clientId: 'clinic', keyId: 'k', scope: 'system/*.rs' };
    const privateKeyFile = write(`${type}.pem`, key);
    for (const given of [{ privateKeyFile }, { privateKey: key }, { privateKey: async () => key }]) {
      const partner = smartBackend({ ...own, ...given, baseURL: server.apiURL });
      const app = await Application.start({ oauth: { clients: { partner } }, secrets });
      await app.token();
    }
    expect(server.metadataRequests.map(({ url }) => url)).toEqual(
      Array(3).fill('/.well-known/smart-configuration'),
    );
    for (const at of [0, 1, 2]) expect(headerOf(at)).toEqual({ alg, typ: 'JWT', kid: 'k' });
  });

  it('75. a document without an issuer will do, one without a token endpoint will not', async () => {
    const options = smartBackend({ fhirBaseUrl: server.url, clientId: 'clinic', privateKey: rsa });
    server.metadata = { issuer: undefined };
    await (await Application.client(options)).token();
    server.metadata = { token_endpoint: undefined };
    const app = await Application.client(options);
    expect(await app.failure()).toMatchObject({
      code: 'token_response_invalid',
      message: expect.stringContaining('Check metadataURL, or set tokenEndpoint instead.'),
    });
  });

  it('61. a text that is no key is a problem at boot', async () => {
    const options = smartBackend({ fhirBaseUrl: server.url, clientId: 'clinic', privateKey: 'odd-value' });
    await expect(Application.client(options)).rejects.toThrow('privateKey is not a private key');
  });
});

describe('googleServiceAccount', () => {
  const account = (key: string, id: string) =>
    JSON.stringify({
      type: 'service_account',
      client_email: 'robot@clinic.example',
      private_key: key,
      private_key_id: id,
      token_uri: server.tokenEndpoint,
    });

  it('75. the key and its ID are read at each token request', async () => {
    const keyFile = write('account.json', account(rsa, 'one'));
    const own = googleServiceAccount({ keyFile, scope: 'a' });
    const app = await Application.start({ oauth: { clients: { google: own } }, secrets });
    await app.token();
    write('account.json', account(rsa, 'two'));
    await app.token({ forceRefresh: true });
    expect([0, 1].map((at) => headerOf(at, 'assertion').kid)).toEqual(['one', 'two']);
    expect(server.tokenRequests[0]!.form!.has('scope')).toBe(false);
    write('account.json', account(rsa.replaceAll('\n', '\\n'), 'three'));
    await app.token({ forceRefresh: true });
    expect(headerOf(2, 'assertion').kid).toBe('three');
  });

  it.each([
    ['is missing', undefined],
    ['is no JSON', '{"private_key": "odd-value'],
    ['is of another kind', '{"type":"authorized_user","client_secret":"odd-value"}'],
    ['is null', 'null'],
  ])('61. a file that %s is a problem that shows nothing of it', (name, text) => {
    const keyFile = text === undefined ? join(folder, 'none.json') : write(`${name}.json`, text);
    const make = () => googleServiceAccount({ keyFile, scope: 'a' });
    expect(make).toThrow('Partner "googleServiceAccount" needs another keyFile; set it to the path');
    expect(make).not.toThrow('odd-value');
  });
});

describe('walmart', () => {
  it('68. each request has a correlation ID of its own', async () => {
    const here = { tokenEndpoint: server.tokenEndpoint, baseURL: server.apiURL };
    const app = await Application.client(
      walmart({ ...credentials, ...here, tokenHeader: { name: 'Authorization' } }),
    );
    await app.get('/a');
    await app.get('/b');
    await app.get('/c', { headers: { 'WM_QOS.CORRELATION_ID': 'own' } });
    const ids = [...server.tokenRequests, ...server.apiRequests].map(
      ({ headers }) => headers['wm_qos.correlation_id'],
    );
    expect(new Set(ids).size).toBe(4);
    expect(ids.at(-1)).toBe('own');
  });
});

it.each(['of the token request', 'of the API request'])(
  '68. a function in http.headers that fails is a typed error %s, and what it threw is not shown',
  async (which) => {
    let calls = 0;
    const ask = () => {
      if (which === 'of the API request' && calls++ === 0) return 'fine';
      throw new Error('odd-value');
    };
    const here = { tokenEndpoint: server.tokenEndpoint, baseURL: server.apiURL };
    const app = await Application.client({ ...credentials, ...here, http: { headers: { 'X-Trace': ask } } });
    if (which === 'of the API request') await app.token();
    app.watch.add(await app.failure(app.get('/things')));
    expect(await app.failure(app.get('/things'))).toMatchObject({
      code: 'credentials_unavailable',
      message: expect.stringContaining('http.headers.X-Trace of OAuth client "partner"'),
    });
    expect(app.watch.seen).not.toContain('odd-value');
  },
);

describe('settings', () => {
  it.each([
    ['fhirBaseUrl', () => smartBackend({ fhirBaseUrl: 'odd value' })],
    ['tenantId', () => entra({ tenantId: '../odd-value' })],
    ['tenantId', () => entra({ tenantId: '..' })],
    ['accountId', () => zoom({ accountId: '' })],
    ['shop', () => shopify({ shop: 'odd-value.example/' })],
  ])('61. a %s that does not fit is an error with the remedy, without the value', (name, make) => {
    expect(make).toThrow(OAuthConfigurationError);
    expect(make).toThrow(`needs another ${name}; set it to`);
    expect(make).not.toThrow('odd');
  });

  it('the host of a shop may stand in place of its name', () => {
    expect(shopify({ shop: 'my-shop.myshopify.com' }).baseURL).toBe('https://my-shop.myshopify.com');
  });

  const problems = async (variables: Record<string, string>) => {
    const own = Object.entries(variables).map(([name, value]) => [`OAUTH_A_${name}`, value]);
    const failing = Application.environment({ OAUTH_CLIENTS: 'a', ...(Object.fromEntries(own) as object) });
    return failing.then(
      () => [],
      (error: unknown) => (error as OAuthConfigurationError).problems,
    );
  };
  const secret = { CLIENT_ID: 'clinic', CLIENT_SECRET: 'shown-once' };

  it.each(['smartBackend', 'smart-backend', 'SMART_BACKEND'])(
    '76. the preset may be spelt %s',
    async (name) => {
      const key = { CLIENT_ID: 'clinic', PRIVATE_KEY_FILE: write('smart.pem', rsa) };
      expect(await problems({ ...key, PARTNER: name, FHIR_BASE_URL: 'https://fhir.example' })).toEqual([]);
    },
  );

  it('61. settings that are missing, misspelt, of another partner, or without a partner are problems', async () => {
    expect(await problems({ ...secret, PARTNER: 'zoom', ACOUNT_ID: 'x' })).toEqual([
      'OAUTH_A_ACOUNT_ID is not a variable of client "a"; did you mean OAUTH_A_ACCOUNT_ID?',
      expect.stringContaining('OAUTH_A_ACCOUNT_ID: Partner "zoom" needs accountId; set it to the account ID'),
      expect.stringContaining('OAUTH_A_TOKEN_ENDPOINT is missing'),
    ]);
    expect(await problems({ ...secret, PARTNER: 'zoom', ACCOUNT_ID: 'x', SHOP: 'y' })).toEqual([
      'Client "a": OAUTH_A_SHOP is not a setting of partner zoom; remove it.',
    ]);
    expect(await problems({ ...secret, TOKEN_ENDPOINT: 'https://x.example', TENANT_ID: 'y' })).toEqual([
      'Client "a": OAUTH_A_TENANT_ID needs OAUTH_A_PARTNER.',
    ]);
  });
});

describe('entra', () => {
  const certified = (name: string) => {
    const files = ['-keyout', join(folder, `${name}.key`), '-out', join(folder, `${name}.crt`)];
    const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=clinic'];
    execFileSync('openssl', [...request, ...files], { stdio: 'pipe' });
    return ['key', 'crt'].map((end) => readFileSync(join(folder, `${name}.${end}`), 'utf8')) as [
      string,
      string,
    ];
  };

  it('61. a certificate that is not that of the key is a problem at boot', async () => {
    const [, certificate] = certified('other');
    const options = entra({ tenantId: 'contoso', clientId: 'clinic', privateKey: rsa, certificate });
    await expect(Application.client(options)).rejects.toThrow(
      'assertion.certificate is not the certificate of',
    );
  });

  it('75. 76. certificate and federated token may come as members of assertion, from code and from variables', async () => {
    const [key, certificate] = certified('own');
    const needed = { OAUTH_CLIENTS: 'partner', OAUTH_PARTNER_PARTNER: 'entra', OAUTH_PARTNER_TENANT_ID: 'contoso', OAUTH_PARTNER_CLIENT_ID: 'clinic', OAUTH_PARTNER_TOKEN_ENDPOINT: server.tokenEndpoint, OAUTH_PARTNER_SCOPE: 'a/.default' }; // prettier-ignore
    const oneLine = (pem: string) => pem.replaceAll('\n', '\\n');
    const own = {
      tenantId: 'contoso',
      clientId: 'clinic',
      tokenEndpoint: server.tokenEndpoint,
      scope: 'a/.default',
    };
    const apps = [
      await Application.client(entra({ ...own, privateKey: key, assertion: { certificate } })),
      await Application.environment({ ...needed, OAUTH_PARTNER_PRIVATE_KEY: oneLine(key), OAUTH_PARTNER_ASSERTION_CERTIFICATE: oneLine(certificate) }),
      await Application.client(entra({ ...own, assertion: { token: 'a.b.c' } })),
      await Application.environment({ ...needed, OAUTH_PARTNER_ASSERTION_TOKEN_FILE: write('projected', 'a.b.c\n') }),
    ]; // prettier-ignore
    for (const app of apps) await app.token();
    for (const at of [0, 1])
      expect(headerOf(at)).toMatchObject({ alg: 'PS256', typ: 'JWT', 'x5t#S256': expect.any(String) });
    for (const at of [2, 3]) expect(server.tokenRequests[at]!.form!.get('client_assertion')).toBe('a.b.c');
  });
});
