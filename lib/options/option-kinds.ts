import { RESERVED_PARAMETERS } from '../oauth/grants.js';
import {
  SIGNING_ALGORITHMS,
  TOKEN_ENDPOINT_AUTH_METHODS,
  type OAuthClientOptions,
} from './client-options.js';

/** What an option's value must be; `secret` values may also be functions, and may stand in a file. */
export type OptionKind =
  | 'string' | 'secret' | 'path' | 'url' | 'boolean' | 'scope' | 'list' | 'urls' | 'parameters' | 'object'
  | 'count' | 'milliseconds' | 'ratio'
  | readonly string[]; // prettier-ignore

/** Every option of a client by its path: the one list behind validation, the environment and the documentation. */
export const OPTION_SCHEMA: Readonly<Record<string, OptionKind>> = {
  issuer: 'url',
  tokenEndpoint: 'url',
  clientId: 'string',
  clientSecret: 'secret',
  clientSecretFile: 'path',
  tokenEndpointAuthMethod: TOKEN_ENDPOINT_AUTH_METHODS,
  basicEncoding: ['form', 'raw'],
  privateKey: 'secret',
  privateKeyFile: 'path',
  keyId: 'string',
  signingAlgorithm: SIGNING_ALGORITHMS,
  assertionAudience: 'string',
  'tls.cert': 'secret',
  'tls.key': 'secret',
  'tls.ca': 'secret',
  'tls.passphrase': 'secret',
  'grant.type': ['client_credentials', 'refresh_token', 'jwt_bearer', 'token_exchange'],
  'grant.refreshToken': 'secret',
  'grant.assertion': 'secret',
  'grant.subjectTokenType': 'string',
  'grant.actorToken': 'secret',
  'grant.actorTokenType': 'string',
  'grant.requestedTokenType': 'string',
  scope: 'scope',
  audience: 'list',
  resource: 'urls',
  parameters: 'parameters',
  requestFormat: ['form', 'json'],
  dpop: 'boolean',
  'dpop.algorithm': SIGNING_ALGORITHMS,
  'dpop.privateKey': 'secret',
  baseURL: 'url',
  allowedOrigins: 'urls',
  allowInsecureRequests: 'boolean',
  defaultLifetimeMs: 'milliseconds',
  'refreshAhead.ratio': 'ratio',
  'refreshAhead.maxMs': 'milliseconds',
  timeoutMs: 'milliseconds',
  'retry.attempts': 'count',
  'retry.minDelayMs': 'milliseconds',
  'retry.maxDelayMs': 'milliseconds',
  'retry.totalMs': 'milliseconds',
  unauthorizedRetry: 'boolean',
  prefetch: ['off', 'background', 'required'],
  http: 'object',
} satisfies Partial<Record<keyof OAuthClientOptions | (string & {}), OptionKind>>;

/** Durations that may not be 0. */
const POSITIVE = new Set(['defaultLifetimeMs', 'timeoutMs', 'retry.totalMs']);

/** The sentence's end for a value of the wrong kind. */
export function expectation(path: string, kind: OptionKind): string {
  if (typeof kind !== 'string') return `must be one of ${kind.join(', ')}`;
  const texts = {
    string: 'must be a text that is not empty',
    secret: 'must be a text that is not empty, or a function that returns one',
    path: "must be a file's path",
    url: 'must be an absolute http(s) URL without user name and fragment',
    boolean: 'must be true or false',
    scope: 'must be scope values separated by single spaces (RFC 6749 §3.3)',
    list: 'must be a text that is not empty, or a list of them',
    urls: 'must hold absolute URIs without fragments',
    parameters: 'must be parameter names with texts, and may not replace the grant or the credentials',
    object: 'must be an object',
    count: 'must be a whole number of at least 1',
    milliseconds: `must be a number of milliseconds, ${POSITIVE.has(path) ? 'more than 0' : '0 or more'}`,
    ratio: 'must be a number from 0 to 1',
  };
  return texts[kind];
}

/** Whether a value is of its option's kind. */
export function fits(path: string, value: unknown, kind: OptionKind): boolean {
  if (typeof kind !== 'string') return kind.includes(value as string);
  switch (kind) {
    case 'string':
    case 'path':
      return isText(value);
    case 'secret':
      return isText(value) || typeof value === 'function' || (/privateKey$/.test(path) && isRecord(value));
    case 'url':
      return isUrl(value, /^https?:$/);
    case 'boolean':
      return typeof value === 'boolean';
    case 'scope':
      return (
        typeof value === 'string' && /^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/.test(value)
      );
    case 'list':
      return isText(value) || (Array.isArray(value) && value.length > 0 && value.every(isText));
    case 'urls':
      return [value].flat().every((one) => isUrl(one, path === 'allowedOrigins' ? /^https?:$/ : /./));
    case 'parameters':
      return (
        isRecord(value) &&
        Object.entries(value).every(
          ([name, one]) =>
            !RESERVED_PARAMETERS.has(name) && [one].flat().every((text) => typeof text === 'string'),
        )
      );
    case 'object':
      return isRecord(value);
    case 'count':
      return Number.isInteger(value) && (value as number) >= 1;
    case 'milliseconds':
      return Number.isFinite(value) && (value as number) >= (POSITIVE.has(path) ? Number.MIN_VALUE : 0);
    case 'ratio':
      return Number.isFinite(value) && (value as number) >= 0 && (value as number) <= 1;
  }
}

/** The options without those at `paths`; a grant of no known type goes altogether. */
export function without(options: OAuthClientOptions, paths: readonly string[]): OAuthClientOptions {
  const rest: Record<string, unknown> = { ...options };
  for (const path of paths) {
    const [name, member] = path.split('.') as [string, string?];
    const group = rest[name];
    if (member === undefined || !isRecord(group)) delete rest[name];
    else rest[name] = Object.fromEntries(Object.entries(group).filter(([inner]) => inner !== member));
  }
  if (isRecord(rest['grant']) && rest['grant']['type'] === undefined) delete rest['grant'];
  return rest;
}

/** Options by path, nested ones joined by a dot; absent ones left out. */
export function flatten(options: OAuthClientOptions): Map<string, unknown> {
  const flat = new Map<string, unknown>();
  for (const [name, value] of Object.entries(options) as [string, unknown][]) {
    const nested = isRecord(value) && Object.keys(OPTION_SCHEMA).some((path) => path.startsWith(`${name}.`));
    if (nested) for (const [member, inner] of Object.entries(value)) flat.set(`${name}.${member}`, inner);
    else if (value !== undefined) flat.set(name, value);
  }
  for (const [path, value] of flat) if (value === undefined) flat.delete(path);
  return flat;
}

/** The candidate that `name` most resembles; one that contains it, if any does. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  const containing = candidates.filter((candidate) => candidate.includes(name));
  const likely = name.length > 2 && containing.length > 0 ? containing : candidates;
  const ranked = likely.map((candidate) => ({ candidate, distance: editDistance(name, candidate) }));
  return ranked.sort((a, b) => a.distance - b.distance)[0]?.candidate;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substituted, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

/** Whether a value is an object with members. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isUrl(value: unknown, protocols: RegExp): boolean {
  if (!isText(value) || !URL.canParse(value)) return false;
  const { protocol, username, password, hash } = new URL(value);
  return (
    protocols.test(protocol) && username === '' && password === '' && hash === '' && !value.endsWith('#')
  );
}
