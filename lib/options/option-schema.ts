import {
  SIGNING_ALGORITHMS,
  TOKEN_ENDPOINT_AUTH_METHODS,
  type OAuthClientOptions,
} from './client-options.js';
import { KINDS, isRecord, oneOf, type OptionKind } from './option-kinds.js';

/** Every option of a client by its path: the one list behind validation, the environment and the documentation. */
export const OPTION_SCHEMA: Readonly<Record<string, OptionKind>> = {
  issuer: KINDS.url,
  tokenEndpoint: KINDS.url,
  clientId: KINDS.text,
  clientSecret: KINDS.secret,
  clientSecretFile: KINDS.path,
  tokenEndpointAuthMethod: oneOf(TOKEN_ENDPOINT_AUTH_METHODS),
  basicEncoding: oneOf(['form', 'raw']),
  privateKey: KINDS.key,
  privateKeyFile: KINDS.path,
  keyId: KINDS.text,
  signingAlgorithm: oneOf(SIGNING_ALGORITHMS),
  'assertion.audience': KINDS.text,
  'tls.cert': KINDS.secret,
  'tls.key': KINDS.secret,
  'tls.ca': KINDS.secret,
  'tls.passphrase': KINDS.secret,
  'grant.type': oneOf(['client_credentials', 'refresh_token', 'jwt_bearer', 'token_exchange']),
  'grant.refreshToken': KINDS.secret,
  'grant.assertion': KINDS.secret,
  'grant.subjectTokenType': KINDS.text,
  'grant.actorToken': KINDS.secret,
  'grant.actorTokenType': KINDS.text,
  'grant.requestedTokenType': KINDS.text,
  scope: KINDS.scope,
  audience: KINDS.list,
  resource: KINDS.uris,
  parameters: KINDS.parameters,
  requestFormat: oneOf(['form', 'json']),
  dpop: KINDS.boolean,
  'dpop.algorithm': oneOf(SIGNING_ALGORITHMS),
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
  'unauthorized.retry': KINDS.boolean,
  prefetch: oneOf(['off', 'background', 'required']),
  http: KINDS.object,
};

/** The option itself, or the group that a nested one belongs to. */
export function groupOf(path: string): string {
  return path.replace(/\..*/, '');
}

/** The paths of a group's members. */
export function membersOf(group: string): string[] {
  return Object.keys(OPTION_SCHEMA).filter((path) => path.startsWith(`${group}.`));
}

/** Options by path, nested ones joined by a dot; absent ones left out. */
export function flatten(options: OAuthClientOptions): Map<string, unknown> {
  const entries = Object.entries<unknown>({ ...options }).flatMap(([name, value]): [string, unknown][] =>
    isRecord(value) && membersOf(name).length > 0
      ? Object.entries(value).map(([member, inner]) => [`${name}.${member}`, inner])
      : [[name, value]],
  );
  return new Map(entries.filter(([, value]) => value !== undefined));
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
