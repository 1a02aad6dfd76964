import { readFileSync, readdirSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import ts from 'typescript';
import { hasTerminals, onTerminal, piped } from '../support/command.js';
import { CompiledCopy } from '../support/compiled-copy.js';

const root = resolve(import.meta.dirname, '../..');

let copy: CompiledCopy;
let folder: string;

beforeAll(async () => {
  copy = await CompiledCopy.of();
});
afterAll(() => copy.remove());
beforeEach(() => {
  folder = copy.path('application');
  mkdirSync(join(folder, 'src'), { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true }));

const env = { ...process.env, NODE_OPTIONS: '', NO_COLOR: '1' };
const init = (...flags: string[]) => [process.execPath, copy.path('lib/cli.ts'), 'init', ...flags];
const LAB = ['--name', 'my-lab', '--token-endpoint', 'https://auth.lab.example/token'];

describe('nestjs-oauth-client init', () => {
  it('writes in the present folder, and says what is left to do', async () => {
    const { stdout, stderr, code } = await piped(init(...LAB), { env, cwd: folder });
    expect([stderr, code]).toEqual(['', 0]);
    expect(stdout.split('\n').slice(0, 2)).toEqual([
      '.env.example: variables added: 5',
      'src/my-lab.oauth.spec.ts: written',
    ]);
    expect(readdirSync(folder).sort()).toEqual(['.env.example', 'src']);
  });

  it('ends with 2 and one sentence for what is wrong, and asks nothing in a script', async () => {
    const { stdout, stderr, code } = await piped(init('--name', 'lab'), { env, cwd: folder });
    expect({ stdout, stderr, code }).toEqual({
      stdout: '',
      stderr: 'Say where the tokens come from: --partner, --token-endpoint or --issuer.\n',
      code: 2,
    });
    const wrong = await piped(init('--name', 'lab', '--token-endpoint', 'auth'), { env, cwd: folder });
    expect(wrong).toMatchObject({ stdout: expect.stringMatching(/^problem .*TOKEN_ENDPOINT/), code: 2 });
    expect(readdirSync(folder)).toEqual(['src']);
  });

  if (hasTerminals) {
    it('asks on a terminal, also where the answers are pasted at once', async () => {
      const typed = 'lab\nzoom\n4711\n';
      const { stdout, code } = await onTerminal(init(), 80, { env, cwd: folder, typed });
      expect(code).toBe(0);
      expect(stdout).toContain('account-id, or nothing: ');
      const variables = parseEnv(readFileSync(join(folder, '.env.example'), 'utf8'));
      expect(variables).toMatchObject({ OAUTH_LAB_PARTNER: 'zoom', OAUTH_LAB_ACCOUNT_ID: '4711' });
    });

    it.each([
      ['the end of the input', '\x04'],
      ['an interrupt', '\x03'],
    ])('writes nothing where the answer is %s', async (_, typed) => {
      const { stdout, code } = await onTerminal(init('--name', 'lab'), 80, { env, cwd: folder, typed });
      expect(code).toBe(2);
      expect(stdout).toContain('Cancelled; nothing is written.');
      expect(readdirSync(folder)).toEqual(['src']);
    });
  }

  it('writes a spec that compiles, and passes', async () => {
    const { stdout } = await piped(init(...LAB), { env, cwd: folder });
    const module = /(import [^]*export class AppModule \{\})/.exec(stdout)?.[1] ?? '';
    const spec = join(folder, 'src/my-lab.oauth.spec.ts');
    expect(
      problemsOf({ 'app.module.ts': module, 'my-lab.oauth.spec.ts': readFileSync(spec, 'utf8') }),
    ).toEqual([]);
    const passed = await jest();
    expect(passed.stderr).toContain('1 passed, 1 total');
    expect(passed.code).toBe(0);
    writeFileSync(spec, readFileSync(spec, 'utf8').replace('Bearer test-token', 'another'));
    expect((await jest()).code).toBe(1);
  }, 60_000);
});

/** Runs the specs of the application, as a project with @swc/jest does. */
function jest() {
  const swc = {
    jsc: { parser: { syntax: 'typescript', decorators: true }, target: 'es2022' },
    module: { type: 'es6' },
  };
  const config = {
    rootDir: resolve(folder, '..'),
    roots: [folder],
    extensionsToTreatAsEsm: ['.ts'],
    moduleNameMapper: {
      '^nestjs-oauth-client$': '<rootDir>/lib/index.js',
      '^nestjs-oauth-client/(.*)$': '<rootDir>/lib/$1.js',
    },
    transform: { '\\.ts$': ['@swc/jest', swc] },
  };
  const command = [
    process.execPath,
    '--experimental-vm-modules',
    join(root, 'node_modules/jest/bin/jest.js'),
  ];
  return piped([...command, '--config', JSON.stringify(config)], { env, cwd: folder });
}

/** What the compiler says of these sources in a project with Jest's globals. */
function problemsOf(sources: Record<string, string>): string[] {
  const globals = `import type * as jest from '@jest/globals';
declare global { const describe: typeof jest.describe; const it: typeof jest.it; const expect: typeof jest.expect; }`;
  const files = new Map(
    Object.entries({ 'globals.d.ts': globals, ...sources }).map(([name, text]) => [
      join(root, 'test/cli/written', name),
      text,
    ]),
  );
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => ts.sys.readFile(path)) as {
    config: object;
  };
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [], files: [] }, ts.sys, root);
  const host = ts.createCompilerHost({ ...options, noEmit: true });
  const { fileExists, readFile } = host;
  host.fileExists = (path) => files.has(path) || fileExists.call(host, path);
  host.readFile = (path) => files.get(path) ?? readFile.call(host, path);
  const program = ts.createProgram([...files.keys()], { ...options, noEmit: true }, host);
  return ts
    .getPreEmitDiagnostics(program)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' '));
}
