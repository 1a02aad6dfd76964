import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { DynamicModule } from '@nestjs/common';
import { ConfigModule, ConfigService, registerAs } from '@nestjs/config';
import Joi from 'joi';
import { OAuthClientModule, OAuthConfigurationError } from 'nestjs-oauth-client';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { z } from 'zod';
import { OAuthClientRegistry } from '../../lib/nest/oauth-client-registry.js';
import { run } from '../../lib/cli/run.js';
import { Application } from '../support/application.js';
import { cleanEnvironment } from '../support/environment.js';
import { CLIENT_ID, CLIENT_SECRET } from '../support/server.js';

const server = await FakeAuthorizationServer.start({ clients: { [CLIENT_ID]: CLIENT_SECRET } });
let folder: string;
cleanEnvironment();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oauth-config-'));
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

const needed = () => ({
  OAUTH_CLIENTS: 'lab',
  OAUTH_LAB_TOKEN_ENDPOINT: server.tokenEndpoint,
  OAUTH_LAB_CLIENT_ID: CLIENT_ID,
  OAUTH_LAB_CLIENT_SECRET: CLIENT_SECRET,
  OAUTH_LAB_BASE_URL: server.apiURL,
});
const full = () => ({
  ...needed(),
  OAUTH_LAB_SCOPE: 'results:read results:write',
  OAUTH_LAB_AUDIENCE: 'lab,archive',
  OAUTH_LAB_RESOURCE: 'urn:lab:a',
  OAUTH_LAB_PARAMETERS: '{"tenant":"clinic"}',
  OAUTH_LAB_ALLOWED_ORIGINS: 'https://one.example,https://two.example',
  OAUTH_LAB_UNAUTHORIZED_STATUSES: '401,419',
  OAUTH_LAB_TIMEOUT_MS: '4000',
  OAUTH_LAB_UNAUTHORIZED_RETRY: 'false',
});

const list = (text: string): string[] => text.split(',');
const url = (text: string): URL => new URL(text);
/** What the schemas of the tests make of a text. */
const conversions: Record<string, (text: string) => unknown> = {
  OAUTH_CLIENTS: list,
  OAUTH_LAB_TOKEN_ENDPOINT: url,
  OAUTH_LAB_BASE_URL: url,
  OAUTH_LAB_SCOPE: (text) => text.split(' '),
  OAUTH_LAB_AUDIENCE: list,
  OAUTH_LAB_RESOURCE: list,
  OAUTH_LAB_PARAMETERS: (text) => JSON.parse(text) as unknown,
  OAUTH_LAB_ALLOWED_ORIGINS: (text) => list(text).map(url),
  OAUTH_LAB_UNAUTHORIZED_STATUSES: (text) => list(text).map(Number),
  OAUTH_LAB_TIMEOUT_MS: Number,
  OAUTH_LAB_UNAUTHORIZED_RETRY: (text) => text === 'true',
};

const zod = z.looseObject(
  Object.fromEntries(
    Object.entries(conversions).map(([name, convert]) => [name, z.string().transform(convert)]),
  ),
);
const joi = Joi.object(
  Object.fromEntries(
    Object.entries(conversions).map(([name, convert]) => [name, Joi.string().custom(convert)]),
  ),
);
const converted = (variables: Record<string, unknown>) => ({
  ...variables,
  ...Object.fromEntries(
    Object.entries(conversions).map(([name, convert]) => [name, convert(String(variables[name]))]),
  ),
});
const standard = {
  '~standard': {
    version: 1 as const,
    vendor: 'tests',
    validate: (value: unknown) => ({ value: converted(value as Record<string, unknown>) }),
  },
};

type ConfigOptions = NonNullable<Parameters<typeof ConfigModule.forRoot>[0]>;
const WAYS: [string, ConfigOptions][] = [
  ['Zod', { validationSchema: zod }],
  ['Zod in `validate`', { validate: (variables) => zod.parse(variables) }],
  ['Joi', { validationSchema: joi }],
  ['another Standard Schema', { validationSchema: standard }],
];

