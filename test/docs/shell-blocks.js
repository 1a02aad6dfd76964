// Runs every shell block of the documentation as a newcomer does: variables boot an application, `npm i` installs the packed
// library with it, commands of the package ask a fake authorization server, and those of this repository run here. What
// CI runs itself is not run twice.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { pack, repository, temporaryDirectory } from '../package/pack.js';

const began = performance.now();
const LIMIT_MS = 120_000;
const PAGES = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md'].concat(
  readdirSync(join(repository, 'docs'))
    .filter((file) => file.endsWith('.md'))
    .map((file) => `docs/${file}`),
);
/** In a project of a user, in this order. */
const project = join(temporaryDirectory('shell-blocks-'), 'project');
const { name } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
const ci = readFileSync(join(repository, '.ci/run'), 'utf8');

/** Kinds of commands, and what runs each. The first that fits does. */
const KINDS = [
  [/^npm (ci|ci && npm test|test)$/, ranByCi],
  [/^npm run [\w:]+$/, ranByCi],
  [/^(npm ci && )?npm start$/, starts],
  [/^npm test -- /, (line) => run(line, repository)],
  [/^npm i /, installs],
  [/^(npx nestjs-oauth-client|node) /, (line) => run(line, project)],
];

/** Prepares the project: a Nest application without a client, and the variables of one that the fake server knows. */
function makeProject(tarball, server) {
  mkdirSync(project, { recursive: true });
  const { devDependencies, dependencies } = JSON.parse(
    readFileSync(join(repository, 'package.json'), 'utf8'),
  );
  const nest = ['@nestjs/common', '@nestjs/core', '@nestjs/testing', 'reflect-metadata', 'rxjs'];
  const versions = nest.map((one) => [one, { ...devDependencies, ...dependencies }[one]]);
  const manifest = { private: true, type: 'module', dependencies: Object.fromEntries(versions) };
  writeFileSync(join(project, 'package.json'), JSON.stringify(manifest, null, 2));
  writeFileSync(
    join(project, '.npmrc'),
    'fund=false\naudit=false\nignore-scripts=true\nprefer-offline=true\n',
  );
  writeFileSync(join(project, 'boot.js'), BOOT);
  writeFileSync(join(project, '.env'), lines({ OAUTH_CLIENTS: 'lab', ...clientOf('LAB', server) }));
  return installs(`npm i ${name} @nestjs/axios @nestjs/config axios`, tarball);
}

const BOOT = `import 'reflect-metadata';
import { ConfigModule } from '@nestjs/config';
import { NestFactory } from '@nestjs/core';
import { OAuthClientModule } from 'nestjs-oauth-client';
class AppModule {}
const imports = [ConfigModule.forRoot({ ignoreEnvFile: true }), OAuthClientModule.forRoot()];
const app = await NestFactory.createApplicationContext({ module: AppModule, imports }, { logger: ['error'], abortOnError: false });
await app.init();
await app.close();
`;

const lines = (variables) =>
  Object.entries(variables)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('');
const clientOf = (prefix, server) => ({
  [`OAUTH_${prefix}_TOKEN_ENDPOINT`]: server.tokenEndpoint,
  [`OAUTH_${prefix}_CLIENT_ID`]: 'clinic',
  [`OAUTH_${prefix}_CLIENT_SECRET`]: 'secret',
});

/** Runs a command to its end, within bounds; its output is the error if it fails. */
function run(command, cwd, environment = process.env, isDone = () => false) {
  return new Promise((resolve, reject) => {
    let output = '';
    const child = spawn('bash', ['-c', command], {
      cwd,
      env: environment,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const stop = (signal) => process.kill(-Number(child.pid), signal);
    const late = setTimeout(() => stop('SIGKILL'), LIMIT_MS);
    let done = false;
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk) => {
        output += chunk;
        if (!done && isDone(output)) {
          done = true;
          stop('SIGINT');
        }
      });
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(late);
      if (code === 0 || done) resolve(output);
      else reject(new Error(`${signal ?? `exit ${code}`}\n${output}`));
    });
  });
}

/** CI runs it itself: alone, as part of a longer command, or in the loop over the scripts of package.json. */
async function ranByCi(line) {
  const script = /^npm run ([\w:]+)$/.exec(line)?.[1];
  const isRun =
    script === undefined ? ci.includes(line) : new RegExp(`^for script in .*\\b${script}\\b`, 'm').test(ci);
  if (!isRun) throw new Error(`.ci/run does not run it.`);
}

