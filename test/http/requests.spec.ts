import { describe, expect, it } from '@jest/globals';
import { HttpModule, HttpService } from '@nestjs/axios';
import { Inject, Injectable, Module, Scope } from '@nestjs/common';
import { ContextIdFactory } from '@nestjs/core';
import axios, { type AxiosAdapter, type AxiosRequestConfig, type InternalAxiosRequestConfig } from 'axios';
import { OAuthAxiosInterceptor } from 'nestjs-oauth-client';
import { merge, lastValueFrom, toArray } from 'rxjs';
import { EventEmitter } from 'node:events';
import { Agent } from 'node:http';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Application } from '../support/application.js';
import { CLIENT_ID, CLIENT_SECRET, clientOf } from '../support/server.js';

/** The next token request waits until it is told to go on. */
function holdToken({ server }: Application): () => void {
  let release!: () => void;
  const held = new Promise<void>((resolve) => (release = resolve));
  server.respondWith(async () => {
    await held;
    return server.nextToken({ access_token: 'access-token-held' });
  });
  return release;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5);
}

describe('Many requests at once', () => {
  it('12. 1,000 concurrent cold callers → one POST, all get the same token', async () => {
    // All wait for the token at once; after that few connections are enough.
    const api = await Application.withServer({
      http: { httpAgent: new Agent({ keepAlive: true, maxSockets: 20 }) },
    });
    api.server.latencyMs = 50;
    const answers = await Promise.all(Array.from({ length: 1_000 }, (_, i) => api.get(`/x/${i}`)));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(new Set(api.authorizations)).toEqual(new Set(['Bearer access-token-1']));
    expect(api.server.apiRequests).toHaveLength(1_000);
    expect(api.posts).toBe(1);
  }, 60_000);

  it('12. The same for several Axios instances of one client', async () => {
    const api = await Application.withServer();
    api.server.latencyMs = 50;
    const { baseURL } = api.axios.defaults;
    const instances = Array.from({ length: 10 }, (_, i) => {
      const http = axios.create({ ...(baseURL !== undefined && { baseURL }) });
      api.interceptor.attach(i % 2 ? http : new HttpService(http), i % 3 ? 'api' : undefined);
      return http;
    });
    await Promise.all(instances.flatMap((http) => Array.from({ length: 20 }, () => http.get('/x'))));
    expect(new Set(api.authorizations)).toEqual(new Set(['Bearer access-token-1']));
    expect(api.posts).toBe(1);
  });

  it('12. The same for 100 subscribers of one Observable of Nest’s HttpService', async () => {
    const api = await Application.withServer();
    const get$ = api.http().get('/x');
    const answers = await lastValueFrom(merge(...Array.from({ length: 100 }, () => get$)).pipe(toArray()));
    expect(answers).toHaveLength(100);
    expect(api.posts).toBe(1);
  });

  it('12. A request whose token is at hand is not held up by one that waits for another', async () => {
    const api = await Application.withServer({}, { shutdownGraceMs: 0 });
    await api.warmUp();
    const release = holdToken(api);
    const waiting = api.get('/x', { oauth: { scope: 'other' } });
    expect((await api.get('/y')).status).toBe(200);
    release();
    await waiting;
    expect(api.authorizations).toEqual([
      'Bearer access-token-1',
      'Bearer access-token-1',
      'Bearer access-token-held',
    ]);
  });
});

