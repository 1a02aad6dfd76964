import { generateKeyPairSync } from 'node:crypto';
import { afterEach, describe, expect, it } from '@jest/globals';
import axios from 'axios';
import { SignJWT } from 'jose';
import { FakeAuthorizationServer, type FakeDemands } from '../../lib/testing.js';
import type { FakeAuthorizationServerOptions } from '../../lib/testing.js';

const http = axios.create({ validateStatus: () => true, proxy: false });
let server: FakeAuthorizationServer;
afterEach(() => server.close());

const start = async (demands: FakeDemands, options: FakeAuthorizationServerOptions = {}) => {
  server = await FakeAuthorizationServer.start({ clients: { me: 'secret' }, ...options, demands });
};
const FORM = 'application/x-www-form-urlencoded';
const good = { grant_type: 'client_credentials', client_id: 'me', client_secret: 'secret' };
const ask = (form: Record<string, string> = good, headers: Record<string, string> = {}) =>
  http.post<Record<string, string>>(server.tokenEndpoint, new URLSearchParams(form).toString(), {
    headers: { 'content-type': FORM, ...headers },
  });

describe('demands of the token request', () => {
  it.each<[string, FakeDemands, Record<string, string>, Record<string, string>, string]>([
    ['another method', { method: 'GET' }, good, {}, 'the method must be GET'],
    [
      'a charset',
      { contentType: FORM },
      good,
      { 'content-type': `${FORM};charset=utf-8` },
      `the Content-Type must be ${FORM}`,
    ],
    [
      'a wrong secret',
      { authentication: 'client_secret_post' },
      { ...good, client_secret: 'odd' },
      {},
      'the client must authenticate with client_secret_post',
    ],
    [
      'another place',
      { authentication: 'client_secret_basic' },
      good,
      {},
      'the client must authenticate with client_secret_basic',
    ],
    [
      'two places',
      { authentication: 'client_secret_post' },
      good,
      { authorization: 'Basic bWU6c2VjcmV0' },
      'the client must authenticate with client_secret_post',
    ],
    [
      'a secret where there is none',
      { authentication: 'none' },
      good,
      {},
      'the client must authenticate with none',
    ],
    [
      'a parameter too much',
      { parameters: { grant_type: /./ } },
      { ...good, odd: 'x' },
      {},
      'the parameter odd is missing, wrong or too much',
    ],
    [
      'a parameter less',
      { parameters: { grant_type: /./, scope: 'a' } },
      good,
      {},
      'the parameter scope is missing, wrong or too much',
    ],
    [
      'a header less',
      { headers: { 'X-Partner': 'me' } },
      good,
      {},
      'the header X-Partner is missing or wrong',
    ],
    ['no JWT', { assertion: {} }, good, {}, 'the assertion must be a JWT with a signature of the known key'],
  ])('refuse %s', async (_, demands, form, headers, why) => {
    await start(demands);
    const { status, data } = await ask(form, headers);
    expect([status, data['error_description']]).toEqual([400, why]);
  });

  it('let through what is right, and the API takes the token in the header that was named', async () => {
    await start({
      contentType: FORM,
      authentication: 'client_secret_post',
      parameters: { grant_type: 'client_credentials' },
      apiHeaders: { 'X-App': /^\d$/ },
      tokenHeader: { name: 'X-Token', scheme: '' },
    });
    expect((await ask()).data).toMatchObject({ access_token: 't1' });
    const call = async (headers: Record<string, string>) =>
      (await http.get(server.apiURL, { headers })).status;
    expect(await call({ 'x-app': '1', 'x-token': 't1' })).toBe(200);
    expect(await call({ 'x-app': 'a', 'x-token': 't1' })).toBe(400);
    expect(await call({ 'x-app': '1', authorization: 'Bearer t1' })).toBe(401);
  });
});

describe('demands of an assertion', () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const other = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const demands = {
    algorithm: 'RS256',
    header: { typ: 'JWT' },
    audience: 'token_endpoint',
    claims: { iss: 'me' },
    maxLifetime: 60,
    key: publicKey,
  };
  const sign = ({ alg = 'RS256', typ = 'JWT', iss = 'me', aud = '', seconds = 30, key = privateKey }) =>
    new SignJWT({ iss, aud: aud || server.tokenEndpoint, exp: Math.floor(Date.now() / 1000) + seconds })
      .setProtectedHeader({ alg, typ })
      .sign(key);

  it.each([
    [
      'the signature',
      { key: other.privateKey },
      'the assertion must be a JWT with a signature of the known key',
    ],
    ['alg', { alg: 'RS384' }, 'the assertion’s alg must be RS256'.replace('’', "'")],
    ['typ', { typ: 'x' }, "the assertion's typ is missing or wrong"],
    ['a claim', { iss: 'you' }, "the assertion's iss is missing or wrong"],
    ['aud', { aud: 'x' }, "the assertion's aud must be token_endpoint"],
    ['the lifetime', { seconds: 600 }, 'the assertion lives too long, or no more'],
    ['nothing', {}, undefined],
  ])('refuse one in which %s is wrong', async (_, wrong, why) => {
    await start({ authentication: 'private_key_jwt', assertion: demands });
    const form = { grant_type: 'client_credentials', client_id: 'me', client_assertion: await sign(wrong) };
    expect((await ask(form)).data['error_description']).toBe(why);
  });
});

it('odd answers still issue a token that the API knows, and odd refusals replace the usual one', async () => {
  await start(
    { parameters: { grant_type: 'client_credentials' } },
    {
      tokenPath: '/login',
      tokenResponse: ({ access_token }) => ({ data: { token: access_token } }),
      refusalResponse: ({ error_description: faultstring }) => ({
        status: 403,
        body: { fault: { faultstring } },
      }),
    },
  );
  expect(server.tokenEndpoint).toMatch(/\/login$/);
  expect((await ask()).data).toEqual({ data: { token: 't1' } });
  expect((await http.get(server.apiURL, { headers: { authorization: 'Bearer t1' } })).status).toBe(200);
  expect((await ask({ grant_type: 'odd' })).status).toBe(403);
});
