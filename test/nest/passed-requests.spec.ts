import { describe, expect, it } from '@jest/globals';
import { HttpService } from '@nestjs/axios';
import { Controller, Get, Query, type ExecutionContext } from '@nestjs/common';
import axios from 'axios';
import { generateKeyPairSync } from 'node:crypto';
import {
  InjectOAuthHttp,
  OAuthConfigurationError,
  UseOAuthClient,
  getOAuthClientToken,
  type OAuthClient,
  type OAuthClientOptions,
  type TokenRequest,
} from 'nestjs-oauth-client';
import { firstValueFrom, forkJoin, map, type Observable } from 'rxjs';
import { Application } from '../support/application.js';

const VALUE = 'tenant-a-17';

/** Keeps what it is called to itself, as many value objects do. */
class TenantId {
  readonly #id = VALUE;
  toString(): string {
    return this.#id;
  }
}

class Tenants {
  tenant = VALUE;
}

/** Requests that the types do not allow, or that are too easily a mistake. */
const UNFIT: [string, object, RegExp][] = [
  ['a parameter that is an object with toString()', { parameters: { tenant: new TenantId() } }, /parameters of/],
  ['a parameter that is a function', { parameters: { tenant: () => VALUE } }, /parameters of/],
  ['a parameter that is a number', { parameters: { tenant: 17 } }, /parameters of/],
  ['a parameter that is NaN', { parameters: { tenant: Number.NaN } }, /parameters of/],
  ['a parameter that is true', { parameters: { tenant: true } }, /parameters of/],
  ['a parameter that is a bigint', { parameters: { tenant: 17n } }, /parameters of/],
  ['a parameter that is a symbol', { parameters: { tenant: Symbol(VALUE) } }, /parameters of/],
  ['a parameter that is null', { parameters: { tenant: null } }, /parameters of/],
  ['a parameter that is undefined', { parameters: { tenant: undefined } }, /parameters of/],
  ['a parameter that is a String object', { parameters: { tenant: Object(VALUE) } }, /parameters of/],
  ['a parameter that is a date', { parameters: { tenant: new Date(0) } }, /parameters of/],
  ['a parameter that is a nested list', { parameters: { tenant: [[VALUE]] } }, /parameters of/],
  ['a parameter that is a list with a hole', { parameters: { tenant: Array(1) } }, /parameters of/],
  ['a parameter whose name has control characters', { parameters: { 'a\r\nb': 1 } }, /parameters of/],
  ['parameters that are a Map', { parameters: new Map([['tenant', VALUE]]) }, /parameters of/],
  ['parameters that are URLSearchParams', { parameters: new URLSearchParams({ tenant: VALUE }) }, /parameters of/],
  ['parameters that are an instance of a class', { parameters: new Tenants() }, /parameters of/],
  ['parameters that are inherited', { parameters: Object.create({ tenant: VALUE }) }, /parameters of/],
  ['parameters that are a list', { parameters: [VALUE] }, /parameters of/],
  ['parameters that are a text', { parameters: VALUE }, /parameters of/],
  ['parameters that are null', { parameters: null }, /parameters of/],
  ['a scope that is a list', { scope: [VALUE] }, /scope of/],
  ['a scope that is a number', { scope: 17 }, /scope of/],
  ['a scope that is empty', { scope: '' }, /scope of/],
  ['a scope that is blank', { scope: '  ' }, /scope of/],
  ['a scope with a line break', { scope: `${VALUE}\r\nok` }, /scope of/],
  ['a scope with an escape character', { scope: `${VALUE}\u001b[2J` }, /scope of/],
  ['an audience that is an object with toString()', { audience: new TenantId() }, /audience of/],
  ['an audience that is null', { audience: null }, /audience of/],
  ['an audience that is empty', { audience: '' }, /audience of/],
  ['an audience that is an empty list', { audience: [] }, /audience of/],
  ['an audience that has a blank in its list', { audience: [VALUE, ' '] }, /audience of/],
  ['an audience that is a set', { audience: new Set([VALUE]) }, /audience of/],
  ['a resource that is a URL object', { resource: new URL('https://api.example') }, /resource of/],
  ['a resource that is a nested list', { resource: [['https://api.example']] }, /resource of/],
  ['a subject token that is blank', { subjectToken: ' ' }, /subjectToken of/],
  ['a subject token that is null', { subjectToken: null }, /subjectToken of/],
  ['a subject token that is a buffer', { subjectToken: Buffer.from(VALUE) }, /subjectToken of/],
  ['a forceRefresh that is a text', { forceRefresh: 'false' }, /forceRefresh of/],
  ['a signal that is none', { signal: {} }, /signal of/],
]; // prettier-ignore

