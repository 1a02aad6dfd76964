import { createRequire } from 'node:module';
import { describe, expect, it } from '@jest/globals';
import * as ours from 'axios';
import { Application } from '../support/application.js';

const commonJs = createRequire(import.meta.url)('axios') as typeof ours;

describe('An instance of the CommonJS build of Axios', () => {
  async function attached(own: object = {}) {
    const application = await Application.withServer();
    const { server } = application;
    const http = commonJs.default.create({ baseURL: server.apiURL, ...own });
    application.interceptor.attach(http, 'api');
    return { http, server };
  }
  const failureOf = (request: Promise<unknown>) => request.then(() => undefined, (error: unknown) => error); // prettier-ignore

  it('34. rejects with errors of its own classes, as without us', async () => {
    const { http, server } = await attached();
    expect(commonJs.AxiosError).not.toBe(ours.AxiosError);
    server.respondToApiWith({ status: 500 });
    expect(await failureOf(http.get('/x'))).toBeInstanceOf(commonJs.AxiosError);
    server.respondToApiWith({ status: 401 }, { status: 401 });
    expect(await failureOf(http.get('/x'))).toBeInstanceOf(commonJs.AxiosError);
    await server.stopListening();
    expect(await failureOf(http.get('/x'))).toBeInstanceOf(commonJs.AxiosError);
    expect(await failureOf(http.get('/x', { oauth: false }))).toBeInstanceOf(commonJs.AxiosError);
  });

  it('34. has its requests replayed, whichever adapter it names', async () => {
    for (const adapter of ['http', 'fetch', ['xhr', 'http']]) {
      const { http, server } = await attached({ adapter });
      server.respondToApiWith({ status: 401 });
      expect((await http.post('/x', { text: 'a' })).data).toMatchObject({ ok: true, body: { text: 'a' } });
      expect(server.apiRequests).toHaveLength(2);
    }
  });
});
