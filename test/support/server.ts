import { afterAll, beforeEach } from '@jest/globals';
import type { OAuthClientOptions } from 'nestjs-oauth-client';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';

/** The client that the fake servers of the tests know. */
export const CLIENT_ID = 'api-client-id';
export const CLIENT_SECRET = 'api-client-secret-7c1f';

/** A server that knows the client, and whose tokens are easily told from anything else in a text. */
export async function startServer(): Promise<FakeAuthorizationServer> {
  const server = await FakeAuthorizationServer.start({ clients: { [CLIENT_ID]: CLIENT_SECRET } });
  issueRecognisableTokens(server);
  return server;
}

/** One server for all tests of a file, like new for each of them. */
export async function sharedServer(): Promise<FakeAuthorizationServer> {
  const server = await startServer();
  beforeEach(() => {
    server.reset();
    issueRecognisableTokens(server);
  });
  afterAll(() => server.close());
  return server;
}

/** `access-token-1`, `access-token-2` …, or `access-token-read-acme-1` when scope and tenant are asked for. */
export function issueRecognisableTokens(server: FakeAuthorizationServer): void {
  let issued = 0;
  server.alwaysRespond(({ form }) => {
    const about = ['access-token', form?.get('scope'), form?.get('tenant'), ++issued];
    return server.nextToken({ access_token: about.filter(Boolean).join('-') });
  });
}

/** The client as it is configured for a fake server and its API; a test that looks at one request fails after it. */
export function clientOf(server: FakeAuthorizationServer, own: OAuthClientOptions = {}): OAuthClientOptions {
  return {
    tokenEndpoint: server.tokenEndpoint,
    clientId: CLIENT_ID,
    clientSecret: CLIENT_SECRET,
    baseURL: server.apiURL,
    retry: { attempts: 1 },
    ...own,
  };
}

/** Has the API answer with the `Authorization` header that it got, since nothing on the client's side shows it. */
export function echoAuthorization(server: FakeAuthorizationServer): void {
  server.onApiRequest = ({ headers }) => ({ status: 200, body: { authorization: headers.authorization } });
}
