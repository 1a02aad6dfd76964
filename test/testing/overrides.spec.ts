import { describe, expect, it, jest } from '@jest/globals';
import { HttpModule, HttpService } from '@nestjs/axios';
import {
  Controller,
  Get,
  Injectable,
  Module,
  type DynamicModule,
  type INestApplication,
} from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test, type TestingModuleBuilder } from '@nestjs/testing';
import {
  InjectOAuthClient,
  InjectOAuthFetch,
  InjectOAuthHttp,
  OAuthAxiosInterceptor,
  OAuthClient,
  OAuthClientModule,
  OAuthToken,
  OAuthTokenService,
  UseOAuthClient,
  getOAuthClientToken,
  getOAuthFetchToken,
  getOAuthHttpToken,
  type AccessToken,
  type OAuthClientModuleOptions,
} from 'nestjs-oauth-client';
import { FakeAuthorizationServer, OAuthClientTestingModule } from 'nestjs-oauth-client/testing';
import { map, of, type Observable } from 'rxjs';
import axios from 'axios';
import { platformNames } from '../support/application.js';
import { CapturedLog } from '../support/captured-log.js';
import { closing } from '../support/closing.js';

@Controller()
@UseOAuthClient('buoy')
class QueriesController {
  constructor(
    @InjectOAuthHttp('buoy') private readonly buoy: HttpService,
    @InjectOAuthFetch('buoy') private readonly fetch: typeof globalThis.fetch,
    @InjectOAuthClient('buoy') private readonly client: OAuthClient,
  ) {}

  @Get('http')
  byHttp(): Observable<unknown> {
    return this.buoy.get('/queries').pipe(map(({ data }) => data as unknown));
  }

  @Get('fetch')
  async byFetch(): Promise<unknown> {
    return (await this.fetch('/queries')).json();
  }

  @Get('token')
  async token(@OAuthToken('buoy') prepared: AccessToken): Promise<unknown> {
    return { prepared: prepared.value, own: (await this.client.getToken()).value };
  }
}

@Module({ imports: [OAuthClientModule.forFeature('buoy')], controllers: [QueriesController] })
class QueriesModule {}

/** The application of a user, whose options point to where nothing listens. */
function applicationOf(oauth: DynamicModule): DynamicModule {
  return { module: class AppModule {}, imports: [oauth, QueriesModule] };
}

const ANSWER = { data: 'ok', status: 200, statusText: 'OK', headers: {} };
const clients = {
  buoy: {
    clientId: 'x',
    clientSecret: 'y',
    tokenEndpoint: 'http://127.0.0.1:1/token',
    baseURL: 'http://127.0.0.1:1/api',
  },
};
const REGISTRATIONS: [string, (options: OAuthClientModuleOptions) => DynamicModule][] = [
  ['forRoot', (options) => OAuthClientModule.forRoot(options)],
  ['forRootAsync', (options) => OAuthClientModule.forRootAsync({ useFactory: () => options })],
];
const cases = platformNames.flatMap((platform) =>
  REGISTRATIONS.map(([name, register]) => ({ platform, name, register })),
);

async function listen(builder: TestingModuleBuilder, platform: 'Express' | 'Fastify') {
  const module = await builder.compile();
  const adapter = platform === 'Express' ? new ExpressAdapter() : new FastifyAdapter();
  const app: INestApplication = closing(module.createNestApplication(adapter));
  await app.listen(0, '127.0.0.1');
  const url = await app.getUrl();
  const get = async (path: string) => (await fetch(`${url}/${path}`)).json();
  return { app, get };
}

