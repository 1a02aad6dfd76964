// Networks that answer at once, so that only the code under measurement is measured.
import { randomBytes } from 'node:crypto';

/** 800 characters, a usual size for a JWT. */
export function fakeToken() {
  return randomBytes(600).toString('base64url');
}

/** An Axios adapter: an API that answers everything with nothing. */
export async function stubAdapter(config) {
  return { status: 200, statusText: 'OK', headers: {}, data: '', config, request: undefined };
}

function tokenResponse(tokenType) {
  return JSON.stringify({ access_token: fakeToken(), token_type: tokenType, expires_in: 3600 });
}

/** An Axios adapter: an authorization server. */
export function stubTokenAdapter(tokenType) {
  const headers = { 'content-type': 'application/json' };
  return async (config) => ({
    status: 200,
    statusText: 'OK',
    headers,
    data: tokenResponse(tokenType),
    config,
    request: undefined,
  });
}

/** An authorization server in place of `fetch`. */
export async function stubFetch() {
  return new Response(tokenResponse('Bearer'), { headers: { 'content-type': 'application/json' } });
}

/** Undici's mock in place of the network of Node's own fetch: an API that answers `url` with nothing. */
export async function mockApi(url) {
  const { MockAgent, setGlobalDispatcher } = await import('undici');
  const { origin, pathname } = new URL(url);
  const agent = new MockAgent();
  agent.disableNetConnect();
  agent.get(origin).intercept({ path: pathname }).reply(200, '').persist();
  setGlobalDispatcher(agent);
}
