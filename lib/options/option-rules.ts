import { X509Certificate } from 'node:crypto';
import type { GrantOptions, OAuthClientOptions, TokenEndpointAuthMethod } from './client-options.js';
import { certificateFingerprint, parseSigningKey } from './keys.js';
import { LONGEST_TIMER_MS } from './module-options.js';
import { isSecure } from './option-kinds.js';
import type { ResolvedClientOptions } from './resolved-options.js';
import type { Source } from './source.js';

/** One client's options, as the rules see them. */
export interface Examined {
  /** With defaults, but without what is of the wrong kind: rules between options make no sense on that. */
  options: Omit<ResolvedClientOptions, 'tokenEndpointAuthMethod'>;
  /** The client's authentication; empty when the one given does not exist, so that nobody knows what was meant. */
  method: TokenEndpointAuthMethod | '';
  /** Whether an option was given, of whatever kind; only by the client itself when `own`. */
  has: (path: string, own?: 'own') => boolean;
}

/** What holds between options. A rule is left out when its own option is of the wrong kind. */
export interface Rule {
  /** The option that the sentence is about. */
  path: string;
  isBroken: (given: Examined) => boolean;
  /**
   * The end of the sentence: what is wrong, and the remedy. `{path}` stands for the name of another option, `$method`
   * and `$grant` for the client's authentication and grant.
   */
  says: string;
}

const SECRET_METHODS: readonly string[] = ['client_secret_basic', 'client_secret_post', 'client_secret_jwt'];
const TLS_METHODS: readonly string[] = ['tls_client_auth', 'self_signed_tls_client_auth'];
const GRANT_MEMBERS: Readonly<Record<GrantOptions['type'], readonly string[]>> = {
  client_credentials: [],
  refresh_token: ['refreshToken'],
  jwt_bearer: ['assertion'],
  token_exchange: ['subjectTokenType', 'actorToken', 'actorTokenType', 'requestedTokenType'],
};
const UNFIT_KEY = 'is not a private key in PEM or JWK that fits its algorithm';

