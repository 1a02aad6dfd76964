// Compiles the applications of docs/migration.md against the packed library and runs their tests. They take all other
// packages from the repository, so that the registry is not asked.
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pack, repository, run, temporaryDirectory } from '../package/pack.js';

/** The four shapes, and what each application depends on besides the required peers. */
const applications = [
  { name: 'token-service', format: 'CommonJS', dependencies: ['@nestjs/platform-express'] },
  { name: 'user-instances', format: 'ESM', dependencies: ['@nestjs/platform-fastify', 'axios-retry'] },
  { name: 'organisations', format: 'ESM', dependencies: ['@nestjs/platform-express'] },
  { name: 'static-fetch', format: 'ESM', dependencies: ['@nestjs/platform-fastify', 'openapi-fetch'] },
];
const compilerOptions = {
  module: 'nodenext',
  target: 'es2022',
  strict: true,
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
  skipLibCheck: true,
  rootDir: '.',
  outDir: 'dist',
  types: ['node'],
};
const timeout = 60_000;

const manifest = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
const requiredPeers = Object.keys(manifest.peerDependencies).filter(
  (name) => !manifest.peerDependenciesMeta[name]?.optional,
);
const directory = temporaryDirectory('adoption-');
const unpacked = join(directory, 'package');
mkdirSync(unpacked);
run('tar', ['-xzf', pack(directory), '--strip-components=1', '-C', unpacked]);

/** Runs a command to its end; its output is the error if it fails or takes too long. */
function runInFolder(cwd, parameters) {
  return new Promise((resolve, reject) => {
    let output = '';
    const child = spawn(process.execPath, parameters, { cwd, timeout, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) resolve(output);
      else reject(new Error(`${parameters.join(' ')}: ${signal ?? `exit ${code}`}\n${output}`));
    });
  });
}

/** An application as its developer has it: its own manifest, and nothing installed that the manifest does not name. */
function install({ name, format, dependencies }) {
  const folder = join(directory, name);
  const modules = join(folder, 'node_modules');
  cpSync(join(repository, 'test/adoption', name), folder, { recursive: true });
  const named = [...requiredPeers, ...dependencies, '@nestjs/testing', '@types/node'];
  for (const each of [...named, ...Object.keys(manifest.dependencies)]) {
    mkdirSync(dirname(join(modules, each)), { recursive: true });
    symlinkSync(join(repository, 'node_modules', each), join(modules, each));
  }
  // Copied: a link would have the library look for its peers beside itself.
  cpSync(unpacked, join(modules, manifest.name), { recursive: true });
  const type = format === 'ESM' ? { type: 'module' } : {};
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, private: true, ...type }));
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
  return folder;
}

/** @returns how many tests passed */
async function check(application) {
  const folder = install(application);
  await runInFolder(folder, [join(repository, 'node_modules/typescript/bin/tsc'), '-p', folder]);
  const files = readdirSync(join(folder, 'dist')).filter((file) => file.endsWith('.test.js'));
  const tests = files.map((file) => join('dist', file));
  const output = await runInFolder(folder, ['--test', '--test-reporter=tap', ...tests]);
  const passed = Number(/^# pass (\d+)$/m.exec(output)?.[1] ?? 0);
  if (passed === 0) throw new Error(`No test ran.\n${output}`);
  return passed;
}

const began = performance.now();
let working = 0;
const queue = applications.values();
async function work() {
  for (const application of queue) {
    const name = `${application.name}, ${application.format}`;
    try {
      console.log(`ok    ${name}: ${await check(application)} tests`);
      working += 1;
    } catch (error) {
      console.log(`FAIL  ${name}\n${error.message.replace(/^/gm, '      ')}`);
    }
  }
}
// Two at a time, as many as a small machine has cores.
await Promise.all([work(), work()]);
const seconds = ((performance.now() - began) / 1000).toFixed(0);
console.log(`\n${working} of ${applications.length} migrated applications work, ${seconds} s`);
process.exitCode = working === applications.length ? 0 : 1;
