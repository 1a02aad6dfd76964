import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { setTimeout as pause } from 'node:timers/promises';
import { BuoySandbox } from '../../sample-app/partners/buoy-sandbox.js';
import { HoneybeeSandbox } from '../../sample-app/partners/honeybee-sandbox.js';
import { ImagingSandbox } from '../../sample-app/partners/imaging-sandbox.js';
import { LabSandbox } from '../../sample-app/partners/lab-sandbox.js';
import type { PartnerSandbox } from '../../sample-app/partners/partner-sandbox.js';

interface Answer {
  status: number;
  headers: Headers;
  body: Record<string, unknown>;
}

async function ask(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init);
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as Record<string, unknown>,
  };
}

function postForm(
  url: string,
  fields: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return ask(url, { method: 'POST', body: new URLSearchParams(fields), headers });
}

function basic({ clientId, clientSecret }: PartnerSandbox, secret = clientSecret): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${clientId}:${secret}`).toString('base64')}` };
}

describe('the Buoy sandbox', () => {
  let buoy: BuoySandbox;
  beforeEach(async () => {
    buoy = await new BuoySandbox().start();
  });
  afterEach(() => buoy.close());

  const requestToken = (
    changes: Record<string, unknown> = {},
    contentType = 'application/json',
  ): Promise<Answer> =>
    ask(`${buoy.url}/oauth/token`, {
      method: 'POST',
      headers: { 'content-type': contentType },
      body: JSON.stringify({
        client_id: buoy.clientId,
        client_secret: buoy.clientSecret,
        audience: 'https://api.sandbox.buoyhealth.com',
        grant_type: 'client_credentials',
        ...changes,
      }),
    });

  const queries = (token: unknown): Promise<Answer> =>
    ask(`${buoy.url}/symptom-checker/v2/queries/?text=hip+pain&tag=1`, {
      headers: { authorization: `Bearer ${String(token)}` },
    });

  it('hands out a token for 24 hours to the documented JSON request, and counts it', async () => {
    const { status, body } = await requestToken();
    expect(status).toBe(200);
    expect(body).toEqual({ access_token: expect.any(String), token_type: 'Bearer', expires_in: 86_400 });
    expect(buoy.tokenRequests).toBe(1);
  });

  it('refuses a form, which the documentation does not label the body as', async () => {
    const { client_id, client_secret, audience } = {
      client_id: buoy.clientId,
      client_secret: buoy.clientSecret,
      audience: 'https://api.sandbox.buoyhealth.com',
    };
    const fields = { client_id, client_secret, audience, grant_type: 'client_credentials' };
    const { status, body } = await postForm(`${buoy.url}/oauth/token`, fields);
    expect([status, body['error']]).toEqual([400, 'invalid_request']);
  });

  it.each([
    ['a form under the JSON label', 400, 'invalid_request', 'grant_type=client_credentials'],
    ['a JSON text that is no object', 400, 'invalid_request', '"client_credentials"'],
  ])('refuses %s', async (_, status, error, body) => {
    const answer = await ask(`${buoy.url}/oauth/token`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    expect([answer.status, answer.body['error']]).toEqual([status, error]);
  });

  it.each([
    ['a wrong secret', { client_secret: 'wrong' }, 401, 'invalid_client'],
    ['an unknown client', { client_id: 'unknown' }, 401, 'invalid_client'],
    ['another grant', { grant_type: 'password' }, 400, 'unsupported_grant_type'],
    ['the audience of production', { audience: 'https://api.buoyhealth.com' }, 403, 'access_denied'],
    ['no audience', { audience: undefined }, 403, 'access_denied'],
  ])('refuses %s', async (_, changes, status, error) => {
    const answer = await requestToken(changes);
    expect([answer.status, answer.body['error']]).toEqual([status, error]);
    expect(answer.body).not.toHaveProperty('access_token');
    expect(buoy.tokenRequests).toBe(1);
  });

  it('answers a query as documented', async () => {
    const { body } = await requestToken();
    const answer = await queries(body['access_token']);
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      text: 'hip pain',
      tag: '1',
      suggestions: expect.arrayContaining(['hip pain at night']),
    });
  });

  it('answers 401 with the documented body to a token that is unknown, expired or revoked', async () => {
    const refused = { status: 401, body: { detail: 'Token is invalid or expired (decode).' } };
    await expect(queries('unknown')).resolves.toMatchObject(refused);

    buoy.tokenLifetimeMs = 1;
    const shortLived = await requestToken();
    await pause(10);
    await expect(queries(shortLived.body['access_token'])).resolves.toMatchObject(refused);

    buoy.tokenLifetimeMs = 60_000;
    const revoked = await requestToken();
    await expect(queries(revoked.body['access_token'])).resolves.toMatchObject({ status: 200 });
    buoy.revokeAll();
    await expect(queries(revoked.body['access_token'])).resolves.toMatchObject(refused);
  });

  it('is down for as long as it was told: no tokens, while the API goes on', async () => {
    const { body } = await requestToken();
    buoy.goDown(60_000);
    const down = await requestToken();
    expect([down.status, down.headers.get('retry-after')]).toEqual([503, '60']);
    await expect(queries(body['access_token'])).resolves.toMatchObject({ status: 200 });
    buoy.goDown(0);
    await expect(requestToken()).resolves.toMatchObject({ status: 200 });
    expect(buoy.tokenRequests).toBe(3);
  });
});

