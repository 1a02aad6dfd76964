import { X509Certificate } from 'node:crypto';
import type { Agent } from 'node:https';
import type { GrantOptions, HttpOptions, OAuthClientOptions, PrivateJwk } from './client-options.js';
import { certificateFingerprint, parseSigningKey } from './keys.js';
import { LONGEST_TIMER_MS } from './module-options.js';
import { nearest } from './nearest.js';
import { OPTION_SCHEMA, flatten, groupOf, isGroup, isSecure, membersOf, nest } from './option-schema.js';
import { withDefaults, type ResolvedClientOptions } from './resolved-options.js';

/** One client's options, as the rules see them. */
interface Examined {
  /** With defaults, but without what is of the wrong kind: rules between options make no sense on that. */
  options: ResolvedClientOptions;
  /** The client's authentication; empty when it has none, or one that does not exist, so that nobody knows what was meant. */
  method: string;
  /** What was given, of whatever kind, by path. */
  given: ReadonlyMap<string, unknown>;
  /** What of it was given by the client itself: a default that a client does not use is no problem. */
  own: ReadonlyMap<string, unknown>;
}

/** Whether an option breaks a rule. `value` is the option's, if it is of the right kind. */
type Test = (examined: Examined, value: unknown, path: string) => boolean;
/** The options that a rule is about, and the end of the sentence: what is wrong, and the remedy. `{path}` stands for another option's name. */
type Rule = readonly [paths: readonly string[], isBroken: Test, says: string];
type Label = (path: string) => string;

const SECRET_METHODS = ['client_secret_basic', 'client_secret_post', 'client_secret_jwt'];
const TLS_METHODS = ['tls_client_auth', 'self_signed_tls_client_auth'];
/** What is of no use to a client whose tokens a function requests. */
const PROTOCOL_OPTIONS = [
  'issuer', 'tokenEndpoint', 'clientId', 'clientSecret', 'clientSecretFile', 'tokenEndpointAuthMethod', 'basicEncoding', 'privateKey',
  'privateKeyFile', 'keyId', 'signingAlgorithm', 'assertion', 'grant', 'requestFormat', 'tokenRequestHeaders', 'readTokenResponse', 'dpop',
]; // prettier-ignore
const GRANT_OF: Readonly<Record<string, GrantOptions['type']>> = {
  'grant.refreshToken': 'refresh_token', 'grant.assertion': 'jwt_bearer', 'grant.subjectTokenType': 'token_exchange',
  'grant.actorToken': 'token_exchange', 'grant.actorTokenType': 'token_exchange', 'grant.requestedTokenType': 'token_exchange',
}; // prettier-ignore

