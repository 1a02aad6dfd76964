// What users write to test a service: with fixed tokens and answers, and against a fake partner.
import { HttpService } from '@nestjs/axios';
import { Injectable } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { InjectOAuthHttp, OAuthClientModule, OAuthTokenService } from 'nestjs-oauth-client';
import { FakeAuthorizationServer, OAuthClientTestingModule } from 'nestjs-oauth-client/testing';
import { firstValueFrom } from 'rxjs';

declare const expect: (value: unknown) => { toEqual(expected: unknown): void };
declare const it: (name: string, run: () => Promise<void>) => void;

@Injectable()
class ResultsService {
  constructor(
    @InjectOAuthHttp('lab') private readonly lab: HttpService,
    private readonly tokens: OAuthTokenService,
  ) {}

  async results(): Promise<unknown> {
    const { data } = await firstValueFrom(this.lab.get<unknown>('/results'));
    return [data, this.tokens.status()[0]?.state];
  }
}

it('gets results with a fixed token', async () => {
  const module = await Test.createTestingModule({
    imports: [OAuthClientTestingModule.forRoot({ lab: { answer: () => ({ results: [] }) } })],
    providers: [ResultsService],
  }).compile();
  expect(await module.get(ResultsService).results()).toEqual([{ results: [] }, 'fresh']);
  await module.close();
});

it('gets results from a fake partner', async () => {
  const server = await FakeAuthorizationServer.start();
  const { tokenEndpoint, apiURL: baseURL } = server;
  const lab = { tokenEndpoint, baseURL, clientId: 'clinic', clientSecret: 'not-a-secret' };
  const module = await Test.createTestingModule({
    imports: [OAuthClientModule.forRoot({ clients: { lab } })],
    providers: [ResultsService],
  }).compile();
  expect(await module.get(ResultsService).results()).toEqual([
    { ok: true, method: 'GET', path: '/api/results', body: '' },
    'fresh',
  ]);
  expect(server.tokenRequests.length).toEqual(1);
  await module.close();
  await server.close();
});
