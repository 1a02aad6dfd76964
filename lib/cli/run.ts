import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ConfigModule } from '@nestjs/config';
import { init, type Ask } from './init.js';
import { checkClients } from './check-clients.js';
import { fold, report, type Outcome } from './report.js';

const USAGE = `Usage: nestjs-oauth-client check [--env-file <path>]... [--client <name>] [--json]
       nestjs-oauth-client init --help

check validates all OAUTH_* variables, and asks for a token of each client that has no problem.
It does not see what your code sets, such as tenants: leave such clients out by --client.
Exit codes: 0 all is well, 1 a client got no token, 2 the configuration or the call is wrong.`;

/** Where a command runs. */
export interface Terminal {
  /** Characters of a line. Default 80. */
  columns?: number | undefined;
  /** Told of each client before it is asked. */
  onProgress?: (client: string) => void;
  /** Puts a question to the user; left out where nobody can answer. */
  ask?: Ask | undefined;
}

/** Runs the command line `args` against `environment`; variables of the environment win over those of the file. */
export async function run(
  args: string[],
  environment: NodeJS.ProcessEnv,
  { columns = 80, onProgress = () => undefined, ask }: Terminal = {},
): Promise<Outcome> {
  if (args[0] === 'init') return init(args.slice(1), ask);
  if (args[0] !== 'check' && !args[0]?.startsWith('-')) return { output: USAGE, code: 2 };
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      'env-file': { type: 'string', multiple: true },
      client: { type: 'string' },
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help || positionals.join() !== 'check') return { output: USAGE, code: values.help ? 0 : 2 };
  const fromFiles = await readEnvFiles(values['env-file'] ?? [], environment);
  const { problems, checks } = await checkClients(
    { ...fromFiles, ...environment },
    values.client,
    onProgress,
  );
  const code = problems.length > 0 ? 2 : checks.some(({ outcome }) => outcome === 'failed') ? 1 : 0;
  if (values.json) return { output: JSON.stringify({ problems, clients: checks }, null, 2), code };
  const told = problems.map((it) => fold(`problem  ${it}`, columns)).join('\n');
  const table = checks.length > 0 ? report(checks, columns) : '';
  return { output: [told, table].filter((part) => part !== '').join('\n\n'), code };
}

/** What ConfigModule reads from env files, with `expandVariables` if one of them has `${…}`; the first one wins. */
async function readEnvFiles(envFilePath: string[], environment: NodeJS.ProcessEnv) {
  const expands = envFilePath.some((path) => readFileSync(path, 'utf8').includes('${'));
  const expandVariables = expands && { processEnv: { ...environment } as Record<string, string> };
  const found = {};
  // What `validate` returns lands in the process's environment.
  const validate = (variables: object) => Object.assign(found, variables) && {};
  await ConfigModule.forRoot({ envFilePath, expandVariables, ignoreEnvVars: true, validate });
  return found;
}
