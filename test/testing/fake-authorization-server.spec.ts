import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import axios, { AxiosError, type AxiosResponse } from 'axios';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { FakeAuthorizationServer, type FakeAnswer, type FakeFault } from '../../lib/testing.js';

let server: FakeAuthorizationServer;

beforeEach(async () => {
  server = await FakeAuthorizationServer.start();
});

afterEach(() => server.close());

const http = axios.create({ validateStatus: () => true, maxRedirects: 0, proxy: false });

const ask = (form: Record<string, string> = { grant_type: 'client_credentials' }): Promise<AxiosResponse> =>
  http.post(server.tokenEndpoint, new URLSearchParams(form));

const call = (token?: string, path = '/things'): Promise<AxiosResponse> =>
  http.get(server.apiURL + path, token ? { headers: { authorization: `Bearer ${token}` } } : {});

/** A token request over a bare socket, to see the very bytes. */
function rawAsk(): { socket: Socket; received: () => string } {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  let text = '';
  socket.on('data', (chunk) => (text += chunk.toString('latin1')));
  socket.write('POST /oauth/token HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n');
  return { socket, received: () => text };
}

describe('the token endpoint', () => {
  it('issues counted Bearer tokens of an hour and records the requests', async () => {
    const before = Date.now();
    const first = await ask({ grant_type: 'client_credentials', scope: 'read' });
    expect(first.data).toEqual({ access_token: 't1', token_type: 'Bearer', expires_in: 3600 });
    expect((await ask()).data).toMatchObject({ access_token: 't2' });

    const [request] = server.tokenRequests;
    expect(server.tokenRequests).toHaveLength(2);
    expect(request).toMatchObject({ method: 'POST', url: '/oauth/token' });
    expect(request?.rawBody.toString()).toBe('grant_type=client_credentials&scope=read');
    expect(request?.form?.get('scope')).toBe('read');
    expect(request?.json).toBeUndefined();
    expect(request?.at).toBeGreaterThanOrEqual(before);
    expect(request?.at).toBeLessThanOrEqual(Date.now());
  });

  it('records a JSON body, and no json for one that does not parse', async () => {
    await http.post(server.tokenEndpoint, { grant_type: 'client_credentials' });
    const headers = { 'content-type': 'application/json' };
    await http.post(server.tokenEndpoint, '{"grant', { headers, transformRequest: (body: string) => body });
    expect(server.tokenRequests.map(({ json, form }) => ({ json, form }))).toEqual([
      { json: { grant_type: 'client_credentials' }, form: undefined },
      { json: undefined, form: undefined },
    ]);
    expect(server.tokenRequests[1]?.rawBody.toString()).toBe('{"grant');
  });

  it('follows its settings: lifetime, none, echoed scope of both body formats', async () => {
    server.expiresIn = 5;
    expect((await ask()).data).toMatchObject({ expires_in: 5 });
    server.expiresIn = null;
    expect((await ask()).data).not.toHaveProperty('expires_in');
    expect((await ask({ scope: 'a b' })).data).not.toHaveProperty('scope');
    server.echoScope = true;
    expect((await ask({ scope: 'a b' })).data).toMatchObject({ scope: 'a b' });
    expect((await http.post(server.tokenEndpoint, { scope: 'c' })).data).toMatchObject({ scope: 'c' });
    expect((await ask({})).data).not.toHaveProperty('scope');
  });

  it('gives the scripted answers in their order, then the default', async () => {
    server.respondWith(
      { access_token: 'mine' },
      { status: 503, headers: { 'retry-after': '7' }, body: { error: 'temporarily_unavailable' } },
      { status: 400, body: 'plain' },
      { redirectTo: 'http://127.0.0.1:1/elsewhere' },
      ({ form }) => ({ echoed: form?.get('scope') }),
      async () => undefined,
      server.nextToken({ expires_in: undefined, token_type: 'bearer' }),
    );
    expect((await ask()).data).toEqual({ access_token: 'mine' });
    const unavailable = await ask();
    expect(unavailable.status).toBe(503);
    expect(unavailable.headers).toMatchObject({
      'retry-after': '7',
      'content-type': 'application/json',
    });
    expect(unavailable.data).toEqual({ error: 'temporarily_unavailable' });
    expect(await ask()).toMatchObject({ status: 400, data: 'plain' });
    const redirect = await ask();
    expect([redirect.status, redirect.headers.location]).toEqual([307, 'http://127.0.0.1:1/elsewhere']);
    expect((await ask({ scope: 's' })).data).toEqual({ echoed: 's' });
    expect((await ask()).data).toMatchObject({ access_token: 't2' });
    expect((await ask()).data).toEqual({ access_token: 't1', token_type: 'bearer' });
    expect((await ask()).data).toMatchObject({ access_token: 't3' });
  });

  it('keeps an answer for good until it is taken back', async () => {
    server.alwaysRespond({ status: 500 });
    server.respondWith({ status: 429 });
    const statuses = [(await ask()).status, (await ask()).status, (await ask()).status];
    expect(statuses).toEqual([429, 500, 500]);
    server.alwaysRespond(undefined);
    expect((await ask()).status).toBe(200);
  });

  it('waits before an answer: one delayed, or all by latencyMs', async () => {
    const timed = async (): Promise<[number, number]> => {
      const start = performance.now();
      const { status } = await ask();
      return [status, performance.now() - start];
    };
    server.respondWith({ delayMs: 60 }, { delayMs: 60, answer: { status: 500 } });
    const answers = [await timed(), await timed()];
    server.latencyMs = 60;
    server.respondWith({ status: 429 });
    answers.push(await timed(), await timed());
    expect(answers.map(([status]) => status)).toEqual([200, 500, 429, 200]);
    // Timers may fire a millisecond early.
    for (const [, ms] of answers) expect(ms).toBeGreaterThan(55);
  });

  it('holds an answer until the promise of a script settles', async () => {
    let release = (): void => undefined;
    server.respondWith(() => new Promise<undefined>((resolve) => (release = () => resolve(undefined))));
    const first = ask();
    const second = await ask();
    expect(second.data).toMatchObject({ access_token: 't1' });
    release();
    expect((await first).data).toMatchObject({ access_token: 't2' });
  });

  it('answers 500 with the reason when a script throws', async () => {
    server.respondWith(() => {
      throw new Error('no such case');
    });
    const { status, data } = await ask();
    expect([status, data]).toEqual([500, 'The script failed: Error: no such case']);
  });

  it('refuses other methods by default', async () => {
    expect((await http.get(server.tokenEndpoint)).status).toBe(405);
    expect(server.tokenRequests).toHaveLength(1);
  });
});

