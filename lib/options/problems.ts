import type { Agent } from 'node:https';
import { isRecord } from '../core/token-request.js';
import { GRANT_TYPES } from './client-options.js';
import type { GrantOptions, HttpOptions, OAuthClientOptions } from './client-options.js';
import { certificateFingerprint, certificateOf, parseSigningKey, type Material } from './keys.js';
import { LONGEST_TIMER_MS } from './module-options.js';
import { isTaken } from './kinds.js';
import { nearest } from './nearest.js';
import { OPTION_SCHEMA, flatten, groupOf, isGroup, isSecure, membersOf, nest } from './option-schema.js';
import { withDefaults } from './resolved-options.js';

/** One client's options, as the rules see them. */
type Examined = ReturnType<typeof examine>;
/** Whether an option breaks a rule. `value` is the option's, if it is of the right kind. */
type Test = (examined: Examined, value: unknown, path: string) => boolean;
/** A rule: its options, its test, and the end of the sentence, with the remedy. `{path}` stands for another option's name. */
type Rule = readonly [paths: readonly string[], isBroken: Test, says: string];

const SECRET_METHODS = ['client_secret_basic', 'client_secret_post', 'client_secret_jwt'];
const TLS_METHODS = ['tls_client_auth', 'self_signed_tls_client_auth'];
const JWT_METHODS = ['client_secret_jwt', 'private_key_jwt'];
/** The options that a client with `requestToken` does not use. */
const PROTOCOL_OPTIONS = [
  'issuer', 'metadataURL', 'tokenEndpoint', 'clientId', 'clientSecret', 'clientSecretFile', 'tokenEndpointAuthMethod', 'basicEncoding', 'privateKey',
  'privateKeyFile', 'keyId', 'signingAlgorithm', 'assertion', 'grant', 'requestFormat', 'tokenRequestHeaders', 'readTokenResponse', 'dpop',
]; // prettier-ignore
/** Members of signed client assertions. */
const ASSERTED = ['audience', 'typ', 'header', 'claims', 'lifetimeMs', 'certificate', 'certificateFile'].map((member) => `assertion.${member}`); // prettier-ignore
/** Members of JWT bearer grants that are signed. */
const SIGNED = ['grant.subject', 'grant.audience', 'grant.claims', 'grant.lifetimeMs'];