/** Starts an application whose ConfigModule has these options. */
async function start(options: ConfigOptions): Promise<Application> {
  const config = await ConfigModule.forRoot({ ignoreEnvFile: true, ...options });
  return Application.start({
    imports: [config, OAuthClientModule.forRoot(), OAuthClientModule.forFeature('lab')],
    secrets: [CLIENT_SECRET],
  });
}

async function problems(options: ConfigOptions): Promise<string[]> {
  const error: unknown = await start(options).then(
    () => new Error('It started.'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(OAuthConfigurationError);
  return (error as OAuthConfigurationError).problems;
}

/** Values that a loader brings. */
const loading = (values: Record<string, unknown>): ConfigOptions => ({
  load: [() => ({ ...needed(), ...values })],
});

describe('what a schema makes of the variables', () => {
  it.each(WAYS)(
    '76. lists, numbers, booleans and URLs that %s makes mean what the texts do',
    async (_, way) => {
      Object.assign(process.env, full());
      const app = await start(way);
      const { options } = app.app.get(OAuthClientRegistry).get('lab');
      expect(options).toMatchObject({
        tokenEndpoint: server.tokenEndpoint,
        scope: 'results:read results:write',
        audience: ['lab', 'archive'],
        allowedOrigins: ['https://one.example', 'https://two.example'],
        unauthorized: { statuses: [401, 419], retry: false },
        timeoutMs: 4_000,
      });
      await app.get('/results');
      const { form } = server.tokenRequests.at(-1)!;
      expect(form?.get('scope')).toBe('results:read results:write');
      expect(form?.getAll('audience')).toEqual(['lab', 'archive']);
      expect(form?.getAll('resource')).toEqual(['urn:lab:a']);
      expect(form?.get('tenant')).toBe('clinic');
    },
  );

  it('76. a member of a list is one value, also with a comma in it', async () => {
    const app = await start(loading({ OAUTH_LAB_AUDIENCE: ['a,b', 'c'] }));
    expect(app.app.get(OAuthClientRegistry).get('lab').options.audience).toEqual(['a,b', 'c']);
  });

  it('76. null, an empty list and a list of empty texts count as absent, as an empty text does', async () => {
    const app = await start(
      loading({ OAUTH_LAB_SCOPE: null, OAUTH_LAB_AUDIENCE: [], OAUTH_LAB_RESOURCE: [''] }),
    );
    const { scope, audience, resource } = app.app.get(OAuthClientRegistry).get('lab').options;
    expect([scope, audience, resource]).toEqual([undefined, undefined, undefined]);
  });

  it('76. an issuer without a path stays without a slash, and a secret may be a function', async () => {
    const app = await start(
      loading({
        OAUTH_LAB_ISSUER: new URL('https://lab.example'),
        OAUTH_LAB_CLIENT_SECRET: () => CLIENT_SECRET,
      }),
    );
    const { issuer } = app.app.get(OAuthClientRegistry).get('lab').options;
    expect(issuer).toBe('https://lab.example');
    await app.token();
    expect(server.tokenRequests.at(-1)?.headers.authorization).toMatch(/^Basic /);
  });

  it.each<[variable: string, value: unknown, says: string]>([
    ['CLIENT_ID', new Date(0), 'must be a text that is not empty'],
    ['CLIENT_ID', ['hunter2'], 'must be a text that is not empty'],
    ['CLIENT_ID', 2 ** 60, 'must be a text that is not empty'],
    ['SCOPE', ['a', { b: 1 }], 'must be scope values separated by single spaces (RFC 6749 §3.3)'],
    ['SCOPE', new Set(['a']), 'must be scope values separated by single spaces (RFC 6749 §3.3)'],
    ['AUDIENCE', { a: 'hunter2' }, 'must be a text that is not empty, or a list of them'],
    ['TIMEOUT_MS', new Date(5_000), 'must be a number of milliseconds, more than 0'],
    ['TIMEOUT_MS', [5_000], 'must be a number of milliseconds, more than 0'],
    ['DPOP', {}, 'must be true or false'],
    [
      'BASE_URL',
      ['https://hunter2.example'],
      'must be an absolute http(s) URL without user name and fragment',
    ],
    ['HTTP_HEADERS', new Map([['x', 'hunter2']]), 'must be an object'],
    ['UNAUTHORIZED_STATUSES', [200], 'must be a list of HTTP statuses from 300 to 599'],
    ['CLIENT_SECRET_FILE', ['/hunter2'], "must be a file's path"],
    ['TLS_CA_FILE', () => '/hunter2', 'must be a text'],
    ['PARTNER', ['buoy'], 'must be a text'],
    ['BASIC_ENCODING', Symbol('hunter2'), 'must be one of form, raw'],
  ])('61. OAUTH_LAB_%s of another type is a problem that names it (%#)', async (variable, value, says) => {
    const found = await problems(loading({ [`OAUTH_LAB_${variable}`]: value }));
    expect(found).toContain(`Client "lab": OAUTH_LAB_${variable} ${says}.`);
    expect(found.join()).not.toContain('hunter2');
  });

  it.each([[{ lab: 'hunter2' }], [[['lab']]], [new Date(0)], [Symbol('lab')]])(
    '61. OAUTH_CLIENTS that is neither a text nor a list of texts is a problem (%#)',
    async (value) => {
      expect(await problems(loading({ OAUTH_CLIENTS: value }))).toEqual([
        expect.stringContaining('list their names in OAUTH_CLIENTS'),
      ]);
    },
  );
});

describe('texts that a file or a dashboard has changed', () => {
  const pem = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
    type: 'pkcs1',
    format: 'pem',
  });
  const bag = `Bag Attributes\n    friendlyName: lab\n${String(pem)}`;

  it.each<[string, string]>([
    ['with \\n', String(pem).replaceAll('\n', '\\n')],
    ['with \\r\\n', String(pem).replaceAll('\n', '\\r\\n')],
    ['with blanks around it', `  ${String(pem).replaceAll('\n', '\\n')} `],
    ['with \\n, and attributes before it', bag.replaceAll('\n', '\\n')],
    ['with CR LF', String(pem).replaceAll('\n', '\r\n')],
  ])('76. a private key in PEM on one line %s', async (_, key) => {
    const { OAUTH_LAB_CLIENT_SECRET: __, ...variables } = needed();
    Object.assign(process.env, variables, { OAUTH_LAB_PRIVATE_KEY: key });
    const { options } = (await start({})).app.get(OAuthClientRegistry).get('lab');
    expect(createPrivateKey(options.privateKey as string).asymmetricKeyType).toBe('rsa');
  });

  it('76. JSON may stand in place of a query string, and is a problem if it is none', async () => {
    const json = {
      OAUTH_LAB_PARAMETERS: '{"tenant":"a b","tag":["1","2"]}',
      OAUTH_LAB_TOKEN_REQUEST_HEADERS: '{"X-Subscription":"key-1"}',
      OAUTH_LAB_HTTP_HEADERS: '{"X-Partner":"clinic"}',
    };
    Object.assign(process.env, needed(), json);
    await (await start({})).token();
    const { form, headers } = server.tokenRequests.at(-1)!;
    expect([form?.get('tenant'), form?.getAll('tag')]).toEqual(['a b', ['1', '2']]);
    expect(headers).toMatchObject({ 'x-subscription': 'key-1', 'x-partner': 'clinic' });
    for (const name of Object.keys(json)) process.env[name] = '{"hunter2":';
    const found = await problems({});
    expect(found.map((problem) => /OAUTH_LAB_\w+/.exec(problem)?.[0])).toEqual(Object.keys(json));
    expect(found.join()).not.toContain('hunter2');
  });
});

