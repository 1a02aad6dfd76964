import { afterEach } from '@jest/globals';
import type { HttpService } from '@nestjs/axios';
import { ConfigModule } from '@nestjs/config';
import { NestFactory } from '@nestjs/core';
import { inspect } from 'node:util';
import type { INestApplicationContext, LoggerService } from '@nestjs/common';
import {
  OAuthAxiosInterceptor,
  OAuthClientModule,
  OAuthTokenService,
  getOAuthHttpToken,
  type OAuthClientEvent,
  type OAuthClientModuleOptions,
  type OAuthClientOptions,
  type TokenRequest,
} from 'nestjs-oauth-client';

const running: Application[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((application) => application.close()));
});

/** A Nest application with OAuth clients, as a user writes it; closed after the test. */
export class Application {
  readonly tokens: OAuthTokenService;
  readonly interceptor: OAuthAxiosInterceptor;
  readonly events: OAuthClientEvent[] = [];
  readonly #context: INestApplicationContext;
  readonly #logs: CapturedLogs;
  readonly #failures: unknown[] = [];
  readonly #confidential: string[];
  #closing: Promise<void> | undefined;

  private constructor(context: INestApplicationContext, logs: CapturedLogs, confidential: string[]) {
    this.#context = context;
    this.#logs = logs;
    this.#confidential = confidential;
    this.tokens = context.get(OAuthTokenService);
    this.interceptor = context.get(OAuthAxiosInterceptor);
    this.tokens.events$.subscribe((event) => this.events.push(event));
    running.push(this);
  }

  /** One client named `partner`, with a quick retry and no second try unless told otherwise. */
  static client(
    options: OAuthClientOptions,
    module: Omit<OAuthClientModuleOptions, 'clients'> = {},
  ): Promise<Application> {
    return Application.start({ ...module, clients: { partner: { ...PATIENCE, ...options } } });
  }

  static async start(options: OAuthClientModuleOptions): Promise<Application> {
    const logs = new CapturedLogs();
    class AppModule {}
    const context = await NestFactory.createApplicationContext(
      { module: AppModule, imports: [OAuthClientModule.forRoot(options)] },
      { logger: logs, abortOnError: false },
    );
    return new Application(context, logs, Object.values(options.clients ?? {}).flatMap(confidentialOf));
  }

  /** Clients from variables, which are read from the process's environment. */
  static async environment(variables: Record<string, string>): Promise<Application> {
    const logs = new CapturedLogs();
    class AppModule {}
    const names = (variables['OAUTH_CLIENTS'] ?? '').split(',');
    Object.assign(process.env, variables);
    try {
      const context = await NestFactory.createApplicationContext(
        {
          module: AppModule,
          imports: [
            ConfigModule.forRoot({ ignoreEnvFile: true }),
            OAuthClientModule.forRoot(),
            OAuthClientModule.forFeature(...names),
          ],
        },
        { logger: logs, abortOnError: false },
      );
      const confidential = Object.entries(variables).filter(([name]) => /SECRET$|KEY$/.test(name));
      return new Application(
        context,
        logs,
        confidential.map(([, value]) => value),
      );
    } finally {
      for (const name of Object.keys(variables)) delete process.env[name];
    }
  }

  /** What the application logged so far. */
  get logs(): string[] {
    return this.#logs.lines;
  }

  http(client = 'partner'): HttpService {
    return this.#context.get(getOAuthHttpToken(client), { strict: false });
  }

  token(request?: TokenRequest, client = 'partner') {
    return this.tokens.getToken(client, request);
  }

  /** Whatever `getToken` rejects with. */
  async failure(request?: TokenRequest, client = 'partner'): Promise<unknown> {
    const outcome: unknown = await this.token(request, client).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (outcome === undefined) throw new Error('a token came');
    this.#failures.push(outcome);
    return outcome;
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  /** Whatever a test was about: no secret of its clients may have come to light (behaviour 66). */
  async #close(): Promise<void> {
    await this.#context.close();
    const shown = [...this.logs, inspect([this.events, this.#failures], { depth: 9, showHidden: true })].join(
      '\n',
    );
    const leaked = this.#confidential.filter((secret) => shown.includes(secret));
    if (leaked.length > 0) throw new Error('a secret came to light in a log, an event or an error');
  }
}

/** The secrets, keys and tokens that stand in a client's options. */
function confidentialOf({ clientSecret, privateKey, grant, tls, dpop }: OAuthClientOptions): string[] {
  const sources: unknown[] = [
    clientSecret,
    tls?.key,
    tls?.passphrase,
    ...Object.values(grant ?? {}).slice(1),
  ];
  for (const key of [privateKey, typeof dpop === 'object' ? dpop.privateKey : undefined]) {
    sources.push(typeof key === 'object' ? key.d : key);
  }
  return sources.filter(
    (value) => typeof value === 'string' && value.length > 4 && !value.startsWith('urn:'),
  ) as string[];
}

/** Tests that look at one request should fail after one. */
const PATIENCE: OAuthClientOptions = { retry: { attempts: 1 } };

class CapturedLogs implements LoggerService {
  readonly lines: string[] = [];
  readonly log = (...messages: unknown[]): void => void this.lines.push(messages.map(String).join(' '));
  readonly error = this.log;
  readonly warn = this.log;
  readonly debug = this.log;
  readonly verbose = this.log;
}
