import { describe, expect, it, jest } from '@jest/globals';
import { HttpService } from '@nestjs/axios';
import { Controller, Get, Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  AccessToken,
  InjectOAuthClient,
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
} from 'nestjs-oauth-client';
import { OAuthClientTestingModule } from 'nestjs-oauth-client/testing';
import axios from 'axios';
import { firstValueFrom, map, of, type Observable } from 'rxjs';
import { Application } from '../support/application.js';

@Injectable()
class TriageService {
  constructor(
    @InjectOAuthHttp('buoy') private readonly buoy: HttpService,
    @InjectOAuthClient('buoy') readonly client: OAuthClient,
  ) {}

  suggest(text: string): Observable<string[]> {
    return this.buoy.get<string[]>('/queries/', { params: { text } }).pipe(map(({ data }) => data));
  }
}

@Module({
  imports: [OAuthClientModule.forFeature('buoy')],
  providers: [TriageService],
  exports: [TriageService],
})
class TriageModule {}

@Controller()
@UseOAuthClient('buoy')
class TriageController {
  @Get()
  token(@OAuthToken('buoy') token: AccessToken): string {
    return token.authorization;
  }
}

describe('OAuthClientTestingModule', () => {
  it('63. a unit test of a service in ten lines', async () => {
    const buoy = { answer: () => ['hip pain at night'] };
    const module = await Test.createTestingModule({
      imports: [OAuthClientTestingModule.forRoot({ buoy })],
      providers: [TriageService],
    }).compile();
    expect(await firstValueFrom(module.get(TriageService).suggest('hip'))).toEqual(['hip pain at night']);
  });

  it('63. 77. a fetch is answered like an HttpService, and nothing reaches the network', async () => {
    const answer = jest.fn<(config: { url?: string; baseURL?: string; data?: unknown }) => unknown>(
      ({ data }) => ({ asked: data }),
    );
    const module = await Test.createTestingModule({
      imports: [OAuthClientTestingModule.forRoot({ buoy: { answer }, other: {} })],
    }).compile();
    const fetch = module.get<typeof globalThis.fetch>(getOAuthFetchToken('buoy'));
    const response = await fetch('/queries/?text=hip', { method: 'POST', body: 'x' });
    expect(await response.json()).toEqual({ asked: 'x' });
    expect(answer.mock.calls[0]![0]).toMatchObject({
      baseURL: 'https://buoy.test',
      url: '/queries/?text=hip',
      method: 'post',
      data: 'x',
      headers: { authorization: 'Bearer test-token' },
    });
    const unanswered = module.get<typeof globalThis.fetch>(getOAuthFetchToken('other'));
    await expect(unanswered('/x')).rejects.toThrow(/No network in tests: GET .*other/);
  });

  it('63. the answer gets the request: its URL, parameters and fixed token', async () => {
    const answer = jest.fn<
      (config: { url?: string; baseURL?: string; params?: unknown; headers: object }) => string[]
    >(() => []);
    const imports = [OAuthClientTestingModule.forRoot({ buoy: { token: 'mine', answer } }), TriageModule];
    const module = await Test.createTestingModule({ imports }).compile();
    await firstValueFrom(module.get(TriageService).suggest('hip'));
    expect(answer).toHaveBeenCalledTimes(1);
    expect(answer.mock.calls[0]![0]).toMatchObject({
      baseURL: 'https://buoy.test',
      url: '/queries/',
      params: { text: 'hip' },
      headers: { Authorization: 'Bearer mine' },
    });
  });

  it('63. a request without an answer fails and says what to do', async () => {
    const imports = [OAuthClientTestingModule.forRoot(['buoy'])];
    const module = await Test.createTestingModule({ imports, providers: [TriageService] }).compile();
    await expect(firstValueFrom(module.get(TriageService).suggest('hip'))).rejects.toThrow(
      `No network in tests: GET /queries/ of client "buoy" has no answer. Give OAuthClientTestingModule.forRoot({ 'buoy': { answer } }), or overrideProvider(getOAuthHttpToken('buoy')).`,
    );
  });

  it('63. tokens by name, in every injectable form', async () => {
    const imports = [OAuthClientTestingModule.forRoot({ buoy: 'token-of-buoy', honeybee: {} })];
    const module = await Test.createTestingModule({ imports, providers: [TriageService] }).compile();
    const tokens = module.get(OAuthTokenService);
    expect(tokens.status()).toEqual(
      ['buoy', 'honeybee'].map((client) => ({ client, state: 'idle', tokenRequests: 0 })),
    );
    expect((await tokens.getToken('buoy')).value).toBe('token-of-buoy');
    expect((await tokens.getToken('honeybee')).value).toBe('test-token');
    expect(
      (await tokens.getToken('buoy', { parameters: { tenant: 'acme' }, forceRefresh: true })).value,
    ).toBe('token-of-buoy');
    expect(module.get(TriageService).client).toBe(module.get(getOAuthClientToken('buoy')));
    await expect(tokens.getToken('bouy')).rejects.toThrow('configured are: buoy, honeybee.');

    const http = axios.create({
      adapter: async (config) => ({
        data: config.headers.get('Authorization'),
        status: 200,
        statusText: '',
        headers: {},
        config,
      }),
    });
    module.get(OAuthAxiosInterceptor).attach(http, 'buoy');
    expect((await http.get('https://buoy.test/x')).data).toBe('Bearer token-of-buoy');
    await module.close();
  });

  it('63. decorated controllers run with it', async () => {
    const imports = [OAuthClientTestingModule.forRoot({ buoy: 'mine' })];
    const test = await Application.start({ platform: 'Express', imports, controllers: [TriageController] });
    expect(await test.answer('/')).toEqual([200, 'Bearer mine']);
    await test.close();
  });
});

describe('overriding', () => {
  const clients = { buoy: { clientId: 'x', clientSecret: 'y', tokenEndpoint: 'https://x.example/token' } };
  const fake = { get: () => of({ data: ['faked'] }) };

  it.each([
    ['forFeature', [OAuthClientModule.forRoot({ clients }), TriageModule]],
    ['forRoot({ clients })', [OAuthClientModule.forRoot({ clients })]],
    ['the testing module', [OAuthClientTestingModule.forRoot(['buoy'])]],
  ])("63. overrideProvider(getOAuthHttpToken('buoy')) works with %s", async (_way, imports) => {
    const module = await Test.createTestingModule({ imports, providers: [TriageService] })
      .overrideProvider(getOAuthHttpToken('buoy'))
      .useValue(fake)
      .compile();
    expect(await firstValueFrom(module.get(TriageService).suggest('hip'))).toEqual(['faked']);
  });

  it("63. so does overrideProvider(getOAuthClientToken('buoy'))", async () => {
    const client = { name: 'fake' };
    const imports = [OAuthClientModule.forRoot({ clients }), TriageModule];
    const module = await Test.createTestingModule({ imports })
      .overrideProvider(getOAuthClientToken('buoy'))
      .useValue(client)
      .compile();
    expect(module.get(TriageService).client).toBe(client);
  });
});
