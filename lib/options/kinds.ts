import { SCOPE_CHARACTERS, isRecord } from '../core/token-request.js';
import { nearGrantType, nearValues, plainName } from './nearest.js';

/** A kind of option: which values it accepts, and how to read one from a text. */
export interface OptionKind {
  accepts: (value: unknown) => boolean;
  /** The end of the sentence about a value that is not. */
  says: string | ((value: unknown) => string);
  /** What the text of a variable means; left out where a variable cannot say it. */
  read?: (text: string) => unknown;
  /** What separates the values of a list in that text. */
  separator?: ',' | ' ';
  /** Whether the value may also come from a function, or from a file that a variable names. */
  secret?: boolean;
  /** Every value there is, if they can be listed. */
  values?: readonly string[];
}

const TEXT = 'must be a text that is not empty';
const SECRET = `${TEXT}, or a function that returns one`;
const URIS = 'must hold absolute URIs without fragments';
const HEADER = /^[\w!#$%&'*+.^`|~-]+$/;
const SCHEME = /^([\x21-\x7e]+( [\x21-\x7e]+)*)?$/;
/** Set by the client's authentication and by every grant. */
const CLIENT_PARAMETERS = ['grant_type', 'client_id', 'client_secret', 'client_assertion', 'client_assertion_type']; // prettier-ignore
/** What free parameters never replace: those, and what the grants that take a token set. */
const TAKEN = [...CLIENT_PARAMETERS, 'refresh_token', 'assertion', 'subject_token', 'subject_token_type', 'actor_token', 'actor_token_type']; // prettier-ignore

/** The kinds of options: what they accept, the message for other values, and how a variable's text is read. */
export const KINDS = {
  text: text(TEXT),
  path: text("must be a file's path"),
  secret: { accepts: isSecret, says: SECRET, read: readPem, secret: true },
  key: { accepts: (value) => isSecret(value) || isRecord(value), says: SECRET, read: readPem, secret: true },
  url: text('must be an absolute http(s) URL without user name and fragment', (url) => isUrl(url)),
  boolean: { accepts: (value) => typeof value === 'boolean', says: 'must be true or false', read: (value) => (/^(true|false)$/.test(value) ? value === 'true' : value) },
  scope: { ...text('must be scope values separated by single spaces (RFC 6749 §3.3)', (scope) => SCOPE_CHARACTERS.test(scope) && scope.split(' ').every(isText)), separator: ' ' },
  list: { accepts: (value) => isText(value) || (Array.isArray(value) && value.length > 0 && value.every(isText)), says: `${TEXT}, or a list of them`, read: splitList, separator: ',' },
  uris: { accepts: (value) => [value].flat().length > 0 && [value].flat().every((one) => isUrl(one, /./)), says: URIS, read: splitList, separator: ',' },
  origins: { accepts: (value) => Array.isArray(value) && value.every((one) => isUrl(one) && !one.includes('*')), says: `${URIS} or wildcards, as a list`, read: splitList, separator: ',' },
  parameters: entries('must be parameter names with texts, and may not replace the grant or the credentials', (name, value) => (name === 'client_id' || !isTaken(name)) && [value].flat().every((one) => typeof one === 'string')),
  sources: entries('must be parameter names with texts, or functions that return one, and may not replace grant_type or the client’s credentials', (name, value) => !isTaken(name, CLIENT_PARAMETERS) && isSecret(value)),
  headers: entries('must be header names with texts, or functions that return one, and may not set Content-Length, Transfer-Encoding or DPoP', (name, value) => HEADER.test(name) && !/^(content-length|transfer-encoding|dpop)$/i.test(name) && (typeof value === 'function' || isHeaderValue(value))),
  claims: jsonWithout(['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti'], 'which are set for each assertion'),
  joseHeader: jsonWithout(['alg', 'kid', 'typ', 'crit', 'b64'], 'the first three of which have options of their own'),
  grantType: { accepts: (value) => isText(value) && nearGrantType(value) === undefined, says: (value) => (isText(value) ? `is almost a grant that is built in; did you mean ${nearGrantType(value)}?` : TEXT), read: String },
  object: { accepts: isRecord, says: 'must be an object' },
  httpHeaders: { accepts: (value) => isRecord(value) && Object.keys(value).every((name) => HEADER.test(name)), says: (value) => (isRecord(value) ? 'must be header names with texts, or functions that return one' : 'must be an object'), read: readMembers },
  function: { accepts: (value) => typeof value === 'function', says: 'must be a function' },
  header: text('must be the name of a header, and of none that HTTP or DPoP needs', (name) => HEADER.test(name) && !/^(dpop|host|cookie|connection|te|upgrade|content-.*|transfer-encoding)$/i.test(name)),
  scheme: { accepts: (value) => typeof value === 'string' && SCHEME.test(value), says: 'must be visible characters, or empty for the token alone', read: (value) => (value === 'none' ? '' : value) },
  statuses: { accepts: (value) => Array.isArray(value) && value.length > 0 && value.every((one) => Number.isInteger(one) && one >= 300 && one <= 599), separator: ',', says: 'must be a list of HTTP statuses from 300 to 599', read: (value) => splitList(value).map((one) => (/^\d+$/.test(one) ? Number(one) : one)) },
  count: number((value) => Number.isInteger(value) && value >= 1, 'must be a whole number of at least 1'),
  ratio: number((value) => value >= 0 && value <= 1, 'must be a number from 0 to 1'),
  pause: number((value) => value >= 0, 'must be a number of milliseconds, 0 or more'),
  duration: number((value) => value > 0, 'must be a number of milliseconds, more than 0'),
} satisfies Record<string, OptionKind>; // prettier-ignore

function text(says: string, fits = (_value: string): boolean => true): OptionKind {
  return { accepts: (value) => isText(value) && fits(value), says, read: String };
}

function entries(says: string, fits: (name: string, value: unknown) => boolean): OptionKind {
  const accepts = (value: unknown) =>
    isRecord(value) && Object.entries(value).every((entry) => fits(...entry));
  return { accepts, says, read: readMembers };
}

function jsonWithout(names: readonly string[], why: string): OptionKind {
  const accepts = (value: unknown) =>
    isRecord(value) && isJson(value) && !names.some((name) => Object.hasOwn(value, name));
  const says = `must be an object of JSON values without ${names.join(', ')}, ${why}`;
  return { accepts, says, read: readMembers };
}

function number(fits: (value: number) => boolean, says: string): OptionKind {
  const accepts = (value: unknown) => typeof value === 'number' && Number.isFinite(value) && fits(value);
  // Anything else stays a text, so that it is reported with all the other problems.
  const read = (value: string) =>
    value.trim() === '' || Number.isNaN(Number(value)) ? value : Number(value);
  return { accepts, says, read };
}

/** One of these values. For any other, the message suggests similar ones. */
export function oneOf(values: readonly string[]): OptionKind {
  const says = (value: unknown) => {
    const near = isText(value) ? nearValues(value, values).join(' or ') : '';
    return `must be one of ${values.join(', ')}${near && `; did you mean ${near}?`}`;
  };
  return { accepts: (value) => values.includes(value as string), says, read: String, values };
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function isSecret(value: unknown): boolean {
  return isText(value) || typeof value === 'function';
}

/** Whether it is an absolute URL without user name and fragment. */
export function isUrl(value: unknown, protocols = /^https?:$/): value is string {
  // A parser skips line breaks and blanks, a log or a table does not.
  if (!isText(value) || value.length > 2_048 || /[\s\p{C}]/u.test(value) || !URL.canParse(value))
    return false;
  const { protocol, username, password, hash } = new URL(value);
  return protocols.test(protocol) && username + password + hash === '' && !value.endsWith('#');
}

/** Whether JSON can represent the value exactly. */
function isJson(value: unknown, depth = 0): boolean {
  if (typeof value === 'object' && value !== null && depth < 16)
    return Object.values(value).every((inner) => isJson(inner, depth + 1));
  return value === null || /^(string|boolean)$/.test(typeof value) || Number.isFinite(value);
}

/** Whether a header can carry the text as it is (RFC 9110 §5.5). */
export function isHeaderValue(value: unknown): value is string {
  return isText(value) && value.trim() === value && /^[\t\x20-\x7e\x80-\xff]+$/.test(value);
}

/** Whether a server may read a parameter's name as one of `taken`. By default, these are the names that free parameters never replace. */
export function isTaken(name: string, taken: readonly string[] = TAKEN): boolean {
  return taken.some((other) => plainName(other) === plainName(name));
}

/** A PEM may stand on one line, as env files and dashboards keep it: its line breaks are then written out. */
export function readPem(value: string): string {
  return value.includes('-----BEGIN') ? value.trim().replace(/(\\r)?\\n/g, '\n') : value;
}

/** A JSON object, or a query string where texts will do. */
function readMembers(value: string): unknown {
  try {
    return value.startsWith('{') ? JSON.parse(value) : readQuery(value);
  } catch {
    return value; // reported with all the rest
  }
}

/** The parameters of a query string. Names that come more than once become lists. */
export function readQuery(query: string | URLSearchParams): Record<string, string | string[]> {
  const parameters = new URLSearchParams(query);
  const lists = [...parameters.keys()].map((name) => [name, parameters.getAll(name)] as const);
  return Object.fromEntries(lists.map(([name, list]) => [name, list.length > 1 ? list : list.join('')]));
}

/** The parts of a list that are not empty. */
export function splitList(value: string): string[] {
  return value
    .split(',')
    .map((part) => part.trim())
    .filter(isText);
}
