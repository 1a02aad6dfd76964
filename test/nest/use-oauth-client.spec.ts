import { beforeEach, describe, expect, it } from '@jest/globals';
import { HttpService } from '@nestjs/axios';
import {
  BadRequestException,
  ConflictException,
  Controller,
  Get,
  Injectable,
  Scope,
  UseInterceptors,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import {
  AccessToken,
  InjectOAuthHttp,
  OAuthClientModule,
  OAuthToken,
  OAuthTokenService,
  UseOAuthClient,
  type TokenRequest,
} from 'nestjs-oauth-client';
import type { AxiosResponse, InternalAxiosRequestConfig } from 'axios';
import { firstValueFrom, map, retry, type Observable } from 'rxjs';
import { Application, platformNames, type Platform } from '../support/application.js';
import { clientOf, echoAuthorization, sharedServer } from '../support/server.js';

const server = await sharedServer();
beforeEach(() => echoAuthorization(server));

/** What the API answers. */
interface Echo {
  authorization: string;
}

let tenantsAsked = 0;
const tenantOf = (context: ExecutionContext): TokenRequest => {
  tenantsAsked++;
  const { headers } = context.switchToHttp().getRequest<{ headers: Record<string, string> }>();
  if (headers['tenant'] === undefined) throw new BadRequestException('Which tenant?');
  return { parameters: { tenant: headers['tenant'] } };
};

/** Which token a call of each client carries. */
@Injectable()
class Partners {
  constructor(
    @InjectOAuthHttp('buoy') private readonly buoy: HttpService,
    @InjectOAuthHttp('honeybee') private readonly honeybee: HttpService,
    private readonly tokens: OAuthTokenService,
  ) {}

  callBuoy(oauth?: TokenRequest): Observable<string> {
    return this.buoy
      .get<Echo>('/x', { ...(oauth && { oauth }) })
      .pipe(map(({ data }) => nameOf(data.authorization)));
  }

  callHoneybee(): Observable<string> {
    return this.honeybee.get<Echo>('/x').pipe(map(({ data }) => nameOf(data.authorization)));
  }

  async token(request?: TokenRequest): Promise<string> {
    return nameOf((await this.tokens.getToken('buoy', request)).authorization);
  }
}

function nameOf(authorization: unknown): string {
  return String(authorization).replace('Bearer access-token-', '');
}

@Injectable()
class RetryingInterceptor implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(retry(1));
  }
}

let attempts = 0;

@Controller('plain')
@UseOAuthClient('buoy')
class PlainController {
  constructor(private readonly partners: Partners) {}

  @Get('token')
  token(@OAuthToken('buoy') token: AccessToken): unknown {
    const posts = server.tokenRequests.length;
    return { posts, token: nameOf(token.authorization), isToken: token instanceof AccessToken };
  }

  @Get('observable')
  observable(): Observable<string> {
    return this.partners.callBuoy();
  }

  @Get('missing')
  missing(@OAuthToken('honeybee') token: AccessToken): string {
    return token.toString();
  }
}

@Controller('scoped')
@UseOAuthClient('buoy', { scope: 'controller', parameters: { tenant: 'c' } })
class ScopedController {
  constructor(private readonly partners: Partners) {}

  @Get('inherited')
  inherited(): Observable<string> {
    return this.partners.callBuoy();
  }

  @Get('replaced')
  @UseOAuthClient('buoy', { scope: 'handler' })
  replaced(): Observable<string> {
    return this.partners.callBuoy();
  }

  @Get('merged')
  async merged(): Promise<string[]> {
    const inCode = { parameters: { region: 'eu' } };
    return [await this.partners.token({ scope: 'code' }), await this.partners.token(inCode)];
  }

  @Get('stacked')
  @UseOAuthClient('honeybee', { scope: 'bee' })
  @UseOAuthClient('buoy', tenantOf)
  async stacked(
    @OAuthToken('honeybee') bee: AccessToken,
    @OAuthToken('buoy') buoy: AccessToken,
  ): Promise<unknown> {
    return [nameOf(bee.authorization), nameOf(buoy.authorization)];
  }

  @Get('later')
  async later(): Promise<string> {
    await new Promise((resolve) => setTimeout(resolve, 5));
    return Promise.resolve().then(() => this.partners.token());
  }
}

@UseOAuthClient('buoy', { scope: 'base' })
class BaseController {}

@Controller('derived')
@UseOAuthClient('honeybee')
class DerivedController extends BaseController {
  @Get()
  both(@OAuthToken('buoy') buoy: AccessToken, @OAuthToken('honeybee') bee: AccessToken): string[] {
    return [nameOf(buoy.authorization), nameOf(bee.authorization)];
  }
}

