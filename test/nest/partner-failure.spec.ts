import { describe, expect, it } from '@jest/globals';
import { HttpService } from '@nestjs/axios';
import {
  Catch,
  Controller,
  Get,
  HttpException,
  NotFoundException,
  Res,
  type ArgumentsHost,
  type ExceptionFilter,
} from '@nestjs/common';
import { APP_FILTER, HttpAdapterHost } from '@nestjs/core';
import {
  InjectOAuthHttp,
  OAuthClientModule,
  UseOAuthClient,
  type OAuthClientOptions,
} from 'nestjs-oauth-client';
import { map, type Observable } from 'rxjs';
import { Application, platformNames } from '../support/application.js';
import { eventually } from '../support/eventually.js';
import { everythingShown, expectNoSecret } from '../support/secrets.js';
import { CLIENT_SECRET, clientOf, sharedServer } from '../support/server.js';

const server = await sharedServer();
let test: Application;

@Controller('partner')
@UseOAuthClient('buoy')
class PartnerController {
  constructor(@InjectOAuthHttp('buoy') private readonly http: HttpService) {}

  @Get('api')
  call(): Observable<unknown> {
    return this.http.get<unknown>('/x').pipe(map(({ data }) => data));
  }

  @Get('own-error')
  ownError(): never {
    throw new NotFoundException('No such patient');
  }

  @Get('too-late')
  tooLate(@Res() response: { raw?: unknown; status: (code: number) => { send: (text: string) => void } }) {
    response.status(200).send('said already');
    return this.call();
  }
}

@Controller('forced')
class ForcedController {
  @Get()
  @UseOAuthClient('buoy', { forceRefresh: true })
  ask(): string {
    return 'asked';
  }
}

const metadata = (own: OAuthClientOptions = {}) => ({
  imports: [OAuthClientModule.forRoot({ clients: { buoy: clientOf(server, own) } })],
  controllers: [PartnerController, ForcedController],
});

const TITLES = { 502: 'Bad Gateway', 503: 'Service Unavailable', 504: 'Gateway Timeout' };
const DETAILS = {
  502: 'The partner behind "buoy" refused our request for access, or gave an unusable answer.',
  503: 'The partner behind "buoy" cannot authorise us at present.',
  504: 'The partner behind "buoy" did not authorise us in time.',
};
const problem = (status: 502 | 503 | 504, code: string) => ({
  type: 'about:blank',
  title: TITLES[status],
  status,
  detail: code === 'token_rejected' ? 'The partner behind "buoy" did not accept our token.' : DETAILS[status],
  client: 'buoy',
  code,
});

interface Failure {
  own?: OAuthClientOptions;
  arrange: () => void;
  status: 502 | 503 | 504;
  code: string;
  retryAfter?: string;
}

const failures: Record<string, Failure> = {
  'the partner refuses our credentials': {
    arrange: () =>
      server.alwaysRespond({
        status: 401,
        body: { error: 'invalid_client', error_description: CLIENT_SECRET },
      }),
    status: 502,
    code: 'token_request_rejected',
  },
  'the partner answers nonsense': {
    arrange: () => server.alwaysRespond('html'),
    status: 502,
    code: 'token_response_invalid',
  },
  'our secret cannot be read': {
    own: { clientSecret: () => Promise.reject(new Error(`vault says ${CLIENT_SECRET}`)) },
    arrange: () => undefined,
    status: 502,
    code: 'credentials_unavailable',
  },
  'the API goes on with 401 after the replay': {
    arrange: () => (server.onApiRequest = () => ({ status: 401, body: { detail: 'no' } })),
    status: 502,
    code: 'token_rejected',
  },
  'the API answers 401 and replays are off': {
    own: { unauthorized: { retry: false } },
    arrange: () => (server.onApiRequest = () => ({ status: 401, body: { detail: 'no' } })),
    status: 502,
    code: 'token_rejected',
  },
  'the partner asks to come back later': {
    arrange: () => server.alwaysRespond({ status: 503, headers: { 'retry-after': '7' } }),
    status: 503,
    code: 'authorization_server_unavailable',
    retryAfter: '7',
  },
  'the partner cannot be reached': {
    own: { tokenEndpoint: 'http://127.0.0.1:1/token' },
    arrange: () => undefined,
    status: 503,
    code: 'authorization_server_unavailable',
    retryAfter: '1',
  },
  'the partner does not answer in time': {
    own: { timeoutMs: 50 },
    arrange: () => server.alwaysRespond('hang'),
    status: 504,
    code: 'authorization_server_unavailable',
  },
};

