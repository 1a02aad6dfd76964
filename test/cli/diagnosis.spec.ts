import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { FakeAuthorizationServer, type FakeAnswer } from 'nestjs-oauth-client/testing';
import type { ClientCheck } from '../../lib/cli/check-clients.js';
import { run } from '../../lib/cli/run.js';
import { Application } from '../support/application.js';
import { Authority } from '../support/certificates.js';
import { ConnectProxy } from '../support/connect-proxy.js';
import { cleanEnvironment } from '../support/environment.js';
import { TlsServer } from '../support/tls-server.js';

type Variables = Record<string, string | undefined>;

const SECRET = 'doctor-secret-never-shown';
const JWT: Variables = {
  CLIENT_SECRET: undefined,
  PRIVATE_KEY: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
}; // prettier-ignore
const POST: Variables = { TOKEN_ENDPOINT_AUTH_METHOD: 'client_secret_post' };
const JSON_BODY: Variables = { ...POST, REQUEST_FORMAT: 'json' };

cleanEnvironment();

let server: FakeAuthorizationServer;
let authority: Authority;

beforeAll(() => {
  authority = new Authority();
});
afterAll(() => authority.remove());
beforeEach(async () => {
  server = await FakeAuthorizationServer.start();
});
afterEach(() => server.close());

const refused = (error: string, description?: string, status = 400): FakeAnswer => ({
  status,
  body: { error, ...(description !== undefined && { error_description: description }) },
});
const said = (message: string, status = 400): FakeAnswer => ({ status, body: { message } });
const page = (title: string, status: number): FakeAnswer => ({
  status,
  headers: { 'content-type': 'text/html' },
  body: `<!DOCTYPE html><html><head><title>${title}</title></head><body>…</body></html>`,
});