describe('the Honeybee sandbox', () => {
  let honeybee: HoneybeeSandbox;
  beforeEach(async () => {
    honeybee = await new HoneybeeSandbox().start();
  });
  afterEach(() => honeybee.close());

  const credentials = () => ({ client_id: honeybee.clientId, client_secret: honeybee.clientSecret });
  const requestToken = (
    fields: Record<string, string>,
    headers: Record<string, string> = {},
  ): Promise<Answer> =>
    postForm(`${honeybee.url}/oauth/token`, { grant_type: 'client_credentials', ...fields }, headers);
  const prescription = (token: unknown, accept = 'application/json', patient = 'p-1001'): Promise<Answer> =>
    ask(`${honeybee.url}/v1/patients/${patient}/rx`, {
      headers: { authorization: `Bearer ${String(token)}`, accept },
    });

  it('hands out a token as documented, to credentials in the body or as HTTP Basic', async () => {
    const inBody = await requestToken(credentials());
    const asBasic = await requestToken({}, basic(honeybee));
    for (const { status, headers, body } of [inBody, asBasic]) {
      expect(status).toBe(200);
      expect(headers.get('content-type')).toBe('application/json;charset=utf-8');
      expect(headers.get('cache-control')).toBe('no-store');
      expect(body).toEqual({
        access_token: expect.any(String),
        token_type: 'Bearer',
        expires_in: 43_200,
        created_at: expect.any(Number),
      });
      expect(Math.abs(Number(body['created_at']) - Date.now() / 1000)).toBeLessThan(60);
    }
    expect(honeybee.tokenRequests).toBe(2);
  });

  it('refuses JSON, wrong credentials, two authentication methods at once, and another grant', async () => {
    const asJson = ask(`${honeybee.url}/oauth/token`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...credentials(), grant_type: 'client_credentials' }),
    });
    await expect(asJson).resolves.toMatchObject({ status: 400, body: { error: 'invalid_request' } });

    const invalidClient = { status: 401, body: { error: 'invalid_client' } };
    await expect(requestToken({})).resolves.toMatchObject(invalidClient);
    await expect(requestToken({ ...credentials(), client_secret: 'wrong' })).resolves.toMatchObject(
      invalidClient,
    );
    await expect(requestToken({}, basic(honeybee, 'wrong'))).resolves.toMatchObject(invalidClient);
    await expect(requestToken(credentials(), basic(honeybee))).resolves.toMatchObject(invalidClient);

    const otherGrant = requestToken({ ...credentials(), grant_type: 'refresh_token' });
    await expect(otherGrant).resolves.toMatchObject({
      status: 400,
      body: { error: 'unsupported_grant_type' },
    });
  });

  it('answers 406 unless application/json is accepted, 404 to an unknown patient', async () => {
    const { body } = await requestToken(credentials());
    const token = body['access_token'];
    await expect(prescription(token)).resolves.toMatchObject({
      status: 200,
      body: { medication_request: { id: 123456 } },
    });
    await expect(prescription(token, '*/*')).resolves.toMatchObject({ status: 406 });
    await expect(prescription(token, 'application/json', 'p-9999')).resolves.toMatchObject({ status: 404 });
  });

  it('answers 401 to a token that is unknown, expired or revoked', async () => {
    await expect(prescription('unknown')).resolves.toMatchObject({ status: 401 });
    honeybee.tokenLifetimeMs = 1;
    const shortLived = await requestToken(credentials());
    await pause(10);
    await expect(prescription(shortLived.body['access_token'])).resolves.toMatchObject({ status: 401 });
    honeybee.tokenLifetimeMs = 60_000;
    const revoked = await requestToken(credentials());
    honeybee.revokeAll();
    await expect(prescription(revoked.body['access_token'])).resolves.toMatchObject({ status: 401 });
  });
});

