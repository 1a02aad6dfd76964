import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { HttpModule, HttpService } from '@nestjs/axios';
import { Controller, Get, Injectable, Module, Scope, type DynamicModule, type Type } from '@nestjs/common';
import { ConfigModule, ConfigService, registerAs } from '@nestjs/config';
import {
  InjectOAuthClient,
  InjectOAuthHttp,
  OAuthClient,
  OAuthClientError,
  OAuthClientModule,
  getOAuthHttpToken,
  type OAuthClientModuleOptions,
  type OAuthClientOptionsFactory,
} from 'nestjs-oauth-client';
import { firstValueFrom } from 'rxjs';
import axios from 'axios';
import { Application, platformNames } from '../support/application.js';
import { cleanEnvironment } from '../support/environment.js';
import { CLIENT_ID, CLIENT_SECRET, clientOf, sharedServer, startServer } from '../support/server.js';

@Injectable()
class TriageService {
  constructor(
    @InjectOAuthHttp('buoy') private readonly http: HttpService,
    @InjectOAuthClient('buoy') readonly client: OAuthClient,
  ) {}

  async ask(): Promise<unknown> {
    return (await firstValueFrom(this.http.get<unknown>('/queries/'))).data;
  }
}

@Controller('triage')
class TriageController {
  constructor(private readonly triage: TriageService) {}

  @Get()
  ask(): Promise<unknown> {
    return this.triage.ask();
  }
}

const server = await sharedServer();
let folder: string;
cleanEnvironment();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oauth-registration-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

const options = (): OAuthClientModuleOptions => ({ clients: { buoy: clientOf(server) } });

const variables = (): Record<string, string> => ({
  OAUTH_CLIENTS: 'buoy',
  OAUTH_BUOY_CLIENT_ID: CLIENT_ID,
  OAUTH_BUOY_CLIENT_SECRET: CLIENT_SECRET,
  OAUTH_BUOY_TOKEN_ENDPOINT: server.tokenEndpoint,
  OAUTH_BUOY_BASE_URL: server.apiURL,
});

@Injectable()
class ClientsOfTheClinic implements OAuthClientOptionsFactory {
  constructor(readonly config: ConfigService) {}

  createOAuthClientOptions(): OAuthClientModuleOptions {
    const tokenEndpoint = this.config.getOrThrow<string>('SERVER');
    return { clients: { buoy: { ...clientOf(server), tokenEndpoint } } };
  }
}

@Module({ imports: [ConfigModule], providers: [ClientsOfTheClinic], exports: [ClientsOfTheClinic] })
class ClinicModule {}

const feature = () => OAuthClientModule.forFeature('buoy');
const configuration = registerAs('oauth', async () => options());

/** Each way to register the same client. */
const ways: Record<
  string,
  () => (DynamicModule | Promise<DynamicModule> | Type)[] | Promise<DynamicModule[]>
> = {
  'forRoot({ clients })': () => [OAuthClientModule.forRoot(options())],
  'forRoot({ clients }) and forFeature': () => [OAuthClientModule.forRoot(options()), feature()],
  'forRoot({ clients, isGlobal: false })': () => [
    OAuthClientModule.forRoot({ ...options(), isGlobal: false }),
  ],
  'forRootAsync({ useFactory })': () => [
    OAuthClientModule.forRootAsync({
      imports: [ConfigModule],
      inject: [ConfigService],
      useFactory: async (config: ConfigService) => {
        const tokenEndpoint = config.getOrThrow<string>('SERVER');
        return { clients: { buoy: { ...clientOf(server), tokenEndpoint } } };
      },
    }),
    feature(),
  ],
  'forRootAsync({ useClass })': () => [
    OAuthClientModule.forRootAsync({ imports: [ConfigModule], useClass: ClientsOfTheClinic }),
    feature(),
  ],
  'forRootAsync({ useExisting })': () => [
    OAuthClientModule.forRootAsync({ imports: [ClinicModule], useExisting: ClientsOfTheClinic }),
    feature(),
  ],
  'forRootAsync(registerAs(…).asProvider())': () => [
    ConfigModule.forRoot({ ignoreEnvFile: true }),
    OAuthClientModule.forRootAsync(configuration.asProvider()),
    feature(),
  ],
  'forRootAsync without clients and the environment': () => {
    Object.assign(process.env, variables());
    return [
      OAuthClientModule.forRootAsync({ useFactory: () => ({ defaults: { timeoutMs: 4_000 } }) }),
      feature(),
    ];
  },
  'the environment, without a ConfigModule': () => {
    Object.assign(process.env, variables());
    return [OAuthClientModule.forRoot(), feature()];
  },
  'an .env file': async () => {
    const envFilePath = join(folder, '.env');
    const lines = Object.entries(variables()).map(([name, value]) => `${name}="${value}"`);
    await writeFile(envFilePath, lines.join('\n'));
    return [await ConfigModule.forRoot({ envFilePath }), OAuthClientModule.forRoot(), feature()];
  },
  'a validated environment': () => {
    Object.assign(process.env, variables(), { OAUTH_BUOY_CLIENT_ID: 'replaced below' });
    const validate = (values: Record<string, unknown>) => ({ ...values, OAUTH_BUOY_CLIENT_ID: CLIENT_ID });
    return [ConfigModule.forRoot({ ignoreEnvFile: true, validate }), OAuthClientModule.forRoot(), feature()];
  },
  'values that ConfigModule loads': () => [
    feature(),
    OAuthClientModule.forRoot(),
    ConfigModule.forRoot({ ignoreEnvFile: true, load: [variables] }),
  ],
  'values that a global ConfigModule loads late': () => {
    const load = async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return variables();
    };
    return [
      feature(),
      OAuthClientModule.forRoot(),
      ConfigModule.forRoot({ ignoreEnvFile: true, isGlobal: true, load: [load] }),
    ];
  },
};

