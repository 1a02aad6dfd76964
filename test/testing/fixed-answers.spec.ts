import { describe, expect, it, jest } from '@jest/globals';
import { HttpService } from '@nestjs/axios';
import { Test } from '@nestjs/testing';
import { Readable } from 'node:stream';
import axios, { AxiosError, type AxiosInstance } from 'axios';
import {
  OAuthAxiosInterceptor,
  OAuthTokenService,
  getOAuthFetchToken,
  getOAuthHttpToken,
} from 'nestjs-oauth-client';
import {
  FakeAuthorizationServer,
  OAuthClientTestingModule,
  type FixedAnswer,
  type FixedClient,
} from 'nestjs-oauth-client/testing';
import { closing } from '../support/closing.js';

/** How a test reaches the kit. */
type Way = 'HttpService' | 'fetch' | 'named attach' | 'unnamed attach';
type Sent = { status: number; data: unknown; header: (name: string) => unknown };
type Send = (method: string, url: string, body?: object) => Promise<Sent>;

const WAYS: Way[] = ['HttpService', 'fetch', 'named attach', 'unnamed attach'];

async function start(clients: Record<string, string | FixedClient>) {
  const imports = [OAuthClientTestingModule.forRoot(clients)];
  const module = closing(await Test.createTestingModule({ imports }).compile());
  const attached = (name?: string): AxiosInstance => {
    const instance = axios.create();
    module.get(OAuthAxiosInterceptor).attach(instance, name);
    return instance;
  };
  const http = (name = 'buoy') => module.get<HttpService>(getOAuthHttpToken(name)).axiosRef;
  const fetch = (name = 'buoy') => module.get<typeof globalThis.fetch>(getOAuthFetchToken(name));
  const byAxios =
    (instance: AxiosInstance): Send =>
    async (method, url, data) => {
      const response = await instance.request({ method, url, data, validateStatus: () => true });
      const { status, headers } = response;
      return { status, data: response.data as unknown, header: (name) => headers[name] as unknown };
    };
  const byFetch: Send = async (method, url, data) => {
    const response = await fetch()(url, { method, ...(data && { body: JSON.stringify(data) }) });
    const text = await response.text();
    const isJson = text.startsWith('{') || text.startsWith('[');
    const header = (name: string) => response.headers.get(name) ?? undefined;
    return { status: response.status, data: isJson ? JSON.parse(text) : text, header };
  };
  const send = (way: Way): Send => {
    if (way === 'fetch') return byFetch;
    if (way === 'HttpService') return byAxios(http());
    return byAxios(attached(way === 'named attach' ? 'buoy' : undefined));
  };
  return { module, attached, http, fetch, send, tokens: module.get(OAuthTokenService) };
}

describe.each(WAYS)('answers to %s', (way) => {
  it('63. are given for absolute URLs of any origin, and nothing reaches the network', async () => {
    const server = closing(await FakeAuthorizationServer.start());
    const answer = jest.fn<FixedAnswer>(({ method, url, token, body }) => ({ method, url, token, body }));
    const { send } = await start({ buoy: { token: 'mine', answer } });
    for (const url of [`${server.apiURL}/queries/`, 'https://partner.example/queries/']) {
      const { status, data } = await send(way)('POST', url, { text: 'hip' });
      expect([status, data]).toEqual([200, { method: 'post', url, token: 'mine', body: { text: 'hip' } }]);
    }
    expect([...server.apiRequests, ...server.tokenRequests]).toEqual([]);
  });

  it('63. have status, headers and body', async () => {
    const answer = { status: 503, headers: { 'Retry-After': 7 }, body: { detail: 'closed' } };
    const { send } = await start({ buoy: { answer } });
    const sent = await send(way)('GET', 'https://buoy.test/queries/');
    expect([sent.status, sent.data, sent.header('retry-after')]).toEqual([503, { detail: 'closed' }, '7']);
  });

  it('63. with a 401 have the request sent again with a new token, once', async () => {
    let issued = 0;
    const answer = jest.fn<FixedAnswer>(({ token }) => (token === 't1' ? { status: 401 } : { token }));
    const { send } = await start({ buoy: { token: () => `t${++issued}`, answer } });
    const sent = await send(way)('POST', 'https://buoy.test/queries/', { text: 'hip' });
    expect([sent.status, sent.data]).toEqual([200, { token: 't2' }]);
    expect(answer.mock.calls.map(([{ token, body }]) => [token, body])).toEqual([
      ['t1', { text: 'hip' }],
      ['t2', { text: 'hip' }],
    ]);
  });

  it('63. with a 401 to every token reach the caller, without a wait for the API to learn of one', async () => {
    let issued = 0;
    let accepts = true;
    const answer = jest.fn<FixedAnswer>(() => (accepts ? 'ok' : { status: 401 }));
    const { send } = await start({ buoy: { token: () => `t${++issued}`, answer } });
    const through = send(way);
    expect((await through('GET', 'https://buoy.test/')).status).toBe(200);
    accepts = false;
    expect((await through('GET', 'https://buoy.test/')).status).toBe(401);
    expect(answer.mock.calls.map(([{ token }]) => token)).toEqual(['t1', 't1', 't2']);
  });

  it('63. that throw are the failure of the network', async () => {
    const down = new AxiosError('connect ECONNREFUSED', 'ECONNREFUSED');
    const answer = async () => {
      throw down;
    };
    const { send } = await start({ buoy: { answer } });
    await expect(send(way)('GET', 'https://buoy.test/')).rejects.toThrow('connect ECONNREFUSED');
  });

  it('63. that are missing fail the request and say what to do', async () => {
    const { send } = await start({ buoy: {} });
    await expect(send(way)('GET', 'https://buoy.test/queries/')).rejects.toThrow(
      /^No network in tests: GET .*queries\/ of client "buoy" has no answer\. Give OAuthClientTestingModule/,
    );
  });
});

