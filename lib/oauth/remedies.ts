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
type Fits = (failure: Failure, options: Options) => boolean;
/** What to do; `{path}` stands for the option of that path, by the name that the user knows. */
type Remedy = string | ((options: Options) => string);

const FORMAT = /content.?type|media.?type|charset|urlencoded|\bjson\b/i;
const MISSING = String.raw`missing|required|mandatory|not (be )?(found|present|provided|supplied|specified|set|null|empty|blank)|(is|was) (null|empty|blank)|must be (present|provided|given|sent)`;
const CREDENTIALS = 'client.?(id|secret)|credentials?|authorization header|basic auth';
const METHOD = /client_secret_(basic|post|jwt)|private_key_jwt|tls_client_auth/;
const SECRET_METHODS = ['client_secret_basic', 'client_secret_post'];
/** Of pages, these statuses are about the request all the same. */
const ABOUT_THE_REQUEST = [401, 403, 415];

/** Which options fit a failure: the first row that fits says it. */
const REMEDIES: readonly (readonly [Fits, Remedy])[] = [
  [unreached(/ERR_PROXY/), 'Check the proxy that {http.proxy}, HTTPS_PROXY or HTTP_PROXY names, and NO_PROXY.'],
  [unreached(/alert.(certificate|handshake|bad.cert|unknown.ca|unsupported.cert)/i), certificate],
  [(failure, options) => options.tls?.cert !== undefined && unreached(/ECONNRESET|EPIPE/)(failure, options), certificate],
  [unreached(/ALTNAME/), 'Check {endpoint}: the certificate there belongs to another host.'],
  [unreached(/CERT_(HAS_EXPIRED|NOT_YET_VALID)/), 'Check this machine’s clock; if it is right, ask the partner for a valid certificate.'],
  [unreached(/CERT|SELF_SIGNED|ISSUER/), 'The server’s certificate is not trusted: set {tls.ca} to its authority’s certificate, or NODE_EXTRA_CA_CERTS to a file with it.'],
  [unreached(/EPROTO|ERR_SSL/), 'Check scheme and port of {endpoint}: what answers there is not https.'],
  [unreached(/HPE_/), 'Check scheme and port of {endpoint}: what answers there is not http.'],
  [unreached(/ENOTFOUND|EAI_AGAIN/), 'Check the host in {endpoint}, and DNS: no address is known for it.'],
  [unreached(/^/), 'Check {endpoint}, the network and the proxy.'],
  [({ status = 0 }) => status >= 300 && status < 400, 'Set {endpoint} to the final URL.'],
  [says(/(ssl|tls|client|mutual).{0,20}certificate|certificate.{0,9}(required|missing)/i), certificate],
  [isNoTokenEndpoint, 'Check {endpoint}: nothing there takes token requests.'],
  [says(/dpop/i), ({ dpop }) => (dpop ? 'Check {dpop}, and this machine’s clock.' : 'Set {dpop}, if the partner demands DPoP.')],
  [({ said = '' }, { tokenEndpointAuthMethod: method }) => (METHOD.exec(said)?.[0] ?? method) !== method, 'Set {tokenEndpointAuthMethod} to the method that the server names.'],
  [signed(/\btyp\b/i), 'Set {assertion.typ} to the type that the server wants, mostly JWT.'],
  [signed(/\baud(ience)?\b/i), ({ tokenEndpointAuthMethod: method }) => `Set {${jwtOf(method)}.audience} to issuer, token_endpoint, or the value that the partner’s documentation names.`],
  [signed(/\balg(orithm)?\b/i), 'Set {signingAlgorithm} to the one that the partner demands.'],
  [signed(/\bkid\b|\bkeys?\b|signature/i), 'Check {keyId}, and that the partner has the public part of {privateKey}.'],
  [signed(/\b(exp|iat|nbf)\b|expir|lifetime|too long/i), ({ tokenEndpointAuthMethod: method }) => `Check this machine’s clock, and {${jwtOf(method)}.lifetimeMs}.`],
  [({ error, said = '' }) => error !== 'invalid_client' && /\bscopes?\b|invalid_scope|AADSTS(70011|1002012)\b/i.test(said), scope],
  [says(/audience/i), 'Set {audience} to the one that the partner’s documentation names.'],
  [says(/invalid_target/), 'Check {resource} and {audience} against the partner’s documentation.'],
  [(failure, { requestFormat }) => isAboutFormat(failure) && requestFormat === 'json', 'Set {requestFormat} to form.'],
  [says(/charset|urlencoded/i), 'Set the Content-Type with {tokenRequestHeaders}, such as application/x-www-form-urlencoded;charset=utf-8.'],
  [says(/\bjson\b/i), 'Set {requestFormat} to json.'],
  [isAboutFormat, 'Set {requestFormat} to json, or another Content-Type with {tokenRequestHeaders}.'],
  [(failure, options) => misses(CREDENTIALS)(failure, options) && !/jwt|tls/.test(options.tokenEndpointAuthMethod), ({ tokenEndpointAuthMethod: method }) => `Set {tokenEndpointAuthMethod} to ${otherMethod(method)}: the server looks for the credentials elsewhere.`],
  [misses('grant.?type'), ({ requestFormat }) => `Set {requestFormat} to ${requestFormat === 'json' ? 'form' : 'json'}: the server does not find the parameters.`],
  [says(/unsupported_grant_type|unauthorized_client/), ({ grant }) => `Ask the partner to allow the ${grant.type} grant for this client, or set {grant.type}.`],
  [({ error }, { grant }) => error === 'invalid_grant' && grant.type !== 'client_credentials', presented],
  [({ error, status }) => error === undefined && status === 403, 'Ask the partner whether this client may call from here; if it may, check {clientId} and {tokenEndpointAuthMethod}.'],
  [says(/invalid_request/), 'Check {parameters} and {tokenRequestHeaders} against the partner’s documentation.'],
  [({ error = 'invalid_client' }) => !/^invalid_(client|grant)$/.test(error), 'Look the code up in the partner’s documentation.'],
  [({ encodingMatters }) => encodingMatters === true, ({ basicEncoding }) => `Check {clientId} and {clientSecret}; if they are right, try ${basicEncoding === 'raw' ? 'form' : 'raw'} as {basicEncoding}, since they have characters that it changes, or client_secret_post as {tokenEndpointAuthMethod}.`],
  [(_, { tokenEndpointAuthMethod: method }) => SECRET_METHODS.includes(method), ({ tokenEndpointAuthMethod: method }) => `Check {clientId} and {clientSecret}; if they are right, try ${otherMethod(method)} as {tokenEndpointAuthMethod}.`],
  [(_, { tokenEndpointAuthMethod: method }) => method.endsWith('_jwt'), 'Check {clientId} and its key; if they are right, try {assertion.audience} (issuer, token_endpoint or a value) and {assertion.typ} (mostly JWT).'],
  [(_, { tls }) => tls?.cert !== undefined, 'Check that {clientId} is registered with the certificate in {tls.cert}.'],
  [() => true, 'Check {clientId} and {tokenEndpointAuthMethod}.'],
]; // prettier-ignore