describe.each(platformNames)('on %s', (platform) => {
  it.each(Object.keys(ways))('60. the same scenario on %s', async (way) => {
    process.env['SERVER'] = server.tokenEndpoint;
    const test = await Application.start({
      platform,
      imports: await ways[way]!(),
      controllers: [TriageController],
      providers: [TriageService],
    });
    await scenario(test);
    await test.close();
    await expect(test.tokens.getToken('buoy')).rejects.toMatchObject({ code: 'closed' });
  });
});

async function scenario(test: Application): Promise<void> {
  const answer = [200, { ok: true, method: 'GET', path: '/api/queries/', body: '' }];
  expect(test.tokens.status()).toEqual([{ client: 'buoy', state: 'idle', tokenRequests: 0 }]);

  const answers = await Promise.all(Array.from({ length: 20 }, () => test.answer('/triage')));
  expect(answers).toEqual(Array.from({ length: 20 }, () => answer));
  expect(server.tokenRequests).toHaveLength(1);
  const tokens = new Set(server.apiRequests.map(({ headers }) => headers.authorization));
  expect([...tokens]).toEqual([expect.stringMatching(/^Bearer /)]);

  server.revokeAll();
  expect(await test.answer('/triage')).toEqual(answer);
  expect(server.tokenRequests).toHaveLength(2);

  test.tokens.invalidate('buoy');
  expect(await test.answer('/triage')).toEqual(answer);
  expect(server.tokenRequests).toHaveLength(3);

  expect(test.tokens.client('buoy')).toBe(test.app.get(TriageService).client);
  expect(test.tokens.status()).toMatchObject([{ client: 'buoy', state: 'fresh', tokenRequests: 3 }]);
}

describe('names', () => {
  const two = () => ({ clients: { buoy: clientOf(server), honeybee: clientOf(server, { scope: 'read' }) } });

  it('2. an unknown client name → an error that lists the configured names, no HTTP', async () => {
    const { tokens } = await Application.start({ oauth: two() });
    const unknown = {
      code: 'unknown_client',
      client: 'bouy',
      message: 'There is no OAuth client "bouy"; configured are: buoy, honeybee.',
    };
    await expect(tokens.getToken('bouy')).rejects.toMatchObject(unknown);
    await expect(firstValueFrom(tokens.token$('bouy'))).rejects.toMatchObject(unknown);
    expect(() => tokens.client('bouy')).toThrow(expect.objectContaining(unknown));
    expect(() => tokens.invalidate('bouy')).toThrow(OAuthClientError);
    for (const inherited of ['constructor', '__proto__', 'toString']) {
      await expect(tokens.getToken(inherited)).rejects.toMatchObject({ code: 'unknown_client' });
    }
    expect(server.tokenRequests).toHaveLength(0);
  });

  it('2. any name is a name, also one that objects inherit', async () => {
    for (const name of ['constructor', '__proto__', 'toString']) {
      const clients = Object.fromEntries([[name, clientOf(server)]]);
      const { tokens } = await Application.start({ oauth: { clients } });
      expect((await tokens.getToken(name)).value).toMatch(/^access-token-/);
    }
  });

  it('2. forFeature with an unknown name fails at boot and lists the known ones', async () => {
    const imports = [OAuthClientModule.forRoot(two()), OAuthClientModule.forFeature('honeybee', 'bouy')];
    await expect(Application.start({ imports })).rejects.toMatchObject({
      code: 'unknown_client',
      message: 'There is no OAuth client "bouy"; configured are: buoy, honeybee.',
    });
  });

  it('2. forFeature without a registration in sight says what to do', async () => {
    const local = OAuthClientModule.forRoot({ ...two(), isGlobal: false });
    for (const imports of [
      [OAuthClientModule.forFeature('buoy')],
      [local, OAuthClientModule.forFeature('buoy')],
    ]) {
      await expect(Application.start({ imports })).rejects.toMatchObject({
        code: 'configuration_invalid',
        problems: [
          expect.stringMatching(
            /^OAuthClientModule\.forFeature\('buoy'\) sees no OAuthClientModule\.forRoot\(\)/,
          ),
        ],
      });
    }
  });

  it('11. invalidating one client or one key → only that is fetched again', async () => {
    const { tokens } = await Application.start({ oauth: two() });
    const scoped = { scope: 'write' };
    const all = () =>
      Promise.all([tokens.getToken('buoy'), tokens.getToken('buoy', scoped), tokens.getToken('honeybee')]);
    const [plain, write, other] = await all();
    expect(server.tokenRequests).toHaveLength(3);

    tokens.invalidate('buoy', write);
    const afterKey = await all();
    expect(afterKey.map(({ value }) => value)).toEqual([
      plain.value,
      expect.not.stringMatching(`^${write.value}$`),
      other.value,
    ]);
    expect(server.tokenRequests).toHaveLength(4);

    tokens.invalidate('buoy', write); // not the present one any more
    await all();
    expect(server.tokenRequests).toHaveLength(4);

    tokens.invalidate('buoy');
    expect((await all())[2].value).toBe(other.value);
    expect(server.tokenRequests).toHaveLength(6);
  });
});