describe('faults of the token endpoint', () => {
  it('hang: accepts, records, says nothing', async () => {
    server.respondWith('hang');
    const { socket, received } = rawAsk();
    await until(() => server.tokenRequests.length === 1);
    // The next request is answered meanwhile, so the silence is the script's.
    expect((await ask()).status).toBe(200);
    expect(received()).toBe('');
    socket.destroy();
  });

  it('hang_after_headers: sends the headers only', async () => {
    server.respondWith('hang_after_headers');
    const { socket, received } = rawAsk();
    await until(() => received().endsWith('\r\n\r\n'));
    expect((await ask()).status).toBe(200);
    expect(received()).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(received().split('\r\n\r\n')[1]).toBe('');
    socket.destroy();
  });

  it('drip: sends a byte a second', async () => {
    server.respondWith('drip');
    const start = performance.now();
    const { socket, received } = rawAsk();
    await until(() => received().endsWith('1\r\n{\r\n1\r\n \r\n'));
    expect(performance.now() - start).toBeGreaterThan(950);
    socket.destroy();
  });

  it('reset: breaks the connection midway', async () => {
    server.respondWith('reset');
    const { socket, received } = rawAsk();
    const errors: unknown[] = [];
    socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code));
    await new Promise((resolve) => socket.once('close', resolve));
    // On a busy machine the data and the reset are read together, which Node reports as a regular end.
    expect([[], ['ECONNRESET']]).toContainEqual(errors);
    expect(received()).toMatch(/content-length: 1000\r\n.*\r\n\r\n{"access_$/s);
  });

  it('reset reaches an Axios caller as a failed request', async () => {
    server.respondWith('reset');
    await expect(ask()).rejects.toThrow(AxiosError);
  });

  it('huge: sends 50 MB', async () => {
    server.respondWith('huge');
    const { data } = await http.post<string>(server.tokenEndpoint, '', {
      responseType: 'text',
      transformResponse: (body: string) => body,
    });
    expect(data.length).toBeGreaterThanOrEqual(50 * 1024 * 1024);
    expect(data.slice(0, 20)).toBe('{"access_token":"xxx');
  });

  it('huge: a client that stops at a limit leaves the server well', async () => {
    server.respondWith('huge');
    await expect(http.post(server.tokenEndpoint, '', { maxContentLength: 1024 })).rejects.toThrow(
      'maxContentLength',
    );
    expect((await ask()).status).toBe(200);
  });

  it.each<[FakeFault, string, string]>([
    ['html', 'text/html', '<!doctype html><title>Sign in</title>'],
    ['empty', 'application/json', ''],
    ['garbage', 'application/json', '{"access_token":'],
  ])('%s: answers 200 without JSON', async (fault, type, body) => {
    server.respondWith(fault);
    const { status, headers, data } = await ask();
    expect([status, headers['content-type'], data]).toEqual([200, type, body]);
  });

  it('stopListening breaks connections and refuses new ones; listenAgain takes the same port', async () => {
    server.respondWith('hang');
    const hanging = ask();
    const refusal = expect(hanging).rejects.toThrow(AxiosError);
    await until(() => server.tokenRequests.length === 1);
    await server.stopListening();
    await refusal;
    await expect(ask()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await server.listenAgain();
    expect((await ask()).data).toMatchObject({ access_token: 't1' });
  });
});

describe('clients', () => {
  const basic = (id: string, secret: string) => ({
    headers: { authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` },
  });
  const form = (text: string): string => new URLSearchParams({ v: text }).toString().slice(2);
  const id = 'a+b/c:%& é';
  const secret = 's+/%:& é';

  it('accepts right credentials in each form', async () => {
    // A colon ends a raw id, RFC 7617.
    server.clients = { [id]: secret, 'me+': secret };
    const answers = await Promise.all([
      http.post(server.tokenEndpoint, '', basic(form(id), form(secret))),
      http.post(server.tokenEndpoint, '', basic('me+', secret)),
      ask({ client_id: id, client_secret: secret }),
      http.post(server.tokenEndpoint, { client_id: id, client_secret: secret }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  });

  it('rejects wrong, missing and unknown ones with 401 invalid_client', async () => {
    server.clients = { me: 'right' };
    const answers = await Promise.all([
      http.post(server.tokenEndpoint, '', basic('me', 'wrong')),
      http.post(server.tokenEndpoint, '', basic('other', 'right')),
      ask({ client_id: 'me', client_secret: 'wrong' }),
      ask({ client_id: 'constructor', client_secret: 'right' }),
      ask({ client_id: 'me' }),
      ask(),
      http.post(server.tokenEndpoint, { client_id: 'me', client_secret: 'wrong' }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 401));
    expect(answers.map(({ data }) => data as unknown)).toEqual(
      answers.map(() => ({ error: 'invalid_client' })),
    );
    expect((await ask({ client_id: 'me', client_secret: 'right' })).data).toMatchObject({
      access_token: 't1',
    });
  });
});

describe('the API', () => {
  const rejection = { status: 401, data: { detail: 'Token is invalid or expired (decode).' } };

  it('echoes a request with an issued token and records it', async () => {
    await ask();
    const config = { headers: { authorization: 'Bearer t1' } };
    const { status, data } = await http.put(`${server.apiURL}/things/1?x=y`, { a: 1 }, config);
    expect(status).toBe(200);
    expect(data).toEqual({ ok: true, method: 'PUT', path: '/api/things/1?x=y', body: { a: 1 } });
    expect(server.apiRequests).toHaveLength(1);
    expect(server.apiRequests[0]).toMatchObject({
      method: 'PUT',
      url: '/api/things/1?x=y',
      json: { a: 1 },
      headers: { authorization: 'Bearer t1' },
    });
    expect((await http.post(server.apiURL, 'text', config)).data).toMatchObject({ body: 'text' });
  });

  it('answers 401 to a missing, an unknown, a wrongly spelt and a revoked token', async () => {
    await ask();
    await ask();
    expect(await call()).toMatchObject(rejection);
    expect(await call('t9')).toMatchObject(rejection);
    const lowerCase = { headers: { authorization: 'bearer t1' } };
    expect(await http.get(server.apiURL, lowerCase)).toMatchObject(rejection);
    server.revoke('t1');
    expect(await call('t1')).toMatchObject(rejection);
    expect((await call('t2')).status).toBe(200);
    server.revokeAll();
    expect(await call('t2')).toMatchObject(rejection);
    await ask();
    expect((await call('t3')).status).toBe(200);
  });

  it('keeps a revoked token revoked when it is issued again', async () => {
    server.alwaysRespond({ access_token: 'same' });
    await ask();
    expect((await call('same')).status).toBe(200);
    server.revoke('same');
    await ask();
    expect(await call('same')).toMatchObject(rejection);
  });

  it('answers 401 to a token after its expires_in', async () => {
    server.respondWith({ access_token: 'dead', expires_in: 0 }, { access_token: 'eternal' });
    await ask();
    await ask();
    expect(await call('dead')).toMatchObject(rejection);
    expect((await call('eternal')).status).toBe(200);
  });

  it('learns of a token only after apiLearnsAfterMs', async () => {
    server.apiLearnsAfterMs = 60_000;
    await ask();
    expect(await call('t1')).toMatchObject(rejection);
    server.apiLearnsAfterMs = 1;
    await until(async () => (await call('t1')).status === 200);
  });

  it('gives scripted answers first, then what onApiRequest decides, then its own', async () => {
    await ask();
    server.onApiRequest = ({ url }) => (url.endsWith('/hooked') ? { status: 418 } : undefined);
    server.respondToApiWith({ status: 403 }, { delayMs: 1 });
    const paths = ['/hooked', '/', '/hooked', '/'];
    const statuses: number[] = [];
    for (const path of paths) statuses.push((await call('t1', path)).status);
    expect(statuses).toEqual([403, 200, 418, 200]);
  });

  it('sends bytes as they are', async () => {
    await ask();
    const body = Buffer.from([0, 255, 254]);
    server.respondToApiWith({ status: 200, headers: { 'content-type': 'application/pdf' }, body });
    const response = await fetch(`${server.apiURL}/label.pdf`);
    expect(response.headers.get('content-type')).toBe('application/pdf');
    expect(Buffer.from(await response.arrayBuffer())).toEqual(body);
  });

  it('lets a request be held while its token is revoked', async () => {
    await ask();
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    server.onApiRequest = async () => {
      await gate;
      return undefined;
    };
    const calls = Promise.all([call('t1'), call('t1')]);
    await until(() => server.apiRequests.length === 2);
    server.revoke('t1');
    release();
    expect((await calls).map(({ status }) => status)).toEqual([401, 401]);
  });
});

describe('metadata', () => {
  it('is served in both well-known forms and can be changed and scripted', async () => {
    const [openid, oauth] = ['openid-configuration', 'oauth-authorization-server'];
    const first = await http.get(`${server.url}/.well-known/${openid}`);
    expect(first.data).toMatchObject({ issuer: server.url, token_endpoint: server.tokenEndpoint });
    expect((await http.get(`${server.url}/.well-known/${oauth}`)).data).toEqual(first.data);

    server.metadata = { issuer: 'https://other.example', jwks_uri: undefined };
    const changed = (await http.get(`${server.url}/.well-known/${openid}`)).data as object;
    expect(changed).toMatchObject({ issuer: 'https://other.example' });
    expect(changed).not.toHaveProperty('jwks_uri');

    server.respondToMetadataWith({ status: 503 });
    expect((await http.get(`${server.url}/.well-known/${oauth}`)).status).toBe(503);
    expect(server.metadataRequests).toHaveLength(4);
  });

  it('of an issuer with a path has its two addresses', async () => {
    await using tenant = await FakeAuthorizationServer.start({ issuerPath: '/tenant' });
    expect(tenant.issuer).toBe(`${tenant.url}/tenant`);
    const paths = [
      '/tenant/.well-known/openid-configuration',
      '/.well-known/oauth-authorization-server/tenant',
      '/.well-known/openid-configuration',
      '/elsewhere',
    ];
    const answers = await Promise.all(paths.map((path) => http.get(tenant.url + path)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 404, 404]);
    expect(answers[0]?.data).toMatchObject({ issuer: tenant.issuer });
  });
});

describe('addresses', () => {
  const token = { headers: { authorization: 'Bearer t1' } };

  it('63. of the API may be its root, below which all but token endpoint and metadata is the API', async () => {
    await using root = await FakeAuthorizationServer.start({ apiPath: '/' });
    expect(root.apiURL).toBe(root.url);
    await http.post(root.tokenEndpoint, '');
    const { data } = await http.get(`${root.apiURL}/symptom-checker/v2/queries/?x=y`, token);
    expect(data).toMatchObject({ ok: true, path: '/symptom-checker/v2/queries/?x=y' });
    expect((await http.get(root.url, token)).status).toBe(200);
    expect((await http.get(`${root.url}/.well-known/openid-configuration`)).status).toBe(200);
    const counts = [root.tokenRequests, root.apiRequests, root.metadataRequests, root.otherRequests];
    expect(counts.map(({ length }) => length)).toEqual([1, 2, 1, 0]);
  });

  it('63. of the API may be any path, and only what is below it is the API', async () => {
    await using other = await FakeAuthorizationServer.start({ apiPath: '/fhir/r4', tokenPath: '/login' });
    await http.post(other.tokenEndpoint, '');
    expect((await http.get(`${other.apiURL}/Patient`, token)).status).toBe(200);
    const statuses = ['/fhir/r4', '/fhir/r4?x=y', '/fhir/r40', '/fhir', '/api'].map(
      async (path) => (await http.get(other.url + path, token)).status,
    );
    expect(await Promise.all(statuses)).toEqual([200, 200, 404, 404, 404]);
  });

  it.each([
    { apiPath: 'v2', tokenPath: 'token', issuerPath: 'tenant' },
    { apiPath: '/é/a b/', tokenPath: '/token?tenant=a', issuerPath: '/tenant/' },
    { apiPath: '', tokenPath: '', issuerPath: '/' },
  ])('63. may be written as partners write theirs: %j', async (paths) => {
    await using other = await FakeAuthorizationServer.start(paths);
    for (const url of [other.apiURL, other.tokenEndpoint, other.issuer]) expect(URL.canParse(url)).toBe(true);
    const end = ({ issuerPath }: typeof paths) => (issuerPath.endsWith('/') ? '/' : '');
    expect(other.issuer.endsWith('/')).toBe(end(paths) === '/');
    await http.post(other.tokenEndpoint, '');
    expect((await http.get(`${other.apiURL}/Patient`, token)).status).toBe(200);
    const known = `${other.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
    expect((await http.get(known)).data).toMatchObject({ issuer: other.issuer });
    expect(other.otherRequests).toEqual([]);
  });

  it('63. that the server does not have are answered 404 with those that it has, and recorded', async () => {
    const { status, data } = await http.post(`${server.url}/things?x=y`, { a: 1 });
    expect([status, data]).toEqual([
      404,
      {
        error: `Nothing is at /things. The API is below ${server.url}/api, or where apiPath puts it, and the token endpoint at ${server.url}/oauth/token, or where tokenPath puts it.`,
      },
    ]);
    expect(server.otherRequests).toMatchObject([{ method: 'POST', url: '/things?x=y', json: { a: 1 } }]);
    server.reset();
    expect(server.otherRequests).toEqual([]);
  });
});

describe('the life of the server', () => {
  it('reset makes it as after the start', async () => {
    await using other = await FakeAuthorizationServer.start({ expiresIn: 9, clients: { me: 's' } });
    const scripts: FakeAnswer[] = [{ status: 500 }, { status: 501 }];
    other.respondWith(...scripts);
    other.alwaysRespond({ status: 502 });
    other.respondToApiWith({ status: 503 });
    other.respondToMetadataWith({ status: 503 });
    other.onApiRequest = () => ({ status: 503 });
    other.metadata = { issuer: 'x' };
    Object.assign(other, { expiresIn: 1, echoScope: true, latencyMs: 60_000, clients: undefined });
    other.reset();

    const body = new URLSearchParams({ client_id: 'me', client_secret: 's', scope: 'x' });
    expect((await http.post(other.tokenEndpoint, body)).data).toEqual({
      access_token: 't1',
      token_type: 'Bearer',
      expires_in: 9,
    });
    expect((await http.post(other.tokenEndpoint, '')).status).toBe(401);
    expect((await http.get(other.apiURL, { headers: { authorization: 'Bearer t1' } })).status).toBe(200);
    const metadata = await http.get(`${other.url}/.well-known/openid-configuration`);
    expect(metadata.data).toMatchObject({ issuer: other.url });
    other.reset();
    expect([other.tokenRequests, other.apiRequests, other.metadataRequests]).toEqual([[], [], []]);
    expect((await http.get(other.apiURL, { headers: { authorization: 'Bearer t1' } })).status).toBe(401);
  });

  it('close ends idle, silent, hanging and dripping connections, and may be called twice', async () => {
    const { hostname, port } = new URL(server.url);
    server.respondWith('hang', 'drip', { delayMs: 60_000 }, {});
    const silent = connect(Number(port), hostname);
    const sockets = [silent, ...Array.from({ length: 4 }, () => rawAsk().socket)];
    const ends = sockets.map(async (socket) => {
      socket.resume().on('error', () => undefined);
      await once(socket, 'close');
    });
    await until(() => server.tokenRequests.length === 4);
    await server.close();
    await Promise.all(ends);
    await server.close();
    await expect(ask()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}
