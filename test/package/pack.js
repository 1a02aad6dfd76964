import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** The repository's root. */
export const repository = resolve(import.meta.dirname, '../..');

/**
 * Runs a command to its end and returns what it printed; what it printed on both streams is the error if it fails.
 *
 * @param {string} command
 * @param {readonly string[]} parameters
 * @param {import('node:child_process').SpawnSyncOptions} [options]
 * @returns {string}
 */
export function run(command, parameters, options = {}) {
  const { status, signal, stdout, stderr, error } = spawnSync(command, parameters, {
    cwd: repository,
    maxBuffer: 64 * 1024 * 1024,
    ...options,
    encoding: 'utf8',
  });
  if (error) throw error;
  if (status === 0) return stdout;
  throw new Error(
    `${command} ${parameters.join(' ')}: ${signal ?? `exit ${status}`}\n${stdout}${stderr}`.trim(),
  );
}

/**
 * Compares two files or two folders; the difference is the error.
 *
 * @param {string} kept
 * @param {string} current
 * @param {string} remedy what to do about a difference
 */
export function expectSame(kept, current, remedy) {
  try {
    run('git', ['diff', '--no-index', '--no-color', '--no-ext-diff', kept, current]);
  } catch (error) {
    throw new Error(`${error.message}\n${remedy}`, { cause: error });
  }
}

/**
 * Makes a directory that is gone when the process ends.
 *
 * @param {string} prefix
 * @returns {string}
 */
export function temporaryDirectory(prefix) {
  const directory = mkdtempSync(join(tmpdir(), prefix));
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
  return directory;
}

/**
 * Builds the library and packs it as `npm publish` would. With `PACKAGE_TARBALL` it takes that tarball instead, so that a
 * release tests the one that it publishes.
 *
 * @param {string} directory
 * @returns {string} the tarball's path
 */
export function pack(directory) {
  const given = process.env['PACKAGE_TARBALL'];
  if (given !== undefined) return resolve(given);
  run('npm', ['run', 'build']);
  run('npm', ['pack', '--ignore-scripts', '--pack-destination', directory]);
  const tarball = readdirSync(directory).find((file) => file.endsWith('.tgz'));
  if (!tarball) throw new Error('npm pack made no tarball.');
  return join(directory, tarball);
}
