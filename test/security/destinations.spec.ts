import { describe, expect, it } from '@jest/globals';
import axios, { type AxiosRequestConfig } from 'axios';
import fc from 'fast-check';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Application } from '../support/application.js';
import { closing } from '../support/closing.js';
import { Recorder } from '../support/recorder.js';

/** What a spelling of a URL is made of: parsers disagree on most of these. */
const PIECES = [
  'http:',
  'HTTP:',
  '/',
  '//',
  '\\',
  '@',
  ':',
  '.',
  '..',
  '%2f',
  '%40',
  '#',
  '?',
  ';',
  '\t',
  ' ',
  'x',
];

/** An allowed API, and a server beside it that must never see a token. */
async function besideEvil() {
  const evil = await Recorder.start();
  const api = await Application.withServer();
  await api.warmUp();
  const hosts = [`127.0.0.1:${evil.port}`, `localhost:${evil.port}`, new URL(api.server.url).host];
  const url = fc
    .array(fc.constantFrom(...PIECES, ...hosts), { minLength: 1, maxLength: 9 })
    .map((pieces) => pieces.join(''));
  return { api, evil, url };
}

/** A server on a Unix socket, and what it was sent. */
async function onSocket() {
  const folder = mkdtempSync(join(tmpdir(), 'security-'));
  const path = join(folder, 'socket');
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => (requests.push(request), response.end('{}')));
  await once(server.listen(path), 'listening');
  const close = async () => {
    server.closeAllConnections();
    await once(server.close(), 'close');
    rmSync(folder, { recursive: true });
  };
  closing({ close });
  return { path, requests };
}

describe('A token goes to its API, and nowhere else', () => {
  it('43. However a URL and a baseURL are spelt, Axios takes no token to another server', async () => {
    const { api, evil, url } = await besideEvil();
    const own = axios.create();
    api.interceptor.attach(own);
    const config = fc.record(
      { url, baseURL: url, allowAbsoluteUrls: fc.boolean() },
      { requiredKeys: ['url'] },
    );
    await fc.assert(
      fc.asyncProperty(config, fc.boolean(), async (request, named) => {
        await (named ? api.axios : own).request({ ...request, timeout: 2_000 }).catch(() => undefined); // most lead nowhere
        expect(evil.credentials.filter((value) => !value.startsWith('Basic '))).toEqual([]);
      }),
      { numRuns: 150 },
    );
    expect(api.authorizations.length).toBeGreaterThan(1); // the search also finds what is allowed
  });

  it('43. 77. Nor does fetch, whether it gets a text, a URL or a Request', async () => {
    const { api, evil, url } = await besideEvil();
    const inputs = [String, (text: string) => new URL(text), (text: string) => new Request(text)];
    const send = api.fetch();
    await fc.assert(
      fc.asyncProperty(url, fc.constantFrom(...inputs), async (text, as) => {
        await Promise.resolve(text)
          .then((given) => send(as(given)))
          .catch(() => undefined); // most lead nowhere
        expect(evil.credentials).toEqual([]);
      }),
      { numRuns: 150 },
    );
    expect(api.authorizations.length).toBeGreaterThan(1);
  });

  it('43. A partner that redirects in any order and by any status never takes the token elsewhere or back', async () => {
    const { api, evil } = await besideEvil();
    const status = fc.constantFrom(301, 302, 303, 307, 308);
    const hop = fc.record({ status, away: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(hop, { minLength: 1, maxLength: 4 }), fc.boolean(), async (hops, byFetch) => {
        const before = api.authorizations.length;
        const next = (at: number) => {
          const { status = 200, away = false } = hops[at] ?? {};
          const location = `${away ? evil.origin : api.server.apiURL}/${at + 1}`;
          return { status, headers: at < hops.length ? { location } : {} };
        };
        const numberIn = (path = '') => Number(/\d+$/.exec(path)?.[0]);
        api.server.onApiRequest = ({ url }) => next(numberIn(url));
        evil.answer = ({ url }, response) => {
          const { status: code, headers } = next(numberIn(url));
          response.writeHead(code, headers).end('{}');
        };
        await (byFetch ? api.fetch()('/0') : api.get('/0')).catch(() => undefined); // fetch refuses to leave
        expect(evil.credentials).toEqual([]);
        const left = hops.findIndex(({ away }) => away);
        const carried = api.authorizations.slice(before).filter((value) => value !== undefined);
        expect(carried).toHaveLength(left < 0 ? hops.length + 1 : left + 1);
      }),
      { numRuns: 60 },
    );
  });

  it.each<[string, AxiosRequestConfig]>([
    ['alone', {}],
    ['with a baseURL', { baseURL: 'http://127.0.0.1:1' }],
  ])(
    '43. 81. A socketPath that an interceptor sets takes no token to another process: %s',
    async (_, more) => {
      const { api } = await besideEvil();
      const socket = await onSocket();
      const own = axios.create({ baseURL: api.server.apiURL });
      own.interceptors.request.use((config) => Object.assign(config, { socketPath: socket.path, ...more }));
      const unnamed = axios.create({ baseURL: api.server.apiURL, socketPath: socket.path });
      api.interceptor.attach(own, 'api');
      api.interceptor.attach(unnamed);
      for (const attempt of [own.get('/x'), api.axios.get('/x', { socketPath: socket.path })])
        expect(await api.failure(attempt)).toMatchObject({ code: 'origin_not_allowed' });
      expect(socket.requests).toHaveLength(0);
      await unnamed.get('/x');
      expect(socket.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
    },
  );

  it('43. A socketPath of the client’s own is where its API is', async () => {
    const socket = await onSocket();
    const api = await Application.withServer({ http: { socketPath: socket.path } });
    api.server.reset();
    await api.axios.get('/x').catch(() => undefined); // the token endpoint is behind the same socket
    expect(socket.requests[0]?.url).toMatch(/token/);
  });
});
