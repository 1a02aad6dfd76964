import { describe, expect, it } from '@jest/globals';
import { ConfigModule } from '@nestjs/config';
import { NestFactory } from '@nestjs/core';
import {
  OAuthClientModule,
  OAuthConfigurationError,
  type OAuthClientModuleOptions,
} from 'nestjs-oauth-client';
import { OAuthClientRegistry } from '../../lib/nest/oauth-client-registry.js';
import { Application } from '../support/application.js';
import { CapturedLog } from '../support/captured-log.js';
import { cleanEnvironment } from '../support/environment.js';
import { expectNoSecret } from '../support/secrets.js';

cleanEnvironment();

/** What keeps an application from starting. */
async function failure(options: OAuthClientModuleOptions = {}): Promise<OAuthConfigurationError> {
  const imports = [ConfigModule.forRoot({ ignoreEnvFile: true }), OAuthClientModule.forRoot(options)];
  const error: unknown = await Application.start({ imports }).then(
    () => new Error('It started.'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(OAuthConfigurationError);
  return error as OAuthConfigurationError;
}

async function problems(
  variables: Record<string, string>,
  options?: OAuthClientModuleOptions,
): Promise<string[]> {
  Object.assign(process.env, variables);
  return (await failure(options)).problems;
}

/** The options that clients get from these variables, on top of what every client needs. */
async function resolved(
  variables: Record<string, string>,
  defaults: NonNullable<OAuthClientModuleOptions['defaults']> = {},
) {
  Object.assign(process.env, variables);
  const imports = [OAuthClientModule.forRoot({ defaults })];
  const { app, tokens } = await Application.start({ imports });
  const registry = app.get(OAuthClientRegistry);
  const all = tokens.status().map(({ client }) => [client, registry.get(client).options]);
  return Object.fromEntries(all) as Record<string, ReturnType<OAuthClientRegistry['get']>['options']>;
}

const complete = (name: string, prefix = `OAUTH_${name.toUpperCase()}_`) => ({
  [`${prefix}CLIENT_ID`]: `${name}-id`,
  [`${prefix}CLIENT_SECRET`]: `${name}-secret-value`,
  [`${prefix}TOKEN_ENDPOINT`]: `https://${name}.example/token`,
});

describe('61. misconfiguration → boot fails with every problem of every client, never a value', () => {
  it('61. options: all problems at once, each naming client and option', async () => {
    const error = await failure({
      shutdownGraceMs: -1,
      ...({ shutdownGrace: 5 } as object),
      clients: {
        buoy: { clientSecret: 'hunter2-secret', tokenEndpoint: 'not-a-url-value', timeoutMs: -5 },
        honeybee: { clientId: 'x', tokenEndpoint: 'https://x.example', scopes: 'odd-value' } as object,
        lab: { clientId: 'x', clientSecret: 'y', tokenEndpoint: 'http://plain.example/odd-value' },
      },
    });
    expect(error.problems).toEqual([
      'shutdownGrace is not a module option; did you mean shutdownGraceMs?',
      'shutdownGraceMs must be a number of milliseconds, 0 or more, and at most 24 days.',
      'Client "buoy": tokenEndpoint must be an absolute http(s) URL without user name and fragment.',
      'Client "buoy": timeoutMs must be a number of milliseconds, more than 0.',
      expect.stringMatching(/^Client "buoy": clientId is missing; /),
      'Client "honeybee": scopes is not an option; did you mean scope?',
      expect.stringMatching(/^Client "honeybee": clientSecret is missing; /),
      expect.stringMatching(/^Client "lab": tokenEndpoint must use https outside loopback/),
    ]);
    for (const problem of error.problems) expect(error.message).toContain(problem);
    expectNoSecret([error], 'hunter2-secret', 'not-a-url-value', 'odd-value');
  });

  it('61. an option of the wrong kind hides no other problem', async () => {
    const client = {
      tokenEndpoint: 'http://as.example/token',
      clientId: 'x',
      clientSecret: 'y',
      clientSecretFile: '/run/secret',
      timeoutMs: -1,
      retry: { minDelayMs: 500, maxDelayMs: 100, attempts: 'many' },
      grant: { type: 'client-credentials' },
      tokenEndpointAuthMethod: 'basic',
      assertion: { audience: 'https://as.example' }, // of use or not, whatever method was meant
      scopes: 'a',
    } as object;
    expect((await failure({ clients: { a: client } })).problems).toEqual([
      'Client "a": timeoutMs must be a number of milliseconds, more than 0.',
      'Client "a": retry.attempts must be a whole number of at least 1.',
      'Client "a": grant.type is almost a grant that is built in; did you mean client_credentials?',
      expect.stringMatching(/^Client "a": tokenEndpointAuthMethod must be one of /),
      'Client "a": scopes is not an option; did you mean scope?',
      expect.stringMatching(/^Client "a": tokenEndpoint must use https outside loopback/),
      'Client "a": clientSecret and clientSecretFile exclude each other; keep one.',
      'Client "a": retry.minDelayMs may not exceed retry.maxDelayMs.',
    ]);
  });

  it('61. what is no object at all is a problem as well, and hides no other client', async () => {
    const clients = { a: undefined, b: null, c: 'x', d: { clientId: 'x', clientSecret: 'y' } };
    const options = { clients, defaults: null, store: {} } as unknown as OAuthClientModuleOptions;
    expect((await failure(options)).problems).toEqual([
      'defaults must be an object.',
      'store must be a TokenStore, with the methods get, set, delete, withLock.',
      ...['a', 'b', 'c'].map((name) => `Client "${name}": its options must be an object.`),
      expect.stringMatching(/^Client "d": tokenEndpoint is missing/),
    ]);
    expect((await failure({ clients: [] as unknown as Record<string, never> })).problems).toEqual([
      'clients must be an object.',
    ]);
  });

  it('61. a default that one client has no use for is no problem', async () => {
    const server = { tokenEndpoint: 'https://as.example/token', clientId: 'x' };
    const clients = {
      a: server,
      b: { ...server, clientSecretFile: '/run/b' },
      c: { ...server, tokenEndpointAuthMethod: 'none' as const },
      d: { ...server, tokenEndpointAuthMethod: 'none' as const, basicEncoding: 'raw' as const },
    };
    const defaults = { basicEncoding: 'raw', clientSecret: 'shared-secret-value' } as const;
    expect((await failure({ clients, defaults })).problems).toEqual([
      'Client "d": basicEncoding is not used by none; remove it.',
    ]);
  });

  it('61. durations that a timer would cut to nothing are refused', async () => {
    const right = { clientId: 'x', clientSecret: 'y', tokenEndpoint: 'https://x.example' };
    const long = { ...right, timeoutMs: 3e9, retry: { totalMs: 2 ** 31 }, defaultLifetimeMs: 3e9 };
    expect((await failure({ clients: { buoy: long }, shutdownGraceMs: Infinity })).problems).toEqual([
      'shutdownGraceMs must be a number of milliseconds, 0 or more, and at most 24 days.',
      'Client "buoy": timeoutMs is longer than a timer can wait; use 24 days at most.',
      'Client "buoy": retry.totalMs is longer than a timer can wait; use 24 days at most.',
    ]);
  });

  it('61. variables: all problems at once, each naming the variable', async () => {
    const found = await problems({
      OAUTH_CLIENTS: 'buoy, my-api',
      OAUTH_BUOY_CLIENT_SECRET: 'hunter2-secret',
      OAUTH_BUOY_TOKEN_ENDPOINT: 'not-a-url-value',
      OAUTH_BUOY_TIMEOUT_MS: '5s-value',
      OAUTH_BUOY_RETRY_ATTEMPTS: '1.5',
      OAUTH_BUOY_UNAUTHORIZED_RETRY: 'yes-value',
      OAUTH_BUOY_PREFETCH: 'always-value',
      OAUTH_MY_API_CLIENT_ID: 'x',
      OAUTH_MY_API_ISSUER: 'https://issuer.example',
    });
    expect(found).toEqual([
      'Client "buoy": OAUTH_BUOY_TOKEN_ENDPOINT must be an absolute http(s) URL without user name and fragment.',
      'Client "buoy": OAUTH_BUOY_TIMEOUT_MS must be a number of milliseconds, more than 0.',
      'Client "buoy": OAUTH_BUOY_RETRY_ATTEMPTS must be a whole number of at least 1.',
      'Client "buoy": OAUTH_BUOY_UNAUTHORIZED_RETRY must be true or false.',
      'Client "buoy": OAUTH_BUOY_PREFETCH must be one of off, background, required.',
      expect.stringMatching(/^Client "buoy": OAUTH_BUOY_CLIENT_ID is missing; /),
      expect.stringMatching(
        /^Client "my-api": OAUTH_MY_API_CLIENT_SECRET is missing; .*OAUTH_MY_API_CLIENT_SECRET_FILE/,
      ),
    ]);
    expect(found.join()).not.toMatch(/hunter2|-value/);
  });

  it('61. no clients at all → a problem that says where to name them', async () => {
    expect(await problems({})).toEqual([
      'No OAuth client is configured: list their names in OAUTH_CLIENTS, separated by commas, or pass clients to OAuthClientModule.forRoot(). If they are in an env file, import ConfigModule.forRoot(); if they are loaded asynchronously, make it global.',
    ]);
  });

  it('61. a misspelt variable is reported with the nearest right name, those of other software are left alone', async () => {
    const others = { OAUTH_GOOGLE_CLIENT_ID: 'x', OAUTH_CALLBACK: 'x', BUOY_CLIENT_IDD: 'x' };
    const misspelt = {
      OAUTH_BUOY_CLIENT_SECERT: 'x',
      OAUTH_BUOY_RETRY_ATEMPTS: '2',
      OAUTH_BUOY_PARTNR: 'buoy',
    };
    expect(await problems({ OAUTH_CLIENTS: 'buoy', ...complete('buoy'), ...others, ...misspelt })).toEqual([
      'OAUTH_BUOY_CLIENT_SECERT is not a variable of client "buoy"; did you mean OAUTH_BUOY_CLIENT_SECRET?',
      'OAUTH_BUOY_RETRY_ATEMPTS is not a variable of client "buoy"; did you mean OAUTH_BUOY_RETRY_ATTEMPTS?',
      'OAUTH_BUOY_PARTNR is not a variable of client "buoy"; did you mean OAUTH_BUOY_PARTNER?',
    ]);
  });

  it('61. empty variables count as absent, misspelt ones too', async () => {
    const variables = {
      ...complete('buoy'),
      OAUTH_BUOY_SCOPE: '',
      OAUTH_BUOY_CLIENT_IDD: '',
      OAUTH_BUOY_PARTNER: '',
    };
    const { buoy } = await resolved({ OAUTH_CLIENTS: 'buoy,,', ...variables });
    expect(buoy).toMatchObject({ clientId: 'buoy-id' });
    expect(buoy).not.toHaveProperty('scope');
    expect(await problems({ OAUTH_BUOY_CLIENT_ID: '' })).toEqual([
      expect.stringMatching(/OAUTH_BUOY_CLIENT_ID is missing/),
    ]);
  });

  it('61. names that share their variables are refused; naming one twice is harmless', async () => {
    const [first] = await problems({
      OAUTH_CLIENTS: 'my-api,my_api',
      ...complete('my-api', 'OAUTH_MY_API_'),
    });
    expect(first).toBe(
      'OAUTH_CLIENTS: clients "my-api" and "my_api" would share the variables OAUTH_MY_API_*; rename one.',
    );
    expect(Object.keys(await resolved({ OAUTH_CLIENTS: 'my-api,my-api' }))).toEqual(['my-api']);
  });

  it('61. of names that prefix each other the longest wins', async () => {
    const key = 'OAUTH_API_DPOP_PRIVATE_KEY_FILE'; // api-dpop's privateKeyFile, not api's dpop.privateKey
    const variables = {
      ...complete('api'),
      ...complete('api-v2', 'OAUTH_API_V2_'),
      OAUTH_API_V2_SCOPE: 'two',
    };
    const third = {
      OAUTH_API_DPOP_CLIENT_ID: 'x',
      OAUTH_API_DPOP_ISSUER: 'https://x.example',
      [key]: '/key.pem',
    };
    const clients = await resolved({ OAUTH_CLIENTS: 'api,api-v2,api-dpop', ...variables, ...third });
    expect(clients['api']).toMatchObject({ clientId: 'api-id' });
    expect(clients['api']).not.toHaveProperty('scope');
    expect(clients['api']).not.toHaveProperty('dpop');
    expect(clients['api-v2']).toMatchObject({ clientId: 'api-v2-id', scope: 'two' });
    expect(clients['api-dpop']).toMatchObject({ privateKeyFile: '/key.pem' });

    expect(await problems({ OAUTH_API_V2_SCOP: 'x' })).toEqual([
      'OAUTH_API_V2_SCOP is not a variable of client "api-v2"; did you mean OAUTH_API_V2_SCOPE?',
    ]);
  });

  it('61. but a name that only looks longer takes no variable away', async () => {
    const clients = await resolved({
      OAUTH_CLIENTS: 'api,api-client',
      ...complete('api'),
      ...complete('api-client', 'OAUTH_API_CLIENT_'),
    });
    expect(clients['api']).toMatchObject({ clientId: 'api-id' });
    expect(clients['api-client']).toMatchObject({ clientId: 'api-client-id' });
  });

  it.each([
    ['SECRET', 'CLIENT_SECRET'],
    ['URL', 'BASE_URL'],
    ['CLIENT_SECERT', 'CLIENT_SECRET'],
  ])('61. OAUTH_<NAME>_%s → did you mean %s', async (wrong, right) => {
    const found = await problems({ OAUTH_CLIENTS: 'api', ...complete('api'), [`OAUTH_API_${wrong}`]: 'x' });
    expect(found).toEqual([
      `OAUTH_API_${wrong} is not a variable of client "api"; did you mean OAUTH_API_${right}?`,
    ]);
  });

  it('61. a partner preset by OAUTH_<NAME>_PARTNER and _ENVIRONMENT; own variables win over it', async () => {
    const { symptoms, pharmacy } = await resolved({
      OAUTH_CLIENTS: 'symptoms,pharmacy',
      OAUTH_SYMPTOMS_PARTNER: 'buoy',
      OAUTH_SYMPTOMS_ENVIRONMENT: 'sandbox',
      OAUTH_SYMPTOMS_CLIENT_ID: 'x',
      OAUTH_SYMPTOMS_CLIENT_SECRET: 'y',
      OAUTH_PHARMACY_PARTNER: 'honeybee',
      OAUTH_PHARMACY_CLIENT_ID: 'x',
      OAUTH_PHARMACY_CLIENT_SECRET: 'y',
      OAUTH_PHARMACY_BASE_URL: 'https://proxy.example',
    });
    expect(symptoms).toMatchObject({
      tokenEndpoint: 'https://auth.sandbox.buoyhealth.com/oauth/token',
      requestFormat: 'json',
    });
    expect(pharmacy).toMatchObject({
      tokenEndpoint: 'https://auth.honeybeehealth.com/oauth/token',
      baseURL: 'https://proxy.example',
    });
  });

  it('61. an unknown partner or environment is a problem that lists the known ones', async () => {
    const credentials = {
      OAUTH_A_CLIENT_ID: 'x',
      OAUTH_A_CLIENT_SECRET: 'y',
      OAUTH_A_TOKEN_ENDPOINT: 'https://x.example',
    };
    expect(await problems({ OAUTH_CLIENTS: 'a', ...credentials, OAUTH_A_PARTNER: 'odd-value' })).toEqual([
      'Client "a": OAUTH_A_PARTNER must be one of buoy, honeybee, smartBackend, entra, googleServiceAccount, zoom, shopify, walmart.',
    ]);
    expect(await problems({ OAUTH_A_PARTNER: 'honeybee', OAUTH_A_ENVIRONMENT: 'odd-value' })).toEqual([
      expect.stringMatching(/^Client "a": OAUTH_A_ENVIRONMENT: Partner "honeybee" has no such environment/),
    ]);
    expect(await problems({ OAUTH_A_PARTNER: '', OAUTH_A_ENVIRONMENT: 'sandbox' })).toEqual([
      'Client "a": OAUTH_A_ENVIRONMENT needs OAUTH_A_PARTNER.',
    ]);
  });

  it('61. order of precedence: defaults < preset < the own options of the client; http, retry, refreshAhead, assertion and unauthorized merge', async () => {
    const { symptoms } = await resolved(
      {
        OAUTH_CLIENTS: 'symptoms',
        OAUTH_SYMPTOMS_PARTNER: 'buoy',
        OAUTH_SYMPTOMS_CLIENT_ID: 'x',
        OAUTH_SYMPTOMS_CLIENT_SECRET: 'y',
        OAUTH_SYMPTOMS_RETRY_ATTEMPTS: '2',
      },
      {
        requestFormat: 'form',
        timeoutMs: 1_000,
        retry: { attempts: 9, totalMs: 9_000 },
        assertion: { audience: 'https://as.example' },
        unauthorized: { retry: false },
      },
    );
    expect(symptoms).toMatchObject({
      requestFormat: 'json',
      timeoutMs: 1_000,
      retry: { attempts: 2, totalMs: 9_000 },
      assertion: { audience: 'https://as.example' },
      unauthorized: { retry: false },
    });
  });

  it('61. defaults may be a function of the name, also of clients that come from variables', async () => {
    const { buoy, lab } = await resolved(
      { OAUTH_CLIENTS: 'buoy,lab', ...complete('buoy'), ...complete('lab'), OAUTH_LAB_TIMEOUT_MS: '3000' },
      (client) => (client === 'lab' ? { timeoutMs: 1_000, scope: 'of the lab' } : undefined),
    );
    expect(buoy).toMatchObject({ timeoutMs: 5_000 });
    expect(buoy).not.toHaveProperty('scope');
    expect(lab).toMatchObject({ timeoutMs: 3_000, scope: 'of the lab' });
  });

  it.each([null, 'text', [], Promise.resolve({ scope: 'x' })])(
    '61. a defaults function that returns %p is a problem, but for null, which is none',
    async (answer) => {
      const defaults = (() => answer) as unknown as () => object;
      const found = await problems({ OAUTH_CLIENTS: 'a', OAUTH_A_TIMEOUT_MS: '-1' }, { defaults });
      const isMentioned = found.includes(
        'Client "a": the defaults function must return an object, not a promise.',
      );
      expect(isMentioned).toBe(answer !== null);
    },
  );

  it('61. the variables of nested options', async () => {
    const { buoy } = await resolved({
      OAUTH_CLIENTS: 'buoy',
      ...complete('buoy'),
      OAUTH_BUOY_TOKEN_ENDPOINT_AUTH_METHOD: 'client_secret_jwt',
      OAUTH_BUOY_ASSERTION_AUDIENCE: 'token_endpoint',
      OAUTH_BUOY_UNAUTHORIZED_RETRY: 'false',
    });
    expect(buoy).toMatchObject({ assertion: { audience: 'token_endpoint' }, unauthorized: { retry: false } });
  });

  it('61. every kind of variable is read: lists, scopes, query strings, numbers, booleans, nested ones', async () => {
    const { api } = await resolved({
      OAUTH_CLIENTS: 'api',
      ...complete('api'),
      OAUTH_API_SCOPE: 'read write',
      OAUTH_API_AUDIENCE: 'one, two',
      OAUTH_API_PARAMETERS: 'tenant=a%20b&tag=1&tag=2',
      OAUTH_API_ALLOWED_ORIGINS: 'https://a.example,https://b.example/v1',
      OAUTH_API_BASE_URL: 'https://api.example',
      OAUTH_API_RETRY_MIN_DELAY_MS: '10',
      OAUTH_API_REFRESH_AHEAD_RATIO: '0.5',
      OAUTH_API_UNAUTHORIZED_RETRY: 'false',
      OAUTH_API_DEFAULT_LIFETIME_MS: '60000',
    });
    expect(api).toMatchObject({
      scope: 'read write',
      audience: ['one', 'two'],
      parameters: { tenant: 'a b', tag: ['1', '2'] },
      allowedOrigins: ['https://a.example', 'https://b.example/v1'],
      retry: { minDelayMs: 10 },
      refreshAhead: { ratio: 0.5 },
      unauthorized: { retry: false },
      defaultLifetimeMs: 60_000,
    });
  });

  it('61. variables that contradict each other: a value and its file; what is off stays off', async () => {
    const both = { OAUTH_API_TLS_CA: 'ca-value', OAUTH_API_TLS_CA_FILE: '/ca.pem' };
    expect(await problems({ OAUTH_CLIENTS: 'api', ...complete('api'), ...both })).toEqual([
      'Client "api": OAUTH_API_TLS_CA and OAUTH_API_TLS_CA_FILE exclude each other; keep one.',
    ]);
    const tls = { OAUTH_API_TLS_CA: '', OAUTH_API_TLS_CA_FILE: '' };
    const proof = { OAUTH_API_DPOP_ALGORITHM: 'ES256' };
    expect((await resolved({ ...tls, ...proof }))['api']).toMatchObject({ dpop: { algorithm: 'ES256' } });
    expect((await resolved({ OAUTH_API_DPOP: 'true' }))['api']).toMatchObject({
      dpop: { algorithm: 'ES256' },
    });
    expect((await resolved({ OAUTH_API_DPOP: 'false' }))['api']).toMatchObject({ dpop: false });
    expect(await problems({ OAUTH_API_DPOP: 'odd-value' })).toEqual([
      'Client "api": OAUTH_API_DPOP must be true or false.',
    ]);
  });

  it('61. a factory that returns no options', async () => {
    const useFactory = () => undefined as unknown as OAuthClientModuleOptions;
    const imports = [OAuthClientModule.forRootAsync({ useFactory })];
    await expect(Application.start({ imports })).rejects.toMatchObject({
      code: 'configuration_invalid',
      problems: ['OAuthClientModule: what the factory returns must be an object of options.'],
    });
  });

  it('61. a secret beside its file: both are named by their variables', async () => {
    const both = { ...complete('api'), OAUTH_API_CLIENT_SECRET_FILE: '/run/secret' };
    expect(await problems({ OAUTH_CLIENTS: 'api', ...both })).toEqual([
      'Client "api": OAUTH_API_CLIENT_SECRET and OAUTH_API_CLIENT_SECRET_FILE exclude each other; keep one.',
    ]);
  });

  it('61. what Nest logs of a failed boot shows no value either', async () => {
    const log = new CapturedLog();
    const clients = { buoy: { clientSecret: 'hunter2-secret', tokenEndpoint: 'odd-value' } };
    class Root {}
    const module = { module: Root, imports: [OAuthClientModule.forRoot({ clients })] };
    await expect(NestFactory.create(module, { abortOnError: false, logger: log })).rejects.toThrow(
      'clientId is missing',
    );
    expectNoSecret(log.lines, 'hunter2-secret', 'odd-value');
  });
});
