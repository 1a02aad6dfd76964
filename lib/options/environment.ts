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

function prefixOf(client: string): string {
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
for (const [path, kind] of Object.entries(OPTION_SCHEMA)) {
  if (kind.read) SUFFIXES.set(suffixOf(path), { path, ...kind, read: kind.read });
  if (takesFile(path)) SUFFIXES.set(`${suffixOf(path)}_FILE`, { path, read: fileSource });
}
for (const path of SETTINGS) SUFFIXES.set(suffixOf(path), { path, read: String });

/** Names an option of a client that comes from variables: by its variable, or as in code if it has none. */
export function variableLabel(client: string): (path: string) => string {
  return (path) => (SUFFIXES.has(suffixOf(path)) ? variableOf(client, path) : path);
}

/**
 * Reads `OAUTH_CLIENTS` and each client's variables; empty ones count as absent.
 *
 * @param otherwise where else clients may come from
 * @param only the one client to read
 */
export function clientsFromEnvironment(
  source: EnvironmentSource,
  otherwise = 'or pass clients to OAuthClientModule.forRoot(). A ConfigModule that loads them asynchronously must be global',
  only?: string,
): { names: string[]; clients: Record<string, OAuthClientOptions>; problems: string[] } {
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
  const prefixes = [...owners.keys()].sort((one, other) => other.length - one.length);
  const chosen = names.filter((name) => name === (only ?? name));
  const clients = chosen.map((name) => [name, readClient(name, prefixes, source, problems)]);
  return { names, clients: Object.fromEntries(clients), problems };
}

function readClient(name: string, prefixes: string[], source: EnvironmentSource, problems: string[]) {
  const prefix = prefixOf(name);
  const isOwn = (variable: string) => ownerOf(variable, prefixes) === prefix;
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
  return ofPartner(given, prefix, wrong);
}

/** The client's options, on top of the preset that they name. `wrong` adds a problem of the variable that ends so. */
function ofPartner(
  given: ReadonlyMap<string, unknown>,
  prefix: string,
  wrong: (suffix: string, what: string) => void,
): OAuthClientOptions {
  const { partner } = Object.fromEntries(given) as { partner?: string };
  const preset = presetOf(partner ?? '');
  const known = preset?.settings ?? [];
  if (partner && !preset) wrong('PARTNER', ` must be one of ${[...PRESETS.keys()].join(', ')}.`);
  const remedy = partner ? ` is not a setting of partner ${partner}; remove it.` : ` needs ${prefix}PARTNER.`;
  const isForeign = (path: string) => SETTINGS.has(path) && path !== 'partner' && !known.includes(path);
  const foreign = preset || !partner ? [...given.keys()].filter(isForeign) : [];
  for (const path of foreign) wrong(suffixOf(path), remedy);
  const optionsWith = (settings: readonly string[]) =>
    nest([...given].filter(([path]) => !SETTINGS.has(path) || settings.includes(path)));
  try {
    if (preset) return preset.make(optionsWith(known));
  } catch (error) {
    if (!(error instanceof PresetError)) throw error;
    for (const problem of error.problems) wrong(suffixOf(error.setting), `: ${problem}`);
  }
  return optionsWith([]);
}

/** Of names that prefix each other the longest wins, if it has such a variable: OAUTH_API_CLIENT_ID is none of `api-client`. */
function ownerOf(variable: string, longestFirst: readonly string[]): string | undefined {
  const fitting = longestFirst.filter((prefix) => variable.startsWith(prefix));
  return fitting.find((prefix) => SUFFIXES.has(variable.slice(prefix.length))) ?? fitting[0];
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