/** Every rule between options: the one it names, when it is broken, what is wrong. */
export const RULES: readonly Rule[] = [
  missing('clientId', () => true, 'set it to the identifier the partner gave you'),
  missing('tokenEndpoint', ({ has }) => !has('issuer'), 'set it, or {issuer} for discovery'),
  missing('clientSecret', ({ method, has }) => SECRET_METHODS.includes(method) && !has('clientSecretFile'), '$method needs it, or {clientSecretFile}'),
  missing('privateKey', ({ method, has }) => method === 'private_key_jwt' && !has('privateKeyFile'), '$method needs it, or {privateKeyFile}'),
  missing('tls.cert', ({ method }) => TLS_METHODS.includes(method), '$method needs a certificate'),
  missing('tls.cert', ({ has }) => has('tls.key'), 'a key needs its certificate'),
  missing('tls.key', ({ has }) => has('tls.cert'), 'a certificate needs its key'),
  missing('grant.refreshToken', ({ options }) => options.grant.type === 'refresh_token', 'the $grant grant starts with one'),
  missing('grant.type', ({ has }) => has('grant'), 'it tells which grant is meant'),
  missing('dpop.privateKey', needsLastingKey, 'a refresh token outlives the process, so the key its tokens are bound to must as well'),
  ...['issuer', 'tokenEndpoint', 'baseURL', 'allowedOrigins'].map((path) =>
    rule(path, ({ options }) => !options.allowInsecureRequests && !urlsOf(options, path).every(isSecure), 'must use https outside loopback; or set {allowInsecureRequests}')),
  ...['issuer', 'baseURL', 'allowedOrigins'].map((path) =>
    rule(path, ({ options }) => urlsOf(options, path).some((url) => new URL(url).search !== ''), 'may not have a query; remove it')),
  rule('issuer', ({ options }) => options.issuer?.includes('/.well-known/') ?? false, 'must be the identifier itself; leave out /.well-known/ and what follows'),
  rule('tokenEndpoint', ({ method, options }) => TLS_METHODS.includes(method) && /^http:/.test(options.tokenEndpoint ?? ''), 'must use https for $method'),
  rule('clientSecret', ({ has }) => has('clientSecret') && has('clientSecretFile'), 'and {clientSecretFile} exclude each other; keep one'),
  rule('privateKey', ({ has }) => has('privateKey') && has('privateKeyFile'), 'and {privateKeyFile} exclude each other; keep one'),
  ...['clientSecret', 'clientSecretFile'].map((path) => unused(path, SECRET_METHODS, 'choose another {tokenEndpointAuthMethod}')),
  ...['privateKey', 'privateKeyFile', 'keyId', 'signingAlgorithm'].map((path) => unused(path, ['private_key_jwt'], 'choose private_key_jwt')),
  unused('assertion.audience', ['client_secret_jwt', 'private_key_jwt']),
  unused('basicEncoding', ['client_secret_basic']),
  ...Object.values(GRANT_MEMBERS).flat().map((member) =>
    rule(`grant.${member}`, ({ options: { grant } }) => member in grant && !GRANT_MEMBERS[grant.type].includes(member), 'does not belong to the $grant grant; remove it')),
  rule('grant.actorTokenType', ({ options: { grant }, has }) => grant.type === 'token_exchange' && has('grant.actorTokenType') && !has('grant.actorToken'), 'needs {grant.actorToken} (RFC 8693 §2.1)'),
  rule('tls.passphrase', ({ has }) => has('tls.passphrase', 'own') && !has('tls.key'), 'is not used without {tls.key}; remove it'),
  rule('retry.minDelayMs', ({ options: { retry } }) => retry.minDelayMs > retry.maxDelayMs, 'may not exceed {retry.maxDelayMs}'),
  rule('assertion.audience', ({ options, has }) => options.assertion?.audience === 'issuer' && !has('issuer'), 'needs {issuer}; or give the value itself'),
  rule('prefetch', ({ options }) => options.prefetch !== 'off' && isPerRequest(options.grant), 'needs a token that does not depend on the request; set it to off'),
  rule('http', setsTokenHeader, 'may not set the Authorization or DPoP header, which this client sets; remove it from headers'),
  rule('http', ({ options: { http } }) => http?.['auth'] !== undefined, 'may not hold auth, which would replace the token; use {clientId} and {clientSecret}'),
  rule('http', ({ options: { http } }) => http?.['baseURL'] !== undefined, 'may not hold baseURL; set the option of that name'),
  rule('http', ({ options: { http, tls } }) => http?.['httpsAgent'] !== undefined && tls !== undefined, 'may not hold httpsAgent together with tls; keep one'),
  rule('timeoutMs', ({ options }) => options.timeoutMs > LONGEST_TIMER_MS, 'is longer than a timer can wait; use 24 days at most'),
  ...(['minDelayMs', 'maxDelayMs', 'totalMs'] as const).map((member) =>
    rule(`retry.${member}`, ({ options }) => options.retry[member] > LONGEST_TIMER_MS, 'is longer than a timer can wait; use 24 days at most')),
  rule('privateKey', ({ options: { privateKey, signingAlgorithm } }) => fails(privateKey, (key) => parseSigningKey(key, signingAlgorithm)), UNFIT_KEY),
  rule('dpop.privateKey', ({ options: { dpop } }) => typeof dpop === 'object' && fails(dpop.privateKey, (key) => parseSigningKey(key, dpop.algorithm)), UNFIT_KEY),
  rule('tls.cert', isMisfitPair, 'and {tls.key} must be a certificate and its own private key in PEM; check them, and {tls.passphrase}'),
  rule('tls.ca', ({ options: { tls } }) => fails(tls?.ca, (ca) => new X509Certificate(ca)), 'must be certificates in PEM'),
]; // prettier-ignore

function rule(path: string, isBroken: Rule['isBroken'], says: string): Rule {
  return { path, isBroken, says };
}

function missing(path: string, isNeeded: Rule['isBroken'], remedy: string): Rule {
  return rule(path, (given) => !given.has(path) && isNeeded(given), `is missing; ${remedy}`);
}

function unused(path: string, methods: readonly string[], otherwise?: string): Rule {
  const remedy = otherwise === undefined ? 'remove it' : `remove it, or ${otherwise}`;
  return rule(
    path,
    ({ method, has }) => method !== '' && has(path, 'own') && !methods.includes(method),
    `is not used by $method; ${remedy}`,
  );
}

function needsLastingKey({ options: { dpop = false, grant } }: Examined): boolean {
  return dpop !== false && grant.type === 'refresh_token';
}

function setsTokenHeader({ options: { http } }: Examined): boolean {
  return Object.keys(http?.['headers'] ?? {}).some((name) => /^(authorization|dpop)$/i.test(name));
}

function isPerRequest(grant: GrantOptions): boolean {
  return grant.type === 'token_exchange' || (grant.type === 'jwt_bearer' && grant.assertion === undefined);
}

function urlsOf(options: OAuthClientOptions, path: string): string[] {
  return [options[path as 'issuer' | 'allowedOrigins'] ?? []].flat();
}

function isMisfitPair({ options: { tls } }: Examined): boolean {
  const { cert, key, passphrase } = tls ?? {};
  if (typeof cert !== 'string' || typeof key !== 'string' || typeof passphrase === 'function') return false;
  return fails({ cert, key, ...(passphrase !== undefined && { passphrase }) }, certificateFingerprint);
}

/** Keys that stand in the configuration are tried at boot; those behind functions and files when they are needed. */
function fails<T extends string | object>(
  source: Source<T> | undefined,
  use: (value: T) => unknown,
): boolean {
  if (source === undefined || typeof source === 'function') return false;
  try {
    use(source);
    return false;
  } catch {
    return true;
  }
}
