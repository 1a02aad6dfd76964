import { beforeEach, describe, expect, it } from '@jest/globals';
import { HttpService } from '@nestjs/axios';
import { Controller, Get, Injectable, Module, type ExecutionContext } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  InjectOAuthClient,
  InjectOAuthHttp,
  OAuthClient,
  OAuthClientModule,
  OAuthTokenService,
  UseOAuthClient,
  type AccessToken,
  type OAuthClientError,
  type OAuthClientOptions,
} from 'nestjs-oauth-client';
import { firstValueFrom, map, mergeMap, type Observable } from 'rxjs';
import { Application } from '../support/application.js';
import { Clinics } from '../support/clinics.js';
import { closing } from '../support/closing.js';
import { eventually } from '../support/eventually.js';

let clinics: Clinics;
beforeEach(async () => {
  clinics = await Clinics.with('north', 'south');
});

const start = (own: OAuthClientOptions = {}, more: { maxTenants?: number; shutdownGraceMs?: number } = {}) =>
  Application.start({
    oauth: { clients: { lab: clinics.client(own) }, ...more },
    secrets: [/my (other )?secret/],
  });

const ownerOf = ({ value }: AccessToken): string => value.replace(/^access-token-|-\d+$/g, '');

/** The tenants whose tokens are being asked for. */
const underWay = (count: number) => eventually(() => clinics.server.tokenRequests.length === count);

describe('Tenants whose names look alike', () => {
  const names = ['__proto__', 'constructor', 'toString', 'é', 'e\u0301', 'north ', ' north', 'NORTH', 'north\0', 'n\r\nX: y', '\ud800', '\ud801', '"lab"', 'x'.repeat(10_000)]; // prettier-ignore

  it('78. have each their own options and tokens', async () => {
    const clients = (tenant: string) => ({
      clientId: `id-${names.indexOf(tenant)}`,
      clientSecret: 'my secret',
    });
    for (const name of names) clinics.secrets.set(clients(name).clientId, 'my secret');
    const app = await start({ tenants: clients });
    const tokens = await Promise.all(names.map((tenant) => app.token({ tenant })));
    expect(tokens.map(ownerOf)).toEqual(names.map((name) => clients(name).clientId));
    expect(await Promise.all(names.map((tenant) => app.token({ tenant })))).toEqual(tokens);
    await app.tokens.forgetTenant('lab', '__proto__');
    expect(app.tokens.status()[0]?.tenants?.known).toBe(names.length - 1);
  });

  it('78. have each their own, when two clients have tenants of the same name', async () => {
    const client = (other: string) =>
      clinics.client({ tenants: (tenant) => clinics.table.get(other || tenant) });
    const app = await Application.start({
      oauth: { clients: { lab: client(''), ward: client('south') } },
      secrets: [/my secret/],
    });
    const ask = () => Promise.all(['lab', 'ward'].map((name) => app.token({ tenant: 'north' }, name)));
    const tokens = await ask();
    expect(tokens.map(ownerOf)).toEqual(['id-of-north', 'id-of-south']);
    app.tokens.invalidate('ward');
    await app.tokens.forgetTenant('ward', 'north');
    expect((await ask())[0]).toBe(tokens[0]);
  });
});

describe('What a tenants function returns', () => {
  it.each<[string, <A>(answer: A) => A | Promise<A>]>([
    ['', (answer) => answer],
    [', as a promise', (answer) => Promise.resolve(answer)],
    [', as a promise of a promise', async (answer) => Promise.resolve(await answer)],
  ])(
    '78. is copied at once, so that it may return the same object for the next tenant%s',
    async (_, hand) => {
      const answer = {
        clientId: '',
        clientSecret: '',
        scope: '',
        parameters: { account: '' },
        http: { headers: { 'x-key': '' } },
      };
      const app = await start({
        tenants: (tenant) => {
          Object.assign(answer, { clientId: `id-of-${tenant}`, clientSecret: `my secret of ${tenant}` });
          Object.assign(answer, { scope: tenant });
          answer.parameters.account = answer.http.headers['x-key'] = tenant;
          return hand(answer);
        },
      });
      const tenants = ['north', 'south'];
      const sent = tenants.map(async (tenant) => ((await app.get('/x', { oauth: { tenant } })).data as { owner: string }).owner); // prettier-ignore
      expect(await Promise.all(sent)).toEqual(['id-of-north', 'id-of-south']);
      for (const { form } of clinics.server.tokenRequests)
      expect([form?.get('client_id'), form?.get('account')]).toEqual([`id-of-${form?.get('scope')}`, form?.get('scope')]); // prettier-ignore
      for (const { headers } of clinics.server.apiRequests)
        expect(headers.authorization).toContain(`id-of-${String(headers['x-key'])}-`);
    },
  );

  it('78. may be frozen, or an instance of a class', async () => {
    class Account {
      constructor(
        readonly clientId: string,
        readonly clientSecret: string,
      ) {}
    }
    const options = (tenant: string) => Object.freeze({ ...clinics.table.get(tenant) });
    const account = new Account('id-of-south', 'my secret of south');
    const app = await start({ tenants: (tenant) => (tenant === 'north' ? options(tenant) : account) });
    expect(ownerOf(await app.token({ tenant: 'north' }))).toBe('id-of-north');
    expect(ownerOf(await app.token({ tenant: 'south' }))).toBe('id-of-south');
  });

  it('78. has tenants and prefetch from the client alone', async () => {
    clinics.add('north', { prefetch: 'required', tenants: () => ({}) });
    const app = await start();
    expect(await app.failure(app.token({ tenant: 'north' }))).toMatchObject({
      code: 'configuration_invalid',
      tenant: 'north',
      problems: ['tenants', 'prefetch'].map((path) => expect.stringContaining(`${path} is no option of a tenant`) as unknown), // prettier-ignore
    });
  });
});