@Controller({ path: 'per-request', scope: Scope.REQUEST })
@UseOAuthClient('buoy', tenantOf)
class PerRequestController {
  constructor(private readonly partners: Partners) {}

  @Get()
  ask(): Observable<string> {
    return this.partners.callBuoy();
  }
}

@Controller('retried')
@UseInterceptors(RetryingInterceptor)
@UseOAuthClient('buoy', { scope: 'retried' })
class RetriedController {
  constructor(private readonly partners: Partners) {}

  @Get()
  @UseOAuthClient('honeybee')
  async ask(@OAuthToken('buoy') token: AccessToken): Promise<unknown> {
    if (++attempts === 1) throw new ConflictException();
    return { attempts, token: nameOf(token.authorization), called: await this.partners.token() };
  }
}

const metadata = (isGlobal = true) => ({
  imports: [
    OAuthClientModule.forRoot({
      clients: { buoy: clientOf(server), honeybee: clientOf(server, { scope: 'bee' }) },
      isGlobal,
    }),
  ],
  controllers: [
    PlainController,
    ScopedController,
    DerivedController,
    PerRequestController,
    RetriedController,
  ],
  providers: [Partners],
});

describe.each(platformNames)('62. @UseOAuthClient on %s', (platform) => {
  let test: Application;
  beforeEach(async () => {
    test = await Application.start({ platform, ...metadata(platform === 'Express') });
  });

  it('62. the token is there before the handler runs, and the handler can have it', async () => {
    const expected = { posts: 1, token: '1', isToken: true };
    expect(await test.answer('/plain/token')).toEqual([200, expected]);
    expect(await test.answer('/plain/token')).toEqual([200, expected]);
    expect(await test.answer('/plain/observable')).toEqual([200, '1']);
    expect(server.tokenRequests).toHaveLength(1);
  });

  it("62. the controller's request holds for all that its handlers do, also later and in observables", async () => {
    expect(await test.answer('/scoped/inherited')).toEqual([200, 'controller-c-1']);
    expect(await test.answer('/scoped/later')).toEqual([200, 'controller-c-1']);
    expect(server.tokenRequests).toHaveLength(1);
  });

  it("62. the handler's request replaces the controller's for the same client", async () => {
    expect(await test.answer('/scoped/replaced')).toEqual([200, 'handler-1']);
  });

  it('62. a request passed in code is merged over the ambient one', async () => {
    expect(await test.answer('/scoped/merged')).toEqual([200, ['code-c-2', 'controller-c-3']]);
    expect(server.tokenRequests.at(-1)?.form?.get('region')).toBe('eu');
  });

  it('62. stacked for several clients, with a function of the context', async () => {
    tenantsAsked = 0;
    const [status, names] = await test.answer('/scoped/stacked', { tenant: 'acme' });
    expect([status, (names as string[]).sort()]).toEqual([
      200,
      [expect.stringMatching(/^acme-\d$/), expect.stringMatching(/^bee-\d$/)],
    ]);
    expect(tenantsAsked).toBe(1);
    expect(server.tokenRequests).toHaveLength(2);
  });

  it('62. what the function throws goes to the caller as it is, and no token is asked for', async () => {
    const body = { statusCode: 400, message: 'Which tenant?', error: 'Bad Request' };
    expect(await test.answer('/per-request')).toEqual([400, body]);
    expect(server.tokenRequests).toHaveLength(0);
  });

  it('62. works on REQUEST-scoped controllers and on derived ones', async () => {
    expect(await test.answer('/per-request', { tenant: 'acme' })).toEqual([200, 'acme-1']);
    const [status, names] = await test.answer('/derived');
    expect([status, names]).toEqual([
      200,
      [expect.stringMatching(/^base-\d$/), expect.stringMatching(/^bee-\d$/)],
    ]);
  });

  it('62. an interceptor around it may run the handler again', async () => {
    attempts = 0;
    const token = expect.stringMatching(/^retried-\d$/);
    expect(await test.answer('/retried')).toEqual([200, { attempts: 2, token, called: token }]);
  });

  it('62. an unknown name fails at boot, on a class and on a method', async () => {
    @UseOAuthClient('bouy')
    @Controller()
    class Misspelt {}

    @Controller()
    class MisspeltInside {
      @Get('x')
      @UseOAuthClient('buoy')
      @UseOAuthClient('bouy')
      handle(): void {}
    }
    for (const controller of [Misspelt, MisspeltInside]) {
      const imports = [OAuthClientModule.forRoot({ clients: { buoy: clientOf(server) } })];
      await expect(Application.start({ imports, controllers: [controller] })).rejects.toMatchObject({
        code: 'unknown_client',
        message: 'There is no OAuth client "bouy"; configured are: buoy.',
      });
    }
  });

  it('62. without a registration in sight the boot says what is missing', async () => {
    @UseOAuthClient('buoy')
    @Controller()
    class Alone {}
    await expect(Application.start({ controllers: [Alone] })).rejects.toThrow(
      /@UseOAuthClient\('buoy'\).*OAuthTokenService/,
    );
  });

  it('62. @OAuthToken without @UseOAuthClient says what is missing', async () => {
    expect((await test.answer('/plain/missing'))[0]).toBe(500);
    const logged = test.log.lines
      .filter(({ level }) => level === 'error')
      .map(({ message }) => String(message));
    expect(logged).toEqual([
      expect.stringContaining('put @UseOAuthClient("honeybee") on the handler or its controller'),
    ]);
  });
});

