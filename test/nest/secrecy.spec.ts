import { beforeEach, describe, expect, it } from '@jest/globals';
import { HttpService } from '@nestjs/axios';
import {
  Catch,
  Controller,
  Get,
  type ArgumentsHost,
  type ExceptionFilter,
  type ExecutionContext,
} from '@nestjs/common';
import { APP_FILTER, BaseExceptionFilter } from '@nestjs/core';
import {
  AccessToken,
  InjectOAuthHttp,
  OAuthClientModule,
  OAuthToken,
  UseOAuthClient,
  type OAuthClientOptions,
} from 'nestjs-oauth-client';
import { map, type Observable } from 'rxjs';
import { Application, platformNames } from '../support/application.js';
import { expectNoSecret } from '../support/secrets.js';
import { CLIENT_SECRET, clientOf, sharedServer } from '../support/server.js';

const SUBJECT = 'subject-token-of-the-caller';
const ACTOR = 'actor-token-of-the-service';
const server = await sharedServer();
let test: Application;
let caught: unknown[];
beforeEach(() => {
  caught = [];
});

@Catch()
class Witness extends BaseExceptionFilter implements ExceptionFilter {
  override catch(exception: unknown, host: ArgumentsHost): void {
    caught.push(exception);
    super.catch(exception, host);
  }
}

const onBehalfOf = (context: ExecutionContext) => {
  const { headers } = context.switchToHttp().getRequest<{ headers: { authorization: string } }>();
  return { subjectToken: headers.authorization.replace('Bearer ', '') };
};

@Controller('behalf')
@UseOAuthClient('buoy', onBehalfOf)
class BehalfController {
  constructor(@InjectOAuthHttp('buoy') private readonly http: HttpService) {}

  @Get()
  call(@OAuthToken('buoy') token: AccessToken): Observable<object> {
    return this.http.get<object>('/x').pipe(map(({ data }) => ({ ...data, token })));
  }

  @Get('elsewhere')
  elsewhere(): Observable<unknown> {
    return this.http.get('https://elsewhere.example/x');
  }
}

const exchange: OAuthClientOptions = { grant: { type: 'token_exchange', actorToken: () => ACTOR } };

async function start(platform: (typeof platformNames)[number], own: OAuthClientOptions = {}): Promise<void> {
  const imports = [
    OAuthClientModule.forRoot({ clients: { buoy: clientOf(server, { ...exchange, ...own }) } }),
  ];
  const providers = [{ provide: APP_FILTER, useClass: Witness }];
  test = await Application.start({ platform, imports, controllers: [BehalfController], providers });
}

const ask = (path = '') => test.answer(`/behalf${path}`, { authorization: `Bearer ${SUBJECT}` });

function expectNothingShown(...more: unknown[]): void {
  const { log, events, tokens } = test;
  expectNoSecret([log.lines, events, tokens.status(), tokens, caught, ...more], SUBJECT, ACTOR);
}

describe.each(platformNames)('66. secrecy in handlers on %s', (platform) => {
  it("66. the caller's token goes to the authorization server, and shows nowhere", async () => {
    await start(platform);
    const [status, body] = await ask();
    expect([status, body]).toMatchObject([200, { path: '/api/x', token: { tokenType: 'Bearer' } }]);
    expect(
      server.tokenRequests.map(({ form }) => [form?.get('subject_token'), form?.get('actor_token')]),
    ).toEqual([[SUBJECT, ACTOR]]);
    expectNothingShown(body);
  });

  it('66. nor when the authorization server repeats all it was sent', async () => {
    server.alwaysRespond(({ rawBody, headers }) => {
      const repeated = `${rawBody.toString()} ${decodeURIComponent(rawBody.toString())} ${headers.authorization}`;
      return { status: 400, body: { error: 'invalid_request', error_description: repeated } };
    });
    await start(platform, { tokenEndpointAuthMethod: 'client_secret_post' });
    expect((await ask())[0]).toBe(502);
    expect(caught).toHaveLength(1);
    expectNothingShown();
  });

  it('66. nor when the API goes on with 401', async () => {
    server.onApiRequest = () => ({ status: 401, body: {} });
    await start(platform);
    expect((await ask())[0]).toBe(502);
    expect(caught).toHaveLength(1);
    expectNothingShown();
  });

  it('66. nor when the API fails otherwise, hangs up, or the request would have gone astray', async () => {
    await start(platform);
    server.respondToApiWith({ status: 500, body: {} }, 'reset');
    expect([(await ask())[0], (await ask())[0], (await ask('/elsewhere'))[0]]).toEqual([500, 500, 500]);
    expect(caught).toHaveLength(3);
    expectNothingShown();
    expect(caught[2]).toMatchObject({ code: 'origin_not_allowed', origin: 'https://elsewhere.example' });
  });

  it('66. nor when the authorization server is away', async () => {
    await start(platform, { tokenEndpoint: 'http://127.0.0.1:1/token', clientSecret: () => CLIENT_SECRET });
    expect((await ask())[0]).toBe(503);
    expect(caught).toHaveLength(1);
    expectNothingShown();
  });
});