describe('Tenants that are all in the middle of a call', () => {
  it('78. can be invalidated together, also when they are more than are kept', async () => {
    const app = await start({}, { maxTenants: 1 });
    clinics.server.latencyMs = 100;
    const tokens = ['north', 'south'].map((tenant) => app.token({ tenant }));
    await underWay(2);
    let invalidated = 0;
    app.tokens.events$.subscribe(({ type }) => {
      // Ends what has no end, so that the test fails.
      if (type === 'token_invalidated' && ++invalidated === 10) void app.tokens.forgetTenant('lab');
    });
    app.tokens.invalidate('lab');
    expect((await Promise.all(tokens)).map(ownerOf)).toEqual(['id-of-north', 'id-of-south']);
    expect(invalidated).toBe(2);
    expect(app.tokens.status()[0]?.tenants?.known).toBe(1);
  });

  it('78. are each named by their own errors when the application shuts down', async () => {
    const app = await start({}, { shutdownGraceMs: 0 });
    clinics.server.latencyMs = 1_000;
    const failures = ['north', 'south'].map((tenant) => app.failure(app.token({ tenant })));
    await underWay(2);
    await app.close();
    expect(await Promise.all(failures)).toMatchObject([
      { code: 'closed', tenant: 'north' },
      { code: 'closed', tenant: 'south' },
    ]);
  });

  it('78. do not hold up a shutdown when their function never answers', async () => {
    const app = await start({ tenants: () => new Promise(() => undefined) });
    const failure = app.failure(app.token({ tenant: 'north' }));
    await new Promise(setImmediate);
    await app.close();
    expect(await failure).toMatchObject({ code: 'closed' });
  });

  it.each([null, 7, {}, ['north']])('80. are not forgotten by what is no text: %p', async (tenant) => {
    const app = await start();
    await app.token({ tenant: 'north' });
    const forgotten = app.tokens.forgetTenant('lab', tenant as unknown as string);
    expect(await app.failure(forgotten)).toMatchObject({
      code: 'configuration_invalid',
      problems: ['Client "lab": tenant of the token request must be a text.'],
    });
    expect(app.tokens.status()).toMatchObject([{ tenants: { known: 1 } }]);
  });

  it('78. may be forgotten twice, and those that are unknown as well', async () => {
    const app = await start();
    const token = app.token({ tenant: 'north' });
    await underWay(1);
    const forget = (tenant: string) => app.tokens.forgetTenant('lab', tenant);
    await Promise.all(['north', 'north', 'nobody', ''].map(forget));
    expect(ownerOf(await token)).toBe('id-of-north');
    expect(app.tokens.status()).toMatchObject([
      { state: 'idle', tenants: { known: 0, degraded: 0, down: 0 } },
    ]);
  });
});

/** Asks for another tenant's token than that of its handler. */
@Controller()
@UseOAuthClient('lab', (context: ExecutionContext) => {
  const { headers } = context.switchToHttp().getRequest<{ headers: Record<string, string> }>();
  return { tenant: headers['tenant'], scope: 'read', parameters: { account: `of ${headers['tenant']}` } };
})
class OtherTenantController {
  constructor(@InjectOAuthClient('lab') private readonly client: OAuthClient) {}

  @Get('other')
  async other(): Promise<string> {
    return ownerOf(await this.client.getToken({ tenant: 'south', scope: 'write' }));
  }

  @Get('same')
  async same(): Promise<string> {
    return ownerOf(await this.client.getToken({ tenant: 'north', scope: 'write' }));
  }
}