describe('the lab sandbox', () => {
  let lab: LabSandbox;
  beforeEach(async () => {
    lab = await new LabSandbox().start();
  });
  afterEach(() => lab.close());

  const requestToken = (fields: Record<string, string> = {}, headers = basic(lab)): Promise<Answer> =>
    postForm(
      `${lab.url}/token`,
      {
        grant_type: 'client_credentials',
        scope: 'results:read',
        resource: lab.environment['OAUTH_LAB_RESOURCE'] ?? '',
        ...fields,
      },
      headers,
    );
  const results = (token: unknown, patient = 'p-1001'): Promise<Answer> =>
    ask(`${lab.environment['OAUTH_LAB_BASE_URL']}patients/${patient}/results`, {
      headers: { authorization: `Bearer ${String(token)}` },
    });

  it('publishes metadata of its own address', async () => {
    const { body } = await ask(`${lab.url}/.well-known/openid-configuration`);
    expect(body).toMatchObject({ issuer: lab.url, token_endpoint: `${lab.url}/token` });
    expect(lab.tokenRequests).toBe(0);
  });

  it('hands out a token with the scope, which the API honours', async () => {
    const { status, body } = await requestToken();
    expect(status).toBe(200);
    expect(body).toMatchObject({ token_type: 'Bearer', expires_in: 600, scope: 'results:read' });
    await expect(results(body['access_token'])).resolves.toMatchObject({
      status: 200,
      body: { patient: 'p-1001' },
    });
    await expect(results(body['access_token'], 'p-9999')).resolves.toMatchObject({ status: 404 });
    expect(lab.tokenRequests).toBe(1);
  });

  it('refuses a wrong secret', async () => {
    const answer = await requestToken({}, basic(lab, 'wrong'));
    expect([answer.status, answer.body['error']]).toEqual([401, 'invalid_client']);
  });

  it('answers 401 to a token that is unknown, without the scope or the resource, expired or revoked', async () => {
    await expect(results('unknown')).resolves.toMatchObject({ status: 401 });

    const withoutScope = await requestToken({ scope: '' });
    expect(withoutScope.status).toBe(200);
    await expect(results(withoutScope.body['access_token'])).resolves.toMatchObject({ status: 401 });

    const withoutResource = await postForm(
      `${lab.url}/token`,
      { grant_type: 'client_credentials', scope: 'results:read' },
      basic(lab),
    );
    expect(withoutResource.status).toBe(200);
    await expect(results(withoutResource.body['access_token'])).resolves.toMatchObject({ status: 401 });

    lab.tokenLifetimeMs = 1_000;
    const shortLived = await requestToken();
    expect(shortLived.body).toMatchObject({ expires_in: 1 });
    await pause(2_100);
    await expect(results(shortLived.body['access_token'])).resolves.toMatchObject({ status: 401 });

    lab.tokenLifetimeMs = 60_000;
    const revoked = await requestToken();
    await expect(results(revoked.body['access_token'])).resolves.toMatchObject({ status: 200 });
    lab.revokeAll();
    await expect(results(revoked.body['access_token'])).resolves.toMatchObject({ status: 401 });
  });

  it('is down for as long as it was told, its metadata too, while the API goes on', async () => {
    const { body } = await requestToken();
    lab.goDown(60_000);
    await expect(requestToken()).resolves.toMatchObject({ status: 503 });
    await expect(ask(`${lab.url}/.well-known/openid-configuration`)).resolves.toMatchObject({ status: 503 });
    await expect(results(body['access_token'])).resolves.toMatchObject({ status: 200 });
    lab.goDown(0);
    await expect(requestToken()).resolves.toMatchObject({ status: 200 });
  });
});