describe.each(cases)('a whole application on $platform, with $name', ({ platform, register }) => {
  it('63. runs without a network when the kit takes the place of its OAuth module', async () => {
    const oauth = register({ clients });
    const builder = Test.createTestingModule({ imports: [applicationOf(oauth)] })
      .overrideModule(oauth)
      .useModule(
        OAuthClientTestingModule.forRoot({
          buoy: { answer: ({ token }) => ({ token }) },
        }),
      );
    const { get } = await listen(builder, platform);
    expect(await get('http')).toEqual({ token: 'test-token' });
    expect(await get('fetch')).toEqual({ token: 'test-token' });
    expect(await get('token')).toEqual({ prepared: 'test-token', own: 'test-token' });
  });

  it('63. runs with its own HttpService, fetch and client replaced', async () => {
    const builder = Test.createTestingModule({ imports: [applicationOf(register({ clients }))] })
      .overrideProvider(getOAuthHttpToken('buoy'))
      .useValue({ get: () => of({ data: { by: 'http' } }) })
      .overrideProvider(getOAuthFetchToken('buoy'))
      .useValue(async () => Response.json({ by: 'fetch' }))
      .overrideProvider(getOAuthClientToken('buoy'))
      .useValue({ getToken: async () => ({ value: 'own' }) })
      .overrideProvider(OAuthTokenService)
      .useValue({ getToken: async () => ({ value: 'prepared' }) });
    const { get } = await listen(builder, platform);
    expect(await get('http')).toEqual({ by: 'http' });
    expect(await get('fetch')).toEqual({ by: 'fetch' });
    expect(await get('token')).toEqual({ prepared: 'prepared', own: 'own' });
  });

  it('63. sends the tokens of an object that has nothing but getToken, and takes another one after a 401', async () => {
    const server = closing(await FakeAuthorizationServer.start());
    let issued = 0;
    const getToken = jest.fn(async (name: string) => ({ value: `${name}-${++issued}` }));
    server.onApiRequest = ({ headers: { authorization } }) =>
      authorization === 'Bearer buoy-2' ? { status: 401 } : { status: 200, body: { authorization } };
    const options = { clients: { buoy: { ...clients.buoy, baseURL: server.apiURL } } };
    const builder = Test.createTestingModule({ imports: [applicationOf(register(options))] })
      .overrideProvider(OAuthTokenService)
      .useValue({ getToken });
    const { app, get } = await listen(builder, platform);
    expect(await get('http')).toEqual({ authorization: 'Bearer buoy-3' }); // the first is the decorator's
    expect(await get('fetch')).toEqual({ authorization: 'Bearer buoy-3' });
    expect(await get('token')).toEqual({ prepared: 'buoy-5', own: 'buoy-3' });
    const attached = axios.create();
    app.get(OAuthAxiosInterceptor).attach(attached);
    expect((await attached.get(`${server.apiURL}/x`)).data).toEqual({ authorization: 'Bearer buoy-3' });
    expect(server.tokenRequests).toEqual([]);
  });
});

describe.each(['the module', 'the kit'])('what overrides the rest of %s', (kind) => {
  const oauth = () =>
    kind === 'the kit'
      ? OAuthClientTestingModule.forRoot({ buoy: { answer: 'of the kit' } })
      : OAuthClientModule.forRoot({ clients });

  @Injectable()
  class Caller {
    constructor(
      readonly http: HttpService,
      readonly interceptor: OAuthAxiosInterceptor,
    ) {
      interceptor.attach(http, 'buoy');
    }
  }
  const builder = () =>
    Test.createTestingModule({ imports: [oauth(), HttpModule.register({})], providers: [Caller] })
      .overrideProvider(HttpService)
      .useValue({ get: () => of('mocked') })
      .setLogger(new CapturedLog());

  it('63. may be an interceptor that has nothing but attach', async () => {
    const attach = jest.fn();
    const module = await builder().overrideProvider(OAuthAxiosInterceptor).useValue({ attach }).compile();
    expect(attach).toHaveBeenCalledWith(module.get(HttpService), 'buoy');
    const { axiosRef } = module.get<HttpService>(getOAuthHttpToken('buoy'));
    if (kind === 'the kit') expect((await axiosRef.get('/x')).data).toBe('of the kit');
    else expect(axiosRef.defaults.baseURL).toBe(clients.buoy.baseURL);
  });

  it('63. fails with what to override, if it is an HttpService without an Axios instance', async () => {
    await expect(builder().compile()).rejects.toThrow(
      'OAuthAxiosInterceptor.attach() needs an HttpService or an Axios instance. If a test replaces that, override OAuthAxiosInterceptor',
    );
  });

  it('63. may be the HttpService of another copy of @nestjs/axios', async () => {
    const axiosRef = axios.create({ adapter: async (config) => ({ ...ANSWER, config }) });
    const module = await builder().overrideProvider(HttpService).useValue({ axiosRef }).compile();
    const answered = await axiosRef.get('https://buoy.test/x').catch((error: Error) => error.message);
    if (kind === 'the kit') expect(answered).toMatchObject({ data: 'of the kit' });
    else expect(answered).toMatch(/may not send its token to https:\/\/buoy\.test/);
    expect(module.get(Caller).http.axiosRef).toBe(axiosRef);
  });
});

