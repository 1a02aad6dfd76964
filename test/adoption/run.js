// Compiles the applications of docs/migration.md against the packed library and runs their tests. They take all other
// packages from the repository, so that the registry is not asked.
import { cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pack, repository, run as runAtOnce, temporaryDirectory } from '../package/pack.js';
import {
  compilerOptions,
  forEach,
  manifest,
  packageType,
  requiredPeers,
  run,
  writeJson,
} from '../package/projects.js';

/** The four shapes, and what each application depends on besides the required peers. */
const applications = [
  { name: 'token-service', format: 'CommonJS', dependencies: ['@nestjs/platform-express'] },
  { name: 'user-instances', format: 'ESM', dependencies: ['@nestjs/platform-fastify', 'axios-retry'] },
  { name: 'organisations', format: 'ESM', dependencies: ['@nestjs/platform-express'] },
  { name: 'static-fetch', format: 'ESM', dependencies: ['@nestjs/platform-fastify', 'openapi-fetch'] },
];
const timeout = 60_000;

const directory = temporaryDirectory('adoption-');
const unpacked = join(directory, 'package');
mkdirSync(unpacked);
runAtOnce('tar', ['-xzf', pack(directory), '--strip-components=1', '-C', unpacked]);

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
  writeJson(join(folder, 'package.json'), { name, private: true, ...packageType(format) });
  const settings = { ...compilerOptions, rootDir: '.', outDir: 'dist' };
  writeJson(join(folder, 'tsconfig.json'), { compilerOptions: settings, include: ['*.ts'] });
  return folder;
}

/** @returns how many tests passed */
async function check(application) {
  const folder = install(application);
  const within = { cwd: folder, timeout };
  await run(process.execPath, [join(repository, 'node_modules/typescript/bin/tsc'), '-p', folder], within);
  const files = readdirSync(join(folder, 'dist')).filter((file) => file.endsWith('.test.js'));
  const tests = files.map((file) => join('dist', file));
  const output = await run(process.execPath, ['--test', '--test-reporter=tap', ...tests], within);
  const passed = Number(/^# pass (\d+)$/m.exec(output)?.[1] ?? 0);
  if (passed === 0) throw new Error(`No test ran.\n${output}`);
  return passed;
}

const began = performance.now();
let working = 0;
await forEach(applications, async (application) => {
  const name = `${application.name}, ${application.format}`;
  try {
    console.log(`ok    ${name}: ${await check(application)} tests`);
    working += 1;
  } catch (error) {
    console.log(`FAIL  ${name}\n${error.message.replace(/^/gm, '      ')}`);
  }
});
const seconds = ((performance.now() - began) / 1000).toFixed(0);
console.log(`\n${working} of ${applications.length} migrated applications work, ${seconds} s`);
process.exitCode = working === applications.length ? 0 : 1;
