import { beforeEach, describe, expect, it } from '@jest/globals';
import { HttpService } from '@nestjs/axios';
import { Controller, Get, Param, Sse, StreamableFile, type ExecutionContext } from '@nestjs/common';
import {
  InjectOAuthClient,
  InjectOAuthFetch,
  InjectOAuthHttp,
  OAuthClient,
  OAuthToken,
  OAuthTokenService,
  UseOAuthClient,
  type AccessToken,
  type OAuthClientOptions,
  type TokenRequest,
} from 'nestjs-oauth-client';
import { Readable } from 'node:stream';
import { concatMap, firstValueFrom, interval, map, take, type Observable } from 'rxjs';
import { Application, platformNames, type ApplicationOptions } from '../support/application.js';
import { Clinics } from '../support/clinics.js';

interface Answer {
  owner: string;
}

const tenantOf = (context: ExecutionContext): TokenRequest => {
  const { headers } = context.switchToHttp().getRequest<{ headers: Record<string, string> }>();
  return { tenant: headers['tenant'] };
};

const ownerOf = ({ value }: AccessToken): string => value.replace(/^access-token-|-\d+$/g, '');

/** How a handler may reach the partner. */
@Controller()
@UseOAuthClient('lab', tenantOf)
class LabController {
  constructor(
    @InjectOAuthHttp('lab') private readonly http: HttpService,
    @InjectOAuthFetch('lab') private readonly fetch: typeof globalThis.fetch,
    @InjectOAuthClient('lab') private readonly client: OAuthClient,
    private readonly tokens: OAuthTokenService,
  ) {}

  @Get('ways/:way')
  async ask(@Param('way') way: string, @OAuthToken('lab') token: AccessToken): Promise<string | undefined> {
    switch (way) {
      case 'parameter':
        return ownerOf(token);
      case 'token':
        return ownerOf(await this.tokens.getToken('lab'));
      case 'token$':
        return ownerOf(await firstValueFrom(this.tokens.token$('lab')));
      case 'client':
        return ownerOf(await this.client.getToken());
      case 'http':
        return (await firstValueFrom(this.http.get<Answer>('/x'))).data.owner;
      case 'fetch':
        return ((await (await this.fetch('/x')).json()) as Answer).owner;
      default:
        return ownerOf(await this.tokens.getToken('lab', { tenant: way }));
    }
  }

