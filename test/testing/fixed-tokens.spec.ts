import { describe, expect, it, jest } from '@jest/globals';
import type { HttpService } from '@nestjs/axios';
import { Controller, Get, Query } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  AuthorizationServerUnavailableError,
  InjectOAuthHttp,
  OAuthTokenService,
  TokenRequestError,
  UseOAuthClient,
  getOAuthHttpToken,
  type TokenRequest,
} from 'nestjs-oauth-client';
import { OAuthClientTestingModule, type FixedAnswer, type FixedClient } from 'nestjs-oauth-client/testing';
import { map, type Observable } from 'rxjs';
import { Application, platformNames } from '../support/application.js';
import { CapturedLog } from '../support/captured-log.js';
import { closing } from '../support/closing.js';

type TokenFunction = Exclude<FixedClient['token'], string | undefined>;

async function start(token: TokenFunction) {
  const answer: FixedAnswer = (request) => ({ token: request.token });
  const imports = [OAuthClientTestingModule.forRoot({ buoy: { token, answer } })];
  const module = closing(await Test.createTestingModule({ imports }).setLogger(new CapturedLog()).compile());
  const { axiosRef: http } = module.get<HttpService>(getOAuthHttpToken('buoy'));
  return { http, tokens: module.get(OAuthTokenService) };
}

describe('the token function of OAuthClientTestingModule', () => {
  it('63. is asked when the application would request a token, and no more often', async () => {
    let issued = 0;
    const token = jest.fn<TokenFunction>(async () => `t${++issued}`);
    const { http, tokens } = await start(token);
    const callers = Array.from({ length: 10 }, () => http.get('/x'));
    for (const { data } of await Promise.all(callers)) expect(data).toEqual({ token: 't1' });
    expect(token).toHaveBeenCalledTimes(1);
    tokens.invalidate('buoy');
    expect((await http.get('/x')).data).toEqual({ token: 't2' });
    expect((await tokens.getToken('buoy', { forceRefresh: true })).value).toBe('t3');
    expect((await tokens.getToken('buoy')).value).toBe('t3');
  });

  it('63. sees the request as it was passed, and the name of its client', async () => {
    const token = jest.fn<TokenFunction>(({ scope, parameters }) => [scope, parameters?.['org']].join('-'));
    const { http, tokens } = await start(token);
    const oauth: TokenRequest = {
      scope: 'read',
      audience: 'lab',
      parameters: { org: 'acme' },
      subjectToken: 's',
    };
    expect((await http.get('/x', { oauth })).data).toEqual({ token: 'read-acme' });
    expect(token).toHaveBeenCalledWith(oauth, 'buoy');
    expect((await tokens.getToken('buoy', { ...oauth, scope: 'write' })).value).toBe('write-acme');
    expect(token).toHaveBeenCalledTimes(2);
  });

  it.each([
    [
      'unavailable',
      new AuthorizationServerUnavailableError('The partner is down.', {
        client: 'buoy',
        retryAfterMs: 60_000,
      }),
    ],
    [
      'refusing',
      new TokenRequestError('invalid_client', { client: 'buoy', status: 401, error: 'invalid_client' }),
    ],
  ])(
    '63. throws the very error that callers get, here of a server that is %s, and is asked again by the next call',
    async (_, down) => {
      let isDown = true;
      const token = jest.fn<TokenFunction>(() => {
        if (isDown) throw down;
        return 'up-again';
      });
      const { http, tokens } = await start(token);
      await expect(tokens.getToken('buoy')).rejects.toBe(down);
      await expect(http.get('/x')).rejects.toBe(down);
      expect(token).toHaveBeenCalledTimes(2);
      expect(tokens.status()).toMatchObject([
        { client: 'buoy', state: 'down', lastError: { code: down.code } },
      ]);
      isDown = false;
      expect((await http.get('/x')).data).toEqual({ token: 'up-again' });
    },
  );

  it('63. may throw anything, which becomes the cause of a typed error', async () => {
    const cause = new TypeError('a mistake in the test');
    const { http } = await start(() => Promise.reject(cause));
    await expect(http.get('/x')).rejects.toMatchObject({ code: 'authorization_server_unavailable', cause });
  });

  it.each([
    ['nothing', undefined],
    ['a blank text', ' '],
    ['a number', 7],
  ])('63. that returns %s fails with a sentence that says what to return', async (_, value) => {
    const { tokens } = await start((() => value) as TokenFunction);
    await expect(tokens.getToken('buoy')).rejects.toThrow(
      'The test gave OAuth client "buoy" no token: return a text without blanks, or an object with such a text as its value.',
    );
  });
});

@Controller()
class QueriesController {
  constructor(@InjectOAuthHttp('buoy') private readonly buoy: HttpService) {}

  @Get()
  @UseOAuthClient('buoy', (context) => {
    const { org } = context.switchToHttp().getRequest<{ query: { org: string } }>().query;
    return { parameters: { org } };
  })
  list(@Query('fail') fail?: string): Observable<unknown> {
    return this.buoy.get(fail ? '/refused' : '/queries').pipe(map(({ data }) => data as unknown));
  }
}

describe.each(platformNames)('a whole application on %s', (platform) => {
  it('63. 62. answers 502, 503 and 504 to the failures that a test chooses, and 200 after them', async () => {
    let failure: Error | undefined;
    const token = jest.fn<TokenFunction>(({ parameters }) => {
      if (failure) throw failure;
      return `of-${String(parameters?.['org'])}`;
    });
    const answer: FixedAnswer = ({ url, token: sent }) => (url === '/refused' ? { status: 401 } : { sent });
    const imports = [OAuthClientTestingModule.forRoot({ buoy: { token, answer } })];
    const test = await Application.start({ platform, imports, controllers: [QueriesController] });
    const failures: [number, Error][] = [
      [502, new TokenRequestError('invalid_client', { client: 'buoy', status: 401 })],
      [503, new AuthorizationServerUnavailableError('down', { client: 'buoy', retryAfterMs: 7_000 })],
      [504, new AuthorizationServerUnavailableError('slow', { client: 'buoy', timedOut: true })],
    ];
    for (const [status, error] of failures) {
      failure = error;
      expect((await test.answer('/?org=acme'))[0]).toBe(status);
    }
    failure = undefined;
    expect(await test.answer('/?org=acme')).toEqual([200, { sent: 'of-acme' }]);
    expect(await test.answer('/?org=umbra')).toEqual([200, { sent: 'of-umbra' }]);
    const [status, problem] = await test.answer('/?org=acme&fail=yes');
    expect([status, problem]).toEqual([502, expect.objectContaining({ code: 'token_rejected' })]);
  });
});
