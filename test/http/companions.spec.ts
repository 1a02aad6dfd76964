import { describe, expect, it } from '@jest/globals';
import MockAdapter from 'axios-mock-adapter';
import axiosRetry from 'axios-retry';
import type { AxiosInstance } from 'axios';
import { Application } from '../support/application.js';

describe('Beside axios-retry', () => {
  it.each(['before', 'after'])(
    'A request is sent again with the token of the day: added %s ours',
    async (when) => {
      const api = await Application.withServer();
      const http = api.axios.create();
      const addRetries = () =>
        axiosRetry(http, { retries: 2, retryDelay: () => 1, onRetry: () => api.tokens.invalidate('api') });
      if (when === 'before') addRetries();
      api.interceptor.attach(http, 'api');
      if (when === 'after') addRetries();
      api.server.respondToApiWith({ status: 503 }, { status: 503 });
      expect((await http.get('/x')).status).toBe(200);
      expect(api.authorizations).toEqual([
        'Bearer access-token-1',
        'Bearer access-token-2',
        'Bearer access-token-3',
      ]);
    },
  );

  it('A 401 is ours to replay, also one that only the second try gets', async () => {
    const api = await Application.withServer();
    axiosRetry(api.axios, { retries: 2, retryDelay: () => 1, retryCondition: () => true });
    await api.warmUp();
    api.server.respondToApiWith({ status: 503 }, { status: 401 });
    expect((await api.axios.put('/x', { a: 1 })).data).toMatchObject({ method: 'PUT', body: { a: 1 } });
    expect(api.authorizations.slice(1)).toEqual([
      'Bearer access-token-1',
      'Bearer access-token-1',
      'Bearer access-token-2',
    ]);
    expect(api.posts).toBe(2);
  });

  it('When it gives up, its error shows no token', async () => {
    const api = await Application.withServer();
    axiosRetry(api.axios, { retries: 2, retryDelay: () => 1 });
    api.server.onApiRequest = () => ({ status: 503 });
    expect(await api.failure(api.get('/x'))).toMatchObject({ response: { status: 503 } });
    expect(api.authorizations).toHaveLength(3);
  });
});

/** The types of the two know Axios by two module formats. */
function mockOf(http: AxiosInstance, options: object = {}): MockAdapter {
  return new MockAdapter(http as unknown as ConstructorParameters<typeof MockAdapter>[0], options);
}

describe('Beside axios-mock-adapter', () => {
  it('Its handlers see the token, and a 401 of theirs is replayed', async () => {
    const api = await Application.withServer();
    const mock = mockOf(api.axios);
    mock.onGet('/x').replyOnce(401);
    mock.onGet('/x').reply(({ headers }) => [200, { saw: String(headers?.['Authorization']).slice(-1) }]);
    expect((await api.get('/x')).data).toEqual({ saw: '2' });
    expect(mock.history['get']).toHaveLength(2);
    expect(mock.history['get']?.[0]?.headers?.['Authorization']).toBe('Bearer access-token-1');
    expect(api.server.apiRequests).toHaveLength(0);
  });

  it('What it lets pass reaches the API once, and comes back without a token', async () => {
    const api = await Application.withServer();
    const mock = mockOf(api.axios, { onNoMatch: 'passthrough' });
    const response = await api.get('/x');
    expect(response.data).toMatchObject({ ok: true });
    expect(api.authorizations).toEqual(['Bearer access-token-1']);
    api.watch.add(response);
    mock.restore();
    api.server.respondToApiWith({ status: 500 });
    await api.failure(api.get('/x'));
  });

  it('No handler → its 404 has the caller’s config', async () => {
    const api = await Application.withServer();
    const mock = mockOf(api.axios);
    expect(await api.failure(api.get('/x'))).toMatchObject({
      response: { status: 404, config: { url: '/x' } },
    });
    mock.restore();
  });
});