describe('the imaging sandbox', () => {
  let imaging: ImagingSandbox;
  beforeEach(async () => {
    imaging = await new ImagingSandbox().start();
  });
  afterEach(() => imaging.close());

  const requestToken = (account: { clientId: string; clientSecret: string }, fields = {}): Promise<Answer> =>
    postForm(
      `${imaging.url}/token`,
      { grant_type: 'client_credentials', ...fields },
      {
        authorization: `Basic ${Buffer.from(`${account.clientId}:${account.clientSecret}`).toString('base64')}`,
      },
    );
  const images = (clinic: string, token: unknown, patient = 'p-1001'): Promise<Answer> =>
    ask(`${imaging.url}/clinics/${clinic}/patients/${patient}/images`, {
      headers: { authorization: `Bearer ${String(token)}` },
    });

  it('honours a token at the URL of its own clinic only', async () => {
    const north = imaging.openAccount('north');
    imaging.openAccount('south');
    const { body } = await requestToken(north);
    await expect(images('north', body['access_token'])).resolves.toMatchObject({ status: 200 });
    await expect(images('north', body['access_token'], 'p-9')).resolves.toMatchObject({ status: 404 });
    await expect(images('south', body['access_token'])).resolves.toMatchObject({ status: 401 });
    await expect(images('nobody', body['access_token'])).resolves.toMatchObject({ status: 401 });
  });

  it('honours nothing of a closed account, and new credentials alone once it is open again', async () => {
    const former = imaging.openAccount('north');
    const { body } = await requestToken(former);
    imaging.closeAccount('north');
    await expect(requestToken(former)).resolves.toMatchObject({ status: 401 });
    const present = imaging.openAccount('north');
    await expect(requestToken(former)).resolves.toMatchObject({ status: 401 });
    await expect(images('north', body['access_token'])).resolves.toMatchObject({ status: 401 });
    await expect(requestToken(present)).resolves.toMatchObject({ status: 200 });
    await expect(requestToken(present, { grant_type: 'password' })).resolves.toMatchObject({ status: 400 });
  });

  it('revokes the tokens of one clinic, and counts what came of it', async () => {
    const accounts = { north: imaging.openAccount('north'), south: imaging.openAccount('south') };
    const north = (await requestToken(accounts.north)).body['access_token'];
    const south = (await requestToken(accounts.south)).body['access_token'];
    imaging.revoke('north');
    await expect(images('north', north)).resolves.toMatchObject({ status: 401 });
    await expect(images('south', south)).resolves.toMatchObject({ status: 200 });
    expect(imaging.countsOf('north')).toEqual({ tokenRequests: 1, refusedCalls: 1 });
    expect(imaging.countsOf('south')).toEqual({ tokenRequests: 1, refusedCalls: 0 });
  });
});
