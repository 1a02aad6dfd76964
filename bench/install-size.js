// What `npm install` of a package adds: its own files and those of its dependencies, without peers.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Bytes on disk and number of packages; `own` are the folder's entries that npm would publish. */
export function installSize(folder, own) {
  const found = new Map();
  visit(folder, found, own);
  return { bytes: [...found.values()].reduce((sum, bytes) => sum + bytes, 0), packages: found.size };
}

function visit(folder, found, own = readdirSync(folder)) {
  if (found.has(folder)) return;
  found.set(
    folder,
    own.reduce((sum, name) => sum + sizeOf(join(folder, name)), 0),
  );
  const { dependencies = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  for (const name of Object.keys(dependencies)) visit(resolve(folder, name), found);
}

/** As Node looks for it: in each node_modules from here upwards. */
function resolve(from, name) {
  const candidate = join(from, 'node_modules', name);
  if (existsSync(candidate)) return candidate;
  if (dirname(from) === from) throw new Error(`${name} is not installed.`);
  return resolve(dirname(from), name);
}

function sizeOf(path) {
  if (path.endsWith('/node_modules')) return 0;
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.size;
  return readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0);
}
