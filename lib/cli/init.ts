import { parseArgs } from 'node:util';
import { SUFFIXES, clientFromEnvironment, prefixOf, variableLabel } from '../options/environment.js';
import { nearest, plainName } from '../options/nearest.js';
import { PRESETS } from '../options/presets.js';
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

/** Texts by the ends of variables' names. */
type Texts = Map<string, string>;

/** Puts a question to the user. @returns the answer without blanks around it */
export type Ask = (question: string) => Promise<string>;

const SOURCES = ['PARTNER', 'TOKEN_ENDPOINT', 'ISSUER', 'METADATA_URL'];
/** What each preset needs besides credentials, by its plain name. */
const NEEDS: Readonly<Record<string, readonly string[]>> = {
  smartbackend: ['FHIR_BASE_URL', 'SCOPE', 'KEY_ID', 'PRIVATE_KEY_FILE'],
  entra: ['TENANT_ID', 'SCOPE', 'BASE_URL'],
  googleserviceaccount: ['KEY_FILE', 'SCOPE', 'BASE_URL'],
  zoom: ['ACCOUNT_ID'],
  shopify: ['SHOP'],
};
/** What is asked for in other words than the flag's. */
const QUESTIONS: Readonly<Record<string, string>> = { BASE_URL: 'URL of the API', SCOPE: 'Scope' };
/** In place of a preset that reads a file which is not on this machine. */
const UNREAD = { PARTNER: '', KEY_FILE: '', SUBJECT: '', ISSUER: 'https://server.example', CLIENT_ID: 'x', CLIENT_SECRET: 'x' }; // prettier-ignore

/**
 * Describes a new client in `.env.example` and a spec.
 *
 * @param ask left out where nobody can answer
 * @throws {Error} with a sentence on what is wrong with the call
 */
export async function init(args: string[], ask?: Ask): Promise<Outcome> {
  if (args.includes('--help') || args.includes('-h')) return { output: USAGE, code: 0 };
  const suffixes = [...SUFFIXES.keys()];
  const values = valuesOf(args, ['name', 'dir', ...suffixes.map(flagOf)]);
  const { name = (await ask?.('Name of the client, such as lab: ')) ?? '', dir = '.' } = values;
  if (!/^[a-z][\w.-]*$/i.test(name))
    throw new Error('The client needs a --name of letters, digits, dots and dashes, such as lab.');
  const texts = suffixes.map((suffix) => [suffix, values[flagOf(suffix)] ?? ''] as const);
  const given: Texts = new Map(texts.filter(([, text]) => text !== ''));
  const secret = [...given.keys()].find(isSecret);
  if (secret !== undefined)
    throw new Error(
      `init takes no secret: leave out --${flagOf(secret)}, and set ${prefixOf(name)}${secret} where the application runs.`,
    );
  const hasSource = () => SOURCES.some((suffix) => given.has(suffix));
  if (ask && !hasSource()) await askFor(given, ask);
  if (!hasSource())
    throw new Error('Say where the tokens come from: --partner, --token-endpoint or --issuer.');
  const { wanted, problems } = plan(name, given);
  if (problems.length > 0) return { output: problems.map((it) => `problem  ${it}`).join('\n'), code: 2 };
  return { output: writeClient(name, dir, wanted), code: 0 };
}

function valuesOf(args: string[], flags: string[]): Record<string, string | undefined> {
  const given = args.filter((arg) => arg.startsWith('--')).map((arg) => arg.slice(2).replace(/=.*/s, ''));
  const unknown = given.find((flag) => !flags.includes(flag));
  if (unknown !== undefined)
    throw new Error(`There is no flag --${unknown}; did you mean --${nearest(unknown, flags)}?`);
  const options = Object.fromEntries(flags.map((flag) => [flag, { type: 'string' } as const]));
  return parseArgs({ args, options }).values;
}

function flagOf(suffix: string): string {
  return suffix.toLowerCase().replaceAll('_', '-');
}

function isSecret(suffix: string): boolean {
  return SUFFIXES.get(suffix)?.secret === true;
}

/** Asks for the partner, and for what it needs. */
async function askFor(given: Texts, ask: Ask): Promise<void> {
  const answer = async (suffix: string, question: string) => {
    const text = given.get(suffix) ?? (await ask(question));
    if (text !== '') given.set(suffix, text);
  };
  await answer('PARTNER', `Preset (${[...PRESETS.keys()].join(', ')}), or nothing for another partner: `);
  if (!given.has('PARTNER')) await answer('TOKEN_ENDPOINT', 'URL of the token endpoint: ');
  for (const suffix of needsOf(given))
    await answer(suffix, `${QUESTIONS[suffix] ?? flagOf(suffix)}, or nothing: `);
}

function needsOf(given: Texts): readonly string[] {
  const partner = given.get('PARTNER');
  return partner === undefined ? ['BASE_URL', 'SCOPE'] : (NEEDS[plainName(partner)] ?? []);
}

/** The variables, empty where a value is still to come, and what is wrong with those that were given. */
function plan(name: string, given: Texts): { wanted: Texts; problems: string[] } {
  const needs = needsOf(given).filter((suffix) => suffix !== 'SCOPE' || given.has('PARTNER'));
  const wanted: Texts = new Map([
    ...given,
    ...needs.map((suffix) => [suffix, given.get(suffix) ?? ''] as const),
  ]);
  for (;;) {
    const problems = problemsWith(name, wanted);
    const missing = problems.flatMap((it) => / (OAUTH_\w+) is missing;/.exec(it)?.[1] ?? []);
    const lacking = missing
      .map((variable) => variable.slice(prefixOf(name).length))
      .map((suffix) => (isSecret(suffix) && suffix !== 'CLIENT_SECRET' ? `${suffix}_FILE` : suffix))
      .filter((suffix) => !wanted.has(suffix));
    if (lacking.length === 0) return { wanted, problems };
    for (const suffix of lacking) wanted.set(suffix, '');
  }
}

/** A value that is still to come is taken for one that fits. */
function problemsWith(name: string, wanted: Texts): string[] {
  const fitting = (suffix: string) => (/_(ENDPOINT|URL)$/.test(suffix) ? 'https://server.example' : 'x');
  const texts = new Map([...wanted].map(([suffix, text]) => [suffix, text || fitting(suffix)]));
  if (wanted.has('KEY_FILE')) for (const [suffix, text] of Object.entries(UNREAD)) texts.set(suffix, text);
  const variables = new Map([...texts].map(([suffix, text]) => [prefixOf(name) + suffix, text]));
  const source = { get: (one: string) => variables.get(one), names: () => [...variables.keys()] };
  const { options, problems } = clientFromEnvironment(source, [name], name);
  return [...problems, ...problemsOf(name, options, variableLabel(name))];
}