const WAYS: [string, (api: Application, request: TokenRequest) => Promise<unknown>][] = [
  ['getToken of the service', ({ tokens }, request) => tokens.getToken('api', request)],
  ['token$ of the service', ({ tokens }, request) => firstValueFrom(tokens.token$('api', request))],
  ['getToken of the client', ({ tokens }, request) => tokens.client('api').getToken(request)],
  ['token$ of the client', ({ tokens }, request) => firstValueFrom(tokens.client('api').token$(request))],
  ['HttpService', (api, oauth) => api.get('/x', { oauth })],
  ['Axios', (api, oauth) => api.axios.get('/x', { oauth })],
  ['fetch', (api, oauth) => api.fetch()('/x', { oauth })],
  ['an attached Axios instance', (api, oauth) => attached(api).get(`${api.server.apiURL}/x`, { oauth })],
];

function attached(api: Application) {
  const instance = axios.create();
  api.interceptor.attach(instance);
  return instance;
}

function jwk(kid: string) {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), kid };
}

function parsed(part: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>;
}

const passing = { grant: { type: 'token_exchange' as const } };

describe.each(WAYS)('80. A request that does not fit, passed to %s', (_way, pass) => {
  it('80. is a typed error that names client and member and shows no value, and nothing is sent', async () => {
    const api = await Application.withServer(passing, {}, { secrets: [VALUE] });
    for (const [what, unfit, member] of UNFIT) {
      const error = await api.failure(pass(api, { subjectToken: 'subject', ...unfit }));
      expect([what, error]).toEqual([what, expect.any(OAuthConfigurationError)]);
      const { code, client, problems } = error as OAuthConfigurationError;
      expect([what, code, client]).toEqual([what, 'configuration_invalid', 'api']);
      expect([what, problems]).toEqual([what, [expect.stringMatching(member)]]);
      expect(problems[0]).toMatch(/^Client "api": \w+ of the token request [ -~§]+\.$/);
    }
    expect([api.posts, api.server.apiRequests.length]).toEqual([0, 0]);
  });

  it('80. has every member that does not fit in its error', async () => {
    const api = await Application.withServer(passing);
    const request = { scope: '', audience: 1, subjectToken: {} } as unknown as TokenRequest;
    const { problems } = (await api.failure(pass(api, request))) as OAuthConfigurationError;
    expect(problems.map((problem) => /"api": (\w+)/.exec(problem)?.[1])).toEqual([
      'scope',
      'audience',
      'subjectToken',
    ]);
  });
});

describe('80. A request that cannot be read', () => {
  const throwing = () => {
    throw new Error(VALUE);
  };
  const revoked = () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    return proxy;
  };
  // Axios itself reads the config that it is passed.
  it.each(WAYS.slice(0, 5))(
    '80. passed to %s → a typed error without what was thrown',
    async (_way, pass) => {
      const api = await Application.withServer({}, {}, { secrets: [VALUE] });
      for (const request of [
        Object.defineProperty({}, 'parameters', { get: throwing, enumerable: true }),
        { parameters: new Proxy({}, { ownKeys: throwing }) },
        { parameters: Object.defineProperty({}, 'tenant', { get: throwing, enumerable: true }) },
        { parameters: revoked() },
      ]) {
        const error = await api.failure(pass(api, request));
        expect(error).toMatchObject({
          code: 'configuration_invalid',
          problems: [expect.stringMatching(/parameters/)],
        });
      }
      expect(api.posts).toBe(0);
    },
  );
});

describe('80. What is no request at all', () => {
  it.each<[string, unknown]>([
    ['a text', VALUE], ['null', null], ['a number', 0], ['an empty text', ''], ['true', true], ['a function', () => ({})],
    ['NaN', Number.NaN], ['a list', [{ scope: 'a' }]], ['a Map', new Map([['scope', 'a']])],
    ['a promise', Promise.resolve({ scope: 'a' })], ['URLSearchParams', new URLSearchParams({ scope: 'a' })],
  ])('80. %s → a typed error, and nothing is sent', async (_, passed) => {
    const api = await Application.withServer({}, {}, { secrets: [VALUE] });
    for (const [, pass] of WAYS) {
      const error = await api.failure(pass(api, passed as TokenRequest));
      expect(error).toMatchObject({
        code: 'configuration_invalid', client: 'api', problems: ['Client "api": the token request must be an object.'],
      });
    }
    expect([api.posts, api.server.apiRequests.length]).toEqual([0, 0]);
  }); // prettier-ignore

  it('80. a client in it that is no name → a typed error', async () => {
    const api = await Application.withServer();
    for (const client of [{ toString: () => 'api' }, '', 7, null]) {
      const oauth = { client } as unknown as { client: string };
      expect(await api.failure(api.axios.get('/x', { oauth }))).toMatchObject({
        code: 'configuration_invalid',
      });
      const elsewhere = attached(api).get('http://127.0.0.1:1/x', { oauth });
      expect(await api.failure(elsewhere)).toMatchObject({
        code: 'configuration_invalid',
        problems: ['API request: client of the token request must be a text that is not blank.'],
      });
    }
  });
});

