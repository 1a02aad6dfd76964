import { OAuthConfigurationError } from '../core/errors.js';
import type { OAuthClientOptions } from './client-options.js';
import { nearest } from './nearest.js';
import { splitList } from './option-kinds.js';
import { OPTION_SCHEMA } from './option-schema.js';
import { presets } from './presets.js';
import { readTextFile } from './source.js';

/** Where variables are read from: ConfigService, or a plain record. */
export interface EnvironmentSource {
  get(variable: string): unknown;
  /** Names that exist, to find misspelt ones. */
  names(): string[];
}

/** The clients that the environment describes, and what is wrong with it. */
export interface EnvironmentClients {
  clients: Record<string, OAuthClientOptions>;
  problems: string[];
}

/** `buoy` and `clientSecret` → `OAUTH_BUOY_CLIENT_SECRET`; `my-api` → `OAUTH_MY_API_…`; `retry.attempts` → `…_RETRY_ATTEMPTS`. */
export function variableOf(client: string, path: string): string {
  return `${prefixOf(client)}${suffixOf(path)}`;
}

function prefixOf(client: string): string {
  return `OAUTH_${client.replace(/[^A-Za-z0-9]+/g, '_').toUpperCase()}_`;
}

function suffixOf(path: string): string {
  return path
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .replaceAll('.', '_')
    .toUpperCase();
}

/** What may follow `OAUTH_<NAME>_`: the option it sets, and how its text is read. */
const SUFFIXES = new Map<string, { path: string; read: (text: string) => unknown }>();
for (const [path, { read, secret }] of Object.entries(OPTION_SCHEMA)) {
  if (read) SUFFIXES.set(suffixOf(path), { path, read });
  // Options on the top level say themselves whether there is a file for them.
  if (secret && path.includes('.')) SUFFIXES.set(`${suffixOf(path)}_FILE`, { path, read: fileSource });
}
const KNOWN = [...SUFFIXES.keys(), 'PARTNER', 'ENVIRONMENT'];

/** Of names that prefix each other the longest wins, if it has such a variable: OAUTH_API_CLIENT_ID is none of `api-client`. */
function ownerOf(variable: string, prefixes: readonly string[]): string | undefined {
  const longestFirst = prefixes
    .filter((prefix) => variable.startsWith(prefix))
    .sort((one, other) => other.length - one.length);
  return longestFirst.find((prefix) => KNOWN.includes(variable.slice(prefix.length))) ?? longestFirst[0];
}

/**
 * Reads `OAUTH_CLIENTS` and each client's `OAUTH_<NAME>_…` variables. Empty variables count as absent.
 *
 * @param otherwise where else clients may come from, when none is listed
 */
export function clientsFromEnvironment(
  source: EnvironmentSource,
  otherwise = 'or pass clients to OAuthClientModule.forRoot(). A ConfigModule that loads them asynchronously must be global',
): EnvironmentClients {
  const problems: string[] = [];
  const names = [...new Set(splitList(text(source, 'OAUTH_CLIENTS') ?? ''))];
  if (names.length === 0) {
    problems.push(
      `No OAuth client is configured: list their names in OAUTH_CLIENTS, separated by commas, ${otherwise}.`,
    );
  }
  const owners = new Map<string, string>();
  for (const name of names) {
    const prefix = prefixOf(name);
    const other = owners.get(prefix);
    if (other !== undefined)
      problems.push(
        `OAUTH_CLIENTS: clients "${other}" and "${name}" would share the variables ${prefix}*; rename one.`,
      );
    owners.set(prefix, name);
  }
  const read = (name: string) => clientFromEnvironment(name, [...owners.keys()], source, problems);
  return { clients: Object.fromEntries(names.map((name) => [name, read(name)])), problems };
}

function clientFromEnvironment(
  name: string,
  prefixes: readonly string[],
  source: EnvironmentSource,
  problems: string[],
): OAuthClientOptions {
  const prefix = prefixOf(name);
  const ours = (variable: string) => ownerOf(variable, prefixes) === prefix;
  for (const variable of source.names().filter(ours)) {
    const suffix = variable.slice(prefix.length);
    if (KNOWN.includes(suffix) || text(source, variable) === undefined) continue;
    problems.push(
      `${variable} is not a variable of client "${name}"; did you mean ${prefix}${nearest(suffix, KNOWN)}?`,
    );
  }
  const own: Record<string, unknown> = {};
  const read = (suffix: string) => (ours(prefix + suffix) ? text(source, prefix + suffix) : undefined);
  for (const [suffix, option] of SUFFIXES) {
    const value = read(suffix);
    if (value === undefined) continue;
    const plain = suffixOf(option.path);
    if (suffix !== plain && read(plain) !== undefined)
      problems.push(
        `Client "${name}": ${prefix}${plain} and ${prefix}${suffix} exclude each other; keep one.`,
      );
    assign(own, option.path, option.read(value));
  }
  return withPreset(name, own, source, problems);
}

function withPreset(
  name: string,
  own: OAuthClientOptions,
  source: EnvironmentSource,
  problems: string[],
): OAuthClientOptions {
  const prefix = prefixOf(name);
  const wrong = (what: string) => problems.push(`Client "${name}": ${prefix}${what}`);
  const partner = text(source, `${prefix}PARTNER`);
  const environment = text(source, `${prefix}ENVIRONMENT`);
  const preset = partner !== undefined && Object.hasOwn(presets, partner) ? presets[partner] : undefined;
  if (preset === undefined) {
    if (partner !== undefined) wrong(`PARTNER must be one of ${Object.keys(presets).join(', ')}.`);
    else if (environment !== undefined) wrong(`ENVIRONMENT needs ${prefix}PARTNER.`);
    return own;
  }
  try {
    return preset({ ...own, ...(environment !== undefined && { environment }) });
  } catch (error) {
    if (!(error instanceof OAuthConfigurationError)) throw error;
    for (const problem of error.problems) wrong(`ENVIRONMENT: ${problem}`);
    return own;
  }
}

function text(source: EnvironmentSource, variable: string): string | undefined {
  const value = source.get(variable);
  // ConfigService hands on what a schema made of a variable.
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return undefined;
  return value === '' ? undefined : String(value);
}

function assign(target: Record<string, unknown>, path: string, value: unknown): void {
  const [head, member] = path.split('.') as [string, string?];
  if (member === undefined) {
    target[head] ??= value;
    return;
  }
  const present = target[head] ?? true;
  // What is switched off stays off, and what validation has to report stays as it is.
  if (present !== true && typeof present !== 'object') return;
  target[head] = { ...(present === true ? {} : present), [member]: value };
}

/** Asked at each token request, as files are replaced. */
function fileSource(path: string): () => Promise<string> {
  return () => readTextFile(path);
}