describe('several modules', () => {
  it('6. two module instances in one process, same client name, other server → never mix', async () => {
    await using elsewhere = await startServer();
    elsewhere.alwaysRespond(() => elsewhere.nextToken({ access_token: 'elsewhere' }));
    const [one, other] = await Promise.all([
      Application.start({ oauth: { clients: { buoy: clientOf(server) } } }),
      Application.start({ oauth: { clients: { buoy: clientOf(elsewhere) } } }),
    ]);
    const tokens = await Promise.all([one.token(), other.token()]);
    expect(tokens.map(({ value }) => value)).toEqual(['access-token-1', 'elsewhere']);
    expect([server.tokenRequests.length, elsewhere.tokenRequests.length]).toEqual([1, 1]);

    await one.close();
    await expect(one.token({}, 'buoy')).rejects.toMatchObject({ code: 'closed' });
    expect((await other.token()).value).toBe('elsewhere');
  });

  it('6. two registrations in one application, each in its own module, do not see each other', async () => {
    await using elsewhere = await startServer();
    const modules = [server, elsewhere].map((one, index) => {
      @Injectable()
      class Caller {
        constructor(@InjectOAuthHttp('buoy') readonly http: HttpService) {}
      }
      const clients = { buoy: clientOf(one, { scope: `s${index}` }) };
      return {
        Caller,
        module: class CallerModule {},
        imports: [OAuthClientModule.forRoot({ clients, isGlobal: false })],
        providers: [Caller],
      };
    });
    const imports = modules.map(({ Caller: _, ...definition }) => definition);
    const { app } = await Application.start({ imports });
    for (const { Caller } of modules) {
      const { http } = app.get(Caller);
      expect((await firstValueFrom(http.get('/'))).status).toBe(200);
    }
    const scopes = [server, elsewhere].map((one) => one.tokenRequests.map(({ form }) => form?.get('scope')));
    expect(scopes).toEqual([['s0'], ['s1']]);
  });

  it('44. attaching to the process-wide instance of Axios is warned of', async () => {
    const { app, interceptor, log } = await Application.start({ imports: [HttpModule], oauth: options() });
    interceptor.attach(axios.create(), 'buoy')();
    expect(log.told('warn')).toEqual([]);
    interceptor.attach(app.get(HttpService), 'buoy')();
    expect(log.told('warn')).toEqual([expect.stringContaining("Axios's process-wide instance")]);
  });

  it('44. REQUEST-scoped providers share one HttpService: one token, one replay', async () => {
    const seen = new Set<HttpService>();
    @Injectable({ scope: Scope.REQUEST })
    class PerRequest {
      constructor(@InjectOAuthHttp('buoy') readonly http: HttpService) {
        seen.add(http);
      }
    }
    @Controller('per-request')
    class PerRequestController {
      constructor(private readonly per: PerRequest) {}
      @Get()
      async ask(): Promise<unknown> {
        return (await firstValueFrom(this.per.http.get<unknown>('/x'))).data;
      }
    }
    const test = await Application.start({
      platform: 'Express',
      oauth: options(),
      controllers: [PerRequestController],
      providers: [PerRequest],
    });
    for (let round = 0; round < 10; round++) expect((await test.call('/per-request')).status).toBe(200);
    expect([seen.size, server.tokenRequests.length]).toEqual([1, 1]);
    server.revokeAll();
    expect((await test.call('/per-request')).status).toBe(200);
    expect(server.apiRequests).toHaveLength(12);
    expect(server.tokenRequests).toHaveLength(2);
    const http = test.app.get<HttpService>(getOAuthHttpToken('buoy'), { strict: false });
    expect([...seen]).toEqual([http]);
  });
});