describe('Beside other interceptors', () => {
  it('12. A request whose token is at hand leaves in the turn it was made in, as without an interceptor', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    const sent: unknown[] = [];
    const adapter: AxiosAdapter = (config) => {
      sent.push(config.headers.get('Authorization'));
      return Promise.resolve({ status: 200, statusText: 'OK', headers: {}, data: '', config });
    };
    const answer = api.axios.get('/x', { adapter });
    expect(sent).toEqual(['Bearer access-token-1']);
    await answer;
  });

  it.each([true, false])(
    '40. One that runs before ours has its say, synchronous: %s',
    async (synchronous) => {
      const api = await Application.withServer();
      await api.warmUp();
      const instance = axios.create({ baseURL: api.server.apiURL });
      api.interceptor.attach(instance, 'api');
      // Of request interceptors the one that was added last runs first.
      const askFor = (config: InternalAxiosRequestConfig) =>
        Object.assign(config, { oauth: { scope: config.url } });
      instance.interceptors.request.use(askFor, undefined, { synchronous });
      for (const path of ['one', 'one', 'two', 'one']) await instance.get(path);
      expect(api.server.tokenRequests.map(({ form }) => form?.get('scope'))).toEqual([null, 'one', 'two']);
      expect(api.authorizations.map((token) => token?.slice(-1))).toEqual(['1', '2', '2', '3', '2']);
    },
  );

  it.each([true, false])(
    '82. One that runs after ours sees no token, and the request has one, synchronous: %s',
    async (synchronous) => {
      const api = await Application.withServer();
      const instance = axios.create({ baseURL: api.server.apiURL });
      const seen: unknown[] = [];
      const look = (config: InternalAxiosRequestConfig) => {
        seen.push(config.headers.get('Authorization'));
        return config;
      };
      instance.interceptors.request.use(look, undefined, { synchronous });
      api.interceptor.attach(instance, 'api');
      await instance.get('/x');
      await instance.get('/x');
      expect(seen).toEqual([undefined, undefined]);
      expect(api.authorizations).toEqual(['Bearer access-token-1', 'Bearer access-token-1']);
    },
  );

  it('41. What is wrong with a request passes the interceptors of responses', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    const instance = axios.create({ baseURL: api.server.apiURL });
    api.interceptor.attach(instance, 'api');
    const seen: unknown[] = [];
    instance.interceptors.response.use(undefined, (error: unknown) => {
      seen.push((error as { code: string }).code);
      throw error;
    });
    const failure = expect.objectContaining({ code: 'origin_not_allowed' }) as unknown;
    await expect(instance.get('http://127.0.0.2/x')).rejects.toEqual(failure);
    expect(seen).toEqual(['origin_not_allowed']);
  });
});