describe('What holds for the tenant of a handler', () => {
  const asked = (name: string) => clinics.server.tokenRequests.map(({ form }) => form?.get(name));

  it('78. holds for no other tenant that its code names', async () => {
    const app = await Application.start({
      oauth: { clients: { lab: clinics.client() } },
      platform: 'Fastify',
      controllers: [OtherTenantController],
    });
    expect(await app.answer('/other', { tenant: 'north' })).toEqual([200, 'id-of-south']);
    expect(asked('client_id')).toEqual(['id-of-north', 'id-of-south']);
    expect(asked('account')).toEqual(['of north', null]);
    expect(await app.answer('/same', { tenant: 'north' })).toEqual([200, 'id-of-north']);
    expect(asked('account').at(-1)).toBe('of north');
    expect(asked('scope')).toEqual(['read', 'write', 'write']);
  });
});

@Controller()
@UseOAuthClient('lab', (context: ExecutionContext) => ({
  tenant: context.switchToHttp().getRequest<{ headers: Record<string, string> }>().headers['tenant'],
}))
class SharedTokenController {
  constructor(
    private readonly tokens: OAuthTokenService,
    @InjectOAuthHttp('lab') private readonly lab: HttpService,
  ) {}

  @Get('shared')
  shared(): Observable<string> {
    const owner = () => this.lab.get<{ owner: string }>('/').pipe(map(({ data }) => data.owner));
    return this.tokens.token$('ward').pipe(mergeMap(owner));
  }
}

@Controller()
@UseOAuthClient('lab', () => ({ tenant: 'south' }))
class WardController {
  constructor(private readonly tokens: OAuthTokenService) {}

  @Get('ward')
  async ward(): Promise<string> {
    return ownerOf(await this.tokens.getToken('ward', { tenant: 'any' }));
  }
}

const codeOf = ({ code }: OAuthClientError) => code;

describe('A token that the handlers of two tenants wait for', () => {
  /** What is asked in the middle of a request for the token that all tenants share. */
  const startWith = async (ask: (tokens: OAuthTokenService) => Promise<unknown>) => {
    const ward: OAuthClientOptions = { tenants: undefined, clientId: 'id-of-north' };
    const clientSecret = async () => {
      await ask(app.tokens);
      return clinics.secrets.get('id-of-north') as string;
    };
    const app = await Application.start({
      oauth: { clients: { lab: clinics.client(), ward: clinics.client({ ...ward, clientSecret }) } },
      platform: 'Fastify',
      controllers: [SharedTokenController],
    });
    const tenants = ['north', 'south', 'north', 'south'];
    const answers = await Promise.all(tenants.map((tenant) => app.answer('/shared', { tenant })));
    expect(answers).toEqual(tenants.map((tenant) => [200, `id-of-${tenant}`]));
  };

  it('78. leaves each with its own tenant for what its observable does next', async () => {
    await startWith(() => new Promise((resolve) => setTimeout(resolve, 20)));
  });

  it('78. is requested for neither of them, so that the functions in its options have no tenant', async () => {
    const asked: unknown[] = [];
    await startWith(async (tokens) => asked.push(await tokens.getToken('lab').catch(codeOf)));
    expect(asked).toEqual(['tenant_required']);
  });

  it('78. comes from options that are loaded for neither of them', async () => {
    const asked: unknown[] = [];
    const tenants = async () => {
      asked.push(await app.tokens.getToken('lab').catch(codeOf));
      return clinics.table.get('north');
    };
    const app = await Application.start({
      oauth: { clients: { lab: clinics.client(), ward: clinics.client({ tenants }) } },
      platform: 'Fastify',
      controllers: [WardController],
    });
    expect(await app.answer('/ward', { tenant: 'south' })).toEqual([200, 'id-of-north']);
    expect(asked).toEqual(['tenant_required']);
  });
});

describe('A stand-in for OAuthTokenService', () => {
  it('70, 78. gives the tokens of tenants as well', async () => {
    @Injectable()
    class Lab {
      constructor(@InjectOAuthHttp('lab') readonly http: HttpService) {}
    }
    @Module({
      imports: [OAuthClientModule.forRoot({ clients: { lab: clinics.client() } })],
      providers: [Lab],
    })
    class AppModule {}
    const getToken = (_: string, { tenant }: { tenant: string }) => ({
      value: `access-token-test-${tenant}-1`,
    });
    const module = await Test.createTestingModule({ imports: [AppModule] })
      .overrideProvider(OAuthTokenService)
      .useValue({ getToken })
      .compile();
    closing(await module.init());
    const { data } = await firstValueFrom(module.get(Lab).http.get('/x', { oauth: { tenant: 'north' } }));
    expect(data).toEqual({ owner: 'test-north' });
    expect(clinics.server.tokenRequests).toEqual([]);
  });
});
