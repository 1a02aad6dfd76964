import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import nock from 'nock';
import { Application } from '../support/application.js';

describe('Beside nock', () => {
  beforeAll(() => {
    nock.enableNetConnect('127.0.0.1');
  });
  afterEach(() => nock.cleanAll());
  afterAll(() => nock.restore());

  it('It sees the token, a 401 of its is replayed, and errors show nothing', async () => {
    const api = await Application.withServer({ baseURL: 'https://api.partner.test/v1' });
    const as = (number: number) => ({ reqheaders: { authorization: `Bearer access-token-${number}` } });
    nock('https://api.partner.test', as(1)).get('/v1/x').reply(401);
    nock('https://api.partner.test', as(2)).get('/v1/x').reply(200, { ok: true });
    nock('https://api.partner.test', as(2)).get('/v1/y').replyWithError('gone');
    const response = await api.get('/x');
    expect(response.data).toEqual({ ok: true });
    api.watch.add(response);
    expect(await api.failure(api.get('/y'))).toMatchObject({ message: 'gone' });
    expect(nock.isDone()).toBe(true);
  });
});
