import { parseArgs } from 'node:util';
import { SUFFIXES, clientsFromEnvironment, variableOf } from '../options/environment.js';
import { nearest } from '../options/nearest.js';
import { OPTION_SCHEMA } from '../options/option-schema.js';
import { PRESETS, presetOf } from '../options/presets.js';
import { problemsOf } from '../options/problems.js';
import { writeClient } from './init-files.js';
import type { Outcome } from './report.js';

const USAGE = `Usage: nestjs-oauth-client init [--name <client>] [--partner <preset>] [--dir <folder>]
       nestjs-oauth-client init --name <client> --token-endpoint <url> --base-url <url> [--scope <scope>]

Adds the client's variables to .env.example, writes a spec, and prints the module's registration.
It changes no line that is there, and takes no secret. On a terminal it asks for what is left out.
Presets: ${[...PRESETS.keys()].join(', ')}.
Any other option is a flag by the name of its variable: OAUTH_X_REQUEST_FORMAT is --request-format.
Exit codes: 0 all is written, 2 something given is wrong, and nothing is written.`;

/** Puts a question to the user. @returns the answer without blanks around it */
export type Ask = (question: string) => Promise<string>;

const SOURCES = ['PARTNER', 'TOKEN_ENDPOINT', 'ISSUER', 'METADATA_URL'];
/** What each preset needs besides credentials. */
const NEEDS: Readonly<Record<string, readonly string[]>> = {
  smartBackend: ['FHIR_BASE_URL', 'SCOPE', 'KEY_ID', 'PRIVATE_KEY_FILE'],
  entra: ['TENANT_ID', 'SCOPE', 'BASE_URL'],
  googleServiceAccount: ['KEY_FILE', 'SCOPE', 'BASE_URL'],
  zoom: ['ACCOUNT_ID'],
  shopify: ['SHOP'],
};
/** What stands for a value that is still to come; `x` for all others. */
const EXAMPLES: Readonly<Record<string, string>> = {
  TOKEN_ENDPOINT: 'https://auth.example/token',
  BASE_URL: 'https://api.example',
  FHIR_BASE_URL: 'https://fhir.example',
};
/** In place of a preset that reads a file which is not on this machine. */
const UNREAD = { PARTNER: '', KEY_FILE: '', SUBJECT: '', TOKEN_ENDPOINT: 'https://auth.example/token', CLIENT_ID: 'x', CLIENT_SECRET: 'x' }; // prettier-ignore

/**
 * Describes a new client in `.env.example` and a spec.
 *
 * @param ask left out where nobody can answer
 * @throws {Error} with a sentence on what is wrong with the call
 */
export async function init(args: string[], ask?: Ask): Promise<Outcome> {
  if (args.includes('--help') || args.includes('-h')) return { output: USAGE, code: 0 };
  const flags = new Map([...SUFFIXES.keys()].map((suffix) => [suffix, flagOf(suffix)]));
  const values = valuesOf(args, ['name', 'dir', ...flags.values()]);
  const { name = (await ask?.('Name of the client, such as lab: ')) ?? '', dir = '.' } = values;
  if (!/^[a-z][\w.-]*$/i.test(name))
    throw new Error('The client needs a --name of letters, digits, dots and dashes, such as lab.');
  const given = new Map(
    [...flags].flatMap(([suffix, flag]) => (values[flag] ? [[suffix, values[flag]]] : [])),
  );
  const secret = [...given.keys()].find(isSecret);
  if (secret !== undefined)
    throw new Error(
      `init takes no secret: leave out --${flagOf(secret)}, and set ${variableOf(name, '')}${secret} where the application runs.`,
    );
  if (ask && !SOURCES.some((suffix) => given.has(suffix))) await askFor(given, ask);
  if (!SOURCES.some((suffix) => given.has(suffix)))
    throw new Error('Say where the tokens come from: --partner, --token-endpoint or --issuer.');
  const { wanted, problems } = plan(name, given);
  if (problems.length > 0) return { output: problems.map((it) => `problem  ${it}`).join('\n'), code: 2 };
  return { output: writeClient(name, dir, wanted), code: 0 };
}

