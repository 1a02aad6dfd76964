// Checks what users get: packs the library and looks into the tarball, at the sources only for docs/api.
// `--update` accepts the public API as it is now.
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import ts from 'typescript';
import { expectSame, pack, repository, run, temporaryDirectory } from './pack.js';
import { describePublicApi, readPublicApi, undocumentedExports, valueExports } from './public-api.js';

const snapshot = join(repository, 'test/package/public-api.txt');
const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));

const directory = temporaryDirectory('check-package-');
const tarball = pack(directory);
const modules = join(directory, 'node_modules');
const root = join(modules, readJson(join(repository, 'package.json')).name);
mkdirSync(root, { recursive: true });
run('tar', ['-xzf', tarball, '--strip-components=1', '-C', root]);

const manifest = readJson(join(root, 'package.json'));
const optionalPeers = Object.entries(manifest.peerDependenciesMeta ?? {})
  .filter(([, { optional }]) => optional)
  .map(([name]) => name);
const dependencies = Object.keys(manifest.dependencies ?? {});
const requiredPeers = Object.keys(manifest.peerDependencies).filter((name) => !optionalPeers.includes(name));
const entries = Object.keys(manifest.exports).filter((entry) => !entry.endsWith('.json'));
const files = listFiles(root);
const api = once(() => {
  const declarations = entries.map((entry) => [entry, join(root, manifest.exports[entry].types)]);
  return readPublicApi(root, Object.fromEntries(declarations));
});

// What a user has who installed the package with its required peers only.
[...dependencies, ...requiredPeers, '@types/node'].forEach(link);

