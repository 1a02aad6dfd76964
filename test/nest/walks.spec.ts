import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import axios from 'axios';
import {
  OAuthClientModule,
  OAuthClientError,
  getOAuthClientToken,
  getOAuthHttpToken,
  type OAuthClientModuleOptions,
  type OAuthClientOptions,
} from 'nestjs-oauth-client';
import { inspect } from 'node:util';
import { Application } from '../support/application.js';
import { Authority } from '../support/certificates.js';
import { ConnectProxy } from '../support/connect-proxy.js';
import { TlsServer, type TlsRequest } from '../support/tls-server.js';
import { asSerializer, asTracker, everyOwnKey, type Found } from '../support/walks.js';

const SECRET = 'walked-client-secret';
const SUBJECT = 'walked-subject-token';
const PIN = 'walked-pin';
const PASSWORD = 'walked-proxy-password';
const TOKEN = 'walked-access-token';
const WALKED = /walked-|PRIVATE KEY/;

const authority = new Authority();
const tls = { ...authority.client('walker'), ca: authority.ca };
const closing: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const server of closing.splice(0)) await server.close();
});
afterAll(() => authority.remove());

const token = { access_token: TOKEN, token_type: 'Bearer', expires_in: 600 };
const answer = ({ url }: TlsRequest) =>
  url === '/token'
    ? { status: 200, body: token }
    : { status: url.startsWith('/fail') ? 500 : 200, body: { url } };

/** A client with everything that is not to be seen, and a live connection with its certificate. */
async function start(more: OAuthClientOptions = {}, asynchronous = false): Promise<Application> {
  const server = await TlsServer.start(authority, answer);
  closing.push(server);
  const options: OAuthClientOptions = {
    tokenEndpoint: `${server.url}/token`,
    baseURL: server.url,
    clientId: 'walker',
    clientSecret: SECRET,
    tls,
    retry: { attempts: 1 },
    grant: { type: 'token_exchange', actorToken: 'walked-actor-token' },
    ...more,
  };
  const oauth: OAuthClientModuleOptions = { clients: { api: options } };
  const imports = asynchronous
    ? [OAuthClientModule.forRootAsync({ useFactory: () => oauth }), OAuthClientModule.forFeature('api')]
    : [OAuthClientModule.forRoot(oauth)];
  const app = await Application.start({ imports, secrets: [SECRET, SUBJECT, PIN, PASSWORD, TOKEN] });
  return app;
}

const asked = { subjectToken: SUBJECT, parameters: { pin: PIN } };
const paths = (found: Found[]) => found.filter(([, text]) => WALKED.test(text)).map(([path]) => path);

describe.each([false, true])('82. With a live mTLS connection (asynchronous options: %s)', (asynchronous) => {
  it('82. nothing secret is in reach of HttpService, client, service, module or container', async () => {
    const app = await start({}, asynchronous);
    const response = await app.get('/x', { oauth: asked });
    expect(response.data).toEqual({ url: '/x' });
    const http = app.http();
    const client: object = app.app.get(getOAuthClientToken('api'), { strict: false });
    const container: unknown = Reflect.get(app.app, 'container');
    const things = [
      http,
      http.axiosRef,
      client,
      app.tokens,
      app.interceptor,
      app.events,
      app.tokens.status(),
    ];
    for (const thing of [...things, container, app.app.get(getOAuthHttpToken('api'), { strict: false })]) {
      const found = everyOwnKey(thing);
      expect(paths(found)).toEqual([]);
      if (thing !== container)
        expect(inspect(thing, { depth: 10, getters: true, showHidden: true })).not.toMatch(WALKED);
    }
    expect(everyOwnKey(container).length).toBeGreaterThan(100);
  });
});

describe('82. What monitoring tools see', () => {
  const fails: [string, (app: Application) => Promise<unknown>][] = [
    ['an error status', (app) => app.get('/fail', { oauth: asked })],
    ['an error status of a POST', (app) => app.axios.post('/fail', { a: 1 }, { oauth: asked })],
    ['a timeout', (app) => app.get('/fail', { oauth: asked, timeout: 1 })],
    ['a broken request', (app) => app.get('/fail', { oauth: asked, maxContentLength: 1 })],
    ['a foreign origin', (app) => app.get('https://elsewhere.example/x', { oauth: asked })],
    ['no subject token', (app) => app.token()],
    ['a request that does not fit', (app) => app.token({ subjectToken: SUBJECT, scope: `${PIN}\n` })],
    ['an interceptor that throws', (app) => {
      app.axios.interceptors.request.use((config) => { throw Object.assign(new Error('no'), { config }); });
      return app.get('/x', { oauth: asked });
    }],
  ]; // prettier-ignore

  it.each(fails)('82. shows nothing secret of the error after %s', async (_, fail) => {
    const app = await start();
    const error = await app.failure(fail(app));
    expect(error).toBeInstanceOf(Error);
    for (const walk of [asSerializer, asTracker, everyOwnKey]) {
      const found = walk(error);
      expect([walk.name, paths(found)]).toEqual([walk.name, []]);
      expect(found.length).toBeGreaterThan(2);
    }
    if (axios.isAxiosError(error)) expect(error.config?.url).toMatch(/^\/(fail|x)/);
    else expect(error instanceof OAuthClientError || (error as Error).message === 'no').toBe(true);
  });

  it('82. shows no password of a proxy, which is used all the same', async () => {
    const proxy = await ConnectProxy.start({ credentials: { username: 'me', password: PASSWORD } });
    closing.push(proxy);
    const auth = { username: 'me', password: PASSWORD };
    const app = await start({
      http: { proxy: { ...proxy.address, auth } },
      tls: undefined,
    });
    const error = await app.failure(app.get('http://127.0.0.1:1/x', { oauth: false }));
    expect(proxy.requestLines).toContain('GET http://127.0.0.1:1/x');
    expect(axios.isAxiosError(error) && error.response?.status).toBe(502);
    for (const walk of [asSerializer, asTracker, everyOwnKey])
      expect([walk.name, paths(walk(error))]).toEqual([walk.name, []]);
    const http = app.http();
    expect(paths(everyOwnKey(http))).toEqual([]);
    expect(http.axiosRef.defaults.proxy).toMatchObject(proxy.address);
    expect((error as { config: object }).config).toMatchObject({ proxy: proxy.address });
  });

  it('finds what is there', () => {
    const error = Object.defineProperty(new Error('x', { cause: { text: TOKEN } }), 'hidden', { value: SECRET });
    expect([asSerializer, asTracker, everyOwnKey].map((walk) => paths(walk(error)))).toEqual([
      ['.cause.text'], ['.cause.text', '.hidden'].sort(), ['.hidden', '.cause.text'].sort(),
    ].map((found) => expect.arrayContaining(found)));
  }); // prettier-ignore
});
