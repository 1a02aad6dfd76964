// Measures ours beside its peers. From the root: npm run bench [-- --check] [--quick] [--only cached,requests,...]
//   --check   says which targets are missed, and exits with 1 if any is
//   --quick   fewer and shorter rounds, for a look; writes no files
//   --only    some of the measurements; writes no files
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';

const here = (path) => new URL(path, import.meta.url);

const { values: options } = parseArgs({
  options: { check: { type: 'boolean' }, quick: { type: 'boolean' }, only: { type: 'string' } },
});

if (!existsSync(here('node_modules'))) {
  execFileSync('npm', ['ci'], { cwd: here('.'), stdio: 'inherit' });
}
const { Bench, ...measurements } = await import('./measurements.js');
const { start } = await import('./rpc.js');
const { formatted, markdown, plots, writeReport } = await import('./report.js');
const { targets, number } = await import('./targets.js');

const say = (line) => process.stderr.write(`${line}\n`);
const names = [
  'cached',
  'requests',
  'fetches',
  'callers',
  'sequential',
  'unauthorized',
  'outage',
  'keys',
  'tenants',
  'dpop',
  'fleet',
  'install',
];
const chosen = options.only?.split(',') ?? names;
const unknown = chosen.filter((name) => !names.includes(name));
if (unknown.length > 0) throw new Error(`Unknown: ${unknown.join(', ')}. There are: ${names.join(', ')}.`);

const results = { environment: environment() };
const server = await start('./server.js');
const startedAt = performance.now();
try {
  const bench = new Bench(server, await server.call('origin'), options.quick === true, say);
  for (const name of chosen) {
    const began = performance.now();
    say(`${name} …`);
    results[name] = await measurements[name](bench);
    say(`${name}: ${number((performance.now() - began) / 1_000)} s`);
  }
} finally {
  server.stop();
}

if (options.quick || options.only) {
  process.stdout.write(await formatted(markdown(results)));
} else {
  writeFileSync(here('results.json'), `${JSON.stringify(results, null, 2)}\n`);
  await writeReport(results);
  for (const [file, plot] of Object.entries(plots(results))) writeFileSync(here(file), plot);
  say('Written: bench/results.md, bench/results.json and the plots.');
}
say(`${number((performance.now() - startedAt) / 1_000)} s in all.`);

if (options.check) {
  const missed = targets(results).filter(({ met }) => !met);
  for (const { what, value, limit, unit } of missed) {
    process.stdout.write(`missed: ${what}: ${number(value)} ${unit}, target ${limit}\n`);
  }
  if (missed.length > 0) process.exitCode = 1;
  else process.stdout.write('All targets met.\n');
}

function environment() {
  const { dependencies } = JSON.parse(readFileSync(here('package.json'), 'utf8'));
  const axios = JSON.parse(readFileSync(here('../node_modules/axios/package.json'), 'utf8'));
  return {
    date: new Date().toISOString().slice(0, 10),
    node: process.versions.node,
    cpu: cpus()[0].model.trim(),
    cores: availableParallelism(),
    versions: { axios: axios.version, ...dependencies },
  };
}
