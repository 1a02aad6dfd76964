import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { HttpOptions, OAuthClientOptions, TlsOptions } from 'nestjs-oauth-client';
import { Authority, fingerprintOf } from '../support/certificates.js';
import { closing } from '../support/closing.js';
import { CompiledCopy } from '../support/compiled-copy.js';
import { ConnectProxy } from '../support/connect-proxy.js';
import { TlsServer } from '../support/tls-server.js';

const PROGRAM = 'test/http/trusting-application.ts';

let copy: CompiledCopy;
let trusted: Authority;
let own: Authority;
beforeAll(async () => {
  copy = await CompiledCopy.of(PROGRAM);
  [trusted, own] = [new Authority(), new Authority()];
});
afterAll(async () => {
  trusted.remove();
  own.remove();
  await copy.remove();
});

/** What comes of a token request by each way to a server whose authority the whole process trusts. */
async function ask(tls: TlsOptions) {
  const body = { access_token: 'access-token-1', token_type: 'Bearer', expires_in: 3600 };
  const server = closing(await TlsServer.start(trusted, () => ({ status: 200, body }), { demanding: false }));
  const [byOption, byVariable] = [closing(await ConnectProxy.start()), closing(await ConnectProxy.start())];
  const client = (http: HttpOptions): OAuthClientOptions => ({
    tokenEndpoint: `${server.url}/token`,
    clientId: 'me',
    tokenEndpointAuthMethod: 'tls_client_auth',
    tls,
    retry: { attempts: 1 },
    http,
  });
  const clients = {
    direct: client({ proxy: false }),
    byOption: client({ proxy: byOption.address }),
    byVariable: client({}),
  };
  const trust = { NODE_EXTRA_CA_CERTS: join(trusted.folder, 'ca.pem') };
  const env = {
    ...process.env,
    ...trust,
    HTTPS_PROXY: byVariable.urlFor(),
    https_proxy: '',
    NO_PROXY: '',
    no_proxy: '',
  };
  const child = fork(copy.path(PROGRAM), [JSON.stringify(clients)], { execArgv: [], env, stdio: 'inherit' });
  const [[outcomes]] = (await Promise.all([once(child, 'message'), once(child, 'exit')])) as [
    unknown[],
    unknown,
  ];
  expect([byOption, byVariable].map(({ requestLines }) => requestLines.length)).toEqual([1, 1]);
  return { outcomes, certificates: server.requests.map(({ certificate }) => certificate) };
}

it('83. The authorities of `tls.ca` take the place of those that the process trusts, directly and through a proxy', async () => {
  const identity = own.client('me');
  const { outcomes, certificates } = await ask({ ...identity, ca: own.ca });
  const refused = 'authorization_server_unavailable';
  expect(outcomes).toEqual({ direct: refused, byOption: refused, byVariable: refused });
  expect(certificates).toEqual([]);
});

it('83. A certificate of the client without `tls.ca` is presented to servers that the process trusts', async () => {
  const identity = trusted.client('me');
  const { outcomes, certificates } = await ask(identity);
  expect(outcomes).toEqual({ direct: 'token', byOption: 'token', byVariable: 'token' });
  const presented = fingerprintOf(identity);
  expect(certificates).toEqual([presented, presented, presented]);
});
