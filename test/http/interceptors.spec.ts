import { describe, expect, it } from '@jest/globals';
import axios, {
  AxiosError,
  AxiosHeaders,
  type AxiosInstance,
  type AxiosResponse,
  type InternalAxiosRequestConfig,
} from 'axios';
import fc from 'fast-check';
import { setTimeout as sleep } from 'node:timers/promises';
import { Application } from '../support/application.js';
import { Recorder } from '../support/recorder.js';

type Config = InternalAxiosRequestConfig;
/** What another interceptor does to a request; `elsewhere` is a server that must never see our token. */
type Meddling = (config: Config, elsewhere: string) => Config | Promise<Config>;

const rebuilt = ({ url, method, headers, data, baseURL, timeout }: Config): Config => ({
  ...(url !== undefined && { url }),
  ...(method !== undefined && { method }),
  ...(baseURL !== undefined && { baseURL }),
  ...(timeout !== undefined && { timeout }),
  headers,
  data: data as unknown,
});

const meddling: Record<string, Meddling> = {
  'rebuilds the request from the fields it knows': (config) => rebuilt(config),
  'rebuilds it and sends it elsewhere': (config, baseURL) => ({ ...rebuilt(config), baseURL }),
  'copies it and sends it elsewhere': (config, baseURL) => ({ ...config, baseURL }),
  'changes its URL': (config, elsewhere) => Object.assign(config, { url: `${elsewhere}/x` }),
  'deletes `oauth` and sends it elsewhere': (config, baseURL) => {
    delete config.oauth;
    return Object.assign(config, { baseURL });
  },
  'replaces `transformRequest` and sends it elsewhere': (config, baseURL) =>
    Object.assign(config, { baseURL, transformRequest: [(data: unknown) => data] }),
  'changes the URL in a `transformRequest`': (config, elsewhere) => {
    const transform = function (this: Config, data: unknown) {
      this.url = `${elsewhere}/x`;
      return data;
    };
    return Object.assign(config, { transformRequest: [transform] });
  },
  'has new headers': (config) => Object.assign(config, { headers: new AxiosHeaders({ 'x-new': '1' }) }),
  'takes its time': async (config) => {
    await sleep(1);
    return config;
  },
};

/** What can only be done to the adapter that ours has become. */
const meddlingAfterOurs: Record<string, Meddling> = {
  'replaces the adapter by one that sends elsewhere': (config, baseURL) =>
    Object.assign(config, {
      adapter: (sent: Config) => axios.getAdapter('http')({ ...sent, baseURL, url: '/x' }),
    }),
  'puts an adapter around ours that sends elsewhere': (config, baseURL) => {
    const inner = axios.getAdapter(config.adapter);
    return Object.assign(config, { adapter: (sent: Config) => inner({ ...sent, baseURL, url: '/x' }) });
  },
};

/** A body that is sent even if an interceptor took off the transforms that make text of objects. */
const TEXT = '{"a":1}';
const everything = { ...meddling, ...meddlingAfterOurs };

