import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

const LAYERS = 'eslint(no-restricted-imports)';
const CYCLE = 'import(no-cycle)';

/** A file that imports one module; the linter must let it pass, or say no by the named rule. */
type Arrow = readonly [file: string, specifier: string];

const allowed: readonly Arrow[] = [
  ['lib/core/a.ts', './core.js'],
  ['lib/core/a.ts', 'rxjs'],
  ['lib/core/a.ts', 'node:crypto'],
  ['lib/core/a.ts', 'node:fs/promises'],
  ['lib/oauth/a.ts', './oauth.js'],
  ['lib/oauth/a.ts', '../core/core.js'],
  ['lib/oauth/a.ts', '../options/options.js'],
  ['lib/oauth/a.ts', 'jose'],
  ['lib/oauth/a.ts', 'node:crypto'],
  ['lib/options/a.ts', './options.js'],
  ['lib/options/a.ts', '../core/core.js'],
  ['lib/options/a.ts', 'node:crypto'],
  ['lib/options/a.ts', 'node:fs/promises'],
  ['lib/http/a.ts', './http.js'],
  ['lib/http/a.ts', '../core/core.js'],
  ['lib/http/a.ts', 'axios'],
  ['lib/http/a.ts', 'rxjs'],
  ['lib/http/a.ts', 'node:https'],
  ['lib/http/undici-fetch.ts', 'undici'],
  ['lib/nest/a.ts', './nest.js'],
  ['lib/nest/a.ts', '../core/core.js'],
  ['lib/nest/a.ts', '../oauth/oauth.js'],
  ['lib/nest/a.ts', '../http/http.js'],
  ['lib/nest/a.ts', '../options/options.js'],
  ['lib/nest/a.ts', '@nestjs/common'],
  ['lib/index.ts', './core/core.js'],
  ['lib/index.ts', './oauth/oauth.js'],
  ['lib/index.ts', './http/http.js'],
  ['lib/index.ts', './nest/nest.js'],
  ['lib/index.ts', './options/options.js'],
  ['lib/redis.ts', './core/core.js'],
  ['lib/redis.ts', './nest/nest.js'],
  ['lib/redis.ts', 'ioredis'],
  ['lib/testing/a.ts', '../nest/nest.js'],
  ['lib/redis/a.ts', '../core/core.js'],
  ['lib/redis/a.ts', 'ioredis'],
  ['sample-app/lab/a.ts', 'nestjs-oauth-client'],
  ['sample-app/lab/a.ts', 'nestjs-oauth-client/testing'],
  ['sample-app/lab/a.ts', '../sample.js'],
  ['sample-app/lab/a.ts', '@nestjs/common'],
];

const forbidden: readonly Arrow[] = [
  ['lib/core/a.ts', '../oauth/oauth.js'],
  ['lib/core/a.ts', '../http/http.js'],
  ['lib/core/a.ts', '../options/options.js'],
  ['lib/core/a.ts', '../nest/nest.js'],
  ['lib/core/a.ts', '../index.js'],
  ['lib/core/a.ts', '../testing/testing.js'],
  ['lib/core/a.ts', './../oauth/oauth.js'],
  ['lib/core/a.ts', 'axios'],
  ['lib/core/a.ts', 'jose'],
  ['lib/core/a.ts', 'rxjs/operators'],
  ['lib/core/a.ts', '@nestjs/common'],
  ['lib/core/a.ts', 'crypto'],
  ['lib/core/a.ts', 'nestjs-oauth-client'],
  ['lib/oauth/a.ts', '../http/http.js'],
  ['lib/oauth/a.ts', '../nest/nest.js'],
  ['lib/oauth/a.ts', '../index.js'],
  ['lib/oauth/a.ts', '../testing/testing.js'],
  ['lib/oauth/a.ts', 'axios'],
  ['lib/oauth/a.ts', 'openid-client'],
  ['lib/oauth/a.ts', 'rxjs'],
  ['lib/oauth/a.ts', '@nestjs/common'],
  ['lib/options/a.ts', '../oauth/oauth.js'],
  ['lib/options/a.ts', '../http/http.js'],
  ['lib/options/a.ts', '../nest/nest.js'],
  ['lib/options/a.ts', '../index.js'],
  ['lib/options/a.ts', '../testing/testing.js'],
  ['lib/options/a.ts', 'jose'],
  ['lib/options/a.ts', 'axios'],
  ['lib/options/a.ts', 'rxjs'],
  ['lib/options/a.ts', '@nestjs/config'],
  ['lib/options/a.ts', 'crypto'],
  ['lib/http/a.ts', '../oauth/oauth.js'],
  ['lib/http/a.ts', '../nest/nest.js'],
  ['lib/http/a.ts', '../index.js'],
  ['lib/http/a.ts', '../options/options.js'],
  ['lib/http/a.ts', 'jose'],
  ['lib/http/a.ts', '@nestjs/axios'],
  ['lib/nest/a.ts', '../index.js'],
  ['lib/nest/a.ts', '..'],
  ['lib/nest/a.ts', '../redis.js'],
  ['lib/nest/a.ts', '../testing/testing.js'],
  ['lib/nest/a.ts', '../redis/redis.js'],
  ['lib/nest/a.ts', '../../sample-app/sample.js'],
  ['lib/nest/a.ts', 'nestjs-oauth-client/partners'],
  ['lib/nest/a.ts', 'ioredis'],
  ['lib/nest/a.ts', '@nestjs/terminus'],
  ['lib/nest/a.ts', '@opentelemetry/api'],
  ['lib/index.ts', './redis.js'],
  ['lib/index.ts', './testing/testing.js'],
  ['lib/index.ts', 'ioredis'],
  ['lib/redis.ts', 'nestjs-oauth-client'],
  ['lib/redis.ts', '../test/test.js'],
  ['lib/testing/a.ts', '../../test/test.js'],
  ['lib/redis/a.ts', '../../test/test.js'],
  ['sample-app/a.ts', '../lib/index.js'],
  ['sample-app/lab/a.ts', '../../lib/core/core.js'],
  ['sample-app/lab/a.ts', '../../dist/lib/index.js'],
  ['sample-app/lab/a.ts', '../../test/test.js'],
  ['sample-app/lab/a.ts', 'nestjs-oauth-client/dist/lib/core/core.js'],
];

