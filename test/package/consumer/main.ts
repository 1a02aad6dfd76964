import 'reflect-metadata';
import { HttpService } from '@nestjs/axios';
import { Controller, Get, Inject, Module, type INestApplication } from '@nestjs/common';
import { NestFactory, type AbstractHttpAdapter } from '@nestjs/core';
import {
  InjectOAuthHttp,
  OAuthClientModule,
  OAuthToken,
  OAuthTokenService,
  UseOAuthClient,
  getOAuthHttpToken,
  type AccessToken,
  type OAuthClientStatus,
} from 'nestjs-oauth-client';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { lastValueFrom, map } from 'rxjs';

/** A user's application: calls a partner API, knows nothing of tokens. */
function appModule(origin: string) {
  @Controller()
  class AppController {
    constructor(
      @InjectOAuthHttp('api') private readonly api: HttpService,
      @Inject(OAuthTokenService) private readonly tokens: OAuthTokenService,
    ) {}

    @Get('proxy')
    proxy() {
      return this.api.get<unknown>('/things').pipe(map(({ data }) => data));
    }

    @Get('ambient')
    @UseOAuthClient('api')
    ambient(@OAuthToken('api') token: AccessToken) {
      return { type: token.tokenType, text: String(token) };
    }

    @Get('status')
    status(): OAuthClientStatus[] {
      return this.tokens.status();
    }
  }

  @Module({
    imports: [
      OAuthClientModule.forRoot({
        clients: {
          api: {
            tokenEndpoint: `${origin}/token`,
            clientId: 'consumer',
            clientSecret: 'not-a-secret',
            baseURL: `${origin}/api`,
          },
        },
      }),
    ],
    controllers: [AppController],
  })
  class AppModule {}
  return AppModule;
}

async function listen(listener: RequestListener): Promise<Server> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** Through a proxy https is tunnelled with this Axios, or fails: the proxy never sees the request itself. */
async function tunnelsOrRefuses(): Promise<void> {
  const seen: string[] = [];
  const proxy = await listen((request, response) => {
    seen.push(`${request.method} in the clear`);
    response.end();
  });
  proxy.on('connect', (request, socket) => {
    seen.push(`${request.method} ${request.url}`);
    socket.end('HTTP/1.1 401 Unauthorized\r\n\r\n');
  });
  process.env['HTTPS_PROXY'] = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const app = await NestFactory.createApplicationContext(appModule('https://partner.test'), {
    logger: false,
  });
  await assert.rejects(app.get(OAuthTokenService).getToken('api'), {
    code: 'authorization_server_unavailable',
  });
  delete process.env['HTTPS_PROXY'];
  await app.close();
  proxy.close();
  assert.deepEqual([...new Set(seen)], ['CONNECT partner.test:443']);
}

/** Boots the application on an HTTP adapter and makes authorised calls through it. */
export async function run(adapter: AbstractHttpAdapter): Promise<void> {
  let tokenRequests = 0;
  let authorised = 0;
  const partner = await listen((request, response) => {
    const isToken = request.method === 'POST' && request.url === '/token';
    const basic = `Basic ${Buffer.from('consumer:not-a-secret').toString('base64')}`;
    const allowed = request.headers.authorization === (isToken ? basic : 'Bearer token-1');
    if (allowed && isToken) tokenRequests += 1;
    if (allowed && !isToken) authorised += 1;
    const body = isToken
      ? { access_token: 'token-1', token_type: 'bearer', expires_in: 3600 }
      : { path: request.url };
    response.writeHead(allowed ? 200 : 401, { 'content-type': 'application/json' });
    response.end(JSON.stringify(allowed ? body : { error: 'invalid_client' }));
  });
  const origin = `http://127.0.0.1:${(partner.address() as AddressInfo).port}`;

  const app: INestApplication = await NestFactory.create(appModule(origin), adapter, {
    logger: ['error', 'warn'],
    abortOnError: false,
  });
  await app.listen(0, '127.0.0.1');
  const get = async (path: string): Promise<unknown> => {
    const response = await fetch(new URL(path, await app.getUrl()));
    assert.equal(response.status, 200, `${path} answered ${response.status}`);
    return response.json();
  };

  for (const answer of await Promise.all([get('/proxy'), get('/proxy'), get('/proxy')])) {
    assert.deepEqual(answer, { path: '/api/things' });
  }
  const direct = app.get(OAuthTokenService).token$('api');
  assert.equal((await lastValueFrom(direct)).authorization, 'Bearer token-1');
  const ambient = (await get('/ambient')) as { type: string; text: string };
  assert.equal(ambient.type, 'Bearer');
  assert.ok(!ambient.text.includes('token-1'));
  const [status] = (await get('/status')) as { client: string; state: string }[];
  assert.deepEqual([status?.client, status?.state], ['api', 'fresh']);
  assert.equal(authorised, 3);
  assert.equal(tokenRequests, 1, 'one token request');

  // Code of the application that asks for the class of an error finds the one of its own `HttpService`s.
  const named = app.get<HttpService>(getOAuthHttpToken('api'), { strict: false });
  const refused = [new HttpService(), named].map((http) =>
    lastValueFrom(http.get(`${origin}/api/refused`, { oauth: false })).catch(
      (error: Error) => error.constructor,
    ),
  );
  const [plain, ours] = await Promise.all(refused);
  assert.equal(typeof plain, 'function');
  assert.equal(ours, plain);

  await tunnelsOrRefuses();
  await app.close();
  partner.close();
  partner.closeAllConnections();
  console.log('consumer passed');
}
