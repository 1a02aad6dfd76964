import { X509Certificate } from 'node:crypto';
import { thumbprintOf } from '../http/tls-agent.js';
import { importSigningKey } from '../oauth/credentials.js';
import { withDefaults, type OAuthClientOptions } from './client-options.js';
import { isSecure } from '../oauth/server-metadata.js';
import type { OAuthClientModuleOptions } from './module-options.js';
import { OPTION_SCHEMA, expectation, fits, flatten, isRecord, nearest, without } from './option-kinds.js';

/** Node runs a timer that is longer at once. */
const LONGEST_TIMER_MS = 2_147_483_647;
const TIMERS = ['timeoutMs', 'retry.minDelayMs', 'retry.maxDelayMs', 'retry.totalMs'];
const MODULE_OPTIONS = ['clients', 'defaults', 'store', 'shutdownGraceMs', 'clock', 'isGlobal'];

/** How a problem names an option: by its path, or by its variable. */
export type OptionLabel = (path: string) => string;

const STORE_METHODS = ['get', 'set', 'delete', 'withLock'];
const SECRET_METHODS = ['client_secret_basic', 'client_secret_post', 'client_secret_jwt'];
const JWT_METHODS = ['client_secret_jwt', 'private_key_jwt'];
const GRANT_MEMBERS: Readonly<Record<string, readonly string[]>> = {
  client_credentials: [],
  refresh_token: ['refreshToken'],
  jwt_bearer: ['assertion'],
  token_exchange: ['subjectTokenType', 'actorToken', 'actorTokenType', 'requestedTokenType'],
};

/**
 * Everything that is wrong with one client: a sentence each with client, option and remedy, never a value.
 *
 * @param own the client's own part of the options: a default that this client has no use for is no problem
 */
export async function problemsOf(
  name: string,
  options: OAuthClientOptions,
  label: OptionLabel,
  own: OAuthClientOptions = options,
): Promise<string[]> {
  const wrong = (path: string, what: string) =>
    `Client "${name}": ${label(path)} ${what}${what.endsWith('?') ? '' : '.'}`;
  const unfit = [...flatten(options)].flatMap(([path, value]): [string, string][] => {
    const kind = OPTION_SCHEMA[path];
    if (kind === undefined) return [[path, unknown(path)]];
    return fits(path, value, kind) ? [] : [[path, expectation(path, kind)]];
  });
  const paths = unfit.map(([path]) => path);
  // Rules between options make no sense on values of the wrong kind; they still hold for the rest.
  const sound = without(options, paths);
  return [
    ...unfit.map(([path, what]) => wrong(path, what)),
    ...missing(options, wrong, label),
    ...insecure(sound, wrong),
    ...unused(sound, own, paths, wrong, label),
    ...clashes(sound, wrong),
    ...(await unfitKeys(sound, wrong)),
  ];
}

/** Everything that is wrong with the module's own options. */
export function moduleProblemsOf(options: OAuthClientModuleOptions): string[] {
  const problems = Object.keys(options)
    .filter((name) => !MODULE_OPTIONS.includes(name))
    .map((name) => `${name} is not a module option; did you mean ${nearest(name, MODULE_OPTIONS)}?`);
  const { clients, defaults, store, shutdownGraceMs = 0 } = options;
  for (const [name, value] of Object.entries({ clients, defaults, store }))
    if (value !== undefined && !isRecord(value)) problems.push(`${name} must be an object.`);
  if (isRecord(store) && STORE_METHODS.some((method) => typeof store[method] !== 'function'))
    problems.push(`store must be a TokenStore, with the methods ${STORE_METHODS.join(', ')}.`);
  if (!(shutdownGraceMs >= 0 && shutdownGraceMs <= LONGEST_TIMER_MS))
    problems.push('shutdownGraceMs must be a number of milliseconds, 0 or more, and at most 24 days.');
  return problems;
}

/** The end of the sentence about an option that there is not, or that should be an object. */
function unknown(path: string): string {
  const under = (group: string) =>
    Object.keys(OPTION_SCHEMA).filter((known) => known.startsWith(`${group}.`));
  const members = under(path).map((known) => known.slice(path.length + 1));
  if (members.length > 0) return `must be an object with the members ${members.join(', ')}`;
  const siblings = under(path.replace(/\..*/, ''));
  return `is not an option; did you mean ${nearest(path, siblings.length > 0 ? siblings : Object.keys(OPTION_SCHEMA))}?`;
}

type Wrong = (path: string, what: string) => string;