describe('For a refusal the doctor names the options that fit it', () => {
  it.each<[string, FakeAnswer, Variables, string[]]>([
    ['a wrong secret by Basic', refused('invalid_client', undefined, 401), {}, ['CLIENT_ID', 'CLIENT_SECRET', 'TOKEN_ENDPOINT_AUTH_METHOD']],
    ['what a Rails server says of a wrong secret', refused('invalid_client', 'Client authentication failed due to unknown client, no client authentication included, or unsupported authentication method.', 401), {}, ['CLIENT_ID', 'CLIENT_SECRET', 'TOKEN_ENDPOINT_AUTH_METHOD']],
    ['a wrong secret in the body', refused('invalid_client', 'Bad client credentials', 401), POST, ['CLIENT_ID', 'CLIENT_SECRET', 'TOKEN_ENDPOINT_AUTH_METHOD']],
    ['a framework’s 401', { status: 401, body: { statusCode: 401, error: 'Unauthorized', message: 'Unauthorized' } }, {}, ['CLIENT_ID', 'CLIENT_SECRET', 'TOKEN_ENDPOINT_AUTH_METHOD']],
    ['characters that the two encodings treat differently', refused('invalid_client'), { CLIENT_SECRET: 'doctor/secret+odd=' }, ['CLIENT_ID', 'CLIENT_SECRET', 'BASIC_ENCODING', 'TOKEN_ENDPOINT_AUTH_METHOD']],
    ['a client_id that is missing', refused('invalid_request', 'client_id is missing'), {}, ['TOKEN_ENDPOINT_AUTH_METHOD']],
    ['a parameter client_id that is required', said('The parameter client_id is required'), {}, ['TOKEN_ENDPOINT_AUTH_METHOD']],
    ['credentials that are not provided', said('No client credentials provided', 401), {}, ['TOKEN_ENDPOINT_AUTH_METHOD']],
    ['an Authorization header that is missing', said('Missing Authorization header', 401), POST, ['TOKEN_ENDPOINT_AUTH_METHOD']],
    ['a method by name', refused('unauthorized_client', 'The client must use client_secret_post'), {}, ['TOKEN_ENDPOINT_AUTH_METHOD']],
    ['a 415', { status: 415, body: '' }, {}, ['REQUEST_FORMAT', 'TOKEN_REQUEST_HEADERS']],
    ['a 415 that is a page', page('Unsupported Media Type', 415), {}, ['REQUEST_FORMAT', 'TOKEN_REQUEST_HEADERS']],
    ['an unsupported content type', said('Unsupported content type'), {}, ['REQUEST_FORMAT', 'TOKEN_REQUEST_HEADERS']],
    ['a body that must be JSON', said('Content-Type must be application/json'), POST, ['REQUEST_FORMAT']],
    ['a body that is no JSON', said('Unexpected token g in JSON at position 0'), POST, ['REQUEST_FORMAT']],
    ['a charset that is missing', said('Content-Type must be application/x-www-form-urlencoded;charset=utf-8', 415), POST, ['TOKEN_REQUEST_HEADERS']],
    ['a form that is wanted', said('Content-Type must be application/x-www-form-urlencoded', 415), JSON_BODY, ['REQUEST_FORMAT']],
    ['a grant type that is not found', refused('invalid_request', 'Missing form parameter: grant_type'), JSON_BODY, ['REQUEST_FORMAT']],
    ['a grant type that is required', refused('invalid_request', 'grant_type is required'), POST, ['REQUEST_FORMAT']],
    ['an audience', refused('access_denied', 'Service not enabled within domain: unknown audience', 403), {}, ['AUDIENCE']],
    ['a target', refused('invalid_target'), {}, ['RESOURCE', 'AUDIENCE']],
    ['a scope', refused('invalid_scope'), {}, ['SCOPE']],
    ['a scope that is missing', refused('invalid_request', "AADSTS90014: The required field 'scope' is missing."), {}, ['SCOPE']],
    ['a grant that is not supported', refused('unsupported_grant_type'), {}, ['GRANT_TYPE']],
    ['a grant that is not allowed', refused('unauthorized_client', 'Not for this client'), {}, ['GRANT_TYPE']],
    ['invalid_grant for client credentials', refused('invalid_grant'), {}, ['CLIENT_ID', 'CLIENT_SECRET', 'TOKEN_ENDPOINT_AUTH_METHOD']],
    ['a JWT bearer grant', refused('invalid_grant'), { GRANT_TYPE: 'jwt_bearer', GRANT_ASSERTION: 'ey' }, ['GRANT_ASSERTION']],
    ['a grant of the partner’s own', refused('invalid_grant'), { GRANT_TYPE: 'account_credentials', GRANT_PARAMETERS: 'account_id=1' }, ['GRANT_PARAMETERS']],
    ['DPoP', refused('invalid_dpop_proof', 'A DPoP proof is required'), {}, ['DPOP']],
    ['an assertion', refused('invalid_client', undefined, 401), JWT, ['CLIENT_ID', 'ASSERTION_AUDIENCE', 'ASSERTION_TYP']],
    ['a missing secret, although the client has a key', refused('invalid_client', 'client_secret is required'), JWT, ['CLIENT_ID', 'ASSERTION_AUDIENCE', 'ASSERTION_TYP']],
    ['a key that has nothing to do with the assertion', refused('invalid_request', 'An idempotency key was repeated'), JWT, ['PARAMETERS', 'TOKEN_REQUEST_HEADERS']],
    ['its aud', refused('invalid_client', 'Invalid aud claim in the client assertion'), JWT, ['ASSERTION_AUDIENCE']],
    ['its audience', refused('invalid_client', 'JWT audience is not accepted'), JWT, ['ASSERTION_AUDIENCE']],
    ['its typ', refused('invalid_client', 'The typ header of the JWT must be JWT'), JWT, ['ASSERTION_TYP']],
    ['its algorithm', refused('invalid_client', 'Unexpected alg'), JWT, ['SIGNING_ALGORITHM']],
    ['its key', refused('invalid_client', 'AADSTS700027: Client assertion contains an invalid signature.'), JWT, ['KEY_ID', 'PRIVATE_KEY']],
    ['its expiry', refused('invalid_client', 'Assertion has expired'), JWT, ['ASSERTION_LIFETIME_MS']],
    ['a signed grant’s aud', refused('invalid_grant', 'Invalid JWT: bad audience'), { GRANT_TYPE: 'jwt_bearer', GRANT_ISSUER: 'me', TOKEN_ENDPOINT_AUTH_METHOD: 'client_secret_basic', PRIVATE_KEY: JWT['PRIVATE_KEY'] }, ['GRANT_AUDIENCE']],
    ['a client certificate', page('400 No required SSL certificate was sent', 400), {}, ['TLS_CERT', 'TLS_KEY']],
    ['a parameter of its own', refused('invalid_request', 'account is unknown'), {}, ['PARAMETERS', 'TOKEN_REQUEST_HEADERS']],
    ['a 403 of a gateway', page('Forbidden', 403), {}, ['CLIENT_ID', 'TOKEN_ENDPOINT_AUTH_METHOD']],
    ['a 404', page('Not Found', 404), {}, ['TOKEN_ENDPOINT']],
    ['a framework’s 404', { status: 404, body: { statusCode: 404, error: 'Not Found', message: 'Cannot POST /token' } }, {}, ['TOKEN_ENDPOINT']],
    ['a 404 with a code', { status: 404, body: { error: 'not_found' } }, {}, ['TOKEN_ENDPOINT']],
    ['a 405', { status: 405, body: '' }, {}, ['TOKEN_ENDPOINT']],
    ['a page', page('Bad Request', 400), {}, ['TOKEN_ENDPOINT']],
    ['a page with 200', page('Sign in', 200), {}, ['TOKEN_ENDPOINT']],
    ['a redirect', { status: 302, headers: { location: 'https://elsewhere.example/' }, body: '' }, {}, ['TOKEN_ENDPOINT']],
  ])('70. %s', async (_, answer, variables, options) => {
    server.alwaysRespond(answer);
    const { remedy } = await failed(variables);
    expect(namedIn(remedy)).toEqual(options);
    expect(server.tokenRequests).toHaveLength(1);
  }); // prettier-ignore

  it('70. a secret or key in a file is named by the file’s variable', async () => {
    const path = join(authority.folder, 'lab-credential');
    writeFileSync(path, SECRET);
    server.alwaysRespond(refused('invalid_client', undefined, 401));
    const { remedy } = await failed({ CLIENT_SECRET: undefined, CLIENT_SECRET_FILE: path });
    expect(namedIn(remedy)).toEqual(['CLIENT_ID', 'CLIENT_SECRET_FILE', 'TOKEN_ENDPOINT_AUTH_METHOD']);
    writeFileSync(path, JWT['PRIVATE_KEY'] ?? '');
    server.alwaysRespond(refused('invalid_client', 'The signature is wrong', 401));
    const ofKey = await failed({ CLIENT_SECRET: undefined, PRIVATE_KEY_FILE: path });
    expect(namedIn(ofKey.remedy)).toEqual(['KEY_ID', 'PRIVATE_KEY_FILE']);
  });

  it.each<[string, Variables, string]>([
    ['a secret', { CLIENT_SECRET: undefined, CLIENT_SECRET_FILE: '/missing' }, 'CLIENT_SECRET_FILE'],
    ['a key', { CLIENT_SECRET: undefined, PRIVATE_KEY_FILE: '/missing' }, 'PRIVATE_KEY_FILE'],
    ['a certificate', { TLS_CERT_FILE: '/missing', TLS_KEY_FILE: '/missing' }, 'TLS_CERT'],
    ['an assertion', { GRANT_TYPE: 'jwt_bearer', GRANT_ASSERTION_FILE: '/missing' }, 'GRANT_ASSERTION'],
  ])('70. %s in a file that is not there is named by its variable', async (_, variables, name) => {
    const { detail } = await failed(variables);
    expect(detail).toContain(`The OAUTH_LAB_${name} of OAuth client "lab" could not be read (ENOENT)`);
  });

  it('70. a scope of Entra gets the end that it lacks', async () => {
    const certified = authority.server();
    const entra = await TlsServer.start(
      authority,
      () => ({ status: 400, body: { error: 'invalid_scope' } }),
      {
        ...certified,
        demanding: false,
      },
    );
    const proxyless = {
      TOKEN_ENDPOINT: `${entra.url}/login.microsoftonline.com/t/token`,
      TLS_CA: authority.ca,
    };
    const { remedy } = await failed(proxyless);
    await entra.close();
    expect(remedy).toBe(
      'Check OAUTH_LAB_SCOPE against what the partner granted you, and let it end in /.default.',
    );
  });

  it('70. a token under another name leads to readTokenResponse, which only code can set', async () => {
    server.alwaysRespond({ data: { jwt: 'x' } });
    const { detail } = await failed({});
    expect(detail).toMatch(
      /members are data\.jwt; if the token is there, say with readTokenResponse where\.$/,
    );
  });

  it('70. a code that nobody knows leads to the documentation', async () => {
    server.alwaysRespond(refused('consent_required'));
    expect((await failed({})).remedy).toBe('Look the code up in the partner’s documentation.');
  });

  it('70. an outage is the partner’s', async () => {
    server.alwaysRespond({ status: 503, body: '' });
    expect((await failed({})).remedy).toBe('Try again later, or ask the partner.');
  });
});

