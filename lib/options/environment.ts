import { isRecord } from '../core/token-request.js';
import type { OAuthClientOptions } from './client-options.js';
import { splitList, type OptionKind } from './kinds.js';
import { nearest } from './nearest.js';
import { OPTION_SCHEMA, nest, takesFile } from './option-schema.js';
import { PresetError } from './preset-parts.js';
import { PRESETS, presetOf } from './presets.js';
import { fileSource } from './source.js';

/** Where variables are read from: ConfigService, or a plain record. */
export interface EnvironmentSource {
  get(variable: string): unknown;
  /** Names that exist, to find misspelt ones. */
  names(): string[];
}

/** `buoy` and `clientSecret` → `OAUTH_BUOY_CLIENT_SECRET`; `my-api` → `OAUTH_MY_API_…`; `retry.attempts` → `…_RETRY_ATTEMPTS`. */
export function variableOf(client: string, path: string): string {
  return `${prefixOf(client)}${suffixOf(path)}`;
}

/** What the names of a client's variables begin with. */
export function prefixOf(client: string): string {
  return `OAUTH_${client.replace(/[^A-Za-z0-9]+/g, '_').toUpperCase()}_`;
}

function suffixOf(path: string): string {
  return path.replace(/(?<=[a-z])(?=[A-Z])|\./g, '_').toUpperCase();
}

/** The settings that only presets have, and `partner`. */
const SETTINGS = new Set(['partner', ...[...PRESETS.values()].flatMap(({ settings }) => settings)]);

/** What may follow `OAUTH_<NAME>_`: the option it sets, and how its text is read; its kind, if it holds the value itself. */
export const SUFFIXES = new Map<
  string,
  Partial<OptionKind> & { path: string; read: (text: string) => unknown }
>();
for (const [path, { read, ...kind }] of Object.entries(OPTION_SCHEMA)) {
  if (read) SUFFIXES.set(suffixOf(path), { path, ...kind, read });
  if (takesFile(path)) SUFFIXES.set(`${suffixOf(path)}_FILE`, { path, read: fileSource });
}
for (const path of SETTINGS) SUFFIXES.set(suffixOf(path), { path, read: String });

/** Names an option of a client that comes from variables: by its variable, or as in code if it has none. */
export function variableLabel(client: string): (path: string) => string {
  return (path) => (SUFFIXES.has(suffixOf(path)) ? variableOf(client, path) : path);
}

/** Reads `OAUTH_CLIENTS` and each client's variables; empty ones count as absent. */
export function clientsFromEnvironment(source: EnvironmentSource) {
  const otherwise =
    'or pass clients to OAuthClientModule.forRoot(). If they are in an env file, import ConfigModule.forRoot(); if they are loaded asynchronously, make it global';
  const { names, problems } = namesFromEnvironment(source, otherwise);
  const clients = names.map((name) => {
    const { options, problems: own } = clientFromEnvironment(source, names, name);
    problems.push(...own);
    return [name, options] as const;
  });
  return { clients: Object.fromEntries(clients), problems };
}

/** Reads `OAUTH_CLIENTS`; `otherwise` says where else clients may come from. */
export function namesFromEnvironment(source: EnvironmentSource, otherwise: string) {
  const listed = valueOf(source, 'OAUTH_CLIENTS', ',');
  const names = [...new Set(splitList(typeof listed === 'string' ? listed : ''))];
  const none = `No OAuth client is configured: list their names in OAUTH_CLIENTS, separated by commas, ${otherwise}.`;
  const problems = names.length === 0 ? [none] : [];
  const owners = new Map(names.map((name) => [prefixOf(name), name]));
  for (const name of names) {
    const prefix = prefixOf(name);
    const clash = `OAUTH_CLIENTS: clients "${name}" and "${owners.get(prefix)}" would share the variables ${prefix}*; rename one.`;
    if (owners.get(prefix) !== name) problems.push(clash);
  }
  return { names, problems };
}

