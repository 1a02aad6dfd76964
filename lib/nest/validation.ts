import { importSigningKey } from '../oauth/credentials.js';
import { RESERVED_PARAMETERS } from '../oauth/grants.js';
import { withDefaults, type OAuthClientOptions } from '../oauth/options.js';
import { isSecure } from '../oauth/server-metadata.js';
import { OPTION_SCHEMA, POSITIVE, expectation, nearest, type OptionKind } from './option-schema.js';

/** How a problem names an option: by its path, or by its variable. */
export type OptionLabel = (path: string) => string;

const SECRET_METHODS = ['client_secret_basic', 'client_secret_post', 'client_secret_jwt'];
const JWT_METHODS = ['client_secret_jwt', 'private_key_jwt'];
const GRANT_MEMBERS: Readonly<Record<string, readonly string[]>> = {
  client_credentials: [],
  refresh_token: ['refreshToken'],
  jwt_bearer: ['assertion'],
  token_exchange: ['subjectTokenType', 'actorToken', 'actorTokenType', 'requestedTokenType'],
};

/** Everything that is wrong with one client: a sentence each with client, option and remedy, never a value. */
export async function problemsOf(
  name: string,
  options: OAuthClientOptions,
  label: OptionLabel,
): Promise<string[]> {
  const wrong = (path: string, what: string) => `Client "${name}": ${label(path)} ${what}.`;
  const flat = flatten(options);
  const kinds = [...flat].flatMap(([path, value]) => {
    const kind = OPTION_SCHEMA[path];
    if (kind === undefined)
      return [wrong(path, `is not an option; did you mean ${nearest(path, Object.keys(OPTION_SCHEMA))}`)];
    return fits(path, value, kind) ? [] : [wrong(path, expectation(path, kind))];
  });
  // Rules between options make no sense on values of the wrong kind.
  if (kinds.length > 0) return [...kinds, ...(await missing(options, wrong, label))];
  return [
    ...(await missing(options, wrong, label)),
    ...insecure(options, wrong),
    ...unused(options, wrong),
    ...(await unfitKeys(options, wrong)),
  ];
}

type Wrong = (path: string, what: string) => string;

async function missing(options: OAuthClientOptions, wrong: Wrong, label: OptionLabel): Promise<string[]> {
  const problems: string[] = [];
  const { tokenEndpointAuthMethod: method, grant } = withDefaults(options);
  const { clientSecret, clientSecretFile, privateKey, privateKeyFile, tls } = options;
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
  if (grant.type === 'refresh_token' && grant.refreshToken === undefined) {
    need('grant.refreshToken', 'the refresh_token grant starts with one');
  }
  if (options.grant !== undefined && options.grant.type === undefined)
    need('grant.type', 'it tells which grant is meant');
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
  for (const path of ['issuer', 'baseURL'] as const) {
    if (options[path] !== undefined && new URL(options[path]).search !== '')
      problems.push(wrong(path, 'may not have a query'));
  }
  return problems;
}

/** Options that contradict each other, or would be ignored without a word. */
function unused(options: OAuthClientOptions, wrong: Wrong): string[] {
  const problems: string[] = [];
  const { tokenEndpointAuthMethod: method, grant, retry, refreshAhead: _, ...rest } = withDefaults(options);
  const idle = (path: string, applies: boolean, remedy: string) => {
    if (!applies && flatten(options).has(path)) problems.push(wrong(path, remedy));
  };
  for (const [one, other] of [
    ['clientSecret', 'clientSecretFile'],
    ['privateKey', 'privateKeyFile'],
  ] as const) {
    if (rest[one] !== undefined && rest[other] !== undefined)
      problems.push(wrong(one, `and ${other} exclude each other; keep one`));
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
  if (retry.minDelayMs > retry.maxDelayMs)
    problems.push(wrong('retry.minDelayMs', 'may not exceed retry.maxDelayMs'));
  return problems;
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
  if (typeof dpop === 'object' && dpop.privateKey !== undefined) {
    await attempt('dpop.privateKey', () => importSigningKey(dpop.privateKey!, dpop.algorithm), unfit);
  }
  return problems;
}

function fits(path: string, value: unknown, kind: OptionKind): boolean {
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

/** Options by path, nested ones joined by a dot; absent ones left out. */
function flatten(options: OAuthClientOptions): Map<string, unknown> {
  const flat = new Map<string, unknown>();
  for (const [name, value] of Object.entries(options) as [string, unknown][]) {
    const nested = isRecord(value) && Object.keys(OPTION_SCHEMA).some((path) => path.startsWith(`${name}.`));
    if (nested) for (const [member, inner] of Object.entries(value)) flat.set(`${name}.${member}`, inner);
    else if (value !== undefined) flat.set(name, value);
  }
  for (const [path, value] of flat) if (value === undefined) flat.delete(path);
  return flat;
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isUrl(value: unknown, protocols: RegExp): boolean {
  if (!isText(value) || !URL.canParse(value)) return false;
  const { protocol, username, password, hash } = new URL(value);
  return (
    protocols.test(protocol) && username === '' && password === '' && hash === '' && !value.endsWith('#')
  );
}
