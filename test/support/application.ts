import type { HttpService } from '@nestjs/axios';
import type { INestApplication, INestApplicationContext, ModuleMetadata } from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';
import { NestFactory, type AbstractHttpAdapter } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { AxiosInstance, AxiosRequestConfig, AxiosResponse } from 'axios';
import {
  OAuthAxiosInterceptor,
  OAuthClientModule,
  OAuthTokenService,
  getOAuthFetchToken,
  getOAuthHttpToken,
  type AccessToken,
  type OAuthClientEvent,
  type OAuthClientModuleOptions,
  type OAuthClientOptions,
  type TokenRequest,
} from 'nestjs-oauth-client';
import type { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { lastValueFrom } from 'rxjs';
import { CapturedLog } from './captured-log.js';
import { closing } from './closing.js';
import { SecretWatch, secretsOf } from './secrets.js';
import { CLIENT_ID, CLIENT_SECRET, startServer } from './server.js';

/** The HTTP platforms of Nest, by name. */
export type Platform = 'Express' | 'Fastify';
const PLATFORMS: Record<Platform, () => AbstractHttpAdapter> = {
  Express: () => new ExpressAdapter(),
  Fastify: () => new FastifyAdapter(),
};
export const platformNames: readonly Platform[] = ['Express', 'Fastify'];

/** A root module, and what runs it. */
export interface ApplicationOptions extends ModuleMetadata {
  /** Options of `OAuthClientModule.forRoot`; without them one of the `imports` brings the clients. */
  oauth?: OAuthClientModuleOptions;
  /** The application listens on a loopback port; without a platform it only has providers. */
  platform?: Platform;
  /** What must not come to light, besides the secrets in `oauth` and those of the fake servers. */
  secrets?: readonly (string | RegExp)[];
}

/** Errors to look into, which takes a while each: a test under load has hundreds of one kind. */
const MOST_FAILURES = 20;

type ModuleOptions = Omit<OAuthClientModuleOptions, 'clients'>;

/**
 * A Nest application with OAuth clients, as a user writes it. It closes itself after the test, which fails if a
 * secret came to light in the application's log, in its events, in the errors that `failure` saw, in what the test
 * added to `watch` or in the process's output (behaviour 66).
 */
export class Application {
  readonly app: INestApplicationContext;
  readonly tokens: OAuthTokenService;
  readonly interceptor: OAuthAxiosInterceptor;
  readonly log: CapturedLog;
  readonly watch: SecretWatch;
  readonly events: OAuthClientEvent[] = [];
  readonly #failures: unknown[] = [];
  /** What `forRoot` was given, for another instance. */
  options: OAuthClientModuleOptions = {};
  #server: FakeAuthorizationServer | undefined;
  #closing: Promise<void> | undefined;

  private constructor(app: INestApplicationContext, log: CapturedLog, watch: SecretWatch) {
    this.app = app;
    this.log = log;
    this.watch = watch;
    this.tokens = app.get(OAuthTokenService, { strict: false });
    this.interceptor = app.get(OAuthAxiosInterceptor, { strict: false });
    this.tokens.events$.subscribe((event) => this.events.push(event));
  }

  static async start(options: ApplicationOptions): Promise<Application> {
    const { oauth, platform, secrets = [], imports = [], ...metadata } = options;
    const own = Object.values(oauth?.clients ?? {}).flatMap(secretsOf);
    const [log, watch] = [new CapturedLog(), new SecretWatch(...secrets, ...own)];
    class RootModule {}
    const root = {
      ...metadata,
      module: RootModule,
      imports: oauth === undefined ? imports : [OAuthClientModule.forRoot(oauth), ...imports],
    };
    const nest = { logger: log, abortOnError: false };
    try {
      if (platform === undefined) {
        return closing(new Application(await NestFactory.createApplicationContext(root, nest), log, watch));
      }
      const app = await NestFactory.create(root, PLATFORMS[platform](), nest);
      const application = closing(new Application(app, log, watch));
      await app.listen(0, '127.0.0.1');
      return application;
    } catch (error) {
      watch.add(error, ...log.lines);
      watch.verify();
      throw error;
    }
  }

  /** One client named `partner`, which asks once. */
  static client(options: OAuthClientOptions, module: ModuleOptions = {}): Promise<Application> {
    const partner = { retry: { attempts: 1 }, ...options };
    return Application.start({ oauth: { ...module, clients: { partner } } });
  }

  /** One client named `api`, whose tokens and API a fake server of the application's own provides. */
  static async withServer(
    options: OAuthClientOptions | ((server: FakeAuthorizationServer) => OAuthClientOptions) = {},
    module: OAuthClientModuleOptions = {},
    more: ApplicationOptions = {},
  ): Promise<Application> {
    const server = closing(await startServer());
    const api: OAuthClientOptions = {
      tokenEndpoint: server.tokenEndpoint,
      clientId: CLIENT_ID,
      clientSecret: CLIENT_SECRET,
      baseURL: server.apiURL,
      ...(typeof options === 'function' ? options(server) : options),
    };
    const oauth = { ...module, clients: { api, ...module.clients } };
    const application = await Application.start({ oauth, ...more });
    application.#server = server;
    application.options = oauth;
    return application;
  }

  /** Clients from variables, which are read from the process's environment. */
  static async environment(variables: Record<string, string>): Promise<Application> {
    const names = (variables['OAUTH_CLIENTS'] ?? '').split(',');
    Object.assign(process.env, variables);
    try {
      return await Application.start({
        imports: [
          ConfigModule.forRoot({ ignoreEnvFile: true }),
          OAuthClientModule.forRoot(),
          OAuthClientModule.forFeature(...names),
        ],
        secrets: Object.entries(variables).flatMap(([name, value]) => {
          if (/(GRANT_PARAMETERS|TOKEN_REQUEST_HEADERS)$/.test(name))
            return [...new URLSearchParams(value).values()];
          return /(SECRET|KEY|TOKEN)$/.test(name) ? [value] : [];
        }),
      });
    } finally {
      for (const name of Object.keys(variables)) delete process.env[name];
    }
  }

  /** The fake server of `withServer`. */
  get server(): FakeAuthorizationServer {
    if (this.#server === undefined) throw new Error('The application has no server of its own.');
    return this.#server;
  }

  /** Token requests so far. */
  get posts(): number {
    return this.server.tokenRequests.length;
  }

  /** The `Authorization` header of each API request so far. */
  get authorizations(): (string | undefined)[] {
    return this.server.apiRequests.map(({ headers }) => headers.authorization);
  }

  get eventTypes(): string[] {
    return this.events.map(({ type }) => type);
  }

  /** The `HttpService` of a client; of the first one where none is named. */
  http(client = this.#first): HttpService {
    return this.app.get(getOAuthHttpToken(client), { strict: false });
  }

  /** The fetch of a client; of the first one where none is named. */
  fetch(client = this.#first): typeof globalThis.fetch {
    return this.app.get(getOAuthFetchToken(client), { strict: false });
  }

  get axios(): AxiosInstance {
    return this.http().axiosRef;
  }

  /** A request as an application makes it, through Nest's `HttpService`. */
  get(url: string, config?: AxiosRequestConfig): Promise<AxiosResponse> {
    return lastValueFrom(this.http().get(url, config));
  }

  /** A first request, so that there is a token that the API has accepted. */
  async warmUp(): Promise<void> {
    await this.get('/warm-up');
  }

  token(request?: TokenRequest, client = this.#first): Promise<AccessToken> {
    return this.tokens.getToken(client, request);
  }

  /** The error of what must fail: of a token request where nothing else is given. */
  async failure(attempt: Promise<unknown> = this.token()): Promise<unknown> {
    const error: unknown = await attempt.then(
      () => Promise.reject(new Error('It did not fail.')),
      (reason: unknown) => reason,
    );
    this.#failures.push(error);
    return error;
  }

  /** A request to the application itself. */
  async call(path: string, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${await this.url()}${path}`, { headers });
  }

  /** Status and body of one. */
  async answer(path: string, headers: Record<string, string> = {}): Promise<[number, unknown]> {
    const response = await this.call(path, headers);
    const text = await response.text();
    const isJson = /json/.test(response.headers.get('content-type') ?? '');
    return [response.status, isJson ? JSON.parse(text) : text];
  }

  url(): Promise<string> {
    return (this.app as INestApplication).getUrl();
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    await this.app.close();
    this.watch.add(...this.log.lines, ...this.events, ...this.#failures.slice(0, MOST_FAILURES));
    this.watch.verify();
  }

  get #first(): string {
    return this.tokens.status()[0]?.client ?? '';
  }
}
