import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { OAuthConfigurationError } from 'nestjs-oauth-client';
import { buoy, honeybee } from 'nestjs-oauth-client/partners';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { mergeClientOptions } from '../../lib/options/resolved-options.js';
import { Application } from '../support/application.js';

let server: FakeAuthorizationServer;

beforeEach(async () => {
  server = await FakeAuthorizationServer.start();
});
afterEach(() => server.close());

/** The partner's hosts are not asked; its paths are, on a server of our own. */
const here = () => ({ tokenEndpoint: server.tokenEndpoint, baseURL: server.apiURL });
const credentials = { clientId: 'clinic', clientSecret: 'shown-once' };
const variables = (partner: string) => ({
  OAUTH_CLIENTS: 'partner',
  OAUTH_PARTNER_PARTNER: partner,
  OAUTH_PARTNER_CLIENT_ID: 'clinic',
  OAUTH_PARTNER_CLIENT_SECRET: 'shown-once',
  OAUTH_PARTNER_TOKEN_ENDPOINT: server.tokenEndpoint,
  OAUTH_PARTNER_BASE_URL: server.apiURL,
});

describe('47. Buoy Health, field by field', () => {
  it.each([
    ['production', undefined, 'buoyhealth.com'],
    ['production by name', 'production', 'buoyhealth.com'],
    ['sandbox', 'sandbox', 'sandbox.buoyhealth.com'],
  ])('47. %s: where it is and how it is asked', (_, environment, host) => {
    expect(buoy({ ...credentials, ...(environment !== undefined && { environment }) })).toEqual({
      ...credentials,
      tokenEndpoint: `https://auth.${host}/oauth/token`,
      tokenEndpointAuthMethod: 'client_secret_post',
      requestFormat: 'json',
      audience: `https://api.${host}`,
      baseURL: `https://api.${host}`,
      defaultLifetimeMs: 86_400_000,
    });
  });

  const scenario = async (app: Application, audience: string) => {
    // It documents a lifetime of 24 hours, and need not say so in each answer.
    server.alwaysRespond(() => server.nextToken({ expires_in: undefined }));
    const before = Date.now();
    const { data } = await app.axios.get<{ path: string }>('/symptom-checker/v2/queries/');
    await app.axios.get('/symptom-checker/v2/queries/');
    expect(data.path).toBe('/api/symptom-checker/v2/queries/');

    expect(server.tokenRequests).toHaveLength(1);
    const { method, headers, json } = server.tokenRequests[0]!;
    expect(method).toBe('POST');
    expect(headers['content-type']).toBe('application/json');
    expect(headers.authorization).toBeUndefined();
    expect(json).toEqual({
      grant_type: 'client_credentials',
      client_id: 'clinic',
      client_secret: 'shown-once',
      audience,
    });
    expect(server.apiRequests.map((request) => request.headers.authorization)).toEqual([
      'Bearer t1',
      'Bearer t1',
    ]);
    const lifetimeMs = (await app.token()).expiresAt.getTime() - before;
    expect(Math.abs(lifetimeMs - 86_400_000)).toBeLessThan(10_000);

    server.revokeAll(); // 401 {"detail": "Token is invalid or expired (decode)."}: ask the same endpoint again
    await app.axios.get('/symptom-checker/v2/queries/');
    expect(server.apiRequests.at(-1)!.headers.authorization).toBe('Bearer t2');
    expect(server.tokenRequests[1]!.json).toEqual(json);
  };

  it('47. from code: a real JSON object with the credentials and the audience; Bearer on all requests; asked again after a 401', async () => {
    await scenario(
      await Application.client(buoy({ ...credentials, ...here() })),
      'https://api.buoyhealth.com',
    );
  });

  it('47. from OAUTH_<NAME>_PARTNER and _ENVIRONMENT', async () => {
    const app = await Application.environment({ ...variables('buoy'), OAUTH_PARTNER_ENVIRONMENT: 'sandbox' });
    await scenario(app, 'https://api.sandbox.buoyhealth.com');
  });
});