describe('misspelt variables', () => {
  const says = (wrong: string, right: string) =>
    `OAUTH_LAB_${wrong} is not a variable of client "lab"; did you mean OAUTH_LAB_${right}?`;

  it.each([
    ['TOKEN_URL', 'TOKEN_ENDPOINT'],
    ['TOKEN_URI', 'TOKEN_ENDPOINT'],
    ['ACCESS_TOKEN_URL', 'TOKEN_ENDPOINT'],
    ['AUTH_URL', 'TOKEN_ENDPOINT'],
    ['OAUTH_URL', 'TOKEN_ENDPOINT'],
    ['SCOPES', 'SCOPE'],
    ['API_URL', 'BASE_URL'],
    ['API_BASE_URL', 'BASE_URL'],
    ['ENDPOINT', 'BASE_URL'],
    ['HOST', 'BASE_URL'],
    ['SECRET', 'CLIENT_SECRET'],
    ['API_SECRET', 'CLIENT_SECRET'],
    ['PASSWORD', 'CLIENT_SECRET'],
    ['SECRET_FILE', 'CLIENT_SECRET_FILE'],
    ['ID', 'CLIENT_ID'],
    ['APP_ID', 'CLIENT_ID'],
    ['CONSUMER_KEY', 'CLIENT_ID'],
    ['USERNAME', 'CLIENT_ID'],
    ['AUTHORITY', 'ISSUER'],
    ['ISSUER_URL', 'ISSUER'],
    ['DISCOVERY_URL', 'METADATA_URL'],
    ['WELL_KNOWN_URL', 'METADATA_URL'],
    ['AUTH_METHOD', 'TOKEN_ENDPOINT_AUTH_METHOD'],
    ['RETRIES', 'RETRY_ATTEMPTS'],
    ['TIMEOUT', 'TIMEOUT_MS'],
    ['client_secret', 'CLIENT_SECRET'],
    ['Token-Request-Headers', 'TOKEN_REQUEST_HEADERS'],
    ['SECRETFILE', 'CLIENT_SECRET_FILE'],
    ['ASSERTION_TYPE', 'ASSERTION_TYP'],
    ['SHPO', 'SHOP'],
    ['OAUTH_TOKEN_URL', 'TOKEN_ENDPOINT'],
    ['AUTH', 'TOKEN_ENDPOINT_AUTH_METHOD'],
    ['API_KEY', 'CLIENT_ID'],
    ['PASS', 'CLIENT_SECRET'],
    ['PERMISSIONS', 'SCOPE'],
    ['EXTRA_PARAMS', 'PARAMETERS'],
    ['CONTENT_TYPE', 'REQUEST_FORMAT'],
    ['ALG', 'SIGNING_ALGORITHM'],
    ['KEY', 'PRIVATE_KEY'],
    ['PRIVATE_KEY_ID', 'KEY_ID'],
    ['DPOP_KEY', 'DPOP_PRIVATE_KEY'],
    ['EXPIRES_IN', 'DEFAULT_LIFETIME_MS'],
    ['TTL', 'DEFAULT_LIFETIME_MS'],
    ['REQUEST_TIMEOUT', 'TIMEOUT_MS'],
    ['RETRY_DELAY', 'RETRY_MIN_DELAY_MS'],
    ['PRESET', 'PARTNER'],
    ['SECRET_KEY', 'CLIENT_SECRET'],
    ['LOGIN_URL', 'TOKEN_ENDPOINT'],
    ['DOMAIN', 'ISSUER'],
    ['AUTH_STYLE', 'TOKEN_ENDPOINT_AUTH_METHOD'],
    ['CLIENT_CERT', 'TLS_CERT'],
    ['TLS_CERTIFICATE', 'TLS_CERT'],
  ])('61. OAUTH_LAB_%s suggests %s', async (wrong, right) => {
    Object.assign(process.env, needed(), { [`OAUTH_LAB_${wrong}`]: 'x' });
    expect(await problems({})).toEqual([says(wrong, right)]);
  });

  it('61. an option in code suggests the same', async () => {
    const lab = {
      clientId: 'a',
      clientSecret: 's',
      tokenEndpoint: 'https://lab.example',
      apiUrl: 'https://lab.example',
    };
    const imports = [OAuthClientModule.forRoot({ clients: { lab } })];
    await expect(Application.start({ imports })).rejects.toMatchObject({
      problems: ['Client "lab": apiUrl is not an option; did you mean baseURL?'],
    });
  });

  it('61. those that a loader, a schema or `validate` brings are seen as well', async () => {
    const problem = [says('TOKEN_URL', 'TOKEN_ENDPOINT')];
    const more = { OAUTH_LAB_TOKEN_URL: 'https://lab.example' };
    expect(await problems(loading(more))).toEqual(problem);
    Object.assign(process.env, needed());
    const schema = z.looseObject({ OAUTH_LAB_TOKEN_URL: z.string().default('x') });
    expect(await problems({ validationSchema: schema })).toEqual(problem);
    expect(await problems({ validate: (variables) => ({ ...variables, ...more }) })).toEqual(problem);
  });
});