describe.each(WAYS)('80. A request that changes after it was passed to %s', (_way, pass) => {
  it('80. one object that is filled anew for each call of one tick → each call gets its own token', async () => {
    const api = await Application.withServer();
    const parameters: Record<string, string | string[]> = {};
    const request = { audience: [] as string[], parameters };
    const passed: Promise<unknown>[] = [];
    for (const tenant of ['a', 'b', 'c']) {
      request.audience[0] = `https://${tenant}.example`;
      parameters['tenant'] = tenant;
      parameters['list'] = [tenant];
      passed.push(pass(api, request));
    }
    parameters['tenant'] = 'd';
    await Promise.all(passed);
    const forms = api.server.tokenRequests.map(({ form }) => ['tenant', 'list', 'audience'].map((name) => form?.getAll(name).join()));
    expect(forms.sort()).toEqual(['a', 'b', 'c'].map((tenant) => [tenant, tenant, `https://${tenant}.example`]));
    for (const tenant of ['a', 'b', 'c']) {
      const request: TokenRequest = { audience: [`https://${tenant}.example`], parameters: { tenant, list: [tenant] } };
      expect((await api.token(request)).value).toMatch(new RegExp(`-${tenant}-`));
    }
    expect(api.posts).toBe(3);
  }); // prettier-ignore

  it('80. an object that says something else each time it is read → key and request are of one reading', async () => {
    const api = await Application.withServer();
    let reads = 0;
    const changing = {
      get parameters() {
        return new Proxy(
          {},
          {
            ownKeys: () => ['tenant'],
            getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true, value: '' }),
            get: () => `t${++reads}`,
          },
        );
      },
    };
    await pass(api, changing);
    const [sent] = api.server.tokenRequests.map(({ form }) => form?.get('tenant'));
    expect((await api.token({ parameters: { tenant: sent! } })).value).toContain(`-${sent}-`);
    expect(api.posts).toBe(1);
  });
});

describe('80. A request that is kept', () => {
  it('80. an object that changes before a background refresh → the refresh asks for the same as the first time', async () => {
    const api = await Application.withServer();
    api.server.alwaysRespond(() => api.server.nextToken({ expires_in: 4 }));
    const request = { audience: ['one'], parameters: { tenant: 'a' } };
    await api.token(request);
    request.audience.push('two');
    request.parameters.tenant = 'b';
    await api.token({ audience: ['one'], parameters: { tenant: 'a' }, forceRefresh: true });
    const forms = api.server.tokenRequests.map(({ form }) => [form?.getAll('audience'), form?.get('tenant')]);
    expect(forms).toEqual([[['one'], 'a'], [['one'], 'a']]);
  }); // prettier-ignore

  it('80. the options of a client that change after the boot change no request', async () => {
    const options = { audience: ['one'], parameters: { tenant: 'a' } as Record<string, string> };
    const api = await Application.withServer(options);
    options.audience.push('two');
    options.parameters['tenant'] = 'b';
    await api.token();
    const [form] = api.server.tokenRequests.map(({ form }) => form);
    expect([form?.getAll('audience'), form?.get('tenant')]).toEqual([['one'], 'a']);
  });

  it('80. the same holds for headers, grant and assertion, in its own options and in defaults', async () => {
    const account = { account_id: 'one' };
    const header = { 'x-partner': 'one' };
    const claims = { groups: ['one'] };
    const privateKey = jwk('one');
    const own = {
      grant: { type: 'account', parameters: account },
      tokenRequestHeaders: header,
      privateKey,
    };
    const defaults = { assertion: { claims }, http: { headers: { common: header } } };
    const api = await Application.withServer({ clientSecret: undefined, ...own }, { defaults });
    account.account_id = header['x-partner'] = claims.groups[0] = 'two';
    Object.assign(privateKey, jwk('two'));
    await api.get('/x');
    const [asked] = api.server.tokenRequests;
    const [jose, claimed] = asked?.form?.get('client_assertion')?.split('.').slice(0, 2).map(parsed) ?? [];
    const seen = [asked?.form?.get('account_id'), jose?.['kid'], claimed?.['groups']];
    expect(seen).toEqual(['one', 'one', ['one']]);
    const headers = [asked, ...api.server.apiRequests].map((request) => request?.headers['x-partner']);
    expect(headers).toEqual(['one', 'one']);
  });

  it('80. an observable asks for what was passed, whenever somebody subscribes', async () => {
    const api = await Application.withServer();
    const request = { scope: 'a' };
    const waits = ['a', 'b'].flatMap((scope) => {
      request.scope = scope;
      const oauth: TokenRequest = request;
      const sent = api
        .http()
        .get('/x', { oauth })
        .pipe(map(() => scope));
      const token$ = api.tokens.token$('api', request).pipe(map((token) => token.value));
      return [token$, sent];
    });
    request.scope = 'c';
    await firstValueFrom(forkJoin(waits));
    expect(api.server.tokenRequests.map(({ form }) => form?.get('scope')).sort()).toEqual(['a', 'b']);
    expect(api.authorizations.sort()).toEqual([
      expect.stringContaining('token-a-'),
      expect.stringContaining('token-b-'),
    ]);
  });

  it('80. a blank subject token does not lead to the assertion that the client is configured with (RFC 7523)', async () => {
    const api = await Application.withServer({ grant: { type: 'jwt_bearer', assertion: 'own-assertion' } });
    const failing = [
      ['', 'credentials_unavailable'],
      [' ', 'configuration_invalid'],
      [null as unknown as string, 'configuration_invalid'],
    ] as const;
    for (const [subjectToken, code] of failing)
      expect(await api.failure(api.token({ subjectToken }))).toMatchObject({ code });
    expect(api.posts).toBe(0);
    await api.token({ subjectToken: undefined });
    expect(api.server.tokenRequests[0]?.form?.get('assertion')).toBe('own-assertion');
  });
});

