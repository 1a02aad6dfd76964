// Installs the packed library in users' applications (test/package/consumer) and boots them: Nest 11 and 12, ESM and
// CommonJS, Express and Fastify, with the lowest and the newest version of every peer, on every Node that `engines`
// names. Then type-checks (type-rows.js) and tests (runner-rows.js) what users write. `--quick`: newest peers and this
// Node only, one ESM and one CommonJS application. `--only=Types`: the rows with that in their name.
// Behaviour 45, and 60 on Nest 11.
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pack, repository, temporaryDirectory } from './pack.js';
import {
  compilerOptions,
  engines,
  forEach,
  install,
  manifest,
  packageType,
  peer,
  requiredPeers,
  run,
} from './projects.js';
import { runnerRows } from './runner-rows.js';
import { typeRows } from './type-rows.js';

const quick = process.argv.includes('--quick');
const only = process.argv.find((argument) => argument.startsWith('--only='))?.slice('--only='.length) ?? '';
const directory = temporaryDirectory('matrix-');
const runTimeoutMs = 60_000;
const lowest = (range) => range.replace(/^(\^|>=)/, '');

const applications = [
  { nest: 12, format: 'ESM', adapter: 'express' },
  { nest: 12, format: 'ESM', adapter: 'fastify' },
  { nest: 11, format: 'CommonJS', adapter: 'express' },
  { nest: 11, format: 'ESM', adapter: 'fastify' },
]
  .flatMap((application) => [
    { ...application, peers: 'newest' },
    { ...application, peers: 'lowest' },
  ])
  .filter(({ adapter, peers }) => !quick || (adapter === 'express' && peers === 'newest'))
  .map((application) => ({ ...application, name: nameOf(application) }))
  .filter(({ name }) => name.includes(only));

function nameOf({ nest, format, adapter, peers }) {
  return `Nest ${nest}, ${format}, ${adapter}, ${peers} peers`;
}

/** Node's own binaries, as packages. @returns paths by version */
async function installNodes() {
  const nodes = { [process.version.slice(1)]: process.execPath };
  if (quick || applications.length === 0) return nodes;
  const floors = engines.node.split(' || ').map(lowest);
  const wanted = [...floors, ...floors.slice(1).map((floor) => floor.split('.')[0])];
  const prefix = process.platform === 'darwin' && process.arch === 'arm64' ? 'node-bin' : 'node';
  const folder = join(directory, 'nodes');
  const name = `${prefix}-${process.platform}-${process.arch}`;
  await install(folder, {
    dependencies: Object.fromEntries(wanted.map((version) => [`node-${version}`, `npm:${name}@${version}`])),
  });
  for (const version of wanted) {
    const binary = join(folder, `node_modules/node-${version}/bin/node`);
    nodes[(await run(binary, ['--version'], {})).trim().slice(1)] = binary;
  }
  return nodes;
}

/** Installs one application and compiles it. @returns its entry */
async function build({ nest, format, adapter, peers }, index, tarball) {
  const isLowest = peers === 'lowest';
  const version = (name) => (isLowest ? lowest(peer(name, nest)) : peer(name, nest));
  const folder = join(directory, `application-${index}`);
  const content = {
    ...packageType(format),
    dependencies: {
      ...Object.fromEntries(requiredPeers.map((name) => [name, version(name)])),
      [`@nestjs/platform-${adapter}`]: isLowest ? `~${version('@nestjs/core')}` : version('@nestjs/core'),
      [manifest.name]: `file:${tarball}`,
      '@types/node': '^20.19.0',
    },
  };
  // The first releases of a major version of Nest name the version before it as their peer.
  await install(folder, content, isLowest ? ['--legacy-peer-deps'] : undefined);
  for (const file of ['main.ts', `${adapter}.ts`]) {
    cpSync(join(repository, 'test/package/consumer', file), join(folder, file));
  }
  const settings = {
    ...compilerOptions,
    rootDir: '.',
    outDir: 'dist',
    // Its first releases declare no types that a modern resolution finds.
    ...(isLowest ? { paths: { rxjs: ['./node_modules/rxjs/dist/types/index.d.ts'] } } : {}),
  };
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: settings, files: ['main.ts', `${adapter}.ts`] }),
  );
  await run(process.execPath, [join(repository, 'node_modules/typescript/bin/tsc'), '-p', folder], {});
  return join(folder, `dist/${adapter}.js`);
}

const began = performance.now();
const failures = [];
const tarball = pack(directory);
const nodes = Object.entries(await installNodes());
const rows = applications.map(({ name }) => ({ name, cells: nodes.map(() => '-') }));
const others = (quick ? [] : [...typeRows(directory, tarball), ...runnerRows(directory, tarball)])
  .filter(({ name }) => name.includes(only))
  .map((row) => ({ ...row, cells: ['-'] }));

/** Keeps what went wrong for the end, where it can be read. */
async function attempt(name, work) {
  try {
    return await work();
  } catch (error) {
    failures.push(`${name}\n${error.message.replace(/^/gm, '    ')}`);
    return undefined;
  }
}

await forEach(applications, async (application, row) => {
  const { name, cells } = rows[row];
  const entry = await attempt(`${name}: install and compile`, () => build(application, row, tarball));
  if (entry === undefined) return;
  for (const [column, [version, binary]] of nodes.entries()) {
    const passed = await attempt(`${name}: Node ${version}`, async () => {
      const output = await run(binary, [entry], { timeout: runTimeoutMs });
      if (!output.includes('consumer passed')) throw new Error(`It ended early.\n${output}`);
      return true;
    });
    cells[column] = passed ? 'ok' : 'FAIL';
  }
});
await forEach(others, async ({ name, cells, work }) => {
  const passed = await attempt(name, async () => [await work()]);
  cells[0] = passed ? 'ok' : 'FAIL';
});

const width = Math.max(...[...rows, ...others].map(({ name }) => name.length));
const line = (head, cells) => [head.padEnd(width), ...cells.map((cell) => cell.padStart(9))].join(' ');
const versions = nodes.map(([version]) => version);
console.log(line('Node', versions));
for (const { name, cells } of [...rows, ...others]) console.log(line(name, cells));
for (const failure of failures) console.log(`\nFAIL ${failure}`);
const cells = [...rows, ...others].flatMap((row) => row.cells);
const total = cells.length;
const green = cells.filter((cell) => cell === 'ok').length;
console.log(
  `\n45. Works on the lowest and the highest Axios of the peer range: ${green} of ${total} combinations work, ${((performance.now() - began) / 1000).toFixed(0)} s`,
);
process.exitCode = green === total && failures.length === 0 ? 0 : 1;