describe('Requests without a token of ours', () => {
  it('40. Caller set Authorization itself → untouched, also when the API answers 401', async () => {
    const api = await Application.withServer();
    for (const headers of [{ Authorization: 'Basic abc' }, { authorization: 'Bearer own' }]) {
      expect(await api.failure(api.get('/x', { headers }))).toMatchObject({ response: { status: 401 } });
    }
    expect(api.authorizations).toEqual(['Basic abc', 'Bearer own']);
    expect(api.posts).toBe(0);
  });

  it('40. The same when an interceptor of the caller sets it after ours', async () => {
    const api = await Application.withServer();
    const instance = axios.create({ baseURL: api.server.apiURL });
    instance.interceptors.request.use((config) => {
      config.headers.set('Authorization', 'Custom mine');
      return config;
    });
    api.interceptor.attach(instance, 'api');
    api.server.respondToApiWith({ status: 401 });
    await expect(instance.get('/x')).rejects.toMatchObject({ response: { status: 401 } });
    expect(api.authorizations).toEqual(['Custom mine']);
    expect(api.eventTypes).toEqual([]);
  });

  it.each<[string, AxiosRequestConfig, string | undefined]>([
    ['with another Authorization', { headers: { Authorization: 'Own x' } }, 'Own x'],
    ['with `oauth: false`', { oauth: false, headers: {} }, undefined],
  ])('40. A response’s config, sent again %s, gets no token by a redirect either', async (_, own, header) => {
    const api = await Application.withServer();
    const { config } = await api.axios.get('/x');
    api.server.onApiRequest = ({ url }) => (url === '/api/x' ? { redirectTo: '/api/y' } : { status: 200 });
    await api.axios.request({ ...config, ...own });
    expect(api.authorizations).toEqual(['Bearer access-token-1', header, header]);
  });

  it('40. Axios’s `auth` is an Authorization of the caller too', async () => {
    const api = await Application.withServer();
    await api.failure(api.get('/x', { auth: { username: 'a', password: 'b' } }));
    expect(api.authorizations).toEqual([`Basic ${Buffer.from('a:b').toString('base64')}`]);
    expect(api.posts).toBe(0);
  });

  it('40. `Authorization: false`, Axios’s word for none → none', async () => {
    const api = await Application.withServer();
    await api.failure(api.axios.get('/x', { headers: { Authorization: false } }));
    expect(api.authorizations).toEqual([undefined]);
    expect(api.posts).toBe(0);
  });

  it('40. `oauth: false` → no token, to any origin', async () => {
    const api = await Application.withServer();
    const elsewhere = await Application.withServer();
    await api.failure(api.get('/x', { oauth: false }));
    await api.failure(api.get(`${elsewhere.server.apiURL}/x`, { oauth: false }));
    expect([...api.authorizations, ...elsewhere.authorizations]).toEqual([undefined, undefined]);
    expect(api.posts).toBe(0);
  });

  it.each<[string, () => Parameters<Application['server']['respondWith']>[0], object]>([
    [
      'rejected',
      () => ({ status: 400, body: { error: 'invalid_scope' } }),
      { code: 'token_request_rejected' },
    ],
    ['unavailable', () => ({ status: 503 }), { code: 'authorization_server_unavailable', status: 503 }],
    ['hung', () => 'hang', { code: 'authorization_server_unavailable', timedOut: true }],
    ['HTML', () => 'html', { code: 'token_response_invalid' }],
  ])(
    '41. Token failure (%s) → the API request is not sent; the caller gets our typed error',
    async (_, fault, error) => {
      const api = await Application.withServer({
        timeoutMs: fault() === 'hang' ? 150 : 10_000,
        retry: { attempts: 1 },
      });
      api.server.alwaysRespond(fault());
      const failures = [api.failure(api.get('/x')), api.failure(api.axios.post('/x', {}))];
      for (const failure of await Promise.all(failures)) {
        expect(failure).toMatchObject({ ...error, client: 'api' });
      }
      expect(api.server.apiRequests).toHaveLength(0);
      expect(api.posts).toBe(1);
    },
  );

  it('41. After the shutdown → `closed`, and nothing is sent', async () => {
    const api = await Application.withServer();
    await api.warmUp();
    await api.app.close();
    expect(await api.failure(api.get('/x'))).toMatchObject({ code: 'closed', client: 'api' });
    expect(api.server.apiRequests).toHaveLength(1);
  });

  it('41. An unknown client in the request → an error that lists the configured ones', async () => {
    const api = await Application.withServer();
    const error = await api.failure(api.get('/x', { oauth: { client: 'nobody' } }));
    expect(error).toMatchObject({ code: 'unknown_client', message: expect.stringContaining('api') });
    expect(api.server.apiRequests).toHaveLength(0);
  });
});