function missing(options: OAuthClientOptions, wrong: Wrong, label: OptionLabel): string[] {
  const problems: string[] = [];
  const { tokenEndpointAuthMethod: method } = withDefaults(options);
  const { clientSecret, clientSecretFile, privateKey, privateKeyFile, tls, dpop, grant } = options;
  const need = (path: string, why: string) => problems.push(wrong(path, `is missing; ${why}`));
  if (options.clientId === undefined) need('clientId', 'set it to the identifier the partner gave you');
  if (options.issuer === undefined && options.tokenEndpoint === undefined) {
    need('tokenEndpoint', `set it, or ${label('issuer')} for discovery`);
  }
  if (SECRET_METHODS.includes(method) && clientSecret === undefined && clientSecretFile === undefined) {
    need('clientSecret', `${method} needs it, or ${label('clientSecretFile')}`);
  }
  if (method === 'private_key_jwt' && privateKey === undefined && privateKeyFile === undefined) {
    need('privateKey', `private_key_jwt needs it, or ${label('privateKeyFile')}`);
  }
  if (/tls_client_auth$/.test(method) && tls?.cert === undefined)
    need('tls.cert', `${method} needs a certificate`);
  if (tls?.cert !== undefined && tls.key === undefined)
    need('tls.key', 'a certificate is of no use without its key');
  if (tls?.key !== undefined && tls.cert === undefined)
    need('tls.cert', 'a key is of no use without its certificate');
  if (grant?.type === 'refresh_token' && grant.refreshToken === undefined) {
    need('grant.refreshToken', 'the refresh_token grant starts with one');
  }
  if (isRecord(grant) && grant.type === undefined) need('grant.type', 'it tells which grant is meant');
  if (grant?.type === 'refresh_token' && dpop && (dpop === true || dpop.privateKey === undefined))
    need(
      'dpop.privateKey',
      'a refresh token outlives the process, so the key its tokens are bound to must as well',
    );
  return problems;
}

function insecure(options: OAuthClientOptions, wrong: Wrong): string[] {
  const urls: [string, string][] = (['issuer', 'tokenEndpoint', 'baseURL'] as const).flatMap((path) =>
    options[path] === undefined ? [] : [[path, options[path]] as [string, string]],
  );
  for (const origin of options.allowedOrigins ?? []) urls.push(['allowedOrigins', origin]);
  const problems = urls
    .filter(([, url]) => options.allowInsecureRequests !== true && !isSecure(url))
    .map(([path]) => wrong(path, 'must use https outside loopback; or set allowInsecureRequests'));
  for (const [path, url] of urls) {
    if (path !== 'tokenEndpoint' && new URL(url).search !== '')
      problems.push(wrong(path, 'may not have a query; remove it'));
  }
  if (options.issuer?.includes('/.well-known/'))
    problems.push(wrong('issuer', 'must be the identifier itself; leave out /.well-known/ and what follows'));
  const { tokenEndpointAuthMethod: method, tokenEndpoint } = options;
  if (/tls_client_auth$/.test(method ?? '') && tokenEndpoint?.startsWith('http:'))
    problems.push(wrong('tokenEndpoint', `must use https for ${method}`));
  return problems;
}

/**
 * Options that contradict each other, or would be ignored without a word.
 *
 * @param unfit paths of the wrong kind: what was meant by them decides whether others are used
 */
function unused(
  options: OAuthClientOptions,
  own: OAuthClientOptions,
  unfit: readonly string[],
  wrong: Wrong,
  label: OptionLabel,
): string[] {
  const problems: string[] = [];
  const { tokenEndpointAuthMethod: method, grant, retry, refreshAhead: _, ...rest } = withDefaults(options);
  const given = flatten(own);
  const idle = (path: string, applies: boolean, remedy: string, decidedBy = 'tokenEndpointAuthMethod') => {
    if (!applies && !unfit.includes(decidedBy) && !unfit.includes(path) && given.has(path))
      problems.push(wrong(path, remedy));
  };
  for (const [one, other] of [
    ['clientSecret', 'clientSecretFile'],
    ['privateKey', 'privateKeyFile'],
  ] as const) {
    if (rest[one] !== undefined && rest[other] !== undefined)
      problems.push(wrong(one, `and ${label(other)} exclude each other; keep one`));
  }
  const secret = SECRET_METHODS.includes(method);
  for (const path of ['clientSecret', 'clientSecretFile'])
    idle(path, secret, `is not used by ${method}; remove it, or choose another tokenEndpointAuthMethod`);
  for (const path of ['privateKey', 'privateKeyFile', 'keyId', 'signingAlgorithm'])
    idle(
      path,
      method === 'private_key_jwt',
      `is not used by ${method}; remove it, or choose private_key_jwt`,
    );
  idle('assertionAudience', JWT_METHODS.includes(method), `is not used by ${method}; remove it`);
  idle('basicEncoding', method === 'client_secret_basic', `is not used by ${method}; remove it`);
  for (const member of Object.keys(options.grant ?? {})) {
    if (member !== 'type' && !GRANT_MEMBERS[grant.type]!.includes(member))
      problems.push(wrong(`grant.${member}`, `does not belong to the ${grant.type} grant; remove it`));
  }
  if (
    grant.type === 'token_exchange' &&
    grant.actorTokenType !== undefined &&
    grant.actorToken === undefined
  ) {
    problems.push(wrong('grant.actorTokenType', 'needs grant.actorToken (RFC 8693 §2.1)'));
  }
  idle('tls.passphrase', options.tls?.key !== undefined, 'is not used without tls.key; remove it', 'tls.key');
  if (retry.minDelayMs > retry.maxDelayMs)
    problems.push(wrong('retry.minDelayMs', 'may not exceed retry.maxDelayMs'));
  return problems;
}