describe('Beside interceptors that change what they get', () => {
  for (const name of ['api', undefined]) {
    it.each(Object.keys(everything))(
      `81. One that runs after ours and %s takes no token along: ${name === undefined ? 'unnamed' : 'named'}`,
      async (kind) => {
        const evil = await Recorder.start();
        const api = await Application.withServer();
        const http = axios.create({ baseURL: api.server.apiURL, oauth: { scope: 'read' } });
        http.interceptors.request.use((config) => everything[kind]?.(config, evil.origin) ?? config);
        api.interceptor.attach(http, name);
        for (let i = 0; i < 2; i++) await http.post('/x', TEXT).catch(() => undefined);
        expect(evil.credentials).toEqual([]);
        const known = new Set([undefined, 'Bearer access-token-read-1']);
        expect(api.authorizations.filter((header) => !known.has(header))).toEqual([]);
      },
    );
  }

  it.each(Object.keys(meddling))(
    '81. One that runs before ours and %s takes no token along',
    async (kind) => {
      const evil = await Recorder.start();
      const api = await Application.withServer();
      const http = axios.create({ baseURL: api.server.apiURL });
      api.interceptor.attach(http, 'api');
      http.interceptors.request.use((config) => meddling[kind]?.(config, evil.origin) ?? config);
      for (let i = 0; i < 2; i++) await http.post('/x', TEXT).catch(() => undefined);
      expect(evil.credentials).toEqual([]);
    },
  );

  it.each(['url', 'baseURL'] as const)(
    '81. One that makes the %s another each time it is read takes no token along',
    async (name) => {
      const evil = await Recorder.start();
      const api = await Application.withServer();
      const ours = { url: '/x', baseURL: api.server.apiURL };
      const theirs = { url: `${evil.origin}/x`, baseURL: evil.origin };
      for (let honest = 0; honest < 10; honest++) {
        const transform = function (this: Config) {
          let read = 0;
          const get = () => (read++ < honest ? ours : theirs)[name];
          Object.defineProperty(this, name, { get, enumerable: true });
        };
        await api.axios.get('/x', { transformRequest: [transform] }).catch(() => undefined);
      }
      expect(evil.credentials).toEqual([]);
      expect(api.authorizations).toContain('Bearer access-token-1');
    },
  );

  it('81. A URL that is an object is read once: it gets a token, but takes none elsewhere', async () => {
    const evil = await Recorder.start();
    const api = await Application.withServer();
    const http = axios.create();
    api.interceptor.attach(http, 'api');
    const url = `${api.server.apiURL}/x`;
    for (const instance of [http, api.axios])
      expect((await instance.request({ url: new URL(url) as unknown as string })).status).toBe(200);
    for (let honest = 0; honest < 10; honest++) {
      let read = 0;
      const turning = { toString: () => (read++ < honest ? url : `${evil.origin}/x`) };
      await http.request({ url: turning as string }).catch(() => undefined);
    }
    expect(evil.credentials).toEqual([]);
  });

  it('81. After one that freezes what it returns, the request gets its token', async () => {
    const api = await Application.withServer();
    api.axios.interceptors.request.use((config) => Object.freeze({ ...config }));
    expect((await api.axios.get('/x')).status).toBe(200);
  });

  it('81. Deleting `oauth` changes nothing about the token that was asked for', async () => {
    const api = await Application.withServer();
    const http = axios.create({ baseURL: api.server.apiURL });
    http.interceptors.request.use((config) => {
      delete config.oauth;
      return config;
    });
    api.interceptor.attach(http, 'api');
    await http.get('/x', { oauth: { scope: 'read', parameters: { tenant: 'acme' } } });
    expect(api.authorizations).toEqual(['Bearer access-token-read-acme-1']);
  });

  it('81. A request that passes again with another adapter around ours gets one token, from the one nearest to the wire', async () => {
    const evil = await Recorder.start();
    const api = await Application.withServer();
    const http = axios.create({ baseURL: api.server.apiURL });
    let baseURL = api.server.apiURL;
    http.interceptors.request.use((config) => {
      const inner = axios.getAdapter(config.adapter);
      return Object.assign(config, { adapter: (sent: Config) => inner({ ...sent, baseURL }) });
    });
    api.interceptor.attach(http, 'api');
    const { config } = await http.get('/x');
    api.server.respondToApiWith({ status: 401 });
    await http.request(config);
    expect(api.posts).toBe(2);
    expect(api.authorizations).toHaveLength(3);
    baseURL = evil.origin;
    await expect(http.request(config)).rejects.toMatchObject({ code: 'origin_not_allowed' });
    expect(evil.credentials).toEqual([]);
  });

  it.each(['detached', 'another client’s'])(
    '81. The config of an instance that is %s brings no token of its own',
    async (kind) => {
      const api = await Application.withServer();
      const other = await Application.withServer();
      const http = axios.create({ baseURL: api.server.apiURL });
      const detach = api.interceptor.attach(http, 'api');
      const { config } = await http.get('/x');
      detach();
      if (kind !== 'detached') other.interceptor.attach(http);
      await http.request(config).catch(() => undefined);
      expect(api.authorizations).toEqual(['Bearer access-token-1', undefined]);
    },
  );

  it('81. Whatever interceptors do, and however often a request passes, no token reaches a foreign server', async () => {
    const evil = await Recorder.start();
    const api = await Application.withServer();
    await api.warmUp();
    const after = fc.array(fc.constantFrom(...Object.keys(everything)), { maxLength: 3 });
    const before = fc.array(fc.constantFrom(...Object.keys(meddling)), { maxLength: 3 });
    const name = fc.constantFrom('api', undefined);
    const run = async (last: string[], first: string[], client: string | undefined, status: number) => {
      evil.answer = (_, response) => response.writeHead(status).end('{}');
      const http = axios.create({ baseURL: api.server.apiURL, timeout: 2_000 });
      const meddle = (kind: string) =>
        http.interceptors.request.use((config) => everything[kind]?.(config, evil.origin) ?? config);
      last.forEach(meddle);
      api.interceptor.attach(http, client);
      first.forEach(meddle);
      await sentAgain(http, await sentAgain(http, { url: '/x', method: 'post', data: '{}' } as Config));
      expect(evil.credentials).toEqual([]);
    };
    const property = fc.asyncProperty(after, before, name, fc.constantFrom(200, 401, 503), run);
    await fc.assert(property, { numRuns: 150 });
    expect(evil.requests.length).toBeGreaterThan(20);
    expect(api.authorizations).toContain('Bearer access-token-1');
  }, 60_000);
});