describe('Callers that leave', () => {
  it('42. Unsubscribing from HttpService while waiting for the token → the request is never sent', async () => {
    const api = await Application.withServer();
    const release = holdToken(api);
    const heard: unknown[] = [];
    const left = api
      .http()
      .get('/left')
      .subscribe({ next: (v) => heard.push(v), error: (e) => heard.push(e) });
    const stays = api.get('/stays');
    await until(() => api.posts === 1);
    left.unsubscribe();
    release();
    expect((await stays).status).toBe(200);
    await sleep(20);
    expect(api.server.apiRequests.map(({ url }) => url)).toEqual(['/api/stays']);
    expect(heard).toEqual([]);
  });

  const cancelling: [string, () => [object, () => void]][] = [
    [
      'an AbortSignal',
      () => {
        const controller = new AbortController();
        return [{ signal: controller.signal }, () => controller.abort()];
      },
    ],
    [
      'a CancelToken',
      () => {
        const { token, cancel } = axios.CancelToken.source();
        return [{ cancelToken: token }, () => cancel()];
      },
    ],
  ];

  it.each(cancelling)(
    '42. %s while waiting for the token → rejects at once with Axios’s own cancellation',
    async (_, make) => {
      const api = await Application.withServer({}, { shutdownGraceMs: 0 });
      api.server.alwaysRespond('hang');
      const [config, cancel] = make();
      const request = api.failure(api.axios.get('/x', config));
      await until(() => api.posts === 1);
      cancel();
      const error = await request;
      expect(axios.isCancel(error)).toBe(true);
      expect(error).toMatchObject({ code: 'ERR_CANCELED', name: 'CanceledError' });
      expect(api.eventTypes).toEqual([]); // the flight goes on
      expect(api.server.apiRequests).toHaveLength(0);
    },
  );

  it.each(cancelling)('42. %s before the request → no POST either', async (_, make) => {
    const api = await Application.withServer();
    const [config, cancel] = make();
    cancel();
    expect(axios.isCancel(await api.failure(api.axios.get('/x', config)))).toBe(true);
    await sleep(20);
    expect(api.posts).toBe(0);
  });

  it.each(cancelling)('42. %s while a 401 is being mended → rejects at once, no replay', async (_, make) => {
    const api = await Application.withServer({}, { shutdownGraceMs: 0 });
    await api.warmUp();
    api.server.revokeAll();
    api.server.alwaysRespond('hang');
    const [config, cancel] = make();
    const request = api.failure(api.axios.get('/x', config));
    await until(() => api.posts === 2);
    cancel();
    expect(axios.isCancel(await request)).toBe(true);
    expect(api.server.apiRequests).toHaveLength(2);
  });

  it('42. The signal of the token request ends the wait with its own reason', async () => {
    const api = await Application.withServer({}, { shutdownGraceMs: 0 });
    api.server.alwaysRespond('hang');
    const controller = new AbortController();
    const oauth = { signal: controller.signal };
    const request = api.failure(api.axios.get('/x', { signal: new AbortController().signal, oauth }));
    await until(() => api.posts === 1);
    controller.abort(new Error('enough'));
    expect(await request).toMatchObject({ message: 'enough' });
  });

  it('42. A signal of the token request that is aborted already → nothing is sent, also with a token at hand', async () => {
    const api = await Application.withServer();
    const reason = new Error('too late');
    for (const requests of [0, 1]) {
      const oauth = { signal: AbortSignal.abort(reason) };
      await expect(api.axios.get('/x', { oauth })).rejects.toBe(reason);
      expect(api.server.apiRequests).toHaveLength(requests);
      await api.warmUp();
    }
  });

  it('42. A token that comes in time is used, and the signal still ends the request itself', async () => {
    const api = await Application.withServer();
    api.server.onApiRequest = () => 'hang';
    const controller = new AbortController();
    const request = api.failure(api.axios.get('/x', { signal: controller.signal }));
    await until(() => api.server.apiRequests.length === 1);
    controller.abort();
    expect(axios.isCancel(await request)).toBe(true);
  });
});

