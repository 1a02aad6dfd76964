// Type-checks what users write (consumer/types.ts) against the packed library: Nest 11 and 12, ESM and CommonJS, every
// way to resolve modules, from the lowest TypeScript to the newest; always without skipLibCheck, and with
// exactOptionalPropertyTypes.
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from './pack.js';
import { install, manifest, packageType, peer, peerDependencies, run, writeJson } from './projects.js';

const compilers = ['5.6', '5.9', '6.0'];
/** A file of CommonJS may require ESM from TypeScript 5.8 on, and with `nodenext` only. */
const rows = [
  { nest: 11, format: 'CommonJS', resolution: 'node10', compiler: '5.6' },
  { nest: 11, format: 'CommonJS', resolution: 'node10', compiler: '6.0' },
  { nest: 11, format: 'CommonJS', resolution: 'nodenext', compiler: '5.9' },
  { nest: 11, format: 'CommonJS', resolution: 'nodenext', compiler: '6.0' },
  { nest: 11, format: 'ESM', resolution: 'node16', compiler: '5.6' },
  { nest: 11, format: 'ESM', resolution: 'nodenext', compiler: '5.9' },
  { nest: 11, format: 'ESM', resolution: 'bundler', compiler: '6.0' },
  { nest: 12, format: 'CommonJS', resolution: 'node10', compiler: '5.9' },
  { nest: 12, format: 'CommonJS', resolution: 'nodenext', compiler: '6.0' },
  { nest: 12, format: 'ESM', resolution: 'node16', compiler: '5.9' },
  { nest: 12, format: 'ESM', resolution: 'nodenext', compiler: '6.0' },
  { nest: 12, format: 'ESM', resolution: 'nodenext', compiler: '5.6' },
  { nest: 12, format: 'ESM', resolution: 'bundler', compiler: '5.6' },
];
const modules = { node10: 'commonjs', bundler: 'esnext' };

/** Two projects, one for each Nest. @returns a row for each set of settings, by name, and what checks it */
export function typeRows(directory, tarball) {
  const projects = new Map();
  const project = (nest) =>
    projects.get(nest) ?? projects.set(nest, prepare(directory, nest, tarball)).get(nest);
  return rows.map((row, index) => ({
    name: `Types: Nest ${row.nest}, ${row.format}, ${row.resolution}, TypeScript ${row.compiler}`,
    work: async () => check(await project(row.nest), `row-${index}`, row),
  }));
}

async function prepare(directory, nest, tarball) {
  const folder = join(directory, `types-${nest}`);
  const peers = Object.keys(peerDependencies).map((name) => [name, peer(name, nest)]);
  const compiler = (version) => [`typescript-${version}`, `npm:typescript@~${version}.0`];
  const dependencies = Object.fromEntries([...peers, ...compilers.map(compiler)]);
  await install(folder, {
    dependencies: { ...dependencies, [manifest.name]: `file:${tarball}`, '@types/node': '^20.19.0' },
  });
  return folder;
}

async function check(project, name, { format, resolution, compiler }) {
  const folder = join(project, name);
  writeJson(join(folder, 'package.json'), packageType(format));
  cpSync(join(repository, 'test/package/consumer/types.ts'), join(folder, 'types.ts'));
  const compilerOptions = {
    module: modules[resolution] ?? resolution,
    moduleResolution: resolution,
    target: 'es2022',
    strict: true,
    exactOptionalPropertyTypes: true,
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
    skipLibCheck: false,
    noEmit: true,
    types: ['node'],
    ...(resolution === 'node10' && compiler === '6.0' ? { ignoreDeprecations: '6.0' } : {}),
  };
  writeJson(join(folder, 'tsconfig.json'), { compilerOptions, files: ['types.ts'] });
  const tsc = join(project, `node_modules/typescript-${compiler}/bin/tsc`);
  await run(process.execPath, [tsc, '-p', folder], { timeout: 180_000 });
}