describe.each(platformNames)('62. partner failures on %s', (platform) => {
  it.each(Object.keys(failures))(
    '62. %s → a problem that names client and code, told once, nothing leaked',
    async (name) => {
      const { own, arrange, status, code, retryAfter } = failures[name]!;
      arrange();
      test = await Application.start({ platform, ...metadata(own) });
      const response = await test.call('/partner/api');
      const body: unknown = await response.json();
      expect([response.status, body]).toEqual([status, problem(status, code)]);
      expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
      expect(response.headers.get('retry-after')).toBe(retryAfter ?? null);

      const expected = expect.objectContaining({ client: 'buoy', code });
      expect(test.log.entries('error')).toEqual([expected]);
      expect(test.log.lines.filter(({ rest }) => String(rest.at(-1)).endsWith('Adapter'))).toEqual([]);
      await Promise.all([test.answer('/partner/api'), test.answer('/partner/api')]);
      expect(test.log.entries('error')).toEqual([expected]);
      expectNoSecret([test.log.lines, test.events, test.tokens.status(), body, [...response.headers]]);
    },
  );

  it('62. a 503 during the cool-down comes at once and tells how long it lasts', async () => {
    server.alwaysRespond({ status: 429, headers: { 'retry-after': '30' } });
    test = await Application.start({ platform, ...metadata() });
    for (let round = 0; round < 3; round++) {
      const response = await test.call('/partner/api');
      expect(response.status).toBe(503);
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(20);
    }
    expect(server.tokenRequests).toHaveLength(1);
  });

  it('62. other errors pass untouched', async () => {
    test = await Application.start({ platform, ...metadata() });
    const notFound = { statusCode: 404, message: 'No such patient', error: 'Not Found' };
    const response = await test.call('/partner/own-error');
    expect([response.status, await response.json()]).toEqual([404, notFound]);
    expect(response.headers.get('content-type')).toMatch(/^application\/json/);

    for (const status of [403, 500]) {
      server.respondToApiWith({ status });
      expect(await test.answer('/partner/api')).toEqual([
        500,
        { statusCode: 500, message: 'Internal server error' },
      ]);
    }
    expect(test.log.told('error', 'warn')).toEqual([]);
    expectNoSecret(test.log.lines);
  });

  it('62. a failed forced refresh is the handler’s failure, although a valid token remains', async () => {
    test = await Application.start({ platform, ...metadata() });
    expect(await test.answer('/forced')).toEqual([200, 'asked']);
    server.alwaysRespond({ status: 503 });
    expect((await test.answer('/forced'))[0]).toBe(503);
    expect((await test.answer('/partner/api'))[0]).toBe(200);
    expect(test.log.told('error')).toEqual([`error: ForcedController.ask failed with 503: ${DETAILS[503]}`]);
  });

  it('62. an answer that is under way is left as it is', async () => {
    server.onApiRequest = () => ({ status: 401 });
    test = await Application.start({ platform, ...metadata() });
    expect(await test.answer('/partner/too-late')).toEqual([200, 'said already']);
    await eventually(() => test.log.told('error').length > 0);
    expect(test.log.told('error')).toEqual([
      expect.stringContaining('PartnerController.tooLate failed with 502'),
    ]);
    expect(test.log.lines.filter(({ rest }) => rest.includes('ExceptionsHandler'))).toEqual([]);
  });

  it("62. the application's own exception filter gets an HttpException whose cause tells all but secrets", async () => {
    const caught: unknown[] = [];
    @Catch(HttpException)
    class OwnFilter implements ExceptionFilter<HttpException> {
      constructor(private readonly adapter: HttpAdapterHost) {}
      catch(exception: HttpException, host: ArgumentsHost): void {
        caught.push(exception);
        const response: unknown = host.switchToHttp().getResponse();
        this.adapter.httpAdapter.reply(response, { own: true }, exception.getStatus());
      }
    }
    server.onApiRequest = () => ({ status: 401, body: { detail: 'no' } });
    const providers = [{ provide: APP_FILTER, useClass: OwnFilter }];
    test = await Application.start({ platform, ...metadata(), providers });
    const response = await test.call('/partner/api');
    expect([response.status, await response.json()]).toEqual([502, { own: true }]);
    expect(response.headers.get('content-type')).toMatch(/^application\/json/);
    server.alwaysRespond({ status: 400, body: { error: 'invalid_scope' } });
    test.tokens.invalidate('buoy');
    expect(await test.answer('/partner/api')).toEqual([502, { own: true }]);
    expect(caught).toEqual([
      expect.objectContaining({
        message: 'The partner behind "buoy" did not accept our token.',
        cause: expect.objectContaining({ isAxiosError: true }),
      }),
      expect.objectContaining({
        message: DETAILS[502],
        cause: expect.objectContaining({ error: 'invalid_scope' }),
      }),
    ]);
    expect(everythingShown(caught[0])).not.toMatch(/Bearer|Authorization:/);
    expectNoSecret(caught);
  });
});
