// What the rows of the compatibility matrix share: projects as users have them, installed and run.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from './pack.js';

export const manifest = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
export const { engines, peerDependencies, peerDependenciesMeta = {} } = manifest;
export const requiredPeers = Object.keys(peerDependencies).filter(
  (name) => !peerDependenciesMeta[name]?.optional,
);

/** The range of a peer that goes with a major version of Nest, which the alternatives of a range follow in order. */
export const peer = (name, nest) => peerDependencies[name].split(' || ').at(nest === 11 ? 0 : -1);

export const packageType = (format) => (format === 'ESM' ? { type: 'module' } : {});

/** How users' projects are compiled. */
export const compilerOptions = {
  module: 'nodenext',
  target: 'es2022',
  strict: true,
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
  skipLibCheck: true,
  types: ['node'],
};

/** Runs a command to its end; its output is the error if it fails or takes too long. */
export function run(command, parameters, options) {
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

/** Installs a project of this content. */
export async function install(folder, content, options = ['--strict-peer-deps']) {
  writeJson(join(folder, 'package.json'), { private: true, ...content });
  const quiet = ['--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error'];
  await run('npm', ['install', ...options, '--ignore-scripts', '--prefer-offline', ...quiet], {
    cwd: folder,
  });
}

export function writeJson(path, content) {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, JSON.stringify(content));
}

/** Runs `work` on every item, as many at a time as there are cores to spare. */
export async function forEach(items, work) {
  const queue = items.entries();
  const worker = async () => {
    for (const [index, item] of queue) await work(item, index);
  };
  await Promise.all(Array.from({ length: 2 }, worker));
}
