import { isRecord } from '../core/token-request.js';
import { HMAC_ALGORITHMS, KEY_OF, TOKEN_ENDPOINT_AUTH_METHODS } from './client-options.js';
import type { OAuthClientOptions } from './client-options.js';
import { nearGrantType, nearValues } from './nearest.js';
import { isTaken } from './parameter-names.js';
import { isHeader, isJson, isSource, readMembers, readQuery } from './sent-values.js';

/** What an option's value must be. */
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

const SECRET = 'must be a text that is not empty, or a function that returns one';
const URIS = 'must hold absolute URIs without fragments';
/** A PEM may stand on one line, as env files and dashboards keep it. */
const readPem = (text: string) => (text.startsWith('-----BEGIN') ? text.replaceAll('\\n', '\n') : text);
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/;
const HEADER = /^[\w!#$%&'*+.^`|~-]+$/;
const SCHEME = /^([\x21-\x7e]+( [\x21-\x7e]+)*)?$/;

/** The kinds of options: what they accept, what is said of anything else, and how a variable's text is read. */
export const KINDS = {
  text: { accepts: isText, says: 'must be a text that is not empty', read: String },
  path: { accepts: isText, says: "must be a file's path", read: String },
  secret: { accepts: (value) => isText(value) || typeof value === 'function', says: SECRET, read: readPem, secret: true },
  key: { accepts: (value) => isText(value) || typeof value === 'function' || isRecord(value), says: SECRET, read: readPem, secret: true },
  url: { accepts: isUrl, says: 'must be an absolute http(s) URL without user name and fragment', read: String },
  boolean: { accepts: (value) => typeof value === 'boolean', says: 'must be true or false', read: (text) => (/^(true|false)$/.test(text) ? text === 'true' : text) },
  scope: { accepts: (value) => isText(value) && SCOPE.test(value), says: 'must be scope values separated by single spaces (RFC 6749 §3.3)', read: String, separator: ' ' },
  list: { accepts: (value) => isText(value) || (Array.isArray(value) && value.length > 0 && value.every(isText)), says: 'must be a text that is not empty, or a list of them', read: splitList, separator: ',' },
  uris: { accepts: (value) => [value].flat().every((one) => isUrl(one, /./)), says: URIS, read: splitList, separator: ',' },
  origins: { accepts: (value) => [value].flat().every((one) => isUrl(one)), says: URIS, read: splitList, separator: ',' },
  parameters: { accepts: (value) => isRecord(value) && Object.entries(value).every(isParameter), says: 'must be parameter names with texts, and may not replace the grant or the credentials', read: readQuery },
  sources: { accepts: (value) => isRecord(value) && Object.entries(value).every(isSource), says: 'must be parameter names with texts, or functions that return one, and may not replace grant_type or the client’s credentials', read: readQuery },
  headers: { accepts: (value) => isRecord(value) && Object.entries(value).every(isHeader), says: 'must be header names with texts, or functions that return one, and may not set Content-Length, Transfer-Encoding or DPoP', read: readQuery },
  claims: jsonWithout(['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti'], 'which are set for each assertion'),
  joseHeader: jsonWithout(['alg', 'kid', 'typ', 'crit', 'b64'], 'the first three of which have options of their own'),
  grantType: { accepts: (value) => isText(value) && nearGrantType(value) === undefined, says: (value) => (isText(value) ? `is almost a grant that is built in; did you mean ${nearGrantType(value)}?` : 'must be a text that is not empty'), read: String },
  object: { accepts: isRecord, says: 'must be an object' },
  function: { accepts: (value) => typeof value === 'function', says: 'must be a function' },
  header: { accepts: (value) => isText(value) && HEADER.test(value) && !/^(dpop|host|cookie|connection|te|upgrade|content-.*|transfer-encoding)$/i.test(value), says: 'must be the name of a header, and of none that HTTP or DPoP needs', read: String },
  scheme: { accepts: (value) => typeof value === 'string' && SCHEME.test(value), says: 'must be visible characters, or empty for the token alone', read: (text) => (text === 'none' ? '' : text) },
  statuses: { accepts: (value) => Array.isArray(value) && value.length > 0 && value.every(isRefusal), says: 'must be a list of HTTP statuses from 300 to 599', separator: ',', read: (text) => splitList(text).map((one) => (/^\d+$/.test(one) ? Number(one) : one)) },
  count: number((value) => Number.isInteger(value) && value >= 1, 'must be a whole number of at least 1'),
  ratio: number((value) => value >= 0 && value <= 1, 'must be a number from 0 to 1'),
  pause: number((value) => value >= 0, 'must be a number of milliseconds, 0 or more'),
  duration: number((value) => value > 0, 'must be a number of milliseconds, more than 0'),
} satisfies Record<string, OptionKind>; // prettier-ignore

/** Every option of a client by its path: the one list behind validation, the environment and the documentation. */
export const OPTION_SCHEMA: Readonly<Record<string, OptionKind>> = {
  issuer: KINDS.url,
  metadataURL: KINDS.url,
  tokenEndpoint: KINDS.url,
  clientId: KINDS.text,
  clientSecret: KINDS.secret,
  clientSecretFile: KINDS.path,
  tokenEndpointAuthMethod: oneOf(TOKEN_ENDPOINT_AUTH_METHODS),
  basicEncoding: oneOf(['form', 'raw']),
  privateKey: KINDS.key,
  privateKeyFile: KINDS.path,
  keyId: KINDS.text,
  signingAlgorithm: oneOf([...Object.keys(KEY_OF), ...HMAC_ALGORITHMS]),
  'assertion.audience': KINDS.text,
  'assertion.typ': KINDS.text,
  'assertion.header': KINDS.joseHeader,
  'assertion.claims': KINDS.claims,
  'assertion.lifetimeMs': KINDS.duration,
  'assertion.certificate': KINDS.secret,
  'assertion.certificateFile': KINDS.path,
  'assertion.token': KINDS.secret,
  'assertion.tokenFile': KINDS.path,
  'assertion.clientAssertionType': KINDS.text,
  'tls.cert': KINDS.secret,
  'tls.key': KINDS.secret,
  'tls.ca': KINDS.secret,
  'tls.passphrase': KINDS.secret,
  'grant.type': KINDS.grantType,
  'grant.refreshToken': KINDS.secret,
  'grant.assertion': KINDS.secret,
  'grant.issuer': KINDS.text,
  'grant.subject': KINDS.text,
  'grant.audience': KINDS.text,
  'grant.claims': KINDS.claims,
  'grant.lifetimeMs': KINDS.duration,
  'grant.subjectTokenType': KINDS.text,
  'grant.actorToken': KINDS.secret,
  'grant.actorTokenType': KINDS.text,
  'grant.requestedTokenType': KINDS.text,
  'grant.parameters': KINDS.sources,
  scope: KINDS.scope,
  audience: KINDS.list,
  resource: KINDS.uris,
  parameters: KINDS.parameters,
  requestFormat: oneOf(['form', 'json']),
  tokenRequestHeaders: KINDS.headers,
  readTokenResponse: KINDS.function,
  requestToken: KINDS.function,
  'tokenHeader.name': KINDS.header,
  'tokenHeader.scheme': KINDS.scheme,
  dpop: KINDS.boolean,
  'dpop.algorithm': oneOf(Object.keys(KEY_OF)),
  'dpop.privateKey': KINDS.key,
  baseURL: KINDS.url,
  allowedOrigins: KINDS.origins,
  allowInsecureRequests: KINDS.boolean,
  defaultLifetimeMs: KINDS.duration,
  'refreshAhead.ratio': KINDS.ratio,
  'refreshAhead.maxMs': KINDS.pause,
  timeoutMs: KINDS.duration,
  'retry.attempts': KINDS.count,
  'retry.minDelayMs': KINDS.pause,
  'retry.maxDelayMs': KINDS.pause,
  'retry.totalMs': KINDS.duration,
  'unauthorized.statuses': KINDS.statuses,
  'unauthorized.when': KINDS.function,
  'unauthorized.retry': KINDS.boolean,
  prefetch: oneOf(['off', 'background', 'required']),
  http: KINDS.object,
  'http.headers': { ...KINDS.object, read: readQuery },
};

/** Whether a variable may name a file instead of the value. Other options have one of their own for that, or none. */
export function takesFile(path: string): boolean {
  return OPTION_SCHEMA[path]?.secret === true && path.includes('.') && !(`${path}File` in OPTION_SCHEMA);
}

export function groupOf(path: string): string {
  return path.replace(/\..*/, '');
}

export function membersOf(group: string): string[] {
  return Object.keys(OPTION_SCHEMA).filter((path) => path.startsWith(`${group}.`));
}

/** Options by path, nested ones joined by a dot after their group, which is then empty; absent ones left out. */
export function flatten(options: OAuthClientOptions): Map<string, unknown> {
  const flat = new Map<string, unknown>();
  for (const [name, value] of Object.entries<unknown>({ ...options })) {
    flat.set(name, isGroup(name, value) ? {} : value);
    if (!isGroup(name, value)) continue;
    for (const [member, inner] of Object.entries(value)) flat.set(`${name}.${member}`, inner);
  }
  return new Map([...flat].filter(([, value]) => value !== undefined));
}

/** The options that {@link flatten} gives these paths. A group that is switched off stays off. */
export function nest(flat: Iterable<readonly [string, unknown]>): OAuthClientOptions {
  const options: Record<string, unknown> = {};
  for (const [path, value] of flat) {
    const [name = '', member] = path.split('.');
    const { [name]: present = true } = options;
    const group = present === true ? {} : present;
    if (member === undefined) options[name] = value;
    else if (isRecord(group)) options[name] = { ...group, [member]: value };
  }
  return options;
}

export function isGroup(name: string, value: unknown): value is Record<string, unknown> {
  return isRecord(value) && membersOf(name).length > 0;
}

function oneOf(values: readonly string[]): OptionKind {
  const says = (value: unknown) => {
    const near = isText(value) ? nearValues(value, values).join(' or ') : '';
    return `must be one of ${values.join(', ')}${near && `; did you mean ${near}?`}`;
  };
  return { accepts: (value) => values.includes(value as string), says, read: String, values };
}

export function isSecure(url: string): boolean {
  return new URL(url).protocol === 'https:' || isLoopback(url);
}

/** Whether a URL is http that does not leave this machine. */
export function isLoopback(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'http:' && /^((.+\.)?localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}

export function splitList(text: string): string[] {
  const parts = text.split(',').map((part) => part.trim());
  return parts.filter((part) => part !== '');
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function isRefusal(status: unknown): boolean {
  return Number.isInteger(status) && Number(status) >= 300 && Number(status) <= 599;
}

function isUrl(value: unknown, protocols = /^https?:$/): value is string {
  // A parser skips line breaks and blanks, a log or a table does not.
  if (!isText(value) || value.length > 2_048 || /[\s\p{C}]/u.test(value) || !URL.canParse(value))
    return false;
  const { protocol, username, password, hash } = new URL(value);
  return protocols.test(protocol) && username + password + hash === '' && !value.endsWith('#');
}

function isParameter([name, value]: [string, unknown]): boolean {
  const isFree = name === 'client_id' || !isTaken(name);
  return isFree && [value].flat().every((text) => typeof text === 'string');
}

function jsonWithout(names: readonly string[], why: string): OptionKind {
  const accepts = (value: unknown) =>
    isRecord(value) && isJson(value) && !names.some((name) => Object.hasOwn(value, name));
  const says = `must be an object of JSON values without ${names.join(', ')}, ${why}`;
  return { accepts, says, read: readMembers };
}

function number(fits: (value: number) => boolean, says: string): OptionKind {
  const accepts = (value: unknown) => typeof value === 'number' && Number.isFinite(value) && fits(value);
  // What is no number stays text, so that it is reported with all the rest.
  const read = (text: string) => (text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text));
  return { accepts, says, read };
}
