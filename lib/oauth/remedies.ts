import type { ProtocolParts } from './protocol.js';

/** What is known of a token request that failed. */
export interface Failure {
  /** HTTP status; left out where there was no answer. */
  status?: number;
  /** The server's error code, cleaned. */
  error?: string | undefined;
  /** What else the server said, cleaned; without an answer, code and message of the network's error. */
  said?: string | undefined;
  /** Whether the answer is a page, for people to read. */
  isPage?: boolean;
  /** Whether the two ways to encode Basic credentials differ for those that were sent. */
  encodingMatters?: boolean;
}

type Options = ProtocolParts['options'];
type Known = Failure & { said: string };
type Fits = (failure: Known, options: Options) => boolean;

const FORMAT = /content.?type|media.?type|charset|urlencoded|\bjson\b/i;
const MISSING =
  'missing|required|mandatory|not (be )?(found|present|provided|supplied|specified|set|null|empty|blank)|(is|was) (null|empty|blank)|must be (present|provided|given|sent)';
const CREDENTIALS = 'client.?(id|secret)|credentials?|authorization header|basic auth';
const METHOD = /client_secret_(basic|post|jwt)|private_key_jwt|tls_client_auth/;
const CERTIFICATE =
  /(ssl|tls|client|mutual).{0,20}certificate|certificate.{0,9}(required|missing)|alert.(certificate|handshake|bad.cert|unknown.ca|unsupported.cert)/i;

/** Which options fit a failure: the first row that fits says it. Braces hold the path of an option, or a word of {@link wordsOf}. */
const REMEDIES: readonly (readonly [fits: Fits, remedy: string])[] = [
  [unreached(/ERR_PROXY/), 'Check the proxy that {http.proxy}, HTTPS_PROXY or HTTP_PROXY names, and NO_PROXY.'],
  [({ said }, { tls }) => tls?.cert === undefined && CERTIFICATE.test(said), 'Set {tls.cert} and {tls.key}: the server asks for a client certificate.'],
  [({ status, said }, { tls }) => tls?.cert !== undefined && (CERTIFICATE.test(said) || (status === undefined && /ECONNRESET|EPIPE/.test(said))), 'Check {tls.cert}: the server does not accept this certificate.'],
  [unreached(/ALTNAME/), 'Check {endpoint}: the certificate there belongs to another host.'],
  [unreached(/CERT_(HAS_EXPIRED|NOT_YET_VALID)/), 'Check this machine’s clock; if it is right, ask the partner for a valid certificate.'],
  [unreached(/CERT|SELF_SIGNED|ISSUER|LEAF_SIGNATURE/), 'The server’s certificate is not trusted: set {tls.ca} to its authority’s certificate, or NODE_EXTRA_CA_CERTS to a file with it.'],
  [unreached(/EPROTO|ERR_SSL|HPE_/), 'Check scheme and port of {endpoint}: what answers there is not {scheme}.'],
  [unreached(/^/), 'Check {endpoint}, the network and the proxy.'],
  [({ status = 0 }) => status >= 300 && status < 400, 'Set {endpoint} to the final URL.'],
  [isNoTokenEndpoint, 'Check {endpoint}: nothing there takes token requests.'],
  [says(/dpop/i), 'Set {dpop}, if the partner demands DPoP; if it is set, check this machine’s clock.'],
  [({ said }, { tokenEndpointAuthMethod: method }) => (METHOD.exec(said)?.[0] ?? method) !== method, 'Set {tokenEndpointAuthMethod} to the method that the server names.'],
  [signed(/\btyp\b/i), 'Set {assertion.typ} to the type that the server wants, mostly JWT.'],
  [signed(/\baud(ience)?\b/i), 'Set {jwtAudience} to issuer, token_endpoint, or the value that the partner’s documentation names.'],
  [signed(/\balg(orithm)?\b/i), 'Set {signingAlgorithm} to the one that the partner demands.'],
  [signed(/\bkid\b|\bkeys?\b|signature/i), 'Check {keyId}, and that the partner has the public part of {privateKey}.'],
  [signed(/\b(exp|iat|nbf)\b|expir|lifetime|too long/i), 'Check this machine’s clock, and {jwtLifetime}.'],
  [({ error, said }) => error !== 'invalid_client' && /\bscopes?\b|invalid_scope|AADSTS(70011|1002012)\b/i.test(said), 'Check {scope} against what the partner granted you{scopeHint}.'],
  [says(/audience/i), 'Set {audience} to the one that the partner’s documentation names.'],
  [says(/invalid_target/), 'Check {resource} and {audience} against the partner’s documentation.'],
  [(failure, { requestFormat }) => isAboutFormat(failure) && requestFormat === 'json', 'Set {requestFormat} to form.'],
  [says(/charset|urlencoded/i), 'Set the Content-Type with {tokenRequestHeaders}, such as application/x-www-form-urlencoded;charset=utf-8.'],
  [says(/\bjson\b/i), 'Set {requestFormat} to json.'],
  [isAboutFormat, 'Set {requestFormat} to json, or another Content-Type with {tokenRequestHeaders}.'],
  [({ said }, { tokenEndpointAuthMethod: method }) => misses(CREDENTIALS, said) && !/jwt|tls/.test(method), 'Set {tokenEndpointAuthMethod} to {otherMethod}: the server looks for the credentials elsewhere.'],
  [({ said }) => misses('grant.?type', said), 'Set {requestFormat} to {otherFormat}: the server does not find the parameters.'],
  [says(/unsupported_grant_type|unauthorized_client/), 'Ask the partner to allow the {grantType} grant for this client, or set {grant.type}.'],
  [({ error }, { grant }) => error === 'invalid_grant' && grant.type !== 'client_credentials', 'Check {grantMember} against the partner’s documentation; what the grant presents may be used up or expired.'],
  [({ error, status }) => error === undefined && status === 403, 'Ask the partner whether this client may call from here; if it may, check {clientId} and {tokenEndpointAuthMethod}.'],
  [says(/invalid_request/), 'Check {parameters} and {tokenRequestHeaders} against the partner’s documentation.'],
  [({ error = 'invalid_client' }) => !/^invalid_(client|grant)$/.test(error), 'Look the code up in the partner’s documentation.'],
  [({ encodingMatters }) => encodingMatters === true, 'Check {clientId} and {clientSecret}; if they are right, try {otherEncoding} as {basicEncoding}, since they have characters that it changes, or client_secret_post as {tokenEndpointAuthMethod}.'],
  [(_, { tokenEndpointAuthMethod: method }) => /^client_secret_(basic|post)$/.test(method), 'Check {clientId} and {clientSecret}; if they are right, try {otherMethod} as {tokenEndpointAuthMethod}.'],
  [(_, { tokenEndpointAuthMethod: method }) => method.endsWith('_jwt'), 'Check {clientId} and its key; if they are right, try {assertion.audience} (issuer, token_endpoint or a value) and {assertion.typ} (mostly JWT).'],
  [(_, { tls }) => tls?.cert !== undefined, 'Check that {clientId} is registered with the certificate in {tls.cert}.'],
  [() => true, 'Check {clientId} and {tokenEndpointAuthMethod}.'],
]; // prettier-ignore