describe('A stream that fails while its request waits', () => {
  it('38. is nobody’s error, even if it is none of Node’s own', async () => {
    const api = await Application.withServer();
    api.server.latencyMs = 50;
    const body = Object.assign(new EventEmitter(), { pipe: () => undefined, destroyed: false });
    const answer = api.failure(api.axios.post('/x', body));
    setImmediate(() => {
      body.destroyed = true;
      body.emit('error', new Error('broken stream'));
    });
    expect(await answer).toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' });
    expect(api.server.apiRequests).toEqual([]);
  });

  it('38. has one listener of ours, however often it is passed', async () => {
    const api = await Application.withServer({ http: { headers: { 'x-id': () => 'some id' } } });
    api.server.alwaysRespond({ status: 503 });
    const body = new Readable({ read: () => undefined });
    for (let i = 0; i < 3; i++) await api.failure(api.axios.post('/x', body));
    expect(body.listenerCount('error')).toBe(1);
  });

  const asking = { http: { headers: { 'x-id': () => sleep(50, 'some id') } } };
  const waits: [string, object, isWarm: boolean, oauth?: object][] = [
    ['for a token', {}, false],
    ['for a DPoP proof', { dpop: { algorithm: 'RS256' } }, true],
    ['for a header', asking, true],
    ['for the options of a tenant', { tenants: () => sleep(50, {}) }, false, { tenant: 'a' }],
  ];
  type Send = (api: Application, body: Readable, oauth?: object) => Promise<unknown>;
  const ways: [string, Send][] = [
    ['Axios', (api, body, oauth) => api.axios.post('/x', body, { oauth })],
    [
      'fetch',
      (api, body, oauth) => api.fetch()('/x', { method: 'POST', duplex: 'half', body: body as never, oauth }),
    ],
  ];
  const cases = ways.flatMap(([by, send]) =>
    waits.map(([wait, options, isWarm, oauth]) => ({ by, wait, options, isWarm, oauth, send })),
  );

  it.each(cases)(
    '38. is the error of that request, which is not sent: by $by, $wait',
    async ({ options, isWarm, oauth, send }) => {
      for (const reason of [new Error('broken stream'), undefined]) {
        const api = await Application.withServer(options);
        api.server.latencyMs = 50;
        api.server.respondWith(api.server.nextToken('dpop' in options ? { token_type: 'DPoP' } : {}));
        if (isWarm) await api.token();
        const body = new Readable({ read: () => undefined });
        const answer = api.failure(send(api, body, oauth));
        setImmediate(() => body.destroy(reason));
        expect(await answer).toMatchObject({ message: reason?.message ?? 'Premature close' });
        expect(api.server.apiRequests).toEqual([]);
      }
    },
  );
});