  @Get('stream')
  stream(): StreamableFile {
    return new StreamableFile(Readable.from(this.#owners(), { objectMode: false, highWaterMark: 1 }));
  }

  @Sse('events')
  events(): Observable<{ data: string }> {
    return interval(2).pipe(
      take(3),
      concatMap(() => this.http.get<Answer>('/x')),
      map(({ data }) => ({ data: data.owner })),
    );
  }

  async *#owners(): AsyncGenerator<string> {
    for (let part = 0; part < 3; part++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      yield `${ownerOf(await this.tokens.getToken('lab'))} `;
    }
  }
}

let clinics: Clinics;
beforeEach(async () => {
  clinics = await Clinics.with('north', 'south');
});

const start = (own: OAuthClientOptions = {}, more: ApplicationOptions = {}) =>
  Application.start({
    oauth: { clients: { lab: clinics.client(own) }, ...more.oauth },
    secrets: [/my (other )?secret/],
    ...more,
  });

describe.each(platformNames)('78. The tenant of a handler on %s', (platform) => {
  let app: Application;
  beforeEach(async () => {
    app = await start({}, { platform, controllers: [LabController] });
  });

  it.each(['parameter', 'token', 'token$', 'client', 'http', 'fetch'])(
    '78. is that of everything it does: %s',
    async (way) => {
      const of = (tenant: string) => app.answer(`/ways/${way}`, { tenant });
      const answers = await Promise.all([of('north'), of('south'), of('north')]);
      expect(answers).toEqual(
        [200, 200, 200].map((status, at) => [status, `id-of-${at === 1 ? 'south' : 'north'}`]),
      );
      expect(clinics.asked.toSorted()).toEqual(['north', 'south']);
      expect(clinics.requested.toSorted()).toEqual(['id-of-north', 'id-of-south']);
    },
  );

  it('78. gives way to one that is passed in code', async () => {
    expect(await app.answer('/ways/south', { tenant: 'north' })).toEqual([200, 'id-of-south']);
  });

  it('78. holds for streams and observables that are read after the handler', async () => {
    const stream = await (await app.call('/stream', { tenant: 'north' })).text();
    const events = await (await app.call('/events', { tenant: 'south' })).text();
    expect(stream).toBe('id-of-north '.repeat(3));
    expect(events.match(/id-of-\w+/g)).toEqual(Array(3).fill('id-of-south'));
  });

  it('78. that is missing or unknown is an error of the application, before its handler runs', async () => {
    expect((await app.answer('/ways/http'))[0]).toBe(500);
    expect((await app.answer('/ways/http', { tenant: 'nowhere' }))[0]).toBe(500);
    expect(clinics.server.apiRequests).toEqual([]);
    expect(clinics.asked).toEqual(['nowhere']);
  });
});

describe('A tenant that a request names', () => {
  it('78. is asked for once by all callers at once, whatever they call', async () => {
    const app = await start();
    const oauth = { tenant: 'north' };
    await Promise.all([
      app.token(oauth),
      app.get('/x', { oauth }),
      app.fetch()('/x', { oauth }),
      firstValueFrom(app.tokens.token$('lab', oauth)),
      app.tokens.client('lab').getToken(oauth),
    ]);
    expect(clinics.asked).toEqual(['north']);
    expect(clinics.requested).toEqual(['id-of-north']);
  });

  it('78. has tokens of its own for each scope, and those of another tenant never meet them', async () => {
    clinics.server.alwaysRespond(({ form }) =>
      clinics.server.nextToken({
        access_token: `access-token-${form?.get('client_id')}-${form?.get('scope')}-1`,
      }),
    );
    const app = await start();
    const values = await Promise.all(
      ['north', 'south'].flatMap((tenant) =>
        ['read', 'write'].map(async (scope) => (await app.token({ tenant, scope })).value),
      ),
    );
    expect(values).toEqual(
      ['north-read', 'north-write', 'south-read', 'south-write'].map(
        (name) => `access-token-id-of-${name}-1`,
      ),
    );
  });

  it('5, 78. is part of the key, also where two tenants have the same credentials', async () => {
    clinics.table.set('south', { ...clinics.table.get('north') });
    const app = await start();
    await app.token({ tenant: 'north' });
    await app.token({ tenant: 'south' });
    expect(clinics.requested).toEqual(['id-of-north', 'id-of-north']);
  });

  it.each([undefined, '', ' \t'])('78. may not be missing or blank: %j', async (tenant) => {
    const app = await start();
    const attempts = [
      app.token({ tenant }),
      app.get('/x', { oauth: { tenant } }),
      app.fetch()('/x', { oauth: { tenant } }),
      firstValueFrom(app.tokens.token$('lab', { tenant })),
      ...(tenant === undefined ? [app.token(), app.get('/x'), app.fetch()('/x')] : []),
    ];
    const message =
      'OAuth client "lab" has tenants, and this request names none: pass tenant with it, or return it in @UseOAuthClient.';
    for (const attempt of attempts)
      expect(await app.failure(attempt)).toMatchObject({ code: 'tenant_required', client: 'lab', message });
    expect([clinics.asked, clinics.server.tokenRequests, clinics.server.apiRequests]).toEqual([[], [], []]);
  });

  it('78. that does not exist is unknown_client, and asked for again by the next call', async () => {
    const app = await start();
    const unknown = {
      code: 'unknown_client',
      client: 'lab',
      tenant: 'newcomer',
      message: 'Tenant "newcomer": OAuth client "lab" has no such tenant.',
    };
    expect(await app.failure(app.token({ tenant: 'newcomer' }))).toMatchObject(unknown);
    expect(await app.failure(app.get('/x', { oauth: { tenant: 'newcomer' } }))).toMatchObject(unknown);
    clinics.add('newcomer');
    expect(ownerOf(await app.token({ tenant: 'newcomer' }))).toBe('id-of-newcomer');
    expect(clinics.asked).toHaveLength(3);
  });

  it('78. has its name cleaned in messages', async () => {
    const app = await start();
    const error = await app.failure(app.token({ tenant: `a\n\u202e${'b'.repeat(500)}` }));
    expect((error as Error).message).toMatch(/^Tenant "a b{254}": OAuth client "lab" has no such tenant\.$/);
  });

  it.each([
    ['throws', () => Promise.reject(new Error('my secret of north'))],
    [
      'throws at once',
      () => {
        throw new Error('my secret of north');
      },
    ],
  ])(
    '78. whose function %s is credentials_unavailable, and asked for again by the next call',
    async (_, fail) => {
      let fails = true;
      const { tenants } = clinics.client();
      const app = await start({ tenants: (tenant) => (fails ? fail() : tenants?.(tenant)) });
      expect(await app.failure(app.token({ tenant: 'north' }))).toMatchObject({
        code: 'credentials_unavailable',
        client: 'lab',
        tenant: 'north',
        retryable: true,
        message: expect.stringMatching(
          /^Tenant "north": OAuth client "lab" could not be told .*: check its tenants function\./,
        ),
      });
      fails = false;
      expect(ownerOf(await app.token({ tenant: 'north' }))).toBe('id-of-north');
    },
  );

  it('78. with invalid options is configuration_invalid with every problem, and no value', async () => {
    const app = await start();
    const wrong = {
      clientSecret: '',
      timeoutMs: -7,
      tenants: () => undefined,
      prefetch: 'background',
    } as const;
    clinics.table.set('north', wrong);
    clinics.table.set('south', 'my secret' as never);
    const error = await app.failure(app.token({ tenant: 'north' }));
    expect(error).toMatchObject({ code: 'configuration_invalid', client: 'lab', tenant: 'north' });
    const whose = 'Client "lab": ';
    expect((error as { problems: string[] }).problems.toSorted()).toEqual([
      `${whose}clientId is missing; set it to the identifier the partner gave you.`,
      `${whose}clientSecret must be a text that is not empty, or a function that returns one.`,
      `${whose}prefetch is no option of a tenant; set it on the client.`,
      `${whose}tenants is no option of a tenant; set it on the client.`,
      `${whose}timeoutMs must be a number of milliseconds, more than 0.`,
    ]);
    expect(await app.failure(app.token({ tenant: 'south' }))).toMatchObject({
      message: expect.stringMatching(/^Tenant "south": /),
      problems: ['Client "lab": the options of a tenant must be an object.'],
    });
    clinics.add('north', { timeoutMs: 5_000n as never });
    expect(await app.failure(app.token({ tenant: 'north' }))).toMatchObject({
      problems: [`${whose}timeoutMs must be a number of milliseconds, more than 0.`],
    });
    clinics.add('north');
    expect(ownerOf(await app.token({ tenant: 'north' }))).toBe('id-of-north');
  });

  it('78. is configuration_invalid for a client without tenants', async () => {
    const app = await start({ tenants: undefined as never, clientId: 'me', clientSecret: 'my secret' });
    for (const attempt of [
      app.token({ tenant: 'north' }),
      app.get('/x', { oauth: { tenant: 'north' } }),
      app.fetch()('/x', { oauth: { tenant: '' } }),
      app.tokens.forgetTenant('lab', 'north'),
    ])
      expect(await app.failure(attempt)).toMatchObject({ code: 'configuration_invalid', client: 'lab' });
    expect(clinics.server.tokenRequests).toEqual([]);
  });

  it.each([7, null, ['north'], { toString: () => 'north' }])('80. must be a text: %j', async (tenant) => {
    const app = await start();
    expect(await app.failure(app.token({ tenant: tenant as never }))).toMatchObject({
      problems: ['Client "lab": tenant of the token request must be a text.'],
    });
    expect(clinics.asked).toEqual([]);
  });

  it('80. is the one that was passed, whatever the caller does to the object later', async () => {
    const app = await start();
    const request = { tenant: 'north' };
    const asked = [
      app.token(request),
      app.get('/x', { oauth: request }),
      app.fetch()('/x', { oauth: request }),
    ];
    request.tenant = 'south';
    await Promise.all(asked);
    expect(clinics.asked).toEqual(['north']);
  });

  it('78. is waited for by its caller only as long as that one wants to', async () => {
    const app = await start({ tenants: () => new Promise(() => undefined) });
    const controller = new AbortController();
    const attempts = [
      app.token({ tenant: 'north', signal: controller.signal }),
      app.get('/x', { oauth: { tenant: 'north' }, signal: controller.signal }),
      app.fetch()('/x', { oauth: { tenant: 'north' }, signal: controller.signal }),
    ].map((attempt) => app.failure(attempt));
    await new Promise((resolve) => setTimeout(resolve, 10));
    controller.abort(new Error('not needed any more'));
    for (const attempt of attempts)
      expect((await attempt) as Error).toHaveProperty(
        'message',
        expect.stringMatching(/^(not needed any more|canceled)$/),
      );
  });
});

describe('What is said of tenants', () => {
  it('78. Events carry the tenant, errors and log lines name it', async () => {
    const app = await start();
    clinics.secrets.delete('id-of-south');
    await app.token({ tenant: 'north' });
    expect(await app.failure(app.token({ tenant: 'south' }))).toMatchObject({
      code: 'token_request_rejected',
      client: 'lab',
      tenant: 'south',
      message: expect.stringMatching(/^Tenant "south": .*OAuth client "lab"/),
    });
    expect(app.events).toMatchObject([
      { type: 'token_acquired', client: 'lab', tenant: 'north' },
      { type: 'token_request_failed', client: 'lab', tenant: 'south' },
    ]);
    const lines = app.log.lines
      .filter(({ level }) => level === 'error')
      .map(({ message }) => String(message));
    expect(lines).toEqual([expect.stringMatching(/^Tenant "south": .*OAuth client "lab"/)]);
    app.tokens.invalidate('lab');
    expect(app.events.slice(2)).toMatchObject([
      { type: 'token_invalidated', client: 'lab', tenant: 'north' },
      { type: 'token_invalidated', client: 'lab', tenant: 'south' },
    ]);
  });

  it('78. One tenant’s trouble is no other’s, and shows in the one row of the client', async () => {
    const app = await start();
    const row = (state: string, known: number, down: number) => [
      {
        client: 'lab',
        state,
        tokenRequests: clinics.server.tokenRequests.length,
        tenants: { known, degraded: 0, down },
      },
    ];
    expect(app.tokens.status()).toEqual(row('idle', 0, 0));
    clinics.server.respondWith({ status: 503, headers: { 'retry-after': '60' } });
    expect(await app.failure(app.token({ tenant: 'south' }))).toMatchObject({
      code: 'authorization_server_unavailable',
      retryAfterMs: 60_000,
    });
    expect(app.tokens.status()).toEqual(row('down', 1, 1));
    expect(ownerOf(await app.token({ tenant: 'north' }))).toBe('id-of-north');
    expect(app.tokens.status()).toEqual(row('degraded', 2, 1));
    expect(await app.failure(app.token({ tenant: 'south' }))).toMatchObject({ tenant: 'south' });
    expect(clinics.server.tokenRequests).toHaveLength(2);
    await app.tokens.forgetTenant('lab', 'south');
    expect(app.tokens.status()).toEqual(row('fresh', 1, 0));
  });
});

describe('The credentials of a tenant that the partner replaced', () => {
  it('78. are asked for once more, and the request goes on, also while the old ones’ refusal is remembered', async () => {
    const app = await start();
    const token = await app.token({ tenant: 'north' });
    clinics.rotate('north', false);
    clinics.revoke(token);
    expect(await app.failure(app.get('/x', { oauth: { tenant: 'north' } }))).toMatchObject({
      error: 'invalid_client',
    });
    expect([clinics.asked.length, clinics.server.tokenRequests.length]).toEqual([2, 2]);
    clinics.rotate('north');
    const { data } = await app.get('/x', { oauth: { tenant: 'north' } });
    expect(data).toEqual({ owner: 'id-of-north' });
    expect([clinics.asked.length, clinics.server.tokenRequests.length]).toEqual([3, 3]);
  });

  it('78. are asked for once by all callers at once', async () => {
    const app = await start();
    await app.token({ tenant: 'north' });
    clinics.rotate('north');
    app.tokens.invalidate('lab');
    const calls = Array.from({ length: 50 }, () => app.token({ tenant: 'north' }));
    expect(new Set((await Promise.all(calls)).map(({ value }) => value)).size).toBe(1);
    expect([clinics.asked.length, clinics.server.tokenRequests.length]).toEqual([2, 3]);
  });

  it('78. that are still refused are not sent again before the pause is over, even if a function holds them', async () => {
    const { tenants } = clinics.client();
    const app = await start({
      tenants: async (tenant) => ({
        ...(await tenants?.(tenant)),
        clientSecret: () => 'my secret that is refused',
      }),
    });
    for (let call = 0; call < 5; call++)
      expect(await app.failure(app.token({ tenant: 'north' }))).toMatchObject({ error: 'invalid_client' });
    expect(clinics.server.tokenRequests).toHaveLength(2);
  });

  it('78. are put to use by a refresh in the background, while callers have the old token', async () => {
    const app = await start({ refreshAhead: { ratio: 1 } });
    clinics.server.expiresIn = 2;
    const token = await app.token({ tenant: 'north' });
    clinics.rotate('north');
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect((await app.token({ tenant: 'north' })).value).toBe(token.value);
    while (clinics.asked.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    let newest = await app.token({ tenant: 'north' });
    while (newest.value === token.value) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      newest = await app.token({ tenant: 'north' });
    }
    expect(app.eventTypes).not.toContain('token_request_failed');
  });
});

describe('A tenant that is forgotten', () => {
  it('78. has its options and tokens asked for again, and no other tenant has', async () => {
    const app = await start();
    await Promise.all([app.token({ tenant: 'north' }), app.token({ tenant: 'south' })]);
    await app.token({ tenant: 'north', scope: 'read' });
    await app.tokens.forgetTenant('lab', 'north');
    await app.token({ tenant: 'south' });
    await app.token({ tenant: 'north' });
    await app.token({ tenant: 'north', scope: 'read' });
    expect(clinics.asked.toSorted()).toEqual(['north', 'north', 'south']);
    expect(clinics.requested).toHaveLength(5);
    await app.tokens.forgetTenant('lab');
    expect(app.tokens.status()[0]?.tenants?.known).toBe(0);
    await app.token({ tenant: 'south' });
    expect(clinics.requested).toHaveLength(6);
  });

  it('78. leaves nothing behind, even if its token was on the way', async () => {
    const app = await start();
    clinics.server.latencyMs = 50;
    const first = app.token({ tenant: 'north' });
    while (clinics.server.tokenRequests.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    const forgotten = app.tokens.forgetTenant('lab', 'north');
    const second = app.token({ tenant: 'north' });
    await forgotten;
    expect((await first).value).not.toBe((await second).value);
    expect(clinics.asked).toEqual(['north', 'north']);
  });

  it('78. is asked for anew by those whose answer was on the way', async () => {
    let answer = (_: OAuthClientOptions): void => undefined;
    let asked = 0;
    const { tenants } = clinics.client();
    const app = await start({
      tenants: (tenant) => (asked++ ? tenants?.(tenant) : new Promise((resolve) => (answer = resolve))),
    });
    const token = app.token({ tenant: 'north' });
    await new Promise(setImmediate);
    await app.tokens.forgetTenant('lab', 'north');
    answer({ clientId: 'stale', clientSecret: 'my secret' });
    expect(ownerOf(await token)).toBe('id-of-north');
    expect(asked).toBe(2);
  });

  it('78. is unknown_client when the application’s own client has another name', async () => {
    const app = await start();
    expect(await app.failure(app.tokens.forgetTenant('lap'))).toMatchObject({ code: 'unknown_client' });
  });
});

describe('At boot a client with tenants', () => {
  it('61, 78. needs only what its tenants have in common, and fails for what is wrong with that', async () => {
    await start({
      tokenEndpoint: undefined as never,
      tokenEndpointAuthMethod: undefined as never,
      baseURL: undefined as never,
      signingAlgorithm: 'RS256',
      assertion: { audience: 'issuer' },
    });
    const wrong = {
      timeoutMs: -1,
      prefetch: 'required',
      retry: { attempts: 0 },
      tokenEndpoint: 'http://a.test',
    } as const;
    await expect(start(wrong)).rejects.toMatchObject({
      problems: [
        'Client "lab": retry.attempts must be a whole number of at least 1.',
        'Client "lab": timeoutMs must be a number of milliseconds, more than 0.',
        'Client "lab": tokenEndpoint must use https outside loopback; or set allowInsecureRequests.',
        'Client "lab": prefetch has no tenant to fetch a token for; set it to off.',
      ],
    });
    await expect(start({ tenants: { north: {} } as never })).rejects.toMatchObject({
      problems: ['Client "lab": tenants must be a function.'],
    });
  });

  it.each([0, 1.5, -1, Number.NaN, '7'])('78. rejects %j as maxTenants', async (maxTenants) => {
    const oauth = { clients: { lab: clinics.client() }, maxTenants: maxTenants as number };
    await expect(start({}, { oauth })).rejects.toMatchObject({
      problems: ['maxTenants must be a whole number of at least 1.'],
    });
  });
});