/**
 * What to do about a failed token request: a sentence with the one or two options that fit it, by the names that the
 * user knows. Nothing of what the server said is in it.
 */
export function remedyFor(
  { options, label }: Pick<ProtocolParts, 'options' | 'label'>,
  failure: Failure,
): string {
  const { error = '', said = '' } = failure;
  // Frameworks have a status's name in that member.
  const code = /^[a-z]+(_[a-z]+)+$/.test(error) ? error : undefined;
  const known = { ...failure, error: code, said: `${error} ${said}` };
  const [, remedy = ''] = REMEDIES.find(([fits]) => fits(known, options)) ?? [];
  const text = typeof remedy === 'string' ? remedy : remedy(options);
  return text.replace(/\{([\w.]+)\}/g, (_, path: string) =>
    label(path === 'endpoint' ? endpointOf(options) : path),
  );
}

function endpointOf({ tokenEndpoint, metadataURL, requestToken }: Options): string {
  if (requestToken !== undefined) return 'requestToken';
  if (tokenEndpoint !== undefined) return 'tokenEndpoint';
  return metadataURL === undefined ? 'issuer' : 'metadataURL';
}

function unreached(what: RegExp): Fits {
  return ({ status, said = '' }) => status === undefined && what.test(said);
}

function says(what: RegExp): Fits {
  return ({ said = '' }) => what.test(said);
}

function misses(what: string): Fits {
  const words = `(${what}).{0,40}(${MISSING})|(missing|required?|\\bno|without|provide|specify).{0,40}(${what})`;
  return says(new RegExp(words, 'i'));
}

function isNoTokenEndpoint({ status = 0, error = '', said = '', isPage = false }: Failure): boolean {
  if (/^(invalid|unauthorized|unsupported)_/.test(error)) return false;
  if ([404, 405, 501].includes(status)) return true;
  return isPage && !ABOUT_THE_REQUEST.includes(status) && !FORMAT.test(said);
}

function isAboutFormat({ status, said = '' }: Failure): boolean {
  return status === 415 || FORMAT.test(said);
}

/** Of a client that authenticates with a JWT, and is refused in words about it. */
function signed(what: RegExp): Fits {
  return ({ error, said = '' }, { tokenEndpointAuthMethod: method, grant }) => {
    const hasJwt = method.endsWith('_jwt') || 'issuer' in grant;
    const isAbout =
      error === 'invalid_client' || error === 'invalid_grant' || /assertion|jwt|claim/i.test(said);
    return hasJwt && isAbout && what.test(said);
  };
}

function certificate({ tls }: Options): string {
  if (tls?.cert === undefined)
    return 'Set {tls.cert} and {tls.key}: the server asks for a client certificate.';
  return 'Check {tls.cert}: the server does not accept this certificate.';
}

/** The group of options for what the client signs: its own assertion, or that of its grant. */
function jwtOf(method: string): string {
  return method.endsWith('_jwt') ? 'assertion' : 'grant';
}

function scope({ tokenEndpoint = '', issuer = '' }: Options): string {
  if (/login\.(microsoftonline|windows)\./.test(tokenEndpoint + issuer))
    return 'Set {scope} to the resource with /.default after it.';
  return 'Check {scope} against what the partner granted you.';
}

function presented({ grant: own }: Options): string {
  const assertion = 'issuer' in own ? 'issuer' : 'assertion';
  const members: Record<string, string> = {
    refresh_token: 'refreshToken',
    jwt_bearer: assertion,
    token_exchange: 'subjectTokenType',
  };
  return `Check {grant.${members[own.type] ?? 'parameters'}} against the partner’s documentation; what the grant presents may be used up or expired.`;
}

function otherMethod(method: string): string {
  return method === 'client_secret_basic' ? 'client_secret_post' : 'client_secret_basic';
}
