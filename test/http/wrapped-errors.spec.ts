import { expect, it } from '@jest/globals';
import axios, { AxiosError, type AxiosAdapter } from 'axios';
import { Application } from '../support/application.js';

it('82. An error that an adapter wraps in another shows no token either', async () => {
  const api = await Application.withServer();
  api.server.onApiRequest = () => ({ status: 500 });
  const adapter: AxiosAdapter = (config) =>
    axios
      .getAdapter('http')(config)
      .catch((cause: unknown) => {
        throw Object.assign(new AxiosError('wrapped', 'WRAPPED', config), { cause });
      });
  const error = (await api.failure(api.get('/x', { adapter }))) as AxiosError;
  expect(api.authorizations).toEqual(['Bearer access-token-1']);
  const cause = error.cause as AxiosError;
  expect(cause).toMatchObject({ response: { status: 500 } });
  for (const { config } of [error, cause]) expect(config?.headers.has('Authorization')).toBe(false);
});
