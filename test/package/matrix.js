// Installs the packed library in users' applications (test/package/consumer) and boots them: Nest 11 and 12, ESM and
// CommonJS, Express and Fastify, with the lowest and the newest version of every peer, on every Node that `engines`
// names. `--quick`: newest peers and this Node only, one ESM and one CommonJS application. Behaviour 45, and 60 on Nest 11.
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pack, repository, temporaryDirectory } from './pack.js';

const quick = process.argv.includes('--quick');
const manifest = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
const { engines, peerDependencies, peerDependenciesMeta = {} } = manifest;
const requiredPeers = Object.keys(peerDependencies).filter((name) => !peerDependenciesMeta[name]?.optional);
const directory = temporaryDirectory('matrix-');
const runTimeoutMs = 60_000;

/** The range of a peer that goes with a major version of Nest, which the alternatives of a range follow in order. */
const peer = (name, nest) => peerDependencies[name].split(' || ').at(nest === 11 ? 0 : -1);
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
  .filter(({ adapter, peers }) => !quick || (adapter === 'express' && peers === 'newest'));

/** Runs a command to its end; its output is the error if it fails or takes too long. */
function run(command, parameters, options) {
  return new Promise((resolve, reject) => {
    let output = '';
    const child = spawn(command, parameters, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) resolve(output);
      else reject(new Error(`${command} ${parameters.join(' ')}: ${signal ?? `exit ${code}`}\n${output}`));
    });
  });
}

async function install(folder, content, options = ['--strict-peer-deps']) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, ...content }));
  const quiet = ['--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error'];
  await run('npm', ['install', ...options, '--ignore-scripts', '--prefer-offline', ...quiet], {
    cwd: folder,
  });
}

/** Node's own binaries, as packages. @returns paths by version */
async function installNodes() {
  const nodes = { [process.version.slice(1)]: process.execPath };
  if (quick) return nodes;
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
    ...(format === 'ESM' ? { type: 'module' } : {}),
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
    // Its first releases declare no types that a modern resolution finds.
    ...(isLowest ? { paths: { rxjs: ['./node_modules/rxjs/dist/types/index.d.ts'] } } : {}),
  };
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions, files: ['main.ts', `${adapter}.ts`] }),
  );
  await run(process.execPath, [join(repository, 'node_modules/typescript/bin/tsc'), '-p', folder], {});
  return join(folder, `dist/${adapter}.js`);
}

/** Runs `work` on every item, as many at a time as there are cores to spare. */
async function forEach(items, work) {
  const queue = items.entries();
  const worker = async () => {
    for (const [index, item] of queue) await work(item, index);
  };
  await Promise.all(Array.from({ length: 2 }, worker));
}

const began = performance.now();
const failures = [];
const tarball = pack(directory);
const nodes = Object.entries(await installNodes());
const rows = applications.map(({ nest, format, adapter, peers }) => ({
  name: `Nest ${nest}, ${format}, ${adapter}, ${peers} peers`,
  cells: nodes.map(() => '-'),
}));

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

const width = Math.max(...rows.map(({ name }) => name.length));
const line = (head, cells) => [head.padEnd(width), ...cells.map((cell) => cell.padStart(9))].join(' ');
console.log(
  line(
    'Node',
    nodes.map(([version]) => version),
  ),
);
for (const { name, cells } of rows) console.log(line(name, cells));
for (const failure of failures) console.log(`\nFAIL ${failure}`);
const total = rows.length * nodes.length;
const green = rows.flatMap(({ cells }) => cells).filter((cell) => cell === 'ok').length;
console.log(
  `\n45. Works on the lowest and the highest Axios of the peer range: ${green} of ${total} combinations work, ${((performance.now() - began) / 1000).toFixed(0)} s`,
);
process.exitCode = green === total && failures.length === 0 ? 0 : 1;
