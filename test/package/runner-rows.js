// Runs a user's spec (consumer/results.spec.ts) with the test runners that docs/getting-started.md has settings for,
// which are read from that page.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from './pack.js';
import {
  compilerOptions,
  install,
  manifest,
  packageType,
  peer,
  requiredPeers,
  run,
  writeJson,
} from './projects.js';

// ts-jest leaves the `import.meta` of Nest 12 in what it makes of it, which CommonJS cannot run.
const rows = [
  { nest: 11, format: 'CommonJS', runner: 'ts-jest' },
  { nest: 11, format: 'CommonJS', runner: '@swc/jest' },
  { nest: 12, format: 'CommonJS', runner: '@swc/jest' },
  { nest: 12, format: 'ESM', runner: 'Vitest' },
];
const packages = {
  CommonJS: ['@swc/core', '@swc/jest', 'jest', 'ts-jest', 'typescript'],
  ESM: ['@swc/core', 'unplugin-swc', 'vitest'],
};
const versions = { typescript: '~5.9.0', jest: '^30.0.0' };
const page = readFileSync(join(repository, 'docs/getting-started.md'), 'utf8');

/** The first block of the page's section with that title. */
function settingsOf(runner) {
  const [, section = ''] = page.split(`\n### ${runner}\n`);
  const [, settings] = /```\w+\n([^]*?)\n```/.exec(section) ?? [];
  if (settings === undefined) throw new Error(`docs/getting-started.md has no settings for ${runner}.`);
  return settings;
}

/** A project for each Nest and format. @returns a row for each runner, by name, and what runs it */
export function runnerRows(directory, tarball) {
  const projects = new Map();
  const project = (row) => {
    const name = `runners-${row.nest}-${row.format}`;
    return projects.get(name) ?? projects.set(name, prepare(join(directory, name), row, tarball)).get(name);
  };
  return rows.map((row) => ({
    name: `Tests: Nest ${row.nest}, ${row.format}, ${row.runner}`,
    work: async () => runSpec(await project(row), row),
  }));
}

async function prepare(folder, { nest, format }, tarball) {
  const peers = [...requiredPeers, '@nestjs/testing', '@nestjs/platform-express'];
  await install(folder, {
    ...packageType(format),
    dependencies: {
      ...Object.fromEntries(
        peers.map((name) => [name, name in versions ? versions[name] : versionOf(name, nest)]),
      ),
      ...Object.fromEntries(packages[format].map((name) => [name, versions[name] ?? '*'])),
      [manifest.name]: `file:${tarball}`,
      '@types/node': '^20.19.0',
    },
  });
  cpSync(join(repository, 'test/package/consumer/results.spec.ts'), join(folder, 'results.spec.ts'));
  writeJson(join(folder, 'tsconfig.json'), { compilerOptions, files: ['results.spec.ts'] });
  return folder;
}

function versionOf(name, nest) {
  return peer(requiredPeers.includes(name) ? name : '@nestjs/core', nest);
}

async function runSpec(folder, { format, runner }) {
  const isJest = format === 'CommonJS';
  const file = join(folder, isJest ? `jest-${runner.replace(/\W/g, '')}.json` : 'vitest.config.mjs');
  writeFileSync(file, settingsOf(runner));
  const command = isJest
    ? ['node_modules/jest/bin/jest.js', '--ci', '--testRegex', 'spec.ts$', '--config', file]
    : ['node_modules/vitest/vitest.mjs', 'run', '--config', file];
  const output = await run(process.execPath, command, { cwd: folder, timeout: 120_000 });
  if (!/2 passed/.test(output)) throw new Error(`It did not run both tests.\n${output}`);
}