const checks = {
  'publint --strict': () => {
    run('npx', ['--no-install', 'publint', 'run', tarball, '--strict']);
  },
  'attw, profile esm-only': () => {
    run('npx', [
      '--no-install',
      'attw',
      tarball,
      '--profile',
      'esm-only',
      '--no-definitely-typed',
      '--no-color',
    ]);
  },
  'the tarball holds exactly the library': () => {
    const expected = listFiles(join(repository, 'lib')).flatMap((file) => [
      `dist/lib/${file.replace(/ts$/, 'js')}`,
      `dist/lib/${file.replace(/(c?)ts$/, 'd.$1ts')}`,
    ]);
    expected.push('CHANGELOG.md', 'LICENSE', 'README.md', 'package.json');
    expectNone({
      'missing in the tarball': expected.filter((file) => !files.includes(file)),
      'not expected in the tarball': files.filter((file) => !expected.includes(file)),
    });
    return `${files.length} files`;
  },
  'every exports target exists': () => {
    const targets = Object.values(manifest.exports).flatMap((target) =>
      typeof target === 'string' ? [target] : Object.values(target),
    );
    expectNone({ missing: targets.filter((target) => !existsSync(join(root, target))) });
    return `${targets.length} targets`;
  },
  'every command runs': () => {
    const commands = Object.entries(manifest.bin ?? {});
    for (const [name, path] of commands) {
      if (!readFileSync(join(root, path), 'utf8').startsWith('#!/usr/bin/env node\n')) {
        throw new Error(`${name}: ${path} has no #! line for node.`);
      }
      run(process.execPath, [join(root, path), '--help'], { cwd: directory });
    }
    return commands.map(([name]) => name).join(', ') || 'none';
  },
  'every import in the package is a declared dependency, and every dependency is imported': () => {
    const imported = new Set(
      files
        .filter((file) => /\.(js|d\.ts)$/.test(file))
        .flatMap((file) => importsOf(join(root, file)).packages),
    );
    const declared = [...dependencies, ...requiredPeers, ...optionalPeers];
    expectNone({
      undeclared: [...imported].filter((name) => !declared.includes(name)),
      'never imported': [...dependencies, ...optionalPeers].filter((name) => !imported.has(name)),
    });
    return [...imported].join(', ');
  },
  'the root entry reaches no optional peer, in code or in types, that it does not load when needed': () => {
    expectNone({ reached: optionalPeersOf('.') });
    return `optional: ${optionalPeers.join(', ') || 'none'}`;
  },
  'a bare node imports every entry, and its values are those of its types': () => {
    const needsMore = (entry) => optionalPeersOf(entry).length > 0;
    const ordered = [...entries.filter((entry) => !needsMore(entry)), ...entries.filter(needsMore)];
    for (const entry of ordered) {
      optionalPeersOf(entry)
        .filter((name) => !existsSync(join(modules, name)))
        .forEach(link);
      const script = `console.log(JSON.stringify(Object.keys(await import('${specifierOf(entry)}'))))`;
      const names = JSON.parse(
        run(process.execPath, ['--input-type=module', '-e', script], { cwd: directory }),
      );
      const typed = valueExports(api(), entry);
      expectNone({
        [`${entry} has no type for`]: names.filter((name) => !typed.includes(name)),
        [`${entry} has no value for`]: typed.filter((name) => !names.includes(name)),
      });
    }
    return ordered.map(specifierOf).join(', ');
  },
  'every exported name has a doc comment in its declaration': () => {
    optionalPeers.filter((name) => !existsSync(join(modules, name))).forEach(link);
    expectNone(Object.fromEntries(entries.map((entry) => [entry, undocumentedExports(api(), entry)])));
    return `${entries.flatMap((entry) => api().entries.get(entry)).length} names`;
  },
  'the public API is the one in test/package/public-api.txt': () => {
    const text = describePublicApi(api());
    if (process.argv.includes('--update')) writeFileSync(snapshot, text);
    const current = join(directory, 'public-api.txt');
    writeFileSync(current, text);
    expectSame(snapshot, current, 'If this is meant: npm run check:package -- --update, and CHANGELOG.md.');
    return `${text.split('\n').length} lines`;
  },
  'docs/api is what TypeDoc makes of the doc comments': () => {
    const current = join(directory, 'api');
    const env = { ...process.env, NO_COLOR: '1' };
    run('npx', ['--no-install', 'typedoc', '--logLevel', 'Warn', '--out', current], { env });
    expectSame(join(repository, 'docs/api'), current, 'docs/api is stale: npm run docs:api.');
    return `${listFiles(current).length} pages`;
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    const note = check();
    console.log(`ok    ${name}${note ? `: ${note}` : ''}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}\n${error.message.replace(/^/gm, '      ')}`);
  }
}
const kilobytes = (bytes) => `${(bytes / 1024).toFixed(0)} kB`;
const unpacked = sizeOf(root);
const closure = productionClosure(dependencies);
console.log(
  `size  tarball ${kilobytes(statSync(tarball).size)}, unpacked ${kilobytes(unpacked)}, ` +
    `installed with ${[...closure].join(', ')}: ${kilobytes(
      [...closure].reduce((sum, name) => sum + sizeOf(join(repository, 'node_modules', name)), unpacked),
    )}`,
);
console.log(`${manifest.name}@${manifest.version}: ${Object.keys(checks).length} checks, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;

/** @param {Record<string, readonly string[]>} problems each list must be empty */
function expectNone(problems) {
  const lines = Object.entries(problems)
    .filter(([, found]) => found.length > 0)
    .map(([what, found]) => `${what}: ${found.join(', ')}`);
  if (lines.length > 0) throw new Error(lines.join('\n'));
}

function specifierOf(entry) {
  return join(manifest.name, entry);
}

function link(name) {
  mkdirSync(dirname(join(modules, name)), { recursive: true });
  symlinkSync(join(repository, 'node_modules', name), join(modules, name));
}

function optionalPeersOf(entry) {
  const { types, default: code } = manifest.exports[entry];
  const reached = new Set([types, code].flatMap((file) => [...packagesReachedFrom(join(root, file))]));
  return optionalPeers.filter((name) => reached.has(name));
}

/** Walks the package's own files. */
function packagesReachedFrom(start) {
  const packages = new Set();
  const seen = new Set([start]);
  for (const file of seen) {
    const imports = importsOf(file);
    const lazy = lazyImportsOf(file);
    imports.packages.forEach((name) => packages.add(name));
    imports.files.filter((path) => !lazy.includes(path)).forEach((path) => seen.add(path));
  }
  return packages;
}

/** Static and dynamic imports, re-exports and import types; a declaration's `./x.js` is `./x.d.ts`, and `./x.cjs` is `./x.d.cts`. */
function importsOf(path) {
  const { importedFiles } = ts.preProcessFile(readFileSync(path, 'utf8'));
  const specifiers = importedFiles
    .map(({ fileName }) => fileName)
    .filter((specifier) => !isBuiltin(specifier));
  const own = specifiers.filter((specifier) => specifier.startsWith('.'));
  return {
    packages: specifiers.filter((specifier) => !specifier.startsWith('.')).map(packageOf),
    files: own.map((specifier) =>
      resolve(dirname(path), /\.d\.c?ts$/.test(path) ? specifier.replace(/\.(c?)js$/, '.d.$1ts') : specifier),
    ),
  };
}

/** What of the package's own files is imported only when it is needed. */
function lazyImportsOf(path) {
  const dynamic = readFileSync(path, 'utf8').matchAll(/\bimport\('(\.[^']+)'\)/g);
  return path.endsWith('.d.ts') ? [] : [...dynamic].map(([, file]) => resolve(dirname(path), file));
}

function packageOf(specifier) {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

function listFiles(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .toSorted();
}

function sizeOf(folder) {
  return listFiles(folder).reduce((sum, file) => sum + statSync(join(folder, file)).size, 0);
}

/** The named packages and all that these depend on. */
function productionClosure(names) {
  const found = new Set(names);
  for (const name of found) {
    const { dependencies: further = {} } = readJson(join(repository, 'node_modules', name, 'package.json'));
    Object.keys(further).forEach((dependency) => found.add(dependency));
  }
  return found;
}

function once(make) {
  let made;
  return () => (made ??= make());
}