/** Every rule: the options it is about, when it is broken, what is wrong. */
const RULES: readonly Rule[] = [
  missing('clientId', ({ given }) => !given.has('requestToken'), 'set it to the identifier the partner gave you'),
  missing('tokenEndpoint', ({ given }) => !given.has('issuer') && !given.has('requestToken'), 'set it, or {issuer} for discovery'),
  missing('clientSecret', ({ method, given }) => SECRET_METHODS.includes(method) && !given.has('clientSecretFile'), '{method} needs it, or {clientSecretFile}'),
  missing('privateKey', ({ method, given }) => method === 'private_key_jwt' && !given.has('privateKeyFile'), '{method} needs it, or {privateKeyFile}'),
  missing('tls.cert', ({ method }) => TLS_METHODS.includes(method), '{method} needs a certificate'),
  missing('tls.cert', ({ given }) => given.has('tls.key'), 'a key needs its certificate'),
  missing('tls.key', ({ given }) => given.has('tls.cert'), 'a certificate needs its key'),
  missing('grant.refreshToken', ({ options }) => options.grant.type === 'refresh_token', 'the {grant} grant starts with one'),
  missing('grant.type', ({ given }) => given.has('grant'), 'it tells which grant is meant'),
  missing('dpop.privateKey', ({ options }) => Boolean(options.dpop) && options.grant.type === 'refresh_token', 'a refresh token outlives the process, so the key its tokens are bound to must as well'),
  [['issuer', 'tokenEndpoint', 'baseURL', 'allowedOrigins'], ({ options }, urls) => !options.allowInsecureRequests && !textsOf(urls).every(isSecure), 'must use https outside loopback; or set {allowInsecureRequests}'],
  [['issuer', 'baseURL', 'allowedOrigins'], (_, urls) => textsOf(urls).some((url) => new URL(url).search !== ''), 'may not have a query; remove it'],
  [['issuer'], (_, url) => textsOf(url).join('').includes('/.well-known/'), 'must be the identifier itself; leave out /.well-known/ and what follows'],
  [['tokenEndpoint'], ({ method }, url) => TLS_METHODS.includes(method) && textsOf(url).join('').startsWith('http:'), 'must use https for {method}'],
  [['clientSecret'], ({ given }) => given.has('clientSecret') && given.has('clientSecretFile'), 'and {clientSecretFile} exclude each other; keep one'],
  [['privateKey'], ({ given }) => given.has('privateKey') && given.has('privateKeyFile'), 'and {privateKeyFile} exclude each other; keep one'],
  unused(['clientSecret', 'clientSecretFile'], SECRET_METHODS, 'remove it, or choose another {tokenEndpointAuthMethod}'),
  unused(['privateKey', 'privateKeyFile', 'keyId', 'signingAlgorithm'], ['private_key_jwt'], 'remove it, or choose private_key_jwt'),
  unused(['assertion.audience'], ['client_secret_jwt', 'private_key_jwt'], 'remove it'),
  unused(['basicEncoding'], ['client_secret_basic'], 'remove it'),
  [Object.keys(GRANT_OF), ({ options }, member, path) => member !== undefined && options.grant.type !== GRANT_OF[path], 'does not belong to the {grant} grant; remove it'],
  [['grant.actorTokenType'], ({ options, given }, type) => type !== undefined && options.grant.type === 'token_exchange' && !given.has('grant.actorToken'), 'needs {grant.actorToken} (RFC 8693 §2.1)'],
  [PROTOCOL_OPTIONS, ({ given, own }, _, path) => given.has('requestToken') && own.has(path), 'is not used with {requestToken}; remove it'],
  [['tls.passphrase'], ({ given, own }, _, path) => own.has(path) && !given.has('tls.key'), 'is not used without {tls.key}; remove it'],
  [['retry.minDelayMs'], ({ options: { retry } }) => retry.minDelayMs > retry.maxDelayMs, 'may not exceed {retry.maxDelayMs}'],
  [['assertion.audience'], ({ given }, audience) => audience === 'issuer' && !given.has('issuer'), 'needs {issuer}; or give the value itself'],
  [['prefetch'], ({ options }, when) => when !== 'off' && isPerRequest(options.grant), 'needs a token that does not depend on the request; set it to off'],
  [['http'], ({ options: { http } }) => Object.keys(http?.['headers'] ?? {}).some((name) => /^(authorization|dpop)$/i.test(name)), 'may not set the Authorization or DPoP header, which this client sets; remove it from headers'],
  [['http'], ({ options: { http, tokenHeader } }) => Object.keys(http?.['headers'] ?? {}).some((name) => name.toLowerCase() === tokenHeader?.name?.toLowerCase()), 'may not set the header that {tokenHeader.name} names, which this client sets; remove it from headers'],
  [['http'], ({ options: { http } }) => http?.['auth'] !== undefined, 'may not hold auth, which would replace the token; use {clientId} and {clientSecret}'],
  [['http'], ({ options: { http } }) => http?.['baseURL'] !== undefined, 'may not hold baseURL; set the option of that name'],
  [['http'], ({ options: { http, tls } }) => http?.['httpsAgent'] !== undefined && tls !== undefined, 'may not hold httpsAgent together with tls; keep one'],
  [['http'], ({ options: { http, tls } }) => (tls !== undefined || Boolean(http?.['proxy'])) && ignoresAgents(http), 'may not choose the fetch adapter or HTTP/2 together with tls or a proxy, which they ignore; remove adapter and httpVersion'],
  [['http'], ({ options: { http } }) => isUnfitProxy(http?.['proxy']), 'may hold a proxy only with its host and port, or false; correct it'],
  [['http'], ({ options: { http } }) => (http?.['httpsAgent'] as Partial<Agent> | undefined)?.options?.rejectUnauthorized === false, 'may not hold an httpsAgent that accepts any server (rejectUnauthorized: false); trust its authority with {tls.ca} instead'],
  [['timeoutMs', 'retry.minDelayMs', 'retry.maxDelayMs', 'retry.totalMs'], (_, ms) => Number(ms) > LONGEST_TIMER_MS, 'is longer than a timer can wait; use 24 days at most'],
  [['privateKey', 'dpop.privateKey'], isUnfitKey, 'is not a private key in PEM or JWK that fits its algorithm'],
  [['tls.cert'], isMisfitPair, 'and {tls.key} must be a certificate and its own private key in PEM; check them, and {tls.passphrase}'],
  [['tls.ca'], (_, ca) => typeof ca === 'string' && fails(() => new X509Certificate(ca)), 'must be certificates in PEM'],
]; // prettier-ignore