describe('what overrides OAuthTokenService', () => {
  const builder = (tokens: unknown, imports = [applicationOf(OAuthClientModule.forRoot({ clients }))]) =>
    Test.createTestingModule({ imports })
      .overrideProvider(OAuthTokenService)
      .useValue(tokens)
      .setLogger(new CapturedLog());

  it('63. is asked with the token request, and its failure is that of the call', async () => {
    const down = new Error('down');
    const getToken = jest.fn(async (_: string, request?: { scope?: string }) => {
      if (request?.scope === 'none') throw down;
      return { value: `for-${request?.scope}`, details: { org: 7 }, scope: request?.scope };
    });
    const module = await builder({ getToken }).compile();
    const client = module.get<OAuthClient>(getOAuthClientToken('buoy'));
    const token = await client.getToken({ scope: 'read' });
    expect(token).toMatchObject({ value: 'for-read', scope: 'read', details: { org: 7 } });
    expect(getToken).toHaveBeenCalledWith('buoy', { scope: 'read' });
    await expect(client.getToken({ scope: 'none' })).rejects.toMatchObject({ cause: down });
  });

  it('63. may be a class with a this of its own', async () => {
    class Tokens {
      readonly value = 'of-the-class';
      async getToken() {
        return this;
      }
    }
    const module = await builder(new Tokens()).compile();
    const client = module.get<OAuthClient>(getOAuthClientToken('buoy'));
    expect((await client.getToken()).value).toBe('of-the-class');
  });

  it('63. may bring clients of its own', async () => {
    const fake = { name: 'fake' };
    const module = await builder({ getToken: () => undefined, client: () => fake }).compile();
    expect(module.get(getOAuthClientToken('buoy'))).toBe(fake);
  });

  it('63. gives no token once the application has shut down', async () => {
    const module = await builder({ getToken: async () => ({ value: 'mine' }) }).compile();
    const client = module.get<OAuthClient>(getOAuthClientToken('buoy'));
    await module.init();
    expect((await client.getToken()).value).toBe('mine');
    await module.close();
    await expect(client.getToken()).rejects.toMatchObject({ code: 'closed' });
  });

  it('63. wins over the tokens of the kit', async () => {
    const kit = OAuthClientTestingModule.forRoot({
      buoy: { answer: ({ token }) => ({ token }) },
    });
    const module = await builder({ getToken: async () => ({ value: 'mine' }) }, [kit]).compile();
    const { axiosRef } = module.get<HttpService>(getOAuthHttpToken('buoy'));
    expect((await axiosRef.get('/x')).data).toEqual({ token: 'mine' });
  });

  it.each([
    ['an object without getToken', { token$: () => of() }],
    ['nothing', null],
  ])('63. fails the boot with what to override, if it is %s', async (_, tokens) => {
    await expect(builder(tokens).compile()).rejects.toThrow(
      /What overrides OAuthTokenService has no getToken\(name, request\): give it one, or override .*getOAuthHttpToken/,
    );
  });
});