describe('For a server that cannot be reached the doctor names', () => {
  const answer = () => ({ status: 200, body: { access_token: 't1', token_type: 'Bearer' } });

  it('70. the authority that is not trusted', async () => {
    const tls = await TlsServer.start(authority, answer, { demanding: false });
    const { remedy } = await failed({ TOKEN_ENDPOINT: tls.url });
    await tls.close();
    expect(namedIn(remedy)).toEqual(['TLS_CA']);
    expect(remedy).toContain('NODE_EXTRA_CA_CERTS');
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('70. the certificate that is demanded, by %s', async (version) => {
    const tls = await TlsServer.start(authority, answer, { minVersion: version, maxVersion: version });
    const endpoint = { TOKEN_ENDPOINT: tls.url, TLS_CA: authority.ca };
    const without = await failed(endpoint);
    const other = authority.selfSigned('stranger');
    const wrong = await failed({ ...endpoint, TLS_CERT: other.cert, TLS_KEY: other.key });
    await tls.close();
    expect(namedIn(without.remedy)).toEqual(['TLS_CERT', 'TLS_KEY']);
    expect(namedIn(wrong.remedy)).toEqual(['TLS_CERT']);
  });

  it('70. the host that the certificate does not belong to', async () => {
    const tls = await TlsServer.start(authority, answer, {
      ...authority.client('else.example'),
      demanding: false,
    });
    const { remedy } = await failed({ TOKEN_ENDPOINT: tls.url, TLS_CA: authority.ca });
    await tls.close();
    expect(remedy).toBe('Check OAUTH_LAB_TOKEN_ENDPOINT: the certificate there belongs to another host.');
  });

  it('70. the endpoint that does not exist', async () => {
    const { remedy } = await failed({ TOKEN_ENDPOINT: 'https://nowhere.invalid/token' });
    expect(namedIn(remedy)).toEqual(['TOKEN_ENDPOINT']);
  });

  it('70. the proxy', async () => {
    const proxy = await ConnectProxy.start({ instead: 403 });
    process.env['HTTPS_PROXY'] = `http://127.0.0.1:${proxy.port}`;
    const { detail, remedy } = await failed({ TOKEN_ENDPOINT: 'https://auth.lab.example/token' });
    await proxy.close();
    expect(detail).toContain('answered 403');
    expect(remedy).toContain('HTTPS_PROXY');
  });

  it('70. the issuer, where that is what is configured', async () => {
    const { remedy } = await failed({ TOKEN_ENDPOINT: undefined, ISSUER: 'https://nowhere.invalid' });
    expect(namedIn(remedy)).toEqual(['ISSUER']);
  });
});

describe('For an issuer without a metadata document the doctor names', () => {
  it('70. the issuer and the token endpoint', async () => {
    const nowhere = `${server.url}/elsewhere`;
    const { remedy } = await failed({ TOKEN_ENDPOINT: undefined, ISSUER: nowhere });
    expect(remedy).toBe('Check OAUTH_LAB_ISSUER, or set OAUTH_LAB_TOKEN_ENDPOINT instead.');
  });
});

describe('At run time the error says the same', () => {
  it('70. by option where the client is configured in code', async () => {
    const api = await Application.withServer();
    api.server.alwaysRespond(refused('invalid_scope'));
    const error = await api.failure();
    expect(error).toMatchObject({ remedy: 'Check scope against what the partner granted you.' });
    expect((error as Error).message).toMatch(
      /: invalid_scope\. Check scope against what the partner granted you\.$/,
    );
  });

  it('70. by variable where it comes from the environment', async () => {
    const api = await Application.environment(variablesOf({}) as Record<string, string>);
    server.alwaysRespond(refused('invalid_scope'));
    const remedy = 'Check OAUTH_LAB_SCOPE against what the partner granted you.';
    expect(await api.failure()).toMatchObject({ remedy });
  });
});

function variablesOf(over: Variables): Variables {
  const own = { TOKEN_ENDPOINT: server.tokenEndpoint, CLIENT_ID: 'clinic', CLIENT_SECRET: SECRET, ...over };
  const named = Object.entries(own).map(([name, value]) => [`OAUTH_LAB_${name}`, value]);
  return { OAUTH_CLIENTS: 'lab', ...(Object.fromEntries(named) as Variables) };
}

/** What the doctor says of a client that gets no token. */
async function failed(over: Variables): Promise<Required<Pick<ClientCheck, 'detail' | 'remedy'>>> {
  const { output, code } = await run(['check', '--json'], variablesOf(over));
  expect(output).not.toContain(SECRET);
  const { problems, clients } = JSON.parse(output) as { problems: string[]; clients: ClientCheck[] };
  expect([problems, code]).toEqual([[], 1]);
  const { detail = '', remedy = '' } = clients[0] ?? {};
  return { detail, remedy };
}

/** The variables that a remedy names, each once. */
function namedIn(remedy: string): string[] {
  const names = [...remedy.matchAll(/OAUTH_LAB_([A-Z_]+)/g)].map(([, name = '']) => name);
  return [...new Set(names)];
}
