import { inspect } from 'node:util';
import { expect } from '@jest/globals';
import type { INestApplication, LoggerService, LogLevel, ModuleMetadata } from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test, type TestingModuleBuilder } from '@nestjs/testing';
import { OAuthTokenService, type OAuthClientEvent, type OAuthClientOptions } from 'nestjs-oauth-client';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';

/** The HTTP platforms of Nest, by name. */
export const platforms = {
  Express: () => new ExpressAdapter(),
  Fastify: () => new FastifyAdapter(),
};
export type Platform = keyof typeof platforms;
export const platformNames = Object.keys(platforms) as Platform[];

/** What the tests' clients are and must never show. */
export const SECRET = 'correct-horse-battery-staple';

/** A server whose tokens are long enough to be looked for in texts. */
export async function startServer(): Promise<FakeAuthorizationServer> {
  const server = await FakeAuthorizationServer.start({ clients: { me: SECRET } });
  issueRecognisableTokens(server);
  return server;
}

/** Tokens named `token-…-1`, `token-…-2` with the scope and tenant they were asked for. */
export function issueRecognisableTokens(server: FakeAuthorizationServer): void {
  let issued = 0;
  server.alwaysRespond(({ form }) => {
    const about = [form?.get('scope'), form?.get('tenant')].filter(Boolean).join('-') || 'plain';
    return server.nextToken({ access_token: `token-${about}-${++issued}` });
  });
}

export function clientOf(server: FakeAuthorizationServer, own: OAuthClientOptions = {}): OAuthClientOptions {
  return {
    tokenEndpoint: server.tokenEndpoint,
    clientId: 'me',
    clientSecret: SECRET,
    baseURL: server.apiURL,
    retry: { attempts: 1 },
    ...own,
  };
}

interface Line {
  level: LogLevel;
  message: unknown;
  rest: unknown[];
}

/** Nest's log, kept. */
export class CapturedLog implements LoggerService {
  readonly lines: Line[] = [];

  /** The lines of the library, from `level` on. */
  told(...levels: LogLevel[]): string[] {
    return this.#own(levels).map(({ level, message }) => `${level}: ${String(message)}`);
  }

  /** The same as the objects that were logged. */
  entries(...levels: LogLevel[]): unknown[] {
    return this.#own(levels).map(({ message }) => message);
  }

  #own(levels: LogLevel[]): Line[] {
    return this.lines.filter(({ rest, level }) => rest.at(-1) === 'OAuthClient' && levels.includes(level));
  }

  readonly log = this.#keep('log');
  readonly error = this.#keep('error');
  readonly warn = this.#keep('warn');
  readonly debug = this.#keep('debug');
  readonly verbose = this.#keep('verbose');
  readonly fatal = this.#keep('fatal');

  #keep(level: LogLevel) {
    return (message: unknown, ...rest: unknown[]) => void this.lines.push({ level, message, rest });
  }
}

/** A running application on a loopback port. */
export class TestApplication {
  readonly app: INestApplication;
  readonly log: CapturedLog;
  readonly events: OAuthClientEvent[] = [];

  private constructor(app: INestApplication, log: CapturedLog) {
    this.app = app;
    this.log = log;
  }

  static async start(
    platform: Platform,
    metadata: ModuleMetadata,
    adjust: (builder: TestingModuleBuilder) => TestingModuleBuilder = (builder) => builder,
    prepare: (app: INestApplication) => unknown = () => undefined,
  ): Promise<TestApplication> {
    const log = new CapturedLog();
    const module = await adjust(Test.createTestingModule(metadata)).setLogger(log).compile();
    const app = module.createNestApplication(platforms[platform]());
    app.useLogger(log);
    const test = new TestApplication(app, log);
    app.get(OAuthTokenService, { strict: false }).events$.subscribe((event) => test.events.push(event));
    await prepare(app);
    await app.listen(0, '127.0.0.1');
    return test;
  }

  get tokens(): OAuthTokenService {
    return this.app.get(OAuthTokenService, { strict: false });
  }

  async call(path: string, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${await this.app.getUrl()}${path}`, { headers });
  }

  /** Status and body. */
  async answer(path: string, headers: Record<string, string> = {}): Promise<[number, unknown]> {
    const response = await this.call(path, headers);
    const text = await response.text();
    return [
      response.status,
      /json/.test(response.headers.get('content-type') ?? '') ? JSON.parse(text) : text,
    ];
  }

  close(): Promise<void> {
    return this.app.close();
  }
}

/** Everything a thing shows of itself: text, JSON, stack, causes and all that `inspect` reaches. */
export function everythingOf(thing: unknown): string {
  const shown = [inspect(thing, { depth: Infinity, showHidden: false, getters: false }), String(thing)];
  try {
    shown.push(JSON.stringify(thing));
  } catch (error) {
    shown.push(String(error)); // circular: inspect shows it all the same
  }
  if (thing instanceof Error) shown.push(thing.message, thing.stack ?? '', everythingOf(thing.cause ?? ''));
  return shown.join('\n');
}

/** No token of the fakes, secret or header with one in any of the things. */
export function expectNoSecret(things: readonly unknown[], ...secrets: string[]): void {
  const shown = things.map(everythingOf).join('\n');
  expect(shown).not.toMatch(/token-[\w-]+-\d/);
  for (const secret of [SECRET, Buffer.from(`me:${SECRET}`).toString('base64'), ...secrets]) {
    expect(shown).not.toContain(secret);
  }
}

/** Waits until `condition` holds, for the test's time at most. */
export async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