/**
 * What to do about a failed token request: a sentence with the one or two options that fit it, by the names that the
 * user knows. It repeats nothing of the server's text.
 */
export function remedyFor(parts: Pick<ProtocolParts, 'options' | 'label'>, failure: Failure): string {
  const { options, label } = parts;
  const { error = '', said = '' } = failure;
  // Frameworks have a status's name in that member.
  const code = /^[a-z]+(_[a-z]+)+$/.test(error) ? error : undefined;
  const known = { ...failure, error: code, said: `${error} ${said}` };
  const [, remedy = ''] = REMEDIES.find(([fits]) => fits(known, options)) ?? [];
  const words = wordsOf(options, label);
  return remedy.replace(/\{([\w.]+)\}/g, (_, word: string) => words[word] ?? label(word));
}

/** The words that depend on the client's options. */
function wordsOf(options: Options, label: ProtocolParts['label']): Record<string, string> {
  const { tokenEndpoint, issuer, tokenEndpointAuthMethod: method, grant } = options;
  const given = (...paths: (keyof Options)[]) => label(paths.find((it) => options[it]) ?? String(paths[0]));
  const url = tokenEndpoint ?? issuer ?? '';
  const jwt = method.endsWith('_jwt') ? 'assertion' : 'grant';
  return {
    endpoint: given('requestToken', 'tokenEndpoint', 'metadataURL', 'issuer'),
    clientSecret: given('clientSecret', 'clientSecretFile'),
    privateKey: given('privateKey', 'privateKeyFile'),
    scheme: url.startsWith('http:') ? 'http' : 'https',
    jwtAudience: label(`${jwt}.audience`),
    jwtLifetime: label(`${jwt}.lifetimeMs`),
    scopeHint: /login\.(microsoftonline|windows)\./.test(url) ? ', and let it end in /.default' : '',
    grantType: grant.type,
    grantMember: label(`grant.${Object.keys(grant).find((member) => member !== 'type') ?? 'type'}`),
    otherMethod: method === 'client_secret_basic' ? 'client_secret_post' : 'client_secret_basic',
    otherFormat: options.requestFormat === 'json' ? 'form' : 'json',
    otherEncoding: options.basicEncoding === 'raw' ? 'form' : 'raw',
  };
}

function unreached(what: RegExp): Fits {
  return ({ status, said }) => status === undefined && what.test(said);
}

function says(what: RegExp): Fits {
  return ({ said }) => what.test(said);
}

function misses(what: string, said: string): boolean {
  return new RegExp(`(${what}).{0,40}(${MISSING})|(missing|required?|\\bno|without|provide|specify).{0,40}(${what})`, 'i').test(said); // prettier-ignore
}

/** A page may be about the request all the same. */
function isNoTokenEndpoint({ status = 0, error = '', said, isPage = false }: Known): boolean {
  if (/^(invalid|unauthorized|unsupported)_/.test(error)) return false;
  if ([404, 405, 501].includes(status)) return true;
  return isPage && ![401, 403, 415].includes(status) && !FORMAT.test(said);
}

function isAboutFormat({ status, said }: Known): boolean {
  return status === 415 || FORMAT.test(said);
}

/** Of a client that authenticates with a JWT or presents one that it signs, and is refused in words about it. */
function signed(what: RegExp): Fits {
  return ({ error = '', said }, { tokenEndpointAuthMethod: method, grant }) =>
    (method.endsWith('_jwt') || 'issuer' in grant) &&
    (/^invalid_(client|grant)$/.test(error) || /assertion|jwt|claim/i.test(said)) &&
    what.test(said);
}
