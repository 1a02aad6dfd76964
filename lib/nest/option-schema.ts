import type { OAuthClientOptions } from '../oauth/options.js';

/** What an option's value must be; `secret` values may also be functions, and may stand in a file. */
export type OptionKind =
  | 'string' | 'secret' | 'path' | 'url' | 'boolean' | 'scope' | 'list' | 'urls' | 'parameters' | 'object'
  | 'count' | 'milliseconds' | 'ratio'
  | readonly string[]; // prettier-ignore

const SIGNING_ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
];

/** Every option of a client by its path: the one list behind validation, the environment and the documentation. */
export const OPTION_SCHEMA: Readonly<Record<string, OptionKind>> = {
  issuer: 'url',
  tokenEndpoint: 'url',
  clientId: 'string',
  clientSecret: 'secret',
  clientSecretFile: 'path',
  tokenEndpointAuthMethod: [
    'client_secret_basic',
    'client_secret_post',
    'client_secret_jwt',
    'private_key_jwt',
    'tls_client_auth',
    'self_signed_tls_client_auth',
    'none',
  ],
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
export const POSITIVE = new Set(['defaultLifetimeMs', 'timeoutMs', 'retry.totalMs']);

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

/** The candidate that `name` most resembles. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  const ranked = candidates.map((candidate) => ({ candidate, distance: editDistance(name, candidate) }));
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
