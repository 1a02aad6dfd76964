/** What an option's value must be. */
export interface OptionKind {
  /** Whether a value is of this kind. */
  accepts: (value: unknown) => boolean;
  /** The end of the sentence about a value that is not. */
  says: string;
  /** What the text of a variable means; left out where a variable cannot say it. */
  read?: (text: string) => unknown;
  /** Whether the value may also come from a function, or from a file that a variable names. */
  secret?: boolean;
  /** Every value there is, if they can be listed. */
  values?: readonly string[];
}

/** Set by the grant and the client's authentication; free parameters never replace them. */
export const RESERVED_PARAMETERS: ReadonlySet<string> = new Set([
  'grant_type', 'client_id', 'client_secret', 'client_assertion', 'client_assertion_type',
  'refresh_token', 'assertion', 'subject_token', 'subject_token_type', 'actor_token', 'actor_token_type',
]); // prettier-ignore

const SECRET = 'must be a text that is not empty, or a function that returns one';
const URIS = 'must hold absolute URIs without fragments';
const PARAMETERS = 'must be parameter names with texts, and may not replace the grant or the credentials';

/** The kinds of options: what they accept, what is said of anything else, and how a variable's text is read. */
export const KINDS = {
  text: { accepts: isText, says: 'must be a text that is not empty', read: asItIs },
  path: { accepts: isText, says: "must be a file's path", read: asItIs },
  secret: { accepts: isSecret, says: SECRET, read: readPem, secret: true },
  key: { accepts: (value) => isSecret(value) || isRecord(value), says: SECRET, read: readPem, secret: true },
  url: { accepts: isUrl, says: 'must be an absolute http(s) URL without user name and fragment', read: asItIs },
  boolean: { accepts: (value) => typeof value === 'boolean', says: 'must be true or false', read: readBoolean },
  scope: { accepts: isScope, says: 'must be scope values separated by single spaces (RFC 6749 §3.3)', read: asItIs },
  list: { accepts: isList, says: 'must be a text that is not empty, or a list of them', read: splitList },
  uris: { accepts: (value) => [value].flat().every((one) => isUrl(one, /./)), says: URIS, read: splitList },
  origins: { accepts: (value) => [value].flat().every((one) => isUrl(one)), says: URIS, read: splitList },
  parameters: { accepts: areParameters, says: PARAMETERS, read: readQuery },
  object: { accepts: isRecord, says: 'must be an object' },
  count: number(Number.isInteger, 1, Infinity, 'must be a whole number of at least 1'),
  ratio: number(Number.isFinite, 0, 1, 'must be a number from 0 to 1'),
  pause: number(Number.isFinite, 0, Infinity, 'must be a number of milliseconds, 0 or more'),
  duration: number(Number.isFinite, Number.MIN_VALUE, Infinity, 'must be a number of milliseconds, more than 0'),
} satisfies Record<string, OptionKind>; // prettier-ignore

/** An option with a fixed set of values. */
export function oneOf(values: readonly string[]): OptionKind {
  return {
    accepts: (value) => values.includes(value as string),
    says: `must be one of ${values.join(', ')}`,
    read: asItIs,
    values,
  };
}

/** Whether a value is an object with members. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether a URL is https, or http that does not leave this machine. */
export function isSecure(url: string): boolean {
  return new URL(url).protocol === 'https:' || isLoopback(url);
}

/** Whether a URL is http that does not leave this machine. */
export function isLoopback(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'http:' && /^((.+\.)?localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}

/** The parts of a list that is separated by commas. */
export function splitList(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function isSecret(value: unknown): boolean {
  return isText(value) || typeof value === 'function';
}

function isScope(value: unknown): boolean {
  return isText(value) && /^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/.test(value);
}

function isList(value: unknown): boolean {
  return isText(value) || (Array.isArray(value) && value.length > 0 && value.every(isText));
}

function isUrl(value: unknown, protocols = /^https?:$/): value is string {
  if (!isText(value) || !URL.canParse(value)) return false;
  const { protocol, username, password, hash } = new URL(value);
  return protocols.test(protocol) && username + password + hash === '' && !value.endsWith('#');
}

function areParameters(value: unknown): boolean {
  const isParameter = ([name, one]: [string, unknown]) =>
    !RESERVED_PARAMETERS.has(name) && [one].flat().every((text) => typeof text === 'string');
  return isRecord(value) && Object.entries(value).every(isParameter);
}

function number(is: (value: unknown) => boolean, min: number, max: number, says: string): OptionKind {
  return {
    accepts: (value) => is(value) && (value as number) >= min && (value as number) <= max,
    says,
    // What is no number stays text, so that it is reported with all the rest.
    read: (text) => (text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text)),
  };
}

function readBoolean(text: string): boolean | string {
  return text === 'true' ? true : text === 'false' ? false : text;
}

function asItIs(text: string): string {
  return text;
}

/** A PEM may stand on one line, as env files and dashboards keep it. */
function readPem(text: string): string {
  return text.startsWith('-----BEGIN') ? text.replaceAll('\\n', '\n') : text;
}

function readQuery(text: string): Record<string, string | string[]> {
  const query = new URLSearchParams(text);
  const valuesOf = (name: string) => {
    const [first = '', ...others] = query.getAll(name);
    return others.length === 0 ? first : [first, ...others];
  };
  return Object.fromEntries([...query.keys()].map((name) => [name, valuesOf(name)]));
}