/** Everything that is wrong with one client: a sentence each with client, option and remedy, never a value. `label` gives an option's path or variable. */
export function problemsOf(name: string, options: OAuthClientOptions, label: Label, own = options): string[] {
  const given = flatten(options);
  const unfit = new Map<string, string>();
  for (const [path, value] of given) {
    const { [path]: kind } = OPTION_SCHEMA;
    if (!isGroup(path, value) && !kind?.accepts(value)) unfit.set(path, kind?.says ?? unknown(path));
  }
  const { grant, ...others } = nest([...given].filter(([path]) => !unfit.has(path)));
  const examined: Examined = {
    options: withDefaults({ ...others, ...(grant?.type && { grant }) }),
    method:
      unfit.has('tokenEndpointAuthMethod') || given.has('requestToken')
        ? ''
        : withDefaults(options).tokenEndpointAuthMethod,
    given,
    own: flatten(own),
  };
  const sound = flatten(examined.options);
  const isFit = (path: string) => !unfit.has(path) && !unfit.has(groupOf(path));
  const found = [...unfit];
  for (const [paths, isBroken, says] of RULES)
    for (const path of paths)
      if (isFit(path) && isBroken(examined, sound.get(path), path)) found.push([path, says]);
  const words: Record<string, string> = { method: examined.method, grant: examined.options.grant.type };
  return found.map(([path, says]) => {
    const what = says.replace(/\{([\w.]+)\}/g, (_, word: string) => words[word] ?? label(word));
    return `Client "${name}": ${label(path)} ${what}${what.endsWith('?') ? '' : '.'}`;
  });
}

/** The end of the sentence about an option that does not exist, or that should be an object. */
function unknown(path: string): string {
  const members = membersOf(path).map((known) => known.slice(path.length + 1));
  if (members.length > 0) return `must be an object with the members ${members.join(', ')}`;
  const siblings = membersOf(groupOf(path));
  return `is not an option; did you mean ${nearest(path, siblings.length > 0 ? siblings : Object.keys(OPTION_SCHEMA))}?`;
}

function missing(path: string, isNeeded: (examined: Examined) => boolean, remedy: string): Rule {
  return [[path], (examined) => !examined.given.has(path) && isNeeded(examined), `is missing; ${remedy}`];
}

function unused(paths: readonly string[], methods: readonly string[], remedy: string): Rule {
  const isUnused: Test = ({ method, own }, _, path) => own.has(path) && !['', ...methods].includes(method);
  return [paths, isUnused, `is not used by {method}; ${remedy}`];
}

/** Whether each request brings what the grant presents. */
export function isPerRequest(grant: GrantOptions): boolean {
  return grant.type === 'token_exchange' || (grant.type === 'jwt_bearer' && grant.assertion === undefined);
}

function textsOf(value: unknown): string[] {
  return [value ?? []].flat() as string[];
}

/** Keys that stand in the configuration are tried at boot; those behind functions and files when they are needed. */
function isUnfitKey({ options: { dpop, signingAlgorithm } }: Examined, key: unknown, path: string): boolean {
  const algorithm = path === 'privateKey' ? signingAlgorithm : typeof dpop === 'object' && dpop.algorithm;
  if (typeof key !== 'string' && typeof key !== 'object') return false;
  return fails(() => parseSigningKey(key as string | PrivateJwk, algorithm || undefined));
}

function isMisfitPair({ options: { tls = {} } }: Examined): boolean {
  const { cert, key, passphrase } = tls;
  if (typeof cert !== 'string' || typeof key !== 'string' || typeof passphrase === 'function') return false;
  return fails(() => certificateFingerprint({ cert, key, ...(passphrase !== undefined && { passphrase }) }));
}

/** Whether Axios will choose its fetch adapter or HTTP/2, which take neither a certificate nor a proxy from it. */
function ignoresAgents(http: HttpOptions = {}): boolean {
  const adapter = [http['adapter']].flat().find((name) => name !== 'xhr');
  return adapter === 'fetch' || Number(http['httpVersion'] ?? 1) !== 1;
}

function isUnfitProxy(proxy: unknown): boolean {
  const { host } = (proxy || { host: 'none' }) as { host?: unknown };
  return typeof host !== 'string' || !URL.canParse(`http://${host}`);
}

function fails(work: () => unknown): boolean {
  try {
    work();
    return false;
  } catch {
    return true;
  }
}
