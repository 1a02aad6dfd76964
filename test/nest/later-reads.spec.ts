import { beforeEach, describe, expect, it } from '@jest/globals';
import { AsyncLocalStorage } from 'node:async_hooks';
import { Readable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import type { HttpService } from '@nestjs/axios';
import { Controller, Get, Header, Res, Sse, StreamableFile, type ExecutionContext } from '@nestjs/common';
import { InjectOAuthHttp, OAuthTokenService, UseOAuthClient, type TokenRequest } from 'nestjs-oauth-client';
import { concatMap, interval, lastValueFrom, of, map, take, type Observable } from 'rxjs';
import { readInPresentContext } from '../../lib/nest/later-reads.js';
import { Application, platformNames } from '../support/application.js';
import { clientOf, sharedServer } from '../support/server.js';

const server = await sharedServer();

const tenantOf = (context: ExecutionContext): TokenRequest => {
  const { headers } = context.switchToHttp().getRequest<{ headers: Record<string, string> }>();
  return { parameters: { tenant: headers['tenant'] ?? '' } };
};

/** More than any stream reads ahead, and each part asks for a token of its own. */
const PARTS = 6;
const EXPECTED = 'acme '.repeat(PARTS);

@Controller()
@UseOAuthClient('buoy', tenantOf)
class ExportController {
  constructor(private readonly tokens: OAuthTokenService) {}

  @Get('generator')
  generator(): StreamableFile {
    return new StreamableFile(Readable.from(this.#parts(), { objectMode: false, highWaterMark: 1 }));
  }

  @Get('stream')
  stream(): StreamableFile {
    const parts = this.#parts();
    const push = async (stream: Readable) => {
      const { value = null } = await parts.next();
      stream.push(value);
    };
    const read = function (this: Readable) {
      push(this).catch((error: Error) => this.destroy(error));
    };
    return new StreamableFile(new Readable({ highWaterMark: 1, read }));
  }

  @Get('compressed')
  piped(): StreamableFile {
    const source = Readable.from(this.#parts(), { objectMode: false, highWaterMark: 1 });
    return new StreamableFile(source.map((part: Buffer) => part));
  }

  @Get('late')
  @Header('content-type', 'text/plain')
  async late(): Promise<StreamableFile> {
    await new Promise((resolve) => setTimeout(resolve, 5));
    return this.generator();
  }

  @Sse('events')
  events(): Observable<{ data: string }> {
    return interval(2).pipe(
      take(PARTS),
      concatMap(() => this.#part()),
      map((data) => ({ data })),
    );
  }

  @Get('iterator')
  @Header('content-type', 'text/plain')
  iterator(): AsyncIterable<string> {
    return this.#parts();
  }

  @Get('response')
  response(): Response {
    return new Response(this.web());
  }

  @Get('web')
  web(): ReadableStream {
    const iterator = this.generator().getStream()[Symbol.asyncIterator]();
    return new ReadableStream(
      {
        pull: async (controller) => {
          const { value, done } = await iterator.next();
          if (done) controller.close();
          else controller.enqueue(value);
        },
      },
      { highWaterMark: 0 },
    );
  }

  @Get('own-response')
  own(@Res() response: { raw?: NodeJS.WritableStream } & NodeJS.WritableStream): void {
    Readable.from(this.#parts(), { highWaterMark: 1 }).pipe(response.raw ?? response);
  }

  async *#parts(): AsyncGenerator<string> {
    for (let part = 0; part < PARTS; part++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      yield await this.#part();
    }
  }

  async #part(): Promise<string> {
    const { value } = await this.tokens.getToken('buoy');
    return `${value.replace(/^access-token-|-?\d+$/g, '') || 'default'} `;
  }
}

/** What only Fastify sends as it is. */
@Controller()
@UseOAuthClient('buoy', tenantOf)
class FastifyController extends ExportController {
  @Get('readable')
  readable(): Readable {
    return this.generator().getStream();
  }
}

describe.each(platformNames)('78. What a handler returns to be read later, on %s', (platform) => {
  let test: Application;
  beforeEach(async () => {
    test = await Application.start({
      platform,
      oauth: { clients: { buoy: clientOf(server) } },
      controllers: [platform === 'Fastify' ? FastifyController : ExportController],
    });
  });

  const streams = ['generator', 'stream', 'compressed', 'late', 'events', 'own-response'];
  const paths = [...streams, 'iterator', 'response', 'web'];
  const more = platform === 'Fastify' ? ['readable'] : [];

  it.each([...paths, ...more])('78. has the token of its handler for all it reads: %s', async (path) => {
    const text = await (await test.call(`/${path}`, { tenant: 'acme' })).text();
    expect(text.match(/\w+ (?=\n|$|\w)/g)?.join('')).toBe(EXPECTED);
    expect(server.tokenRequests.map(({ form }) => form?.get('tenant'))).toEqual(['acme']);
  });

  it('78. never mixes tenants whose streams are read at once', async () => {
    const tenants = ['acme', 'globex', 'initech'];
    const texts = await Promise.all(
      tenants.map(async (tenant) => (await test.call('/generator', { tenant })).text()),
    );
    expect(texts).toEqual(tenants.map((tenant) => `${tenant} `.repeat(PARTS)));
  });
});

@Controller()
@UseOAuthClient('buoy')
class FailingController {
  constructor(@InjectOAuthHttp('buoy') private readonly http: HttpService) {}

  @Get('iterator')
  async *iterator(): AsyncGenerator<string> {
    yield (await lastValueFrom(this.http.get<string>('/x'))).data;
  }

  @Get('response')
  response(): Response {
    return new Response(this.web());
  }

  @Get('web')
  web(): ReadableStream {
    const pull = async () => void (await lastValueFrom(this.http.get('/x')));
    return new ReadableStream({ pull }, { highWaterMark: 0 });
  }
}

describe.each(platformNames)('62. What a handler returns to be read later fails on %s', (platform) => {
  it.each(['iterator', 'response', 'web'])('62. as the handler itself does: %s', async (path) => {
    const oauth = { clients: { buoy: clientOf(server) } };
    const test = await Application.start({ platform, oauth, controllers: [FailingController] });
    server.respondToApiWith({ status: 401 }, { status: 401 });
    const response = await test.call(`/${path}`);
    expect([response.status, response.headers.get('content-type')]).toEqual([
      502,
      expect.stringContaining('application/problem+json'),
    ]);
    expect(await response.json()).toMatchObject({ client: 'buoy', code: 'token_rejected' });
    server.respondToApiWith({ status: 403 });
    expect((await test.call(`/${path}`)).status).toBe(500);
  });
});

describe('78. What a handler returns to be iterated later, such as a GraphQL subscription', () => {
  const context = new AsyncLocalStorage<string>();
  const rethrow = (error: unknown) => {
    throw error;
  };

  async function* untilEnded(ended: (string | undefined)[]): AsyncGenerator<string | undefined> {
    try {
      for (;;) yield context.getStore();
    } finally {
      ended.push(context.getStore());
    }
  }

  it.each(['an iterator', 'an iterable'])(
    '78. %s is the same object, and runs in the context of its handler',
    async (kind) => {
      const ended: (string | undefined)[] = [];
      const returned =
        kind === 'an iterator' ? untilEnded(ended) : { [Symbol.asyncIterator]: () => untilEnded(ended) };
      const emitted = await lastValueFrom(
        context.run('handler', () => of(returned).pipe(readInPresentContext(rethrow))),
      );
      expect(emitted).toBe(returned);
      const seen: (string | undefined)[] = [];
      await context.run('elsewhere', async () => {
        for await (const value of emitted) if (seen.push(value) === 2) break;
      });
      expect([seen, ended]).toEqual([['handler', 'handler'], ['handler']]);
    },
  );

  it('78. anything else is left alone, also what is frozen', async () => {
    for (const value of [undefined, null, 'text', 7, Object.freeze({ read: 1 }), [1], new Map()])
      expect(await lastValueFrom(of<unknown>(value).pipe(readInPresentContext(rethrow)))).toBe(value);
  });
});