/** Reads the variables of the client `name`, one of `names`. */
export function clientFromEnvironment(source: EnvironmentSource, names: readonly string[], name: string) {
  const prefix = prefixOf(name);
  const prefixes = names.map(prefixOf);
  const isOwn = (variable: string) => ownerOf(variable, prefixes) === prefix;
  const problems: string[] = [];
  for (const variable of source.names().filter(isOwn)) {
    const suffix = variable.slice(prefix.length);
    if (SUFFIXES.has(suffix) || valueOf(source, variable, ',') === undefined) continue;
    const right = nearest(suffix, [...SUFFIXES.keys()]);
    problems.push(`${variable} is not a variable of client "${name}"; did you mean ${prefix}${right}?`);
  }
  const wrong = (suffix: string, what: string) =>
    problems.push(`Client "${name}": ${prefix}${suffix}${what}`);
  const given = new Map<string, unknown>();
  for (const [suffix, { path, read, accepts, says = 'must be a text', separator }] of SUFFIXES) {
    const value = isOwn(prefix + suffix) ? valueOf(source, prefix + suffix, separator) : undefined;
    if (value === undefined) continue;
    if (given.has(path)) wrong(suffixOf(path), ` and ${prefix}${suffix} exclude each other; keep one.`);
    if (typeof value === 'string') given.set(path, read(value));
    else if (accepts?.(value)) given.set(path, value);
    else wrong(suffix, ` ${typeof says === 'function' ? says(value) : says}.`);
  }
  return { options: ofPartner(given, prefix, wrong), problems };
}

/** The client's options, on top of the preset that they name. `wrong` adds a problem of the variable that ends so. */
function ofPartner(
  given: ReadonlyMap<string, unknown>,
  prefix: string,
  wrong: (suffix: string, what: string) => void,
): OAuthClientOptions {
  const partner = given.get('partner') as string | undefined;
  const preset = presetOf(partner ?? '');
  if (partner && !preset) wrong('PARTNER', ` must be one of ${[...PRESETS.keys()].join(', ')}.`);
  const remedy = partner ? ` is not a setting of partner ${partner}; remove it.` : ` needs ${prefix}PARTNER.`;
  const settings = [...given.keys()].filter((path) => SETTINGS.has(path) && path !== 'partner');
  const foreign = settings.filter((path) => !preset?.settings.includes(path));
  if (preset || !partner) for (const path of foreign) wrong(suffixOf(path), remedy);
  const optionsWithout = (left: readonly string[]) =>
    nest([...given].filter(([path]) => path !== 'partner' && !left.includes(path)));
  try {
    if (preset) return preset.make(optionsWithout(foreign));
  } catch (error) {
    if (!(error instanceof PresetError)) throw error;
    for (const problem of error.problems) wrong(suffixOf(error.setting), `: ${problem}`);
  }
  return optionsWithout(settings);
}

/** Of prefixes that begin alike the longest owns a variable, if it has such a one: OAUTH_API_CLIENT_ID is none of `api-client`. */
function ownerOf(variable: string, prefixes: readonly string[]): string | undefined {
  const fitting = prefixes.filter((prefix) => variable.startsWith(prefix));
  const longestFirst = fitting.sort((one, other) => other.length - one.length);
  return longestFirst.find((prefix) => SUFFIXES.has(variable.slice(prefix.length))) ?? longestFirst[0];
}

/** The value of a variable, `undefined` if it is empty: a text, which a list with a separator becomes too, or a value that a schema made. */
function valueOf(source: EnvironmentSource, variable: string, separator: string | undefined): unknown {
  const value = source.get(variable);
  const given = [value]
    .flat()
    .map(textOf)
    .filter((one) => (one ?? '') !== '');
  if (!Array.isArray(value) || given.length === 0) return given[0];
  const isText = (one: unknown) => typeof one === 'string' && !one.includes(',');
  return separator !== undefined && given.every(isText) ? given.join(separator) : given;
}

/** URLs, numbers and booleans as texts. Dates, maps and the like are hidden: their members say nothing. */
function textOf(value: unknown): unknown {
  // A URL has a slash after its origin, also if the text had none; an issuer is compared as a text.
  if (value instanceof URL) return value.href.replace(/^(\w+:\/\/[^/]+)\/$/, '$1');
  const isExact = typeof value !== 'number' || Math.abs(value) <= Number.MAX_SAFE_INTEGER;
  if (isExact && /^(number|boolean|bigint)$/.test(typeof value)) return String(value);
  return isRecord(value) && Object.prototype.toString.call(value) !== '[object Object]' ? Symbol() : value;
}