const shared = { parameters: { tenant: '' } };
const asked: TokenRequest = { parameters: { tenant: 'static' } };

const tenantOf = (context: ExecutionContext) => {
  const { query } = context.switchToHttp().getRequest<{ query: { tenant: string } }>();
  shared.parameters.tenant = query.tenant;
  return shared;
};

@Controller()
class TenantsController {
  constructor(@InjectOAuthHttp('api') private readonly http: HttpService) {}

  @Get('shared')
  @UseOAuthClient('api', tenantOf)
  shared(): Observable<unknown> {
    return this.#call();
  }

  @Get('static')
  @UseOAuthClient('api', asked)
  static(): Observable<unknown> {
    return this.#call();
  }

  @Get('unfit')
  @UseOAuthClient('api', (context) => context.switchToHttp().getRequest<{ query: TokenRequest }>().query)
  unfit(@Query() _query: object): Observable<unknown> {
    return this.#call();
  }

  #call(): Observable<unknown> {
    return this.http.get<unknown>('/x').pipe(map(({ data }) => data));
  }
}

describe('80. What @UseOAuthClient is given', () => {
  const start = async (options: OAuthClientOptions = {}) =>
    Application.withServer(options, {}, { platform: 'Express', controllers: [TenantsController] });

  it('80. one object that a function fills for each call → each handler has its own token', async () => {
    const api = await start();
    const tenants = ['a', 'b', 'c', 'd'];
    await Promise.all(tenants.map((tenant) => api.answer(`/shared?tenant=${tenant}`)));
    expect(api.server.tokenRequests.map(({ form }) => form?.get('tenant')).sort()).toEqual(tenants);
    expect(api.authorizations.map((header) => header?.split('-').at(-2)).sort()).toEqual(tenants);
  });

  it('80. an object that changes after the decorator ran changes nothing', async () => {
    const api = await start();
    asked.parameters!['tenant'] = 'changed';
    await api.answer('/static');
    expect(api.server.tokenRequests.map(({ form }) => form?.get('tenant'))).toEqual(['static']);
  });

  it('80. a list where one text is expected, as a query can have it → 500, and nothing is sent', async () => {
    const api = await start();
    expect((await api.answer('/unfit?scope=a&scope=b'))[0]).toBe(500);
    expect([api.posts, api.server.apiRequests.length]).toEqual([0, 0]);
    expect((await api.answer('/unfit?scope=a'))[0]).toBe(200);
  });

  it('80. a request that does not fit fails the boot', async () => {
    @Controller()
    class Unfit {
      @Get()
      @UseOAuthClient('api', { parameters: { tenant: 7 } } as unknown as TokenRequest)
      get(): void {}
    }
    await expect(Application.withServer({}, {}, { controllers: [Unfit] })).rejects.toMatchObject({
      problems: [
        'Client "api": parameters of the token request must be a plain object whose values are texts or lists of texts.',
      ],
    });
  });

  it('80. the client itself does the same', async () => {
    const api = await start();
    const client = api.app.get<OAuthClient>(getOAuthClientToken('api'), { strict: false });
    const error = await api.failure(client.getToken({ audience: [] }));
    expect(error).toMatchObject({
      problems: [expect.stringContaining('audience of the token request must be')],
    });
  });
});