/** Options that are right each by itself, but not together. */
function clashes(options: OAuthClientOptions, wrong: Wrong): string[] {
  const { issuer, assertionAudience, grant, prefetch = 'off', http = {} } = options;
  const perRequest =
    grant?.type === 'token_exchange' || (grant?.type === 'jwt_bearer' && grant.assertion === undefined);
  const headers = Object.keys(http['headers'] ?? {}).map((name) => name.toLowerCase());
  const rules: [path: string, broken: boolean, what: string][] = [
    ['assertionAudience', assertionAudience === 'issuer' && !issuer, 'needs issuer; or give the value itself'],
    ['prefetch', perRequest && prefetch !== 'off', 'needs a token that does not depend on the request; set it to off'],
    ['http', headers.includes('authorization') || headers.includes('dpop'), 'may not set the Authorization or DPoP header, which this client sets; remove it from headers'],
    ['http', http['auth'] !== undefined, 'may not hold auth, which would replace the token; use clientId and clientSecret'],
    ['http', http['baseURL'] !== undefined, 'may not hold baseURL; set the option of that name'],
    ['http', http['httpsAgent'] !== undefined && options.tls !== undefined, 'may not hold httpsAgent together with tls; keep one'],
  ]; // prettier-ignore
  const flat = flatten(options);
  for (const path of TIMERS)
    rules.push([
      path,
      Number(flat.get(path) ?? 0) > LONGEST_TIMER_MS,
      'is longer than a timer can wait; use 24 days at most',
    ]);
  return rules.flatMap(([path, broken, what]) => (broken ? [wrong(path, what)] : []));
}

/** Keys that stand in the configuration are tried at boot; those behind functions and files when they are needed. */
async function unfitKeys(options: OAuthClientOptions, wrong: Wrong): Promise<string[]> {
  const problems: string[] = [];
  const attempt = async (path: string, work: () => Promise<unknown>, what: string) => {
    try {
      await work();
    } catch {
      problems.push(wrong(path, what));
    }
  };
  const unfit = 'is not a private key in PEM or JWK that fits its algorithm';
  const { privateKey, signingAlgorithm, dpop } = options;
  if (privateKey !== undefined && typeof privateKey !== 'function') {
    await attempt('privateKey', () => importSigningKey(privateKey, signingAlgorithm), unfit);
  }
  const proof = typeof dpop === 'object' ? dpop : {};
  if (proof.privateKey !== undefined && typeof proof.privateKey !== 'function') {
    const { privateKey: key, algorithm } = proof;
    await attempt('dpop.privateKey', () => importSigningKey(key, algorithm), unfit);
  }
  const material = Object.entries(options.tls ?? {}).filter(([, value]) => typeof value === 'string');
  const { cert, key, ca, passphrase } = Object.fromEntries(material) as Record<string, string>;
  if (cert !== undefined && key !== undefined && typeof options.tls?.passphrase !== 'function') {
    const pair = { cert, key, ...(passphrase !== undefined && { passphrase }) };
    await attempt(
      'tls.cert',
      async () => thumbprintOf(pair),
      'and tls.key must be a certificate and its own private key in PEM; check them, and tls.passphrase',
    );
  }
  if (ca !== undefined)
    await attempt('tls.ca', async () => new X509Certificate(ca), 'must be certificates in PEM');
  return problems;
}
