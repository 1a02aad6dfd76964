import { afterEach } from '@jest/globals';
import type { HttpService } from '@nestjs/axios';
import type { LoggerService } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import type { AxiosInstance, AxiosRequestConfig, AxiosResponse } from 'axios';
import {
  OAuthAxiosInterceptor,
  OAuthClientModule,
  OAuthTokenService,
  getOAuthHttpToken,
  type OAuthClientEvent,
  type OAuthClientModuleOptions,
  type OAuthClientOptions,
} from 'nestjs-oauth-client';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { lastValueFrom } from 'rxjs';

export const CLIENT_ID = 'api-client-id';
export const CLIENT_SECRET = 'api-client-secret-7c1f';

const QUIET: LoggerService = { log: () => undefined, warn: () => undefined, error: () => undefined };

const open: { close(): Promise<unknown> }[] = [];

/** Has `resource` closed after the present test, the last one first. */
export function closing<T extends { close(): Promise<unknown> }>(resource: T): T {
  open.push(resource);
  return resource;
}

// Jest itself fails a test during which a rejection went unhandled; this gives Node time to notice it.
afterEach(async () => {
  await new Promise((resolve) => setImmediate(resolve));
  while (open.length > 0) await open.pop()!.close();
});

/** A Nest application with one client, `api`, whose tokens and API a fake server provides. */
export class ApiClient {
  readonly events: OAuthClientEvent[] = [];
  readonly tokens: OAuthTokenService;
  readonly interceptor: OAuthAxiosInterceptor;
  readonly http: HttpService;
  readonly server: FakeAuthorizationServer;
  readonly app: TestingModule;

  private constructor(server: FakeAuthorizationServer, app: TestingModule) {
    this.server = server;
    this.app = app;
    this.tokens = app.get(OAuthTokenService, { strict: false });
    this.interceptor = app.get(OAuthAxiosInterceptor, { strict: false });
    this.http = app.get<HttpService>(getOAuthHttpToken('api'), { strict: false });
    this.tokens.events$.subscribe((event) => this.events.push(event));
  }

  /** The server issues `access-token-1`, `access-token-2` …, easily told from anything else in a log. */
  static async start(
    options: OAuthClientOptions | ((server: FakeAuthorizationServer) => OAuthClientOptions) = {},
    module: OAuthClientModuleOptions = {},
    logger: LoggerService = QUIET,
  ): Promise<ApiClient> {
    const server = closing(await FakeAuthorizationServer.start({ clients: { [CLIENT_ID]: CLIENT_SECRET } }));
    issueTellingTokens(server);
    const api: OAuthClientOptions = {
      tokenEndpoint: server.tokenEndpoint,
      clientId: CLIENT_ID,
      clientSecret: CLIENT_SECRET,
      baseURL: server.apiURL,
      ...(typeof options === 'function' ? options(server) : options),
    };
    const app = await Test.createTestingModule({
      imports: [OAuthClientModule.forRoot({ ...module, clients: { api, ...module.clients } })],
    })
      .setLogger(logger)
      .compile();
    return new ApiClient(server, closing(await app.init()));
  }

  get axios(): AxiosInstance {
    return this.http.axiosRef;
  }

  /** Token requests so far. */
  get posts(): number {
    return this.server.tokenRequests.length;
  }

  /** The `Authorization` header of each API request so far. */
  get authorizations(): (string | undefined)[] {
    return this.server.apiRequests.map(({ headers }) => headers.authorization);
  }

  /** A first request, so that there is a token that the API has accepted. */
  async warmUp(): Promise<void> {
    await this.get('/warm-up');
  }

  /** A request as an application makes it, through Nest's `HttpService`. */
  get(url: string, config?: AxiosRequestConfig): Promise<AxiosResponse> {
    return lastValueFrom(this.http.get(url, config));
  }

  /** The error of a request that must fail. */
  failure(request: Promise<unknown>): Promise<unknown> {
    return request.then(
      () => Promise.reject(new Error('The request did not fail.')),
      (error: unknown) => error,
    );
  }

  eventTypes(): string[] {
    return this.events.map(({ type }) => type);
  }
}

function issueTellingTokens(server: FakeAuthorizationServer): void {
  let issued = 0;
  server.alwaysRespond(() => server.nextToken({ access_token: `access-token-${++issued}` }));
}
