import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { run } from '../../lib/cli/run.js';
import type { Ask } from '../../lib/cli/init.js';
import { clientsFromEnvironment, variableOf } from '../../lib/options/environment.js';
import { PRESETS } from '../../lib/options/presets.js';
import { problemsOf } from '../../lib/options/problems.js';
import { variablesOf } from '../partners/partner.js';
import { PARTNERS } from '../partners/partners.js';

const LAB = ['--name', 'lab', '--token-endpoint', 'https://auth.lab.example/token'];

// What @nestjs/config reads env files with.
const { parse } = createRequire(import.meta.resolve('@nestjs/config'))('dotenv') as {
  parse: typeof parseEnv;
};

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'init-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('init writes the variables of', () => {
  it('a client of its own', async () => {
    const { output, code } = await init(
      '--name lab --token-endpoint https://auth.lab.example/token --base-url https://api.lab.example/v1 --scope'
        .split(' ')
        .concat('a b'),
    );
    expect(code).toBe(0);
    expect(example().split('\n')).toEqual([
      'OAUTH_CLIENTS=lab',
      '# OAuth client lab: the values that are empty are still to come',
      'OAUTH_LAB_TOKEN_ENDPOINT=https://auth.lab.example/token',
      'OAUTH_LAB_SCOPE=a b',
      'OAUTH_LAB_BASE_URL=https://api.lab.example/v1',
      'OAUTH_LAB_CLIENT_ID=',
      'OAUTH_LAB_CLIENT_SECRET=',
      '',
    ]);
    expect(output).toContain("OAuthClientModule.forFeature('lab')");
    expect(output).toContain('copy .env.example to .env');
    expect(output).toContain('npx nestjs-oauth-client check --env-file .env --client lab');
  });

  it.each([...PRESETS.keys()])(
    'the preset %s, which works when the empty ones are filled in',
    async (preset) => {
      expect((await init(['--name', 'my-api', '--partner', preset])).code).toBe(0);
      const keyFile = join(folder, 'key.json');
      writeFileSync(
        keyFile,
        JSON.stringify({ client_email: 'a@b.example', token_uri: 'https://auth.example/token' }),
      );
      const values: Record<string, string> = {
        KEY_FILE: keyFile,
        FHIR_BASE_URL: 'https://fhir.example',
        BASE_URL: 'https://api.example',
      };
      const filled = Object.entries(parseEnv(example())).map(([variable, value]) => {
        const suffix = variable.replace('OAUTH_MY_API_', '');
        return [variable, value || (values[suffix] ?? 'filled-in')];
      });
      const { clients, problems } = clientsOf(Object.fromEntries(filled) as Record<string, string>);
      const own = clients['my-api'] ?? {};
      expect([...problems, ...problemsOf('my-api', own, (path) => variableOf('my-api', path))]).toEqual([]);
      expect(own.baseURL).toBeDefined();
    },
  );

  const expressible = Object.values(PARTNERS).flat().flatMap((partner) => {
    const variables = variablesOf(partner, {}, {});
    return variables && partner.preset !== 'googleServiceAccount' ? [[partner.name, variables] as const] : [];
  }); // prettier-ignore

  it('more than thirty partners of the documentation', () => {
    expect(expressible.length).toBeGreaterThan(30);
  });

  it.each(expressible)('%s, from the options in the documentation', async (_, variables) => {
    const secret = /_(CLIENT_SECRET|PRIVATE_KEY|GRANT_REFRESH_TOKEN|GRANT_ASSERTION|ASSERTION_TOKEN)$/;
    const flags = Object.entries(variables).flatMap(([variable, text]) =>
      variable === 'OAUTH_CLIENTS' || secret.test(variable)
        ? []
        : [`--${variable.replace('OAUTH_PARTNER_', '').toLowerCase().replaceAll('_', '-')}`, text],
    );
    expect(await init(['--name', 'partner', ...flags])).toMatchObject({ code: 0 });
    const secrets = Object.entries(variables).filter(([variable]) => secret.test(variable));
    const written = { ...parse(example()), ...Object.fromEntries(secrets) };
    expect(without(clientsOf(written))).toEqual(without(clientsOf(variables)));
  });
});

it('init says what to do with an .env that is there', async () => {
  writeFileSync(join(folder, '.env'), 'A=1\n');
  const { output } = await initLab();
  expect(output).toContain('add what is new to the .env that is there, and lab to its OAUTH_CLIENTS');
  expect(output).not.toContain('copy .env.example');
  expect(readFileSync(join(folder, '.env'), 'utf8')).toBe('A=1\n');
});