describe('6. handlers of two module instances', () => {
  it('6. the ambient request of one means nothing to the clients of the other, even inside its handler', async () => {
    const others = await Application.start({
      oauth: { clients: { buoy: clientOf(server, { scope: 'other' }) } },
    });
    @Controller('outer')
    @UseOAuthClient('buoy', { scope: 'outer', parameters: { tenant: 'o' } })
    class OuterController {
      constructor(private readonly partners: Partners) {}

      @Get()
      async ask(): Promise<string[]> {
        const other = await others.token();
        return [nameOf(other.authorization), await this.partners.token()];
      }
    }
    const test = await Application.start({
      platform: 'Express',
      ...metadata(),
      controllers: [OuterController],
    });
    const names = [expect.stringMatching(/^other-\d$/), expect.stringMatching(/^outer-o-\d$/)];
    expect(await test.answer('/outer')).toEqual([200, names]);
  });
});

/** A partner without sockets: it issues tokens of one second, and its API tells whose token came. */
function partnerAdapter(
  tokenEndpoint: string,
): (config: InternalAxiosRequestConfig) => Promise<AxiosResponse> {
  let issued = 0;
  return async (config) => {
    await new Promise(setImmediate);
    const tenant = new URLSearchParams(String(config.data)).get('tenant');
    const token = { access_token: `access-token-${tenant}-${++issued}`, token_type: 'Bearer', expires_in: 1 };
    const data = config.url === tokenEndpoint ? JSON.stringify(token) : config.headers.get('Authorization');
    return { data, status: 200, statusText: 'OK', headers: {}, config };
  };
}

@Controller('tenants')
@UseOAuthClient('buoy', tenantOf)
class TenantController {
  constructor(
    @InjectOAuthHttp('buoy') private readonly buoy: HttpService,
    private readonly partners: Partners,
  ) {}

  @Get()
  async ask(@OAuthToken('buoy') token: AccessToken): Promise<string[]> {
    const { data } = await firstValueFrom(this.buoy.get<string>('/x'));
    return [nameOf(token.authorization), nameOf(data), await this.partners.token()];
  }
}

describe('62. many tenants', () => {
  const tenants = ['acme', 'globex'];

  async function hammer(platform: Platform, times: number) {
    const client = clientOf(server, { http: { adapter: partnerAdapter(server.tokenEndpoint) } });
    const test = await Application.start({
      platform,
      imports: [OAuthClientModule.forRoot({ clients: { buoy: client, honeybee: client } })],
      controllers: [TenantController],
      providers: [Partners],
    });
    let asked = 0;
    const strange: unknown[] = [];
    const user = async (tenant: string) => {
      while (asked < times) {
        asked++;
        const [, names] = await test.answer('/tenants', { tenant });
        const own = (name: unknown) => String(name).startsWith(`${tenant}-`);
        if (!Array.isArray(names) || names.length !== 3 || !names.every(own)) strange.push(names);
      }
    };
    try {
      await Promise.all(Array.from({ length: 20 }, (_, index) => user(tenants[index % 2]!)));
    } finally {
      await test.close();
    }
    expect(strange).toEqual([]);
    expect(test.events.filter(({ type }) => type === 'token_acquired').length).toBeGreaterThanOrEqual(2);
  }

  it('62. two tenants hammering one handler 10,000 times never see each other’s token, on Fastify', async () => {
    await hammer('Fastify', 10_000);
  }, 300_000);

  it('62. nor on Express', async () => {
    await hammer('Express', 1_000);
  }, 300_000);
});
