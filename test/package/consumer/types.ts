// What users write, for the compiler alone: every entry, and the options that may be undefined.
import { HttpService } from '@nestjs/axios';
import { Controller, Get, Injectable, Module, type DynamicModule } from '@nestjs/common';
import { create, type AxiosInstance, type AxiosRequestConfig, type InternalAxiosRequestConfig } from 'axios';
import {
  InjectOAuthClient,
  InjectOAuthFetch,
  InjectOAuthHttp,
  MemoryTokenStore,
  OAuthAxiosInterceptor,
  OAuthClient,
  OAuthClientModule,
  OAuthToken,
  OAuthTokenService,
  UseOAuthClient,
  type AccessToken,
  type OAuthClientModuleOptions,
  type OAuthClientOptions,
  type OAuthClientOptionsFactory,
  type OAuthRequestConfig,
  type TokenRequest,
} from 'nestjs-oauth-client';
import { OAuthClientMetrics } from 'nestjs-oauth-client/opentelemetry';
import { buoy, entra, smartBackend } from 'nestjs-oauth-client/partners';
import { RedisTokenStore } from 'nestjs-oauth-client/redis';
import { OAuthClientHealthIndicator } from 'nestjs-oauth-client/terminus';
import {
  FakeAuthorizationServer,
  OAuthClientTestingModule,
  tokenStoreContract,
  type FakeAuthorizationServerOptions,
} from 'nestjs-oauth-client/testing';
import { lastValueFrom } from 'rxjs';

const { SCOPE, SECRET, TIMEOUT, FLAG } = process.env;
const timeoutMs = TIMEOUT === undefined ? undefined : Number(TIMEOUT);
const flag = FLAG === undefined ? undefined : FLAG === 'true';

const request: TokenRequest = { scope: SCOPE, audience: SCOPE, subjectToken: SECRET, forceRefresh: flag };
const lab: OAuthClientOptions = {
  issuer: SCOPE,
  clientId: SCOPE,
  clientSecret: SECRET,
  scope: SCOPE,
  assertion: { audience: SCOPE, lifetimeMs: timeoutMs },
  tls: { cert: SECRET, key: SECRET },
  grant: { type: 'token_exchange', subjectTokenType: SCOPE },
  tokenHeader: { name: SCOPE, scheme: undefined },
  dpop: { algorithm: undefined, privateKey: SECRET },
  retry: { attempts: timeoutMs },
  refreshAhead: { ratio: timeoutMs },
  unauthorized: { statuses: undefined, when: undefined, retry: flag },
  http: { headers: undefined, timeout: timeoutMs },
  allowInsecureRequests: flag,
  timeoutMs,
};
const options: OAuthClientModuleOptions = {
  clients: {
    lab,
    buoy: buoy({ environment: SCOPE, clientSecret: SECRET }),
    entra: entra({ tenantId: 'clinic', certificate: SECRET, certificateFile: SCOPE }),
    records: smartBackend({ fhirBaseUrl: 'https://records.example', scope: SCOPE }),
  },
  defaults: flag === true ? lab : undefined,
  shutdownGraceMs: timeoutMs,
  store: flag === true ? new MemoryTokenStore({ maxEntries: timeoutMs }) : undefined,
};
const perRequest: OAuthRequestConfig = { client: SCOPE, scope: SCOPE };
const config: AxiosRequestConfig = { oauth: flag === true ? { scope: SCOPE } : undefined };

@Injectable()
export class ResultsService {
  constructor(
    @InjectOAuthHttp('lab') private readonly http: HttpService,
    @InjectOAuthClient('lab') private readonly client: OAuthClient,
    @InjectOAuthFetch('lab') private readonly fetch: typeof globalThis.fetch,
    private readonly tokens: OAuthTokenService,
    private readonly interceptor: OAuthAxiosInterceptor,
  ) {}

  async results(scope: string): Promise<unknown> {
    const bare: AxiosInstance = create({ baseURL: 'https://lab.example' });
    const detach = this.interceptor.attach(bare, 'lab');
    this.interceptor.attach(this.http, 'lab');
    this.interceptor.attach(this.http.axiosRef);
    await bare.get('/results', { oauth: { scope } });
    await bare.get('/results', { oauth: false });
    await bare.request({ ...config, url: '/results', oauth: perRequest });
    await this.http.axiosRef.get('/results', { oauth: request });
    await this.fetch('/results', { oauth: { scope } });
    const token: AccessToken = await this.tokens.getToken('lab', request);
    await this.client.getToken({ scope: SCOPE });
    detach();
    return [token, await lastValueFrom(this.http.get<unknown>('/results', { oauth: { scope } }))];
  }
}

@UseOAuthClient('lab')
@Controller()
export class ResultsController {
  @Get()
  @UseOAuthClient('lab', (context) => ({ scope: context.getClass().name, audience: SCOPE }))
  results(@OAuthToken('lab') token: AccessToken): Date {
    return token.expiresAt;
  }
}

class LabOptions implements OAuthClientOptionsFactory {
  createOAuthClientOptions(): OAuthClientModuleOptions {
    return options;
  }
}

@Module({
  imports: [
    OAuthClientModule.forRoot(options),
    OAuthClientModule.forRootAsync({ useClass: LabOptions }),
    OAuthClientModule.forRootAsync({ useFactory: () => options, isGlobal: false }),
    OAuthClientModule.forFeature('lab', 'buoy'),
  ],
  providers: [ResultsService, OAuthClientMetrics, OAuthClientHealthIndicator],
  controllers: [ResultsController],
})
export class AppModule {}

export const shared = (url: string): RedisTokenStore =>
  new RedisTokenStore(url, { encryptionKeys: 'none', keyPrefix: SCOPE, timeoutMs });

const demands: FakeAuthorizationServerOptions = {
  latencyMs: timeoutMs,
  tokenPath: SCOPE,
  demands: { contentType: SCOPE, assertion: { audience: SCOPE, maxLifetime: timeoutMs } },
};

export async function kit(answer?: (config: InternalAxiosRequestConfig) => unknown): Promise<DynamicModule> {
  const server = await FakeAuthorizationServer.start(demands);
  server.respondWith({ status: 503, headers: undefined, body: SCOPE });
  const cases: string[] = [];
  tokenStoreContract(
    (name) => cases.push(name),
    () => new MemoryTokenStore(),
    { exclusive: flag },
  );
  return OAuthClientTestingModule.forRoot({ lab: { token: SECRET, answer }, buoy: 'token' });
}