describe('answers', () => {
  it('63. may be the data itself, also data that has a status of its own', async () => {
    const order = { status: 200, number: 7 };
    const { http } = await start({
      list: { answer: ['a'] },
      text: { answer: 'hip' },
      order: { answer: order },
    });
    const data = ['list', 'text', 'order'].map(async (name) => (await http(name).get('/x')).data as unknown);
    expect(await Promise.all(data)).toEqual([['a'], 'hip', order]);
  });

  it('63. with an error status make Axios reject as it does', async () => {
    const { http } = await start({ buoy: { answer: { status: 404, body: { detail: 'no such query' } } } });
    const error: unknown = await http()
      .get('/queries/9')
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(AxiosError);
    expect(error).toMatchObject({
      code: 'ERR_BAD_REQUEST',
      message: 'Request failed with status code 404',
      response: { status: 404, statusText: 'Not Found', data: { detail: 'no such query' } },
    });
    expect((error as AxiosError).config?.headers.has('authorization')).toBe(false);
  });

  it('63. are JSON as on the wire, so that no request sees what another one did to its answer', async () => {
    const { http, fetch } = await start({ buoy: { answer: { at: new Date(0), list: ['a'] } } });
    for (let round = 0; round < 2; round++) {
      const { data, headers } = await http().get<{ list: string[] }>('/x');
      expect(data).toEqual({ at: '1970-01-01T00:00:00.000Z', list: ['a'] });
      expect(headers['content-type']).toBe('application/json');
      data.list.push('b');
    }
    const response = await fetch()('/x');
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(await response.json()).toEqual({ at: '1970-01-01T00:00:00.000Z', list: ['a'] });
  });

  it('63. that are no plain data are JSON as well, to HttpService as to fetch', async () => {
    class Query {
      readonly text = 'hip';
      readonly at = new Date(0);
      #asked = 0;
      get asked(): number {
        return ++this.#asked;
      }
    }
    const onTheWire = { text: 'hip', at: '1970-01-01T00:00:00.000Z' };
    const query = new Query();
    const answers: [FixedClient['answer'], unknown][] = [
      [query, onTheWire],
      [() => query, onTheWire],
      [{ status: 200, body: query }, onTheWire],
      [new Map([['a', 1]]), {}],
      [() => new Date(0), onTheWire.at],
      [() => 7, 7],
      [() => null, null],
      [() => false, false],
    ];
    for (const [answer, expected] of answers) {
      const { http, fetch } = await start({ buoy: { answer } });
      const { data, headers } = await http().get<unknown>('/x');
      expect([data, headers['content-type']]).toEqual([expected, 'application/json']);
      expect(data).not.toBeInstanceOf(Query);
      expect(await (await fetch()('/x')).json()).toEqual(expected);
    }
  });

  it('63. may be bytes, a blob or a stream', async () => {
    const bytes = Buffer.from([0, 255, 254]);
    const answers = {
      bytes,
      array: new Uint8Array(bytes),
      buffer: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 3),
      blob: new Blob([bytes]),
      stream: () => Readable.from([bytes]),
    };
    for (const [kind, answer] of Object.entries(answers)) {
      const { http, fetch } = await start({ buoy: { answer } });
      const response = await fetch()('/label.pdf');
      expect([kind, Buffer.from(await response.arrayBuffer())]).toEqual([kind, bytes]);
      expect(response.headers.get('content-type') ?? '').not.toContain('json');
      if (typeof answer !== 'function')
        expect((await http().get('/label.pdf', { responseType: 'arraybuffer' })).data).toBe(answer);
    }
  });

  it('63. may be a Response, also the same one for several requests', async () => {
    const init = { status: 201, headers: { location: '/orders/7' } };
    const { http, fetch } = await start({ buoy: { answer: Response.json({ number: 7 }, init) } });
    for (let round = 0; round < 2; round++) {
      const { status, headers, data } = await http().get<object>('/x');
      expect([status, headers['location'], data]).toEqual([201, '/orders/7', { number: 7 }]);
      const response = await fetch()('/x');
      expect([response.status, await response.json()]).toEqual([201, { number: 7 }]);
    }
  });

  it('63. that never come end with the signal of their caller', async () => {
    const answer = () => new Promise(() => undefined);
    const { http, fetch, attached } = await start({ buoy: { answer } });
    for (const instance of [http(), attached('buoy')]) {
      const call = instance.get('https://buoy.test/x', { signal: AbortSignal.timeout(20) });
      await expect(call).rejects.toMatchObject({ code: 'ERR_CANCELED' });
    }
    await expect(fetch()('/x', { signal: AbortSignal.timeout(20) })).rejects.toMatchObject({
      name: 'TimeoutError',
    });
  });

  it('63. are refused by a validateStatus that says nothing, as Axios does', async () => {
    const { http } = await start({ buoy: { answer: 'hip' } });
    const validateStatus = () => undefined as unknown as boolean;
    await expect(http().get('/x', { validateStatus })).rejects.toThrow('status code 200');
    expect((await http().get('/x', { validateStatus: null })).data).toBe('hip');
  });

  it('63. reach an unnamed attach by the baseURL of a client, and else from the first client', async () => {
    const { attached } = await start({
      buoy: { answer: 'of buoy' },
      lab: {
        answer: ({ token }) => `of lab for ${token}`,
        token: 'labs',
        baseURL: 'https://lab.example/v1',
      },
    });
    const http = attached();
    const answers = ['https://lab.example/v1/x', 'https://buoy.test/x', 'https://other.example/x'].map(
      async (url) => (await http.get<string>(url)).data,
    );
    expect(await Promise.all(answers)).toEqual(['of lab for labs', 'of buoy', 'of buoy']);
    await expect(http.get('/no/base')).rejects.toThrow(
      'No network in tests: GET /no/base of an attached instance',
    );
  });

  it('63. come from the client that a request names', async () => {
    const { http, fetch, attached } = await start({
      buoy: { answer: 'of buoy' },
      lab: { answer: ({ token }) => `of lab for ${token}`, token: 'labs' },
    });
    const oauth = { client: 'lab' };
    const url = 'https://partner.example/x';
    expect((await http().get(url, { oauth })).data).toBe('of lab for labs');
    expect((await attached('buoy').get(url, { oauth })).data).toBe('of lab for labs');
    expect((await attached().get(url, { oauth })).data).toBe('of lab for labs');
    expect(await (await fetch()(url, { oauth })).text()).toBe('of lab for labs');
  });

  it('63. are given to requests without a token of ours as well', async () => {
    const answer = jest.fn<FixedAnswer>(({ token }) => ({ token }));
    const { http, fetch, attached } = await start({ buoy: { answer } });
    const url = 'https://partner.example/x';
    for (const instance of [http(), attached('buoy'), attached()]) {
      expect((await instance.get(url, { oauth: false })).data).toEqual({});
      const headers = { Authorization: 'Bearer own' };
      expect((await instance.get(url, { headers })).data).toEqual({ token: 'own' });
    }
    expect(await (await fetch()(url, { oauth: false })).json()).toEqual({});
    expect(answer).toHaveBeenCalledTimes(7);
  });

  it('63. replace whatever adapter a request or its instance names', async () => {
    const server = closing(await FakeAuthorizationServer.start());
    const { module, http } = await start({ buoy: { answer: 'of the kit' }, silent: {} });
    const instances = [
      axios.create({ adapter: 'fetch' }),
      axios.create({ adapter: axios.getAdapter('http') }),
    ];
    for (const instance of instances) module.get(OAuthAxiosInterceptor).attach(instance, 'buoy');
    for (const instance of [...instances, http()])
      expect((await instance.get(server.apiURL, { adapter: ['http'] })).data).toBe('of the kit');
    const silent = axios.create({ adapter: axios.getAdapter('http') });
    module.get(OAuthAxiosInterceptor).attach(silent, 'silent');
    await expect(silent.get(server.apiURL)).rejects.toThrow('No network in tests');
    expect(server.apiRequests).toEqual([]);
  });

  it('63. stay when an instance is attached twice, and when it is detached', async () => {
    const server = closing(await FakeAuthorizationServer.start());
    const { module } = await start({ buoy: { answer: ({ token = 'none' }) => token } });
    const interceptor = module.get(OAuthAxiosInterceptor);
    const instance = axios.create();
    const get = async () => (await instance.get<string>(server.apiURL)).data;
    const detach = interceptor.attach(instance, 'buoy');
    expect(interceptor.attach(instance, 'buoy')).toBe(detach);
    expect(await get()).toBe('test-token');
    detach();
    expect(await get()).toBe('none');
    interceptor.attach(new HttpService(instance), 'buoy');
    expect(await get()).toBe('test-token');
    expect(server.apiRequests).toEqual([]);
  });

  it('63. 77. follow redirects of fetch without a network', async () => {
    const answer: FixedAnswer = ({ url }) =>
      url === '/moved' ? { status: 302, headers: { location: '/here' } } : { url };
    const { fetch } = await start({ buoy: { answer } });
    const response = await fetch()('/moved');
    expect([response.redirected, await response.json()]).toEqual([true, { url: '/here' }]);
  });
});
