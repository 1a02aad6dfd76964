import { isRecord } from '../core/token-request.js';
import { HMAC_ALGORITHMS, KEY_OF, TOKEN_ENDPOINT_AUTH_METHODS } from './client-options.js';
import type { OAuthClientOptions } from './client-options.js';
import { KINDS, oneOf, type OptionKind } from './kinds.js';

/** The kind of every option of a client, or the values that it may have, by its path. */
const KIND_OF: Readonly<Record<string, keyof typeof KINDS | readonly string[]>> = {
  issuer: 'url', metadataURL: 'url', tokenEndpoint: 'url',
  clientId: 'text', clientSecret: 'secret', clientSecretFile: 'path',
  tokenEndpointAuthMethod: TOKEN_ENDPOINT_AUTH_METHODS, basicEncoding: ['form', 'raw'],
  privateKey: 'key', privateKeyFile: 'path', keyId: 'text', signingAlgorithm: [...Object.keys(KEY_OF), ...HMAC_ALGORITHMS],
  'assertion.audience': 'text', 'assertion.typ': 'text', 'assertion.header': 'joseHeader', 'assertion.claims': 'claims', 'assertion.lifetimeMs': 'duration',
  'assertion.certificate': 'secret', 'assertion.certificateFile': 'path', 'assertion.token': 'secret', 'assertion.tokenFile': 'path', 'assertion.clientAssertionType': 'text',
  'tls.cert': 'secret', 'tls.key': 'secret', 'tls.ca': 'secret', 'tls.passphrase': 'secret',
  'grant.type': 'grantType', 'grant.refreshToken': 'secret', 'grant.assertion': 'secret',
  'grant.issuer': 'text', 'grant.subject': 'text', 'grant.audience': 'text', 'grant.claims': 'claims', 'grant.lifetimeMs': 'duration',
  'grant.subjectTokenType': 'text', 'grant.actorToken': 'secret', 'grant.actorTokenType': 'text', 'grant.requestedTokenType': 'text', 'grant.parameters': 'sources',
  scope: 'scope', audience: 'list', resource: 'uris', parameters: 'parameters', requestFormat: ['form', 'json'], tokenRequestHeaders: 'headers',
  readTokenResponse: 'function', requestToken: 'function', 'tokenHeader.name': 'header', 'tokenHeader.scheme': 'scheme',
  dpop: 'boolean', 'dpop.algorithm': Object.keys(KEY_OF), 'dpop.privateKey': 'key',
  baseURL: 'url', allowedOrigins: 'origins', allowInsecureRequests: 'boolean', defaultLifetimeMs: 'duration',
  'refreshAhead.ratio': 'ratio', 'refreshAhead.maxMs': 'pause', timeoutMs: 'duration',
  'retry.attempts': 'count', 'retry.minDelayMs': 'pause', 'retry.maxDelayMs': 'pause', 'retry.totalMs': 'duration',
  'unauthorized.statuses': 'statuses', 'unauthorized.when': 'function', 'unauthorized.retry': 'boolean',
  prefetch: ['off', 'background', 'required'], tenants: 'function', http: 'object', 'http.headers': 'httpHeaders',
}; // prettier-ignore

/** Every option of a client by its path: the one list behind validation, the environment and the documentation. */
export const OPTION_SCHEMA: Readonly<Record<string, OptionKind>> = Object.assign(
  Object.create(null) as Record<string, OptionKind>, // none is called constructor
  ...Object.entries(KIND_OF).map(([path, kind]) => ({
    [path]: typeof kind === 'string' ? KINDS[kind] : oneOf(kind),
  })),
);

/** Whether a variable may name a file instead of the value. Other options have one of their own for that, or none. */
export function takesFile(path: string): boolean {
  return OPTION_SCHEMA[path]?.secret === true && path.includes('.') && !(`${path}File` in OPTION_SCHEMA);
}

/** The group that an option belongs to, or the option itself. */
export function groupOf(path: string): string {
  return path.replace(/\..*/, '');
}

/** The paths of a group's members. */
export function membersOf(group: string): string[] {
  return Object.keys(OPTION_SCHEMA).filter((path) => path.startsWith(`${group}.`));
}

/** Options by path, nested ones joined by a dot after their group, which is then empty; absent ones left out. */
export function flatten(options: OAuthClientOptions): Map<string, unknown> {
  const flat = Object.entries<unknown>({ ...options }).flatMap(([name, value]) => {
    if (!isGroup(name, value)) return [[name, value] as const];
    const members = Object.entries(value).map(([member, inner]) => [`${name}.${member}`, inner] as const);
    return [[name, {}] as const, ...members];
  });
  return new Map(flat.filter(([, value]) => value !== undefined));
}

/** The options that {@link flatten} gives these paths. A group that is switched off stays off. */
export function nest(flat: Iterable<readonly [string, unknown]>): OAuthClientOptions {
  const options: Record<string, unknown> = {};
  for (const [path, value] of flat) {
    const [name = '', member] = path.split('.');
    const { [name]: group = true } = options;
    if (member === undefined) options[name] = value;
    else if (group === true || isRecord(group)) options[name] = { ...Object(group), [member]: value };
  }
  return options;
}

/** Whether the value of an option is a group of options. */
export function isGroup(name: string, value: unknown): value is Record<string, unknown> {
  return isRecord(value) && membersOf(name).length > 0;
}

/** Whether nobody can read on the way what is sent to a URL. */
export function isSecure(url: string): boolean {
  return new URL(url).protocol === 'https:' || isLoopback(url);
}

/** Whether a URL is http that does not leave this machine. */
export function isLoopback(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'http:' && /^((.+\.)?localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}
