import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:https';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import Provider from 'oidc-provider';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { run } from '../../lib/cli/run.js';

const SECRET = 'doctor-secret-never-shown';

let server: FakeAuthorizationServer;
let lab: Record<string, string>;

beforeEach(async () => {
  server = await FakeAuthorizationServer.start({ clients: { clinic: SECRET } });
  lab = {
    OAUTH_CLIENTS: 'lab',
    OAUTH_LAB_TOKEN_ENDPOINT: server.tokenEndpoint,
    OAUTH_LAB_CLIENT_ID: 'clinic',
    OAUTH_LAB_CLIENT_SECRET: SECRET,
  };
});

afterEach(() => server.close());

describe('nestjs-oauth-client check', () => {
  it('shows endpoint, method, lifetime, scope, clock and round trip of a client that works', async () => {
    server.respondWith({ access_token: 't1', token_type: 'Bearer', expires_in: 3600, scope: 'results:read' });
    expect(await check()).toEqual({
      code: 0,
      output: [
        'client  outcome  lifetime  clock    round trip  scope         method               endpoint',
        'lab     ok       60 min    in step  N ms        results:read  client_secret_basic  <url>/oauth/token',
      ],
    });
  });

  it('84. shows no endpoint with its query, and no scope that would forge a row', async () => {
    server.alwaysRespond({
      access_token: 't1',
      token_type: 'Bearer',
      expires_in: 60,
      scope: 'a\r\nforged ok',
    });
    const environment = { ...lab, OAUTH_LAB_TOKEN_ENDPOINT: `${server.tokenEndpoint}?code=KEY` };
    for (const mode of [[], ['--json']]) {
      const { output } = await run(['check', ...mode], environment);
      expect(output).toContain(server.tokenEndpoint);
      expect(output).not.toMatch(/KEY|\?|forged/);
    }
    expect(server.tokenRequests[0]?.url).toContain('?code=KEY');
  });

  it('asks a real oidc-provider found by discovery', async () => {
    const { issuer, close } = await startProvider();
    const environment = {
      OAUTH_CLIENTS: 'lab',
      OAUTH_LAB_ISSUER: issuer,
      OAUTH_LAB_CLIENT_ID: 'clinic',
      OAUTH_LAB_CLIENT_SECRET: SECRET,
    };
    const { output, code } = await run(['check', '--json'], environment);
    await close();
    expect(code).toBe(0);
    expect(JSON.parse(output)).toEqual({
      problems: [],
      clients: [
        {
          client: 'lab',
          endpoint: `${issuer}/token`,
          method: 'client_secret_basic',
          outcome: 'ok',
          lifetimeMs: 600_000,
          clockDifferenceMs: expect.any(Number),
          roundTripMs: expect.any(Number),
        },
      ],
    });
  });

  it('tells a wrong secret', async () => {
    expect(await check({ OAUTH_LAB_CLIENT_SECRET: 'not-the-secret' })).toEqual({
      code: 1,
      output: [
        'client  outcome                 lifetime  clock    round trip  scope  method               endpoint',
        'lab     failed: invalid_client  –         in step  N ms        –      client_secret_basic  <url>/oauth/token',
        '',
        'lab: The authorization server rejected the token request of OAuth client "lab" with status 401: invalid_client.',
        '  → Check OAUTH_LAB_CLIENT_ID and OAUTH_LAB_CLIENT_SECRET; if they are right, try client_secret_post as OAUTH_LAB_TOKEN_ENDPOINT_AUTH_METHOD.',
      ],
    });
  });

  it('70. tells what the server says in its own way, and which encoding to try', async () => {
    server.alwaysRespond({ status: 401, body: { errors: [{ message: 'Unknown client' }] } });
    const odd = { OAUTH_LAB_CLIENT_SECRET: 'doctor/secret+odd=' };
    expect((await check(odd)).output.slice(-2)).toEqual([
      'lab: The authorization server rejected the token request of OAuth client "lab" with status 401: Unknown client.',
      '  → Check OAUTH_LAB_CLIENT_ID and OAUTH_LAB_CLIENT_SECRET; if they are right, try raw as OAUTH_LAB_BASIC_ENCODING, since they have characters that it changes, or client_secret_post as OAUTH_LAB_TOKEN_ENDPOINT_AUTH_METHOD.',
    ]);
    const raw = await check({ ...odd, OAUTH_LAB_BASIC_ENCODING: 'raw' });
    expect(raw.output.at(-1)).toContain('try form as OAUTH_LAB_BASIC_ENCODING');
    const plain = await check();
    expect(plain.output.join()).not.toMatch(/basicEncoding|BASIC_ENCODING/);
  });

  it('tells a wrong scope', async () => {
    server.respondWith({ status: 400, body: { error: 'invalid_scope' } });
    const { output, code } = await check({ OAUTH_LAB_SCOPE: 'everything' });
    expect(code).toBe(1);
    expect(output.at(-1)).toBe('  → Check OAUTH_LAB_SCOPE against what the partner granted you.');
  });

  it('tells an unreachable server', async () => {
    const free = await freePort();
    const { output, code } = await check({ OAUTH_LAB_TOKEN_ENDPOINT: `http://127.0.0.1:${free}/token` });
    expect(code).toBe(1);
    expect(output.slice(-2)).toEqual([
      'lab: The authorization server of OAuth client "lab" could not be reached (ECONNREFUSED).',
      '  → Check OAUTH_LAB_TOKEN_ENDPOINT, the network and the proxy.',
    ]);
  });

  it('tells a server that does not answer in time', async () => {
    server.respondWith('hang');
    const { output, code } = await check({ OAUTH_LAB_TIMEOUT_MS: '200' });
    expect(code).toBe(1);
    expect(output.slice(-2)).toEqual([
      'lab: no answer within 200 ms',
      '  → Check OAUTH_LAB_TOKEN_ENDPOINT, the network and the proxy.',
    ]);
  });

  it('tells a certificate that nobody trusts', async () => {
    const { url, close } = await startUntrustedServer();
    const { output, code } = await check({ OAUTH_LAB_TOKEN_ENDPOINT: `${url}/token` });
    await close();
    expect(code).toBe(1);
    expect(output.at(-1)).toMatch(
      /^ {2}→ The server’s certificate is not trusted: set OAUTH_LAB_TLS_CA to its authority’s certificate, or NODE_EXTRA_CA_CERTS/,
    );
  });

  it.each<[string, Record<string, string>, string]>([
    [
      'that http is no https',
      { OAUTH_LAB_TOKEN_ENDPOINT: 'https:<host>/oauth/token' },
      'Check scheme and port of OAUTH_LAB_TOKEN_ENDPOINT: what answers there is not https.',
    ],
    [
      'a wrong path',
      { OAUTH_LAB_TOKEN_ENDPOINT: 'http:<host>/elsewhere' },
      'Check OAUTH_LAB_TOKEN_ENDPOINT: nothing there takes token requests.',
    ],
  ])('tells %s', async (_, variables, remedy) => {
    const host = server.url.replace(/^http:/, '');
    const filled = Object.entries(variables).map(([name, value]) => [name, value.replace('<host>', host)]);
    const { output, code } = await check(Object.fromEntries(filled) as Record<string, string>);
    expect(code).toBe(1);
    expect(output.at(-1)).toBe(`  → ${remedy}`);
  });

  it('tells a secret that cannot be read', async () => {
    const file = { OAUTH_LAB_CLIENT_SECRET: '', OAUTH_LAB_CLIENT_SECRET_FILE: '/nowhere' };
    const { output, code } = await check(file);
    expect(code).toBe(1);
    expect(output.at(-1)).toMatch(/^lab: .*OAUTH_LAB_CLIENT_SECRET_FILE/);
  });

  it('tells where clients may be listed', async () => {
    expect(await check({ OAUTH_CLIENTS: '' })).toEqual({
      code: 2,
      output: [
        'problem  No OAuth client is configured: list their names in OAUTH_CLIENTS, separated by commas, or name the file that does: --env-file .env.',
      ],
    });
  });

  it('tells a clock that is an hour off', async () => {
    const date = new Date(Date.now() + 3_600_000).toUTCString();
    server.respondWith({
      status: 200,
      headers: { date },
      body: { access_token: 't1', token_type: 'Bearer', expires_in: 60 },
    });
    expect(await check()).toEqual({
      code: 0,
      output: [
        'client  outcome  lifetime  clock    round trip  scope  method               endpoint',
        'lab     ok       60 s      +60 min  N ms        –      client_secret_basic  <url>/oauth/token',
        '',
        'lab: the clocks differ',
        '  → Set this machine’s clock (NTP): assertions, proofs and expiry depend on it.',
      ],
    });
  });

  it('tells every missing and misspelt variable, and asks nobody', async () => {
    expect(
      await check({ OAUTH_LAB_CLIENT_ID: undefined, OAUTH_LAB_SCOPES: 'a', OAUTH_LAB_TIMEOUT_MS: 'soon' }),
    ).toEqual({
      code: 2,
      output: [
        'problem  OAUTH_LAB_SCOPES is not a variable of client "lab"; did you mean OAUTH_LAB_SCOPE?',
        'problem  Client "lab": OAUTH_LAB_TIMEOUT_MS must be a number of milliseconds, more than 0.',
        'problem  Client "lab": OAUTH_LAB_CLIENT_ID is missing; set it to the identifier the partner gave you.',
      ],
    });
    expect(server.tokenRequests).toHaveLength(0);
  });

  it('asks the clients whose variables are right, and tells what is wrong with the others', async () => {
    const both = { OAUTH_CLIENTS: 'clinic,lab', OAUTH_CLINIC_TOKEN_ENDPOINT: 'https://clinic.example' };
    const { code, output } = await check({ ...both, OAUTH_CLINIC_CLIENT_SECRET: SECRET });
    expect(code).toBe(2);
    expect(output).toEqual([
      'problem  Client "clinic": OAUTH_CLINIC_CLIENT_ID is missing; set it to the identifier the partner gave you.',
      '',
      expect.stringMatching(/^client +outcome /),
      expect.stringMatching(/^lab +ok /),
    ]);
    const { output: json } = await run(['check', '--json'], { ...lab, ...both });
    expect(JSON.parse(json)).toMatchObject({
      problems: [expect.stringContaining('CLINIC'), expect.stringContaining('CLINIC')],
      clients: [{ client: 'lab', outcome: 'ok' }],
    });
  });

  it('does not use up a refresh token', async () => {
    const { output, code } = await check({
      OAUTH_LAB_GRANT_TYPE: 'refresh_token',
      OAUTH_LAB_GRANT_REFRESH_TOKEN: 'r1',
    });
    expect(code).toBe(0);
    expect(output.slice(-2)).toEqual([
      'lab: not asked: asking would use up its refresh token',
      '  → Call its API once to see it work.',
    ]);
    expect(server.tokenRequests).toHaveLength(0);
  });

  it('reads an env file, where the environment wins, and checks one client by name', async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'doctor-')), '.env');
    const lines = Object.entries({ ...lab, OAUTH_CLIENTS: 'lab,other', OAUTH_LAB_SCOPE: 'from-file' });
    const other = ['TOKEN_ENDPOINT=https://auth.other.example', 'CLIENT_ID=o', 'CLIENT_SECRET=s'].map(
      (line) => `OAUTH_OTHER_${line}`,
    );
    writeFileSync(file, [...lines.map(([name, value]) => `${name}=${value}`), ...other].join('\n'));
    const asked: string[] = [];
    const { code } = await run(
      ['check', '--env-file', file, '--client', 'lab'],
      { OAUTH_LAB_SCOPE: 'from-environment' },
      { onProgress: (name) => asked.push(name) },
    );
    expect(code).toBe(0);
    expect(asked).toEqual(['lab']);
    expect(server.tokenRequests[0]?.form?.get('scope')).toBe('from-environment');
  });

  it('validates and asks one client alone, whatever is wrong with those whose options are set in code', async () => {
    const both = { ...lab, OAUTH_CLIENTS: 'lab,clinic', OAUTH_CLINIC_TOKEN_URL: 'https://clinic.example' };
    expect((await run(['check'], both)).output).toMatch(/OAUTH_CLINIC_CLIENT_ID is missing/);
    expect(server.tokenRequests).toHaveLength(1);
    expect(await run(['check', '--client', 'lab'], both)).toMatchObject({ code: 0 });
    expect(server.tokenRequests).toHaveLength(2);
    const { code, output } = await run(['check', '--client', 'clinic'], both);
    expect(code).toBe(2);
    expect(output).toMatch(/OAUTH_CLINIC_CLIENT_ID is missing/);
    expect(output).toMatch(/OAUTH_CLINIC_TOKEN_URL is not a variable/);
    expect(server.tokenRequests).toHaveLength(2);
  });

  it('explains itself', async () => {
    expect(await run(['--help'], {})).toEqual({
      code: 0,
      output: expect.stringContaining('Usage:'),
    });
    expect(await run([], {})).toEqual({
      code: 2,
      output: expect.stringContaining('Usage:'),
    });
    expect(await run(['int', '--name', 'lab'], {})).toEqual({
      code: 2,
      output: expect.stringContaining('Usage:'),
    });
    expect(await run(['check', '--client', 'x'], lab)).toEqual({
      code: 2,
      output: 'problem  There is no client "x"; OAUTH_CLIENTS lists: lab.',
    });
  });
});