describe('init changes nothing that is there', () => {
  it.each([
    ['a last line that is not ended', 'A=1\nOAUTH_CLIENTS=buoy'],
    ['line ends of Windows', '# ours\r\nOAUTH_CLIENTS=buoy\r\n'],
    [
      'a variable of the client',
      'export OAUTH_LAB_TOKEN_ENDPOINT=https://other.example\nOAUTH_LAB_CLIENT_SECRET_FILE=/run/x\n',
    ],
    ['the client', 'OAUTH_CLIENTS = "buoy, lab"\n'],
  ])('with %s', async (_, content) => {
    writeFileSync(join(folder, '.env.example'), content);
    const { output } = await initLab();
    const text = example();
    expect(text.startsWith(content)).toBe(true);
    expect(text.replaceAll('\r', '')).toContain(`${content.replaceAll('\r', '').trimEnd()}\n\n`);
    const before = parse(content);
    expect(parse(text)).toMatchObject(before);
    expect(text.slice(content.length)).not.toMatch(content.includes('\r\n') ? /[^\r]\n/ : /\r/);
    const lines = text.match(/^(export )?OAUTH_\w+/gm) ?? [];
    expect(new Set(lines).size).toBe(lines.length);
    const list = before['OAUTH_CLIENTS'];
    if (list === 'buoy') expect(output).toContain('OAUTH_CLIENTS=buoy,lab');
    if (list === 'buoy') expect(output).toContain("forFeature('buoy', 'lab')");
    else expect(output).not.toContain('OAUTH_CLIENTS=buoy');
    if (content.includes('SECRET_FILE')) {
      expect(text).not.toContain('OAUTH_LAB_CLIENT_SECRET=');
      expect(output).toContain(
        'OAUTH_LAB_TOKEN_ENDPOINT is there already with another value, and stays as it is.',
      );
    }
    expect((await initLab()).output).toContain('variables added: 0');
    expect(example()).toBe(text);
  });

  it('not a spec of the same name', async () => {
    writeFileSync(join(folder, 'lab.oauth.spec.ts'), 'mine');
    expect((await initLab()).output).toContain('lab.oauth.spec.ts: is there already');
    expect(readFileSync(join(folder, 'lab.oauth.spec.ts'), 'utf8')).toBe('mine');
  });

  it('puts the spec beside the sources', async () => {
    mkdirSync(join(folder, 'src'));
    await initLab();
    expect(readdirSync(folder).sort()).toEqual(['.env.example', 'src']);
    expect(readdirSync(join(folder, 'src'))).toEqual(['lab.oauth.spec.ts']);
  });
});

it.each([['a#b'], [`it's`], ['say "hi"'], [`it's "hi"`], ['back\\slash'], ['a=b&c=d'], [' lead']])(
  'init writes %j as dotenv and Node read it',
  async (audience) => {
    await init([...LAB, '--audience', audience]);
    for (const read of [parse, parseEnv]) expect(read(example())['OAUTH_LAB_AUDIENCE']).toBe(audience);
  },
);