const forms: readonly [name: string, source: string][] = [
  ['a type import', "import type { Value } from '../nest/nest.js';\nexport const value: Value = 1;\n"],
  ['an export from', "export { value } from '../nest/nest.js';\n"],
  ['an export of everything', "export * from '../nest/nest.js';\n"],
  ['an import for its effects', "import '../nest/nest.js';\n"],
  ['a dynamic import', "export const value = await import('../nest/nest.js');\n"],
];

const cycles: readonly [name: string, files: Readonly<Record<string, string>>][] = [
  [
    'of two modules',
    {
      'a.ts': "import { b } from './b.js';\nexport const a: unknown = () => b;\n",
      'b.ts': "import { a } from './a.js';\nexport const b: unknown = () => a;\n",
    },
  ],
  [
    'of types only',
    {
      'a.ts': "import type { B } from './b.js';\nexport type A = { b: B };\n",
      'b.ts': "import type { A } from './a.js';\nexport type B = { a: A };\n",
    },
  ],
  [
    'of three modules',
    {
      'a.ts': "import { b } from './b.js';\nexport const a: unknown = () => b;\n",
      'b.ts': "import { c } from './c.js';\nexport const b: unknown = () => c;\n",
      'c.ts': "import { a } from './a.js';\nexport const c: unknown = () => a;\n",
    },
  ],
];

interface Diagnostic {
  readonly code: string;
  readonly filename: string;
  readonly labels: readonly { readonly span: { readonly line: number } }[];
}

describe('layers', () => {
  const repository = resolve(import.meta.dirname, '../..');
  const root = mkdtempSync(join(tmpdir(), 'layers-'));
  let diagnostics: readonly Diagnostic[] = [];

  const write = (file: string, source: string) => {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), source);
  };
  const arrowsOf = (file: string) => [...allowed, ...forbidden].filter((arrow) => arrow[0] === file);
  const codes = (file: string, line?: number) =>
    diagnostics
      .filter(
        ({ filename, labels }) =>
          filename === file && (line ?? labels[0]?.span.line) === labels[0]?.span.line,
      )
      .map(({ code }) => code);
  /** One import a line. */
  const codesOfArrow = ([file, specifier]: Arrow) =>
    codes(file, arrowsOf(file).findIndex((arrow) => arrow[1] === specifier) + 1);

  beforeAll(() => {
    symlinkSync(join(repository, 'node_modules'), join(root, 'node_modules'));
    cpSync(join(repository, 'tsconfig.json'), join(root, 'tsconfig.json'));
    cpSync(join(repository, '.oxlintrc.json'), join(root, '.oxlintrc.json'));
    for (const layer of ['core', 'options', 'oauth', 'http', 'nest', 'testing']) {
      write(`lib/${layer}/${layer}.ts`, 'export type Value = number;\nexport const value: Value = 1;\n');
    }
    for (const file of new Set([...allowed, ...forbidden].map((arrow) => arrow[0]))) {
      write(
        file,
        arrowsOf(file)
          .map(([, specifier]) => `export * from '${specifier}';\n`)
          .join(''),
      );
    }
    forms.forEach(([, source], index) => write(`lib/core/form-${index}.ts`, source));
    cycles.forEach(([, files], index) => {
      for (const [file, source] of Object.entries(files)) write(`lib/core/cycle-${index}/${file}`, source);
    });

    const oxlint = spawnSync(
      process.execPath,
      [join(repository, 'node_modules/oxlint/bin/oxlint'), '--format', 'json'],
      { cwd: root, encoding: 'utf8' },
    );
    diagnostics = (JSON.parse(oxlint.stdout) as { diagnostics: Diagnostic[] }).diagnostics;
  });

  afterAll(() => rmSync(root, { recursive: true }));

  it.each(allowed)('%s may import %s', (...arrow) => expect(codesOfArrow(arrow)).not.toContain(LAYERS));

  it.each(forbidden)('%s must not import %s', (...arrow) => expect(codesOfArrow(arrow)).toContain(LAYERS));

  it.each(forms.map(([name], index) => ({ name, index })))('$name counts as an import', ({ index }) =>
    expect(codes(`lib/core/form-${index}.ts`)).toContain(LAYERS),
  );

  it.each(cycles.map(([name], index) => ({ name, index })))('a cycle $name fails', ({ index }) =>
    expect(codes(`lib/core/cycle-${index}/a.ts`)).toContain(CYCLE),
  );
});