/** Runs the doctor; addresses and durations, which differ from run to run, are replaced. No secret may show. */
async function check(over: Record<string, string | undefined> = {}) {
  const { output, code } = await run(['check'], { ...lab, ...over }, { columns: 500 });
  expect(output).not.toContain(SECRET);
  const steady = output
    .replaceAll(server.url, '<url>')
    .replace(/(?<!within )\b\d+ ms( {2,}|$)/gm, (_, after: string) => `N ms${after && '        '}`);
  return { code, output: steady.split('\n') };
}

async function startProvider() {
  const listener = createHttpServer();
  await once(listener.listen(0, '127.0.0.1'), 'listening');
  const issuer = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: 'clinic',
        client_secret: SECRET,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
    ],
    features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
    ttl: { ClientCredentials: 600 },
  });
  listener.on('request', provider.callback());
  return { issuer, close: () => closeServer(listener) };
}

async function startUntrustedServer() {
  const folder = mkdtempSync(join(tmpdir(), 'doctor-tls-'));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert, '-days', '1', '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1']); // prettier-ignore
  expect(made.status).toBe(0);
  const listener = createServer({ key: readFileSync(key), cert: readFileSync(cert) });
  await once(listener.listen(0, '127.0.0.1'), 'listening');
  return {
    url: `https://127.0.0.1:${(listener.address() as AddressInfo).port}`,
    close: () => closeServer(listener),
  };
}

async function freePort(): Promise<number> {
  const listener = createHttpServer();
  await once(listener.listen(0, '127.0.0.1'), 'listening');
  const { port } = listener.address() as AddressInfo;
  await closeServer(listener);
  return port;
}

async function closeServer(listener: {
  close(done: () => void): unknown;
  closeAllConnections(): void;
}): Promise<void> {
  listener.closeAllConnections();
  await new Promise<void>((resolve) => listener.close(resolve));
}
