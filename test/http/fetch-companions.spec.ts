import { describe, expect, it } from '@jest/globals';
import { GraphQLClient } from 'graphql-request';
import ky, { HTTPError } from 'ky';
import createClient from 'openapi-fetch';
import { PartnerFailure } from '../../lib/nest/partner-failure.js';
import { Application } from '../support/application.js';

interface Paths {
  '/things/{id}': {
    post: {
      parameters: { path: { id: string }; query?: { q?: string } };
      requestBody: { content: { 'application/json': { name: string } } };
      responses: { 200: { content: { 'application/json': { path: string; body: string } } } };
    };
  };
}

/** A first token, revoked. */
async function revoked(): Promise<Application> {
  const api = await Application.withServer();
  await api.warmUp();
  api.server.revokeAll();
  return api;
}

const replayed = ['Bearer access-token-1', 'Bearer access-token-1', 'Bearer access-token-2'];

describe('Libraries that take a fetch', () => {
  it('77. openapi-fetch: a body goes out again after a 401', async () => {
    const api = await revoked();
    const client = createClient<Paths>({ baseUrl: api.server.apiURL, fetch: api.fetch() });
    const params = { path: { id: 'a b' }, query: { q: 'ü' } };
    const { data, response } = await client.POST('/things/{id}', { params, body: { name: 'Käthe' } });
    expect(response.status).toBe(200);
    expect(data).toMatchObject({ path: '/api/things/a%20b?q=%C3%BC' });
    expect(api.authorizations).toEqual(replayed);
    expect(api.server.apiRequests.slice(1).map(({ json }) => json)).toEqual([
      { name: 'Käthe' },
      { name: 'Käthe' },
    ]);
  });

  it('77. ky: the same, and its error of a 401 is one of the partner', async () => {
    const api = await revoked();
    const http = ky.create({ prefixUrl: api.server.apiURL, fetch: api.fetch() });
    const answer = await http.post('things', { json: { name: 'Käthe' } }).json();
    expect(answer).toMatchObject({ ok: true, path: '/api/things' });
    expect(api.authorizations).toEqual(replayed);
    api.server.onApiRequest = () => ({ status: 401 });
    const error = await api.failure(http.get('things'));
    expect(error).toBeInstanceOf(HTTPError);
    expect(PartnerFailure.of(error)).toMatchObject({ problem: { status: 502, client: 'api' } });
  });

  it('77. graphql-request: the same', async () => {
    const api = await revoked();
    api.server.onApiRequest = ({ headers }) =>
      headers.authorization === 'Bearer access-token-2'
        ? { status: 200, body: { data: { thing: { name: 'Käthe' } } } }
        : undefined;
    const client = new GraphQLClient(`${api.server.apiURL}/graphql`, { fetch: api.fetch() });
    expect(await client.request('{ thing { name } }')).toEqual({ thing: { name: 'Käthe' } });
    expect(api.authorizations).toEqual(replayed);
  });
});