/** Sends a request and returns the config that retry libraries would send again. */
async function sentAgain(http: AxiosInstance, config: Config): Promise<Config> {
  const { config: next } = await http
    .request(config)
    .catch((error: unknown) => error as { config?: Config })
    .then((outcome) => outcome as { config?: Config });
  return next ?? config;
}

describe('A token that is taken right before the request is sent', () => {
  /** API requests whose token had expired when they arrived. */
  function watchExpired(api: Application): string[] {
    const expired: string[] = [];
    api.server.onApiRequest = ({ headers }) => {
      const number = Number(/\d+$/.exec(headers.authorization ?? '')?.[0]);
      const issued = api.events.filter(({ type }) => type === 'token_acquired')[number - 1];
      if (issued && 'expiresAt' in issued && Number(issued.expiresAt) <= Date.now())
        expired.push(headers.authorization ?? '');
      return undefined;
    };
    return expired;
  }

  it('81. After an interceptor that waited longer than a token lives: a new one', async () => {
    const api = await Application.withServer();
    api.server.expiresIn = 1;
    const expired = watchExpired(api);
    const http = axios.create({ baseURL: api.server.apiURL });
    http.interceptors.request.use(async (config) => {
      await sleep(config.url === '/x' ? 1_200 : 0);
      return config;
    });
    api.interceptor.attach(http, 'api');
    await http.get('/warm-up');
    expect((await http.get('/x')).status).toBe(200);
    expect(api.authorizations).toEqual(['Bearer access-token-1', 'Bearer access-token-2']);
    expect(expired).toEqual([]);
  });

  it('81. After the pauses for an API that may lag: a new one', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.expiresIn = 1;
    await api.token({ forceRefresh: true });
    const expired = watchExpired(api);
    api.server.revoke('access-token-2');
    expect((await api.get('/x')).status).toBe(200);
    expect(api.authorizations.slice(1, 3)).toEqual(['Bearer access-token-2', 'Bearer access-token-2']);
    expect(api.authorizations.at(-1)).not.toBe('Bearer access-token-2');
    expect(expired).toEqual([]);
  });

  it('81. After a pause for an API that may lag, in which the token expired: a new one', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    api.server.expiresIn = 1;
    await api.token({ forceRefresh: true });
    const expired = watchExpired(api);
    api.server.respondToApiWith(async () => {
      await sleep(800);
      return { status: 401 };
    });
    expect((await api.get('/x')).status).toBe(200);
    expect(api.authorizations.slice(1)).toEqual(['Bearer access-token-2', 'Bearer access-token-3']);
    expect(expired).toEqual([]);
  });

  it('81. After a wait for the nonce of an API, in which the token expired: a new one', async () => {
    const api = await Application.withServer({ dpop: true });
    let issued = 0;
    api.server.alwaysRespond(() =>
      api.server.nextToken({ access_token: `access-token-${++issued}`, token_type: 'DPoP' }),
    );
    api.server.expiresIn = 1;
    const expired = watchExpired(api);
    api.server.respondToApiWith(async () => {
      await sleep(1_200);
      const challenge = { 'dpop-nonce': 'n1', 'www-authenticate': 'DPoP error="use_dpop_nonce"' };
      return { status: 401, headers: challenge };
    });
    expect((await api.get('/x')).status).toBe(200);
    expect(api.authorizations).toEqual(['DPoP access-token-1', 'DPoP access-token-2']);
    expect(expired).toEqual([]);
  });
});

describe('Interceptors of responses', () => {
  it.each(['before', 'after'])(
    '81. One that maps errors, added %s ours, hides no 401 from us',
    async (when) => {
      const api = await Application.withServer();
      const http = axios.create({ baseURL: api.server.apiURL });
      const mapErrors = () =>
        http.interceptors.response.use(undefined, () => {
          throw new Error('The partner is not well.');
        });
      if (when === 'before') mapErrors();
      api.interceptor.attach(http, 'api');
      if (when === 'after') mapErrors();
      await http.get('/warm-up');
      api.server.revokeAll();
      expect((await http.get('/x')).status).toBe(200);
      expect(api.authorizations.slice(1)).toEqual(['Bearer access-token-1', 'Bearer access-token-2']);
      expect(api.eventTypes).toContain('token_rejected');
    },
  );

  it('82. An error that one makes of a response shows no token', async () => {
    const api = await Application.withServer();
    api.axios.interceptors.response.use((response: AxiosResponse) => {
      throw new AxiosError('x', 'X', response.config, response.request, response);
    });
    const error = (await api.failure(api.get('/x'))) as AxiosError;
    api.watch.add(error.toJSON(), error.config, error.response, error.request);
    expect(error).toMatchObject({ code: 'X', config: { url: '/x' }, response: { status: 200 } });
    expect(api.watch.leaked).toEqual([]);
  });
});