describe('Attaching', () => {
  it('44. Interceptor attached twice → one token, one replay', async () => {
    const api = await Application.withServer();
    const http = axios.create({ baseURL: api.server.apiURL });
    http.interceptors.request.use((config) => config);
    const detach = api.interceptor.attach(http, 'api');
    expect(api.interceptor.attach(http, 'api')).toBe(detach);
    expect(api.interceptor.attach(new HttpService(http), 'api')).toBe(detach);
    await http.get('/warm-up');
    api.server.revokeAll();
    await http.get('/x');
    expect(api.authorizations).toEqual([
      'Bearer access-token-1',
      'Bearer access-token-1',
      'Bearer access-token-2',
    ]);
    expect(api.posts).toBe(2);
  });

  it('44. Detach → gone; attached again → back', async () => {
    const api = await Application.withServer();
    const http = axios.create({ baseURL: api.server.apiURL, validateStatus: () => true });
    const detach = api.interceptor.attach(http, 'api');
    await http.get('/x');
    detach();
    detach();
    await http.get('/x');
    api.interceptor.attach(http, 'api');
    await http.get('/x');
    expect(api.authorizations).toEqual(['Bearer access-token-1', undefined, 'Bearer access-token-1']);
  });

  it('44. Detached twice, with another attach between → that one stays, and can be detached', async () => {
    const api = await Application.withServer();
    const http = axios.create({ baseURL: api.server.apiURL, validateStatus: () => true });
    const first = api.interceptor.attach(http, 'api');
    first();
    const second = api.interceptor.attach(http, 'api');
    first();
    await http.get('/x');
    second();
    await http.get('/x');
    expect(api.authorizations).toEqual(['Bearer access-token-1', undefined]);
  });

  it('44. After `interceptors.request.clear()` → gone; attached again → back; detached → no other interceptor goes', async () => {
    const api = await Application.withServer();
    const http = axios.create({ baseURL: api.server.apiURL, validateStatus: () => true });
    const detach = api.interceptor.attach(http, 'api');
    http.interceptors.request.clear();
    http.interceptors.request.use((config) => {
      config.headers.set('x-trace', 'abc');
      return config;
    });
    detach();
    await http.get('/x');
    api.interceptor.attach(http, 'api');
    http.interceptors.request.clear();
    await http.get('/x');
    api.interceptor.attach(http, 'api');
    await http.get('/x');
    expect(api.authorizations).toEqual([undefined, undefined, 'Bearer access-token-1']);
    expect(api.server.apiRequests.map(({ headers }) => headers['x-trace'])).toEqual([
      'abc',
      undefined,
      undefined,
    ]);
  });

  it('44. Attached and detached again and again, where another interceptor came or went before → no other interceptor goes', async () => {
    const api = await Application.withServer();
    const http = axios.create({ baseURL: api.server.apiURL, validateStatus: () => true });
    const { request } = http.interceptors;
    const tracing = (config: InternalAxiosRequestConfig) => {
      config.headers.set('x-trace', 'abc');
      return config;
    };
    request.eject(request.use(tracing));
    const trace = request.use(tracing);
    for (let round = 0; round < 3; round++) {
      const detach = api.interceptor.attach(http, 'api');
      await http.get('/x');
      detach();
      await http.get('/x');
    }
    const rounds = Array.from({ length: 3 }, () => ['Bearer access-token-1', undefined]);
    expect(api.authorizations).toEqual(rounds.flat());
    expect(api.server.apiRequests.map(({ headers }) => headers['x-trace'])).toEqual(Array(6).fill('abc'));
    request.eject(trace);
    await http.get('/x');
    expect(api.server.apiRequests.at(-1)?.headers).not.toHaveProperty('x-trace');
  });

  it('44. The same instance for another client → an error that says so', async () => {
    const api = await Application.withServer();
    expect(() => api.interceptor.attach(api.axios)).toThrow(/"api"/);
    expect(() => api.interceptor.attach(axios.create(), 'nobody')).toThrow(/nobody/);
  });

  it('44. REQUEST-scoped use → still once', async () => {
    const api = await Application.withServer();

    @Injectable({ scope: Scope.REQUEST })
    class Partner {
      constructor(
        readonly http: HttpService,
        @Inject(OAuthAxiosInterceptor) interceptor: OAuthAxiosInterceptor,
      ) {
        interceptor.attach(http, 'api');
      }
    }

    @Module({ imports: [HttpModule.register({ baseURL: api.server.apiURL })], providers: [Partner] })
    class PartnerModule {}

    const { app } = await Application.start({
      oauth: { clients: { api: clientOf(api.server) } },
      imports: [PartnerModule],
    });
    const partners = await Promise.all(
      Array.from({ length: 20 }, () => app.resolve(Partner, ContextIdFactory.create(), { strict: false })),
    );
    expect(new Set(partners).size).toBe(20);
    const { http } = partners[0]!;
    await lastValueFrom(http.get('/warm-up'));
    api.server.revokeAll();
    await lastValueFrom(http.get('/x'));
    expect(api.authorizations).toEqual([
      'Bearer access-token-1',
      'Bearer access-token-1',
      'Bearer access-token-2',
    ]);
    expect(api.posts).toBe(2);
  });

  it('43. An unnamed attach picks the client whose allowed origin covers most of the URL', async () => {
    const one = await Application.withServer();
    const two = await Application.withServer(
      { baseURL: `${one.server.apiURL}/one` },
      {
        clients: {
          narrow: {
            tokenEndpoint: one.server.tokenEndpoint,
            clientId: CLIENT_ID,
            clientSecret: CLIENT_SECRET,
            allowedOrigins: [`${one.server.apiURL}/narrow`],
          },
        },
      },
    );
    const http = axios.create({ validateStatus: () => true });
    two.interceptor.attach(http);
    await http.get(`${one.server.apiURL}/narrow/x`);
    await http.get(`${one.server.apiURL}/x`);
    expect([one.posts, two.posts]).toEqual([1, 1]);
    expect(two.tokens.status().map(({ client, tokenRequests }) => [client, tokenRequests])).toEqual([
      ['api', 1],
      ['narrow', 1],
    ]);
  });
});