function valuesOf(args: string[], flags: string[]): Record<string, string | undefined> {
  const unknown = args
    .map((arg) => /^--([^=]+)/.exec(arg)?.[1])
    .find((flag) => flag !== undefined && !flags.includes(flag));
  if (unknown !== undefined)
    throw new Error(`There is no flag --${unknown}; did you mean --${nearest(unknown, flags)}?`);
  const options: Record<string, { type: 'string' }> = {};
  for (const flag of flags) options[flag] = { type: 'string' };
  return parseArgs({ args, options }).values;
}

function flagOf(suffix: string): string {
  return suffix.toLowerCase().replaceAll('_', '-');
}

function isSecret(suffix: string): boolean {
  const { path = '' } = SUFFIXES.get(suffix) ?? {};
  return OPTION_SCHEMA[path]?.secret === true && !suffix.endsWith('_FILE');
}

/** Asks for the partner, and for what it needs. */
async function askFor(given: Map<string, string>, ask: Ask): Promise<void> {
  const answer = async (suffix: string, question: string) => {
    const text = await ask(question);
    if (text !== '') given.set(suffix, text);
  };
  await answer('PARTNER', `Preset (${[...PRESETS.keys()].join(', ')}), or nothing for another partner: `);
  if (!given.has('PARTNER')) await answer('TOKEN_ENDPOINT', 'URL of the token endpoint: ');
  for (const suffix of needsOf(given))
    if (!given.has(suffix)) await answer(suffix, `${flagOf(suffix)}, or nothing: `);
}

function needsOf(given: ReadonlyMap<string, string>): readonly string[] {
  const partner = given.get('PARTNER');
  if (partner === undefined) return ['BASE_URL', 'SCOPE'];
  const preset = [...PRESETS.keys()].find((key) => PRESETS.get(key) === presetOf(partner));
  return NEEDS[preset ?? ''] ?? [];
}

/** The variables by the ends of their names, empty where a value is still to come, and what is wrong with those that were given. */
function plan(name: string, given: ReadonlyMap<string, string>) {
  const wanted = new Map(given);
  for (const suffix of needsOf(given))
    if (suffix !== 'SCOPE' || given.has('PARTNER')) wanted.set(suffix, given.get(suffix) ?? '');
  for (;;) {
    const problems = problemsWith(name, wanted);
    const missing = problems.flatMap((it) => / OAUTH_\w+ is missing;/.exec(it)?.[0].slice(1, -12) ?? []);
    const suffixes = missing.map((variable) => variable.slice(variableOf(name, '').length));
    const placed = suffixes.map((suffix) =>
      suffix !== 'CLIENT_SECRET' && isSecret(suffix) ? `${suffix}_FILE` : suffix,
    );
    if (placed.every((suffix) => wanted.has(suffix))) return { wanted, problems };
    for (const suffix of placed) wanted.set(suffix, '');
  }
}

function problemsWith(name: string, wanted: ReadonlyMap<string, string>): string[] {
  const texts = new Map([...wanted].map(([suffix, text]) => [suffix, text || (EXAMPLES[suffix] ?? 'x')]));
  if (wanted.has('KEY_FILE')) for (const [suffix, text] of Object.entries(UNREAD)) texts.set(suffix, text);
  const variables = new Map([...texts].map(([suffix, text]) => [variableOf(name, '') + suffix, text]));
  variables.set('OAUTH_CLIENTS', name);
  const source = { get: (variable: string) => variables.get(variable), names: () => [...variables.keys()] };
  const { clients, problems } = clientsFromEnvironment(source);
  return [...problems, ...problemsOf(name, clients[name] ?? {}, (path) => variableOf(name, path))];
}