/** Every rule: the options it is about, when it is broken, what is wrong. */
const RULES: readonly Rule[] = [
  missing('clientId', ({ method, has, options }) => !has('requestToken') && (method !== 'none' || (!has('tokenRequestHeaders') && /^(client_credentials|refresh_token)$/.test(options.grant.type))), 'set it to the identifier the partner gave you'),
  missing('tokenEndpoint', ({ has }) => !has('issuer', 'metadataURL', 'requestToken'), 'set it, or {issuer} for discovery'),
  missing('clientSecret', ({ method, has }) => SECRET_METHODS.includes(method) && !has('clientSecretFile'), '{method} needs it, or {clientSecretFile}'),
  missing('privateKey', ({ method, isReady, has }) => method === 'private_key_jwt' && !isReady && !has('privateKeyFile'), '{method} needs it, {privateKeyFile} or {assertion.token}'),
  missing('privateKey', ({ signsGrant, byKey, method, has }) => signsGrant && !byKey && !SECRET_METHODS.includes(method) && !has('clientSecret', 'clientSecretFile'), 'a grant with {grant.issuer} is signed with it, {privateKeyFile} or {clientSecret}'),
  missing('tls.cert', ({ method }) => TLS_METHODS.includes(method), '{method} needs a certificate'),
  missing('tls.cert', ({ has }) => has('tls.key'), 'a key needs its certificate'),
  missing('tls.key', ({ has }) => has('tls.cert'), 'a certificate needs its key'),
  missing('grant.refreshToken', ({ options }) => options.grant.type === 'refresh_token', 'the {grant} grant starts with one'),
  missing('grant.type', ({ has }) => has('grant'), 'it tells which grant is meant'),
  missing('dpop.privateKey', ({ options }) => Boolean(options.dpop) && options.grant.type === 'refresh_token', 'a refresh token outlives the process, so the key its tokens are bound to must as well'),
  [['issuer', 'metadataURL', 'tokenEndpoint', 'baseURL', 'allowedOrigins'], ({ options }, urls) => !options.allowInsecureRequests && !textsOf(urls).every(isSecure), 'must use https outside loopback; or set {allowInsecureRequests}'],
  [['issuer', 'baseURL', 'allowedOrigins'], (_, urls) => textsOf(urls).some((url) => new URL(url).search !== ''), 'may not have a query; remove it'],
  [['issuer'], (_, url) => textsOf(url).join('').includes('/.well-known/'), 'must be the identifier itself; leave out /.well-known/ and what follows'],
  [['tokenEndpoint'], ({ method }, url) => TLS_METHODS.includes(method) && textsOf(url).join('').startsWith('http:'), 'must use https for {method}'],
  ...['clientSecret', 'privateKey', 'assertion.certificate', 'assertion.token'].map((path) => exclusive(path, `${path}File`)),
  exclusive('grant.assertion', 'grant.issuer'),
  unused(['clientSecret', 'clientSecretFile'], ({ method, bySecret }) => SECRET_METHODS.includes(method) || bySecret, 'remove it, or choose another {tokenEndpointAuthMethod}'),
  unused(['privateKey', 'privateKeyFile'], ({ method, signsGrant }) => method === 'private_key_jwt' || signsGrant, 'remove it, or choose private_key_jwt'),
  unused(['keyId', 'signingAlgorithm'], ({ byKey, bySecret }) => byKey || bySecret, 'remove it'),
  unused([...ASSERTED.slice(0, 5), 'assertion.clientAssertionType'], ({ method }) => JWT_METHODS.includes(method), 'remove it'),
  unused([...ASSERTED.slice(5), 'assertion.token', 'assertion.tokenFile'], ({ method }) => method === 'private_key_jwt', 'remove it'),
  [ASSERTED, ({ isOwn, isReady }, _, path) => isOwn(path) && isReady, 'is not used with {assertion.token}, which is sent as it is; keep one'],
  [['privateKey', 'privateKeyFile'], ({ isReady, signsGrant }, key) => key !== undefined && isReady && !signsGrant, 'and {assertion.token} exclude each other; keep one'],
  [['signingAlgorithm'], ({ byKey, bySecret, options: { signingAlgorithm: name } }) => name !== undefined && (byKey || bySecret) && !(name.startsWith('HS') ? bySecret : byKey), 'does not fit what signs: HS256, HS384 and HS512 are for a secret, the others for a private key'],
  unused(['basicEncoding'], ({ method }) => method === 'client_secret_basic', 'remove it'),
  foreign('refresh_token', ['grant.refreshToken']),
  foreign('jwt_bearer', ['grant.assertion', 'grant.issuer', ...SIGNED]),
  foreign('token_exchange', ['grant.subjectTokenType', 'grant.actorToken', 'grant.actorTokenType', 'grant.requestedTokenType']),
  foreign('extension', ['grant.parameters']),
  [SIGNED, ({ options, has }, _, path) => has(path) && options.grant.type === 'jwt_bearer' && !has('grant.issuer'), 'needs {grant.issuer}: it is for an assertion that is signed here'],
  [['grant.actorTokenType'], ({ options, has }, type) => type !== undefined && options.grant.type === 'token_exchange' && !has('grant.actorToken'), 'needs {grant.actorToken} (RFC 8693 §2.1)'],
  [PROTOCOL_OPTIONS, ({ has, isOwn }, _, path) => has('requestToken') && isOwn(path), 'is not used with {requestToken}; remove it'],
  [['tls.passphrase'], ({ has, isOwn }, _, path) => isOwn(path) && !has('tls.key'), 'is not used without {tls.key}; remove it'],
  [['retry.minDelayMs'], ({ options: { retry } }) => retry.minDelayMs > retry.maxDelayMs, 'may not exceed {retry.maxDelayMs}'],
  [['assertion.audience', 'grant.audience'], ({ has }, audience) => audience === 'issuer' && !has('issuer', 'tenants'), 'needs {issuer}; or give the value itself'],
  [['prefetch'], ({ options }, when) => when !== 'off' && isPerRequest(options.grant), 'needs a token that does not depend on the request; set it to off'],
  [['prefetch'], ({ options, has }, when) => when !== 'off' && has('tenants') && !isPerRequest(options.grant), 'has no tenant to fetch a token for; set it to off'],
  [['parameters'], ({ options }, given) => ![undefined, options.clientId].includes((given as typeof options.parameters)?.['client_id'] as string | undefined), 'may not hold another client_id than {clientId}; remove it'],
  [['parameters'], ({ options: { grant } }, given) => 'parameters' in grant && Object.keys(given ?? {}).some((name) => isTaken(name, Object.keys(grant.parameters ?? {}))), 'may not replace what {grant.parameters} holds; keep one'],
  [['tokenRequestHeaders'], ({ method }, headers) => !['', 'none'].includes(method) && hasHeader(headers, 'authorization'), 'may not set Authorization beside {method} (RFC 6749 §2.3); remove it, or set {tokenEndpointAuthMethod} to none'],
  [['http.headers'], (_, headers) => hasHeader(headers, 'authorization', 'dpop'), 'may not set the Authorization or DPoP header, which this client sets; remove it'],
  [['http.headers'], (_, headers) => hasHeader(headers, 'content-length', 'transfer-encoding'), 'may not set Content-Length or Transfer-Encoding, which follow from each body; remove it'],
  [['http.headers'], ({ options: { tokenHeader } }, headers) => hasHeader(headers, tokenHeader?.name), 'may not set the header that {tokenHeader.name} names, which this client sets; remove it'],
  [['http'], ({ options: { http } }) => http?.['auth'] !== undefined, 'may not hold auth, which would replace the token; use {clientId} and {clientSecret}'],
  [['http'], ({ options: { http } }) => http?.['baseURL'] !== undefined, 'may not hold baseURL; set the option of that name'],
  [['http'], ({ options: { http, tls } }) => http?.['httpsAgent'] !== undefined && tls !== undefined, 'may not hold httpsAgent together with tls; keep one'],
  [['http'], ({ options: { http, tls } }) => (tls !== undefined || Boolean(http?.['proxy'])) && ignoresAgents(http), 'may not choose the fetch adapter or HTTP/2 together with tls or a proxy, which they ignore; remove adapter and httpVersion'],
  [['http'], ({ options: { http } }) => isUnfitProxy(http?.['proxy']), 'may hold a proxy only with its host and port, or false; correct it'],
  [['http'], ({ options: { http } }) => (http?.['httpsAgent'] as Partial<Agent> | undefined)?.options?.rejectUnauthorized === false, 'may not hold an httpsAgent that accepts any server (rejectUnauthorized: false); trust its authority with {tls.ca} instead'],
  [['timeoutMs', 'retry.minDelayMs', 'retry.maxDelayMs', 'retry.totalMs'], (_, ms) => Number(ms) > LONGEST_TIMER_MS, 'is longer than a timer can wait; use 24 days at most'],
  unusable(['privateKey', 'dpop.privateKey'], (key, { options: { dpop, signingAlgorithm } }, path) => parseSigningKey(key, path === 'privateKey' ? signingAlgorithm : typeof dpop === 'object' ? dpop.algorithm : undefined), 'is not a private key in PEM or JWK that fits its algorithm'),
  unusable(['assertion.certificate'], (pem, { options: { privateKey: key } }) => certificateOf(pem, isMaterial(key) ? parseSigningKey(key).key : undefined), 'is not the certificate of {privateKey} in PEM'),
  unusable(['tls.cert'], (pem, { options: { tls: { key, passphrase } = {} } }) => typeof pem === 'string' && typeof key === 'string' && typeof passphrase !== 'function' && certificateFingerprint({ cert: pem, key, passphrase }), 'and {tls.key} must be a certificate and its own private key in PEM; check them, and {tls.passphrase}'),
  unusable(['tls.ca'], (pem) => certificateOf(pem), 'must be certificates in PEM'),
]; // prettier-ignore