/** The sample application, until it has made its first calls. */
async function starts() {
  const output = await run('npm start', repository, { ...process.env, PORT: '0' }, (text) =>
    text.includes('Ctrl+C'),
  );
  if (!output.includes('One call to each partner')) throw new Error(output);
}

async function installs(line, tarball = library) {
  const packages = line.replace(new RegExp(`(?<= )${name}(?= |$)`), tarball);
  await run(packages, project);
}

/** Boots an application with the variables; what a block leaves out of a client, the fake server's client has. */
async function boots(code, server) {
  const given = parseEnv(code.replaceAll('…', 'any'));
  const names = given.OAUTH_CLIENTS?.split(',') ?? [clientIn(Object.keys(given)).toLowerCase()];
  const known = names.map((one) => clientOf(one.toUpperCase().replaceAll('-', '_'), server));
  const all = { ...Object.assign({}, ...known), OAUTH_CLIENTS: names.join(','), ...given };
  for (const variable of Object.keys(all)) if (isReplaced(variable, given)) delete all[variable];
  await run('node boot.js', project, { PATH: process.env.PATH, HOME: process.env.HOME, ...all });
}

/** `LAB`, of `OAUTH_LAB_…`: what all the block's variables begin with, if one client is meant. */
function clientIn(variables) {
  const [, client] = /^OAUTH_([A-Z\d]+)_/.exec(variables[0] ?? '') ?? [];
  if (client === undefined) throw new Error('It names no client.');
  return client;
}

/** Whether what the block gives takes the place of a variable that was added. */
function isReplaced(variable, given) {
  if (variable in given) return false;
  const [, prefix, option] = /^(OAUTH_\w+?)_(TOKEN_ENDPOINT|CLIENT_ID|CLIENT_SECRET)$/.exec(variable) ?? [];
  const others = {
    TOKEN_ENDPOINT: ['ISSUER', 'PARTNER'],
    CLIENT_SECRET: ['CLIENT_SECRET_FILE', 'PRIVATE_KEY_FILE', 'ASSERTION_TOKEN_FILE'],
    CLIENT_ID: [],
  };
  return (others[option] ?? []).some((other) => `${prefix}_${other}` in given);
}

/** The shell blocks of a page, also those in lists. */
function blocksOf(page) {
  const text = readFileSync(join(repository, page), 'utf8');
  return [...text.matchAll(/^( *)```(?:sh|bash|shell)\n([\s\S]*?)\n\1```$/gm)].map(
    ([, indent, code], index) => ({
      page,
      index: index + 1,
      code: code.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
    }),
  );
}

/** Runs a block: as variables, or line by line. */
async function check({ code }, server) {
  const own = code.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
  if (own.every((line) => /^[A-Z][A-Z\d_]*=/.test(line))) return boots(code, server);
  for (const line of own.map((one) => one.replace(/ +# .*$/, ''))) {
    const [, runs] = KINDS.find(([pattern]) => pattern.test(line)) ?? [];
    if (runs === undefined) throw new Error(`Nothing here knows how to run: ${line}`);
    await runs(line);
  }
}

const library = pack(project.replace(/project$/, ''));
mkdirSync(project, { recursive: true });
const { FakeAuthorizationServer } = await fakes();
const server = await FakeAuthorizationServer.start({ clients: { clinic: 'secret' } });
await makeProject(library, server);

/** The server that the built library brings. */
async function fakes() {
  const require = createRequire(join(repository, 'package.json'));
  return import(require.resolve('nestjs-oauth-client/testing'));
}

const blocks = PAGES.flatMap(blocksOf);
let failed = 0;
for (const block of blocks) {
  const where = `${block.page}, shell block ${block.index}`;
  try {
    await check(block, server);
    console.log(`ok    ${where}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${where}\n${block.code}\n${error.message}`.replace(/\n/g, '\n      '));
  }
}
// The check itself has to notice what is wrong.
for (const code of ['OAUTH_LAB_CLIENT_IDD=x', 'npm frobnicate', 'npx nestjs-oauth-client chekc']) {
  const isFound = await check({ code }, server).then(
    () => false,
    () => true,
  );
  if (isFound) continue;
  failed += 1;
  console.log(`FAIL  a wrong block passes: ${code}`);
}
await server.close();
console.log(
  `${blocks.length - failed} of ${blocks.length} shell blocks run, ${((performance.now() - began) / 1000).toFixed(0)} s`,
);
process.exitCode = failed === 0 && blocks.length > 10 ? 0 : 1;