describe('where the variables come from', () => {
  const lines = (variables: Record<string, string>) =>
    Object.entries(variables)
      .map(([name, value]) => `${name}=${value}`)
      .join('\n');

  it('76. env files with expandVariables: the first one wins, and the doctor reads them alike', async () => {
    const paths = [join(folder, '.env.local'), join(folder, '.env')];
    const origin = new URL(server.tokenEndpoint).origin;
    const own = { LAB: origin, ROLE: 'results', OAUTH_LAB_SCOPE: '${ROLE}:read' };
    await writeFile(paths[0]!, lines(own));
    const shared = { ...needed(), OAUTH_LAB_TOKEN_ENDPOINT: '${LAB}/oauth/token', OAUTH_LAB_SCOPE: 'shared' };
    await writeFile(paths[1]!, lines(shared));
    const app = await start({ ignoreEnvFile: false, envFilePath: paths, expandVariables: true });
    await app.token();
    const doctor = ['check', ...paths.flatMap((path) => ['--env-file', path])];
    expect(await run(doctor, {})).toMatchObject({ code: 0 });
    const scopes = server.tokenRequests.slice(-2).map(({ form }) => form?.get('scope'));
    expect(scopes).toEqual(['results:read', 'results:read']);
  });

  it('76. a namespace by registerAs has the options themselves', async () => {
    const { OAUTH_LAB_TOKEN_ENDPOINT: tokenEndpoint, OAUTH_LAB_BASE_URL: baseURL } = needed();
    const lab = { tokenEndpoint, baseURL, clientId: CLIENT_ID, clientSecret: CLIENT_SECRET };
    const oauth = registerAs('oauth', () => ({ clients: { lab: { ...lab, scope: 'results:read' } } }));
    const registrations: (DynamicModule | Promise<DynamicModule>)[][] = [
      [OAuthClientModule.forRootAsync(oauth.asProvider())],
      [
        ConfigModule.forRoot({ ignoreEnvFile: true, isGlobal: true, load: [oauth] }),
        OAuthClientModule.forRootAsync({
          inject: [ConfigService],
          useFactory: (config: ConfigService) => config.getOrThrow('oauth'),
        }),
      ],
    ];
    for (const imports of registrations) {
      const app = await Application.start({ imports, secrets: [CLIENT_SECRET] });
      await app.token();
      expect(server.tokenRequests.at(-1)?.form?.get('scope')).toBe('results:read');
    }
  });
});