/** Everything that is wrong with one client: a sentence each with client, option and remedy, never a value. `label` gives an option's path or variable. */
export function problemsOf(
  name: string,
  options: OAuthClientOptions,
  label: (path: string) => string,
  own = options,
): string[] {
  const unfit = new Map<string, string>();
  for (const [path, value] of flatten(options)) {
    const kind = OPTION_SCHEMA[path];
    const isOfAxios = kind === undefined && path.startsWith('http.');
    if (isOfAxios || isGroup(path, value) || kind?.accepts(value)) continue;
    unfit.set(path, (typeof kind?.says === 'function' ? kind.says(value) : kind?.says) ?? unknown(path));
  }
  const examined = examine(options, own, unfit);
  const sound = flatten(examined.options);
  const isFit = (path: string) => !unfit.has(path) && !unfit.has(groupOf(path));
  const broken = RULES.flatMap(([paths, isBroken, says]) =>
    paths.flatMap((path) =>
      isFit(path) && isBroken(examined, sound.get(path), path) ? [[path, says] as const] : [],
    ),
  );
  const words: Record<string, string> = { method: examined.method, grant: grantKind(examined.options.grant) };
  return [...unfit, ...broken].map(([path, says]) => {
    const what = says.replace(/\{([\w.]+)\}/g, (_, word: string) => words[word] ?? label(word));
    return `Client "${name}": ${label(path)} ${what}${what.endsWith('?') ? '' : '.'}`;
  });
}