describe('47. Honeybee Health, field by field', () => {
  it('47. where it is and how it is asked', () => {
    expect(honeybee(credentials)).toEqual({
      ...credentials,
      tokenEndpoint: 'https://auth.honeybeehealth.com/oauth/token',
      tokenEndpointAuthMethod: 'client_secret_post',
      tokenRequestHeaders: { 'Content-Type': 'application/x-www-form-urlencoded;charset=utf-8' },
      baseURL: 'https://partners.honeybeehealth.com',
      http: { headers: { Accept: 'application/json' } },
    });
  });

  const scenario = async (app: Application) => {
    server.alwaysRespond(() => ({
      status: 200,
      headers: { 'content-type': 'application/json;charset=utf-8', 'cache-control': 'no-store' },
      body: server.nextToken({ expires_in: 43_200, created_at: 1_592_972_935 }),
    }));
    const before = Date.now();
    await app.axios.get('/v1/patients/42/rx', { oauth: { scope: 'rx:read' } });

    const { headers, form } = server.tokenRequests[0]!;
    expect(headers['content-type']).toBe('application/x-www-form-urlencoded;charset=utf-8');
    expect(headers.authorization).toBeUndefined();
    expect(Object.fromEntries(form!)).toEqual({
      grant_type: 'client_credentials',
      client_id: 'clinic',
      client_secret: 'shown-once',
      scope: 'rx:read',
    });
    expect(server.apiRequests[0]).toMatchObject({
      url: '/api/v1/patients/42/rx',
      headers: { authorization: 'Bearer t1', accept: 'application/json' },
    });
    // Counted from the request, not from created_at.
    const { expiresAt } = await app.token({ scope: 'rx:read' });
    expect(Math.abs(expiresAt.getTime() - before - 43_200_000)).toBeLessThan(10_000);
    // Per API an optional scope: without one there is none in the request.
    await app.token();
    expect(server.tokenRequests[1]!.form!.has('scope')).toBe(false);
  };

  it('47. from code: form fields, Accept: application/json, a scope per request', async () => {
    await scenario(await Application.client(honeybee({ ...credentials, ...here() })));
  });

  it('47. from OAUTH_<NAME>_PARTNER', async () => {
    await scenario(await Application.environment(variables('honeybee')));
  });

  it('47. HTTP Basic instead, as its partner pages allow', async () => {
    const options = honeybee({ ...credentials, ...here(), tokenEndpointAuthMethod: 'client_secret_basic' });
    await (await Application.client(options)).token();
    const { headers, form } = server.tokenRequests[0]!;
    expect(headers.authorization).toBe(`Basic ${Buffer.from('clinic:shown-once').toString('base64')}`);
    expect([...form!.keys()]).toEqual(['grant_type']);
  });
});

describe('presets', () => {
  it('what is given wins, what is undefined does not, nested options merge', () => {
    const options = honeybee({
      ...credentials,
      scope: 'a',
      http: { timeout: 5 },
      baseURL: undefined,
    });
    expect(options).toMatchObject({
      scope: 'a',
      tokenRequestHeaders: { 'Content-Type': 'application/x-www-form-urlencoded;charset=utf-8' },
      baseURL: 'https://partners.honeybeehealth.com',
      http: { timeout: 5, headers: { Accept: 'application/json' } },
    });
  });

  it('of http the headers merge as well; a file takes the place of a secret', () => {
    const options = honeybee({ clientId: 'x', http: { headers: { 'X-Trace': 'a' } } });
    expect(options.http).toEqual({ headers: { Accept: 'application/json', 'X-Trace': 'a' } });
    const merged = mergeClientOptions(
      { clientSecret: 'a', privateKeyFile: '/k' },
      { clientSecretFile: '/s' },
    );
    expect(merged).toEqual({ clientSecretFile: '/s', privateKeyFile: '/k' });
  });

  it.each([
    ['buoy', () => buoy({ ...credentials, environment: 'staging' }), 'production or sandbox'],
    ['honeybee', () => honeybee({ ...credentials, environment: 'sandbox' }), 'production'],
    [
      'buoy, of a name from the prototype',
      () => buoy({ ...credentials, environment: 'constructor' }),
      'production',
    ],
  ])('an environment that %s does not document → an error that names those it does', (_, make, known) => {
    expect(make).toThrow(OAuthConfigurationError);
    expect(make).toThrow(known);
  });

  it('47. a missing secret is asked for by the variable it belongs in', async () => {
    const { OAUTH_PARTNER_CLIENT_SECRET: _, ...rest } = variables('honeybee');
    await expect(Application.environment(rest)).rejects.toThrow(
      'Client "partner": OAUTH_PARTNER_CLIENT_SECRET is missing; client_secret_post needs it, or OAUTH_PARTNER_CLIENT_SECRET_FILE.',
    );
  });
});