describe('init writes nothing', () => {
  it.each<[string, string[], string]>([
    ['without a name', ['--partner', 'zoom'], 'needs a --name'],
    ['for a name that no variable can hold', ['--name', 'a,b', '--partner', 'zoom'], 'needs a --name'],
    ['without a place that tokens come from', ['--name', 'lab'], '--partner, --token-endpoint or --issuer'],
    ['for a flag that does not exist', [...LAB, '--scopes', 'a'], 'did you mean --scope?'],
    ['for an argument too many', [...LAB, 'lab'], "Unexpected argument 'lab'"],
    ['with a secret', [...LAB, '--client-secret', 'hush-hush-hush'], 'takes no secret'],
    ['with a secret, joined', [...LAB, '--client-secret=hush-hush-hush'], 'takes no secret'],
    ['for a value that no env file can hold', [...LAB, '--audience', 'a\nb'], 'OAUTH_LAB_AUDIENCE'],
    ['with all kinds of quotes', [...LAB, '--audience', '\'"`'], 'OAUTH_LAB_AUDIENCE'],
    ['in a folder that does not exist', [...LAB, '--dir', '/nowhere'], 'no folder /nowhere'],
    ['for an unknown preset', ['--name', 'lab', '--partner', 'nobody'], 'must be one of buoy,'],
    ['for a setting of another preset', ['--name', 'lab', '--partner', 'zoom', '--shop', 's'], 'OAUTH_LAB_SHOP is not a setting'],
    ['for an endpoint that is no URL', ['--name', 'lab', '--token-endpoint', 'auth'], 'OAUTH_LAB_TOKEN_ENDPOINT must be'],
    ['for a URL without https', ['--name', 'lab', '--token-endpoint', 'http://auth.example'], 'must use https'],
    ['for a method by another name', [...LAB, '--token-endpoint-auth-method', 'body'], 'did you mean client_secret_post?'],
    ['for a scope that is none', ['--name', 'lab', '--partner', 'googleServiceAccount', '--scope', 'a  b'], 'OAUTH_LAB_SCOPE must be'],
  ])('%s', async (_, args, sentence) => {
    const said = await init(args).then(
      ({ output, code }) => (code === 2 ? output : ''),
      (error: Error) => error.message,
    );
    expect(said).toContain(sentence);
    expect(said).not.toContain('hush');
    expect(said.split('\n')).toHaveLength(1);
    expect(readdirSync(folder)).toEqual([]);
  }); // prettier-ignore

  it('of two files where one cannot be written', async () => {
    symlinkSync('/nowhere/spec', join(folder, 'lab.oauth.spec.ts'));
    await expect(initLab()).rejects.toThrow('lab.oauth.spec.ts');
    expect(existsSync(join(folder, '.env.example'))).toBe(false);
    rmSync(join(folder, 'lab.oauth.spec.ts'));
    symlinkSync('/nowhere/env', join(folder, '.env.example'));
    await expect(initLab()).rejects.toThrow('.env.example');
    expect(readdirSync(folder)).toEqual(['.env.example']);
  });
});

describe('init asks', () => {
  it('for a preset, and what it needs', async () => {
    const { asked, ask } = answering('lab', 'Zoom', '4711');
    await init([], ask);
    expect(asked).toEqual([
      'Name of the client, such as lab: ',
      expect.stringMatching(/^Preset \(buoy, .*\), or nothing for another partner: $/),
      'account-id, or nothing: ',
    ]);
    expect(parseEnv(example())).toMatchObject({ OAUTH_LAB_PARTNER: 'Zoom', OAUTH_LAB_ACCOUNT_ID: '4711' });
  });

  it('for where another partner is', async () => {
    const { asked, ask } = answering('', 'https://auth.example/token', 'https://api.example', '');
    await init(['--name', 'lab'], ask);
    expect(asked.slice(1)).toEqual([
      'URL of the token endpoint: ',
      'URL of the API, or nothing: ',
      'Scope, or nothing: ',
    ]);
    expect(parseEnv(example())).toEqual({
      OAUTH_CLIENTS: 'lab',
      OAUTH_LAB_TOKEN_ENDPOINT: 'https://auth.example/token',
      OAUTH_LAB_BASE_URL: 'https://api.example',
      OAUTH_LAB_CLIENT_ID: '',
      OAUTH_LAB_CLIENT_SECRET: '',
    });
  });

  it('for nothing that flags have said, and never for a secret', async () => {
    const { asked, ask } = answering();
    await init(LAB, ask);
    expect(asked).toEqual([]);
    for (const preset of PRESETS.keys()) {
      const all = answering('lab', preset, '', '', '', '');
      await init([], all.ask);
      expect(all.asked.join()).not.toMatch(/secret|password/i);
    }
  });
});

it('init explains itself', async () => {
  for (const flag of ['--help', '-h']) {
    const { output, code } = await init([flag]);
    expect(code).toBe(0);
    expect(output).toContain('Usage: nestjs-oauth-client init');
    expect(output.split('\n').filter((line) => line.length > 110)).toEqual([]);
  }
});

function initLab() {
  return init(LAB);
}

function init(args: string[], ask?: Ask) {
  const dir = args.includes('--dir') ? [] : ['--dir', folder];
  return run(['init', ...args, ...dir], {}, { ask });
}

function example(): string {
  return readFileSync(join(folder, '.env.example'), 'utf8');
}

function answering(...answers: string[]) {
  const asked: string[] = [];
  const ask: Ask = (question) => {
    asked.push(question);
    return Promise.resolve(answers.shift() ?? '');
  };
  return { asked, ask };
}

function clientsOf(variables: Record<string, string | undefined>) {
  return clientsFromEnvironment({ get: (name) => variables[name], names: () => Object.keys(variables) });
}

/** Without the functions that read files, which are others each time. */
function without(read: unknown): unknown {
  return JSON.parse(
    JSON.stringify(read, (_, value: unknown) => (typeof value === 'function' ? 'function' : value)),
  );
}