function examine(all: OAuthClientOptions, own: OAuthClientOptions, unfit: ReadonlyMap<string, string>) {
  const given = flatten(all);
  const has = (...paths: string[]) => paths.some((path) => given.has(path));
  // Rules between options do not apply to values of the wrong kind.
  const { grant, ...others } = nest([...given].filter(([path]) => !unfit.has(path)));
  const options = withDefaults({ ...others, ...(grant?.type && { grant }) });
  // Empty if the method is unknown: then no rule about methods applies.
  const isOpen = has('tenants') && !has('tokenEndpointAuthMethod');
  const isUnknown = isOpen || unfit.has('tokenEndpointAuthMethod') || has('requestToken');
  const method = isUnknown ? '' : withDefaults(all).tokenEndpointAuthMethod;
  const isReady = has('assertion.token', 'assertion.tokenFile');
  const signsGrant = options.grant.type === 'jwt_bearer' && has('grant.issuer');
  const isKeyed = has('privateKey', 'privateKeyFile');
  const byKey = (method === 'private_key_jwt' && !isReady) || (isKeyed && signsGrant);
  const bySecret = method === 'client_secret_jwt' || (signsGrant && !byKey);
  // A default that a client does not use is no problem.
  const mine = flatten(own);
  const isOwn = (path: string) => mine.has(path);
  return { options, method, has, isOwn, isReady, signsGrant, byKey, bySecret };
}

/** The end of the sentence about an option that does not exist, or that should be an object. */
function unknown(path: string): string {
  const members = membersOf(path).map((known) => known.slice(path.length + 1));
  if (members.length > 0) return `must be an object with the members ${members.join(', ')}`;
  const siblings = membersOf(groupOf(path));
  return `is not an option; did you mean ${nearest(path, siblings.length > 0 ? siblings : Object.keys(OPTION_SCHEMA))}?`;
}

function missing(path: string, isNeeded: (examined: Examined) => boolean, remedy: string): Rule {
  // A client's tenants may bring it.
  return [[path], (one) => !one.has(path, 'tenants') && isNeeded(one), `is missing; ${remedy}`];
}

function unused(paths: readonly string[], isUsed: (examined: Examined) => boolean, remedy: string): Rule {
  const isUnused: Test = (one, _, path) => one.isOwn(path) && one.method !== '' && !isUsed(one);
  return [paths, isUnused, `is not used by {method}; ${remedy}`];
}

function exclusive(path: string, other: string): Rule {
  return [[path], ({ has }) => has(path) && has(other), `and {${other}} exclude each other; keep one`];
}

function foreign(grant: string, members: readonly string[]): Rule {
  const isForeign: Test = ({ options }, member) => member !== undefined && grantKind(options.grant) !== grant;
  return [members, isForeign, 'does not belong to the {grant} grant; remove it'];
}

/** A grant by its name, if it is one that is built in: the name of another is the user's own. */
function grantKind({ type }: GrantOptions): string {
  return GRANT_TYPES.some((known) => known === type) ? type : 'extension';
}

/** Whether each token request brings its own assertion or subject token. */
export function isPerRequest(grant: GrantOptions): boolean {
  const { type, assertion, issuer }: Record<string, unknown> = { ...grant };
  return type === 'token_exchange' || (type === 'jwt_bearer' && (assertion ?? issuer) === undefined);
}

function textsOf(value: unknown): string[] {
  return [value ?? []].flat() as string[];
}

function hasHeader(headers: unknown, ...names: (string | undefined)[]): boolean {
  const lower = names.map((name) => name?.toLowerCase());
  // Axios has groups among them: `common`, and one for each method.
  const all = Object.entries(headers ?? {}).flatMap(([one, value]) =>
    isRecord(value) ? Object.keys(value) : one,
  );
  return all.some((one) => lower.includes(one.toLowerCase()));
}

/** A rule about what has to fit `use`, which throws otherwise. What comes from functions and files is checked when it is needed. */
function unusable(
  paths: readonly string[],
  use: (material: Material, examined: Examined, path: string) => unknown,
  says: string,
): Rule {
  const isUnusable: Test = (examined, value, path) => {
    try {
      if (isMaterial(value)) use(value, examined, path);
      return false;
    } catch {
      return true;
    }
  };
  return [paths, isUnusable, says];
}

function isMaterial(value: unknown): value is Material {
  return typeof value === 'string' || typeof value === 'object';
}

/** Whether Axios will choose its fetch adapter or HTTP/2, which take neither a certificate nor a proxy from it. */
export function ignoresAgents({ adapter, httpVersion = 1 }: HttpOptions = {}): boolean {
  return [adapter].flat().find((name) => name !== 'xhr') === 'fetch' || Number(httpVersion) !== 1;
}

function isUnfitProxy(proxy: unknown): boolean {
  const { host } = (proxy || { host: 'none' }) as { host?: unknown };
  return typeof host !== 'string' || !URL.canParse(`http://${host}`);
}
