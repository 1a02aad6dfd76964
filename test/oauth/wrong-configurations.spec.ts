import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { OAuthConfigurationError } from 'nestjs-oauth-client';
import { exportJWK, exportPKCS8, exportSPKI, generateKeyPair } from 'jose';
import { generateKeyPairSync } from 'node:crypto';
import { Agent } from 'node:https';
import { Application } from '../support/application.js';
import { Authority, type Identity } from '../support/certificates.js';

/** What makes a client wrong, and the sentence that says so after `Client "…": `. */
type Wrong = [options: Record<string, unknown>, sentence: RegExp];

let authority: Authority;
let identity: Identity;
let other: Identity;
let keys: Record<'ec' | 'public' | 'short' | 'jwk', string>;

beforeAll(async () => {
  authority = new Authority();
  [identity, other] = [authority.client('me'), authority.client('other')];
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  const short = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;
  keys = {
    ec: await exportPKCS8(privateKey),
    public: await exportSPKI(publicKey),
    short: short.export({ type: 'pkcs8', format: 'pem' }).toString(),
    jwk: JSON.stringify(await exportJWK(publicKey)),
  };
});
afterAll(() => authority.remove());

/** A client that is right, to be made wrong. */
const right = { tokenEndpoint: 'https://as.example/token', clientId: 'me', clientSecret: 'hunter2-value' };
const keyed = { ...right, clientSecret: undefined, tokenEndpointAuthMethod: 'private_key_jwt' };
const secretJwt = { ...right, tokenEndpointAuthMethod: 'client_secret_jwt' };
const mtls = { ...right, clientSecret: undefined, tokenEndpointAuthMethod: 'tls_client_auth' };
const granted = (grant: unknown) => ({ ...right, grant });

const families: Record<string, () => Wrong[]> = {
  'where the servers are': () => [
    [{ ...right, tokenEndpoint: undefined }, /^tokenEndpoint is missing; set it, or issuer for discovery\.$/],
    [{ ...right, tokenEndpoint: 'as.example/token' }, /^tokenEndpoint must be an absolute http\(s\) URL/],
    [{ ...right, tokenEndpoint: 'https://me:hunter2-value@as.example/token' }, /^tokenEndpoint must be .* without user name/],
    [{ ...right, tokenEndpoint: 'https://as.example/token#part' }, /^tokenEndpoint must be .* without .*fragment/],
    [{ ...right, tokenEndpoint: 'http://as.example/token' }, /^tokenEndpoint must use https outside loopback; or set allowInsecureRequests\.$/],
    [{ ...right, issuer: 'https://as.example/.well-known/openid-configuration' }, /^issuer must be the identifier itself; leave out \/\.well-known\//],
    [{ ...right, issuer: 'https://as.example?tenant=1' }, /^issuer may not have a query; remove it\.$/],
    [{ ...right, baseURL: 'ftp://api.example' }, /^baseURL must be an absolute http\(s\) URL/],
    [{ ...right, baseURL: 'http://127.0.0.1.example' }, /^baseURL must use https outside loopback/],
    [{ ...right, allowedOrigins: ['https://api.example/v1?x=1'] }, /^allowedOrigins may not have a query; remove it\.$/],
    [{ ...right, allowedOrigins: ['api.example'] }, /^allowedOrigins must hold absolute URIs/],
    [{ ...right, resource: [] }, /^resource must hold absolute URIs without fragments\.$/],
    [{ ...right, allowedOrigins: 'https://api.example' }, /^allowedOrigins must hold absolute URIs .*, as a list\.$/],
    [{ ...right, allowedOrigins: ['https://*.api.example'] }, /^allowedOrigins must hold .* without .*wildcards/],
    [{ ...right, allowedOrigins: ['https://api.example/*'] }, /^allowedOrigins must hold .* without .*wildcards/],
    [{ ...right, allowInsecureRequests: 'yes' }, /^allowInsecureRequests must be true or false\.$/],
  ],
  'credentials and client authentication': () => [
    [{ ...right, clientId: undefined }, /^clientId is missing; set it to the identifier the partner gave you\.$/],
    [{ ...right, clientId: 7 }, /^clientId must be a text that is not empty\.$/],
    [{ ...right, clientSecret: undefined }, /^clientSecret is missing; client_secret_basic needs it, or clientSecretFile\.$/],
    [{ ...right, clientSecret: '' }, /^clientSecret must be a text that is not empty, or a function/],
    [{ ...right, clientSecretFile: '/run/secret' }, /^clientSecret and clientSecretFile exclude each other; keep one\.$/],
    [{ ...right, tokenEndpointAuthMethod: 'basic' }, /^tokenEndpointAuthMethod must be one of client_secret_basic, .*none; did you mean client_secret_basic\?$/],
    [{ ...right, tokenEndpointAuthMethod: 'POST' }, /; did you mean client_secret_post\?$/],
    [{ ...right, tokenEndpointAuthMethod: 'request-body' }, /; did you mean client_secret_post\?$/],
    [{ ...right, tokenEndpointAuthMethod: 'jwt' }, /; did you mean client_secret_jwt or private_key_jwt\?$/],
    [{ ...right, tokenEndpointAuthMethod: 'mTLS' }, /; did you mean tls_client_auth\?$/],
    [{ ...right, requestFormat: 'application/json' }, /^requestFormat must be one of form, json; did you mean json\?$/],
    [{ ...right, tokenEndpointAuthMethod: 'oauth' }, /none\.$/],
    [{ ...right, tokenEndpointAuthMethod: 'none' }, /^clientSecret is not used by none; remove it, or choose another tokenEndpointAuthMethod\.$/],
    [{ ...right, basicEncoding: 'percent' }, /^basicEncoding must be one of form, raw\.$/],
    [{ ...right, basicEncoding: 'form', tokenEndpointAuthMethod: 'client_secret_post' }, /^basicEncoding is not used by client_secret_post; remove it\.$/],
    [{ ...right, clientId: undefined, clientSecret: undefined, tokenEndpointAuthMethod: 'none' }, /^clientId is missing/],
  ],
  keys: () => [
    [keyed, /^privateKey is missing; private_key_jwt needs it, privateKeyFile or assertion\.token\.$/],
    [{ ...keyed, privateKey: 'no key' }, /^privateKey is not a private key in PEM or JWK that fits its algorithm\.$/],
    [{ ...keyed, privateKey: keys.public }, /^privateKey is not a private key/],
    [{ ...keyed, privateKey: keys.jwk }, /^privateKey is not a private key/],
    [{ ...keyed, privateKey: keys.short }, /^privateKey is not a private key/],
    [{ ...keyed, privateKey: keys.ec, signingAlgorithm: 'RS256' }, /^privateKey is not a private key in PEM or JWK that fits its algorithm\.$/],
    [{ ...keyed, privateKey: keys.ec, signingAlgorithm: 'HS256' }, /^signingAlgorithm does not fit what signs: HS256, HS384 and HS512 are for a secret, the others for a private key\.$/],
    [{ ...keyed, privateKey: keys.ec, signingAlgorithm: 'none' }, /^signingAlgorithm must be one of RS256, .*EdDSA, HS256, HS384, HS512\.$/],
    [{ ...right, tokenEndpointAuthMethod: 'client_secret_jwt', signingAlgorithm: 'ES256' }, /^signingAlgorithm does not fit what signs/],
    [{ ...right, signingAlgorithm: 'HS256' }, /^signingAlgorithm is not used by client_secret_basic; remove it\.$/],
    [{ ...keyed, privateKey: keys.ec, privateKeyFile: '/run/key' }, /^privateKey and privateKeyFile exclude each other; keep one\.$/],
    [{ ...keyed, privateKey: keys.ec, clientSecret: 'hunter2-value' }, /^clientSecret is not used by private_key_jwt; remove it/],
    [{ ...right, keyId: 'k1' }, /^keyId is not used by client_secret_basic; remove it\.$/],
    [{ ...keyed, privateKey: ['a'] }, /^privateKey must be a text that is not empty, or a function/],
    [{ ...right, privateKeyFile: '/run/key', tokenEndpointAuthMethod: 'client_secret_post' }, /^privateKeyFile is not used by client_secret_post/],
  ],
  'client assertions': () => [
    [{ ...right, assertion: { audience: 'https://as.example' } }, /^assertion\.audience is not used by client_secret_basic; remove it\.$/],
    [{ ...right, assertion: { typ: 'JWT' } }, /^assertion\.typ is not used by client_secret_basic; remove it\.$/],
    [{ ...right, assertion: 'JWT' }, /^assertion must be an object with the members audience, typ, header, claims/],
    [{ ...secretJwt, assertion: { audience: 'issuer' } }, /^assertion\.audience needs issuer; or give the value itself\.$/],
    [{ ...secretJwt, assertion: { audience: ['a', 'b'] } }, /^assertion\.audience must be a text/],
    [{ ...secretJwt, assertion: { typ: '' } }, /^assertion\.typ must be a text/],
    [{ ...secretJwt, assertion: { lifetimeMs: 0 } }, /^assertion\.lifetimeMs must be a number of milliseconds, more than 0\.$/],
    ...['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti'].map(
      (claim): Wrong => [{ ...secretJwt, assertion: { claims: { [claim]: 'hunter2-value' } } }, /^assertion\.claims must be an object of JSON values without iss, sub, aud, exp, nbf, iat, jti, which are set/],
    ),
    ...['alg', 'kid', 'typ', 'crit', 'b64'].map(
      (member): Wrong => [{ ...secretJwt, assertion: { header: { [member]: 'hunter2-value' } } }, /^assertion\.header must be an object of JSON values without alg, kid, typ, crit, b64, the first three/],
    ),
    ...[() => 'hunter2-value', Number.NaN, undefined, Symbol('s'), 7n, [{ deep: () => 1 }]].map(
      (value): Wrong => [{ ...secretJwt, assertion: { claims: { value } } }, /^assertion\.claims must be an object of JSON values/],
    ),
    [{ ...secretJwt, assertion: { header: ['a'] } }, /^assertion\.header must be an object of JSON values/],
    [{ ...secretJwt, assertion: { certificate: identity.cert } }, /^assertion\.certificate is not used by client_secret_jwt; remove it\.$/],
    [{ ...secretJwt, assertion: { token: 'hunter2-value' } }, /^assertion\.token is not used by client_secret_jwt; remove it\.$/],
    [{ ...keyed, privateKey: identity.key, assertion: { certificate: other.cert } }, /^assertion\.certificate is not the certificate of privateKey in PEM\.$/],
    [{ ...keyed, privateKey: identity.key, assertion: { certificate: 'no certificate' } }, /^assertion\.certificate is not the certificate of privateKey in PEM\.$/],
    [{ ...keyed, privateKeyFile: '/run/key', assertion: { certificate: 'no certificate' } }, /^assertion\.certificate is not the certificate/],
    [{ ...keyed, privateKey: identity.key, assertion: { certificate: identity.cert, certificateFile: '/run/cert' } }, /^assertion\.certificate and assertion\.certificateFile exclude each other; keep one\.$/],
    [{ ...keyed, assertion: { token: '' } }, /^assertion\.token must be a text that is not empty, or a function/],
    [{ ...keyed, assertion: { token: 'hunter2-value', tokenFile: '/run/token' } }, /^assertion\.token and assertion\.tokenFile exclude each other; keep one\.$/],
    [{ ...keyed, assertion: { token: 'hunter2-value' }, privateKey: keys.ec }, /^privateKey and assertion\.token exclude each other; keep one\.$/],
    [{ ...keyed, assertion: { tokenFile: '/run/token' }, clientSecret: 'hunter2-value' }, /^clientSecret is not used by private_key_jwt/],
    [{ ...keyed, assertion: { token: 'hunter2-value', typ: 'JWT' } }, /^assertion\.typ is not used with assertion\.token, which is sent as it is; keep one\.$/],
    [{ ...keyed, assertion: { tokenFile: '/run/token', certificateFile: '/run/cert' } }, /^assertion\.certificateFile is not used with assertion\.token/],
    [{ ...keyed, assertion: { token: 'hunter2-value' }, signingAlgorithm: 'RS256' }, /^signingAlgorithm is not used by private_key_jwt; remove it\.$/],
    [{ ...right, assertion: { clientAssertionType: 'urn:x' } }, /^assertion\.clientAssertionType is not used by client_secret_basic; remove it\.$/],
  ],
  tls: () => [
    [mtls, /^tls\.cert is missing; tls_client_auth needs a certificate\.$/],
    [{ ...mtls, tls: { cert: identity.cert } }, /^tls\.key is missing; a certificate needs its key\.$/],
    [{ ...right, tls: { key: identity.key } }, /^tls\.cert is missing; a key needs its certificate\.$/],
    [{ ...mtls, tls: { cert: identity.cert, key: other.key } }, /^tls\.cert and tls\.key must be a certificate and its own private key in PEM; check them/],
    [{ ...mtls, tls: { cert: 'no certificate', key: identity.key } }, /^tls\.cert and tls\.key must be/],
    [{ ...mtls, tls: { cert: identity.cert, key: authority.encrypt(identity, 'right'), passphrase: 'another-passphrase' } }, /^tls\.cert and tls\.key must be .*tls\.passphrase\.$/],
    [{ ...right, tls: { ca: 'no certificate' } }, /^tls\.ca must be certificates in PEM\.$/],
    [{ ...right, tls: { passphrase: 'hunter2-value' } }, /^tls\.passphrase is not used without tls\.key; remove it\.$/],
    [{ ...mtls, tls: { ...identity, certificate: 'x' } }, /^tls\.certificate is not an option; did you mean tls\.cert/],
    [{ ...right, tls: 'hunter2-value' }, /^tls must be an object with the members cert, key, ca, passphrase\.$/],
    [{ ...mtls, tokenEndpoint: 'http://127.0.0.1/token', tls: identity }, /^tokenEndpoint must use https for tls_client_auth\.$/],
    [{ ...mtls, tls: identity, http: { httpsAgent: new Agent() } }, /^http may not hold httpsAgent together with tls; keep one\.$/],
  ],
  grants: () => [
    [granted({}), /^grant\.type is missing; it tells which grant is meant\.$/],
    [granted({ type: '' }), /^grant\.type must be a text that is not empty\.$/],
    [granted({ type: ['client_credentials'] }), /^grant\.type must be a text that is not empty\.$/],
    [granted('client_credentials'), /^grant must be an object with the members type, refreshToken/],
    [granted(null), /^grant must be an object/],
    [granted({ type: 'refresh_token' }), /^grant\.refreshToken is missing; the refresh_token grant starts with one\.$/],
    [granted({ type: 'refresh_token', refreshToken: '' }), /^grant\.refreshToken must be a text that is not empty/],
    [granted({ type: 'client_credentials', refreshToken: 'hunter2-value' }), /^grant\.refreshToken does not belong to the client_credentials grant; remove it\.$/],
    [granted({ type: 'jwt_bearer', subjectToken: 'hunter2-value' }), /^grant\.subjectToken is not an option; did you mean grant\.subjectTokenType/],
    [granted({ type: 'token_exchange', actorTokenType: 'urn:x' }), /^grant\.actorTokenType needs grant\.actorToken/],
    [granted({ type: 'token_exchange', subjectTokenType: 7 }), /^grant\.subjectTokenType must be a text/],
    [granted({ type: 'jwt_bearer', assertion: 'hunter2-value', issuer: 'me' }), /^grant\.assertion and grant\.issuer exclude each other; keep one\.$/],
    [granted({ type: 'jwt_bearer', subject: 'someone' }), /^grant\.subject needs grant\.issuer: it is for an assertion that is signed here\.$/],
    [granted({ type: 'jwt_bearer', assertion: 'hunter2-value', lifetimeMs: 5 }), /^grant\.lifetimeMs needs grant\.issuer/],
    [granted({ type: 'jwt_bearer', issuer: 'me', audience: 'issuer' }), /^grant\.audience needs issuer; or give the value itself\.$/],
    [granted({ type: 'jwt_bearer', issuer: 'me', claims: { exp: 7 } }), /^grant\.claims must be an object of JSON values without iss, sub/],
    [granted({ type: 'client_credentials', issuer: 'me' }), /^grant\.issuer does not belong to the client_credentials grant; remove it\.$/],
    [{ ...granted({ type: 'jwt_bearer', issuer: 'me' }), clientSecret: undefined, tokenEndpointAuthMethod: 'none' }, /^privateKey is missing; a grant with grant\.issuer is signed with it, privateKeyFile or clientSecret\.$/],
    [{ ...granted({ type: 'jwt_bearer', issuer: 'me' }), tokenEndpointAuthMethod: 'none', privateKey: keys.ec }, /^clientSecret is not used by none; remove it/],
    [{ ...granted({ type: 'jwt_bearer', issuer: 'me' }), signingAlgorithm: 'RS256' }, /^signingAlgorithm does not fit what signs/],
    [{ ...granted({ type: 'jwt_bearer' }), tokenEndpointAuthMethod: 'none' }, /^clientSecret is not used by none/],
    [granted({ type: 'client_credentials', parameters: { account_id: 'hunter2-value' } }), /^grant\.parameters does not belong to the client_credentials grant; remove it\.$/],
    [granted({ type: 'hunter2-value', refreshToken: 'hunter2-value' }), /^grant\.refreshToken does not belong to the extension grant; remove it\.$/],
    ...[{ client_secret: 'hunter2-value' }, { 'grant-type': 'hunter2-value' }, { account_id: '' }, { account_id: 7 }, ['hunter2-value'], 'account_id=hunter2-value'].map(
      (parameters): Wrong => [granted({ type: 'account_credentials', parameters }), /^grant\.parameters must be parameter names with texts, or functions that return one, and may not replace grant_type/],
    ),
    [{ ...granted({ type: 'account_credentials', parameters: { account_id: 'hunter2-value' } }), parameters: { Account_ID: 'x' } }, /^parameters may not replace what grant\.parameters holds; keep one\.$/],
    [{ ...granted({ type: 'token_exchange' }), prefetch: 'background' }, /^prefetch needs a token that does not depend on the request; set it to off\.$/],
    [{ ...granted({ type: 'jwt_bearer' }), prefetch: 'required' }, /^prefetch needs a token/],
  ],
  'near misses of a grant': () =>
    Object.entries({
      client_credentials: ['client-credentials', 'ClientCredentials', 'clientCredentials', 'CLIENT_CREDENTIALS', 'client_credential', 'cleint_credentials', ' client_credentials', 'client_credentials ', 'client.credentials', 'grant_type=client_credentials', 'urn:ietf:params:oauth:grant-type:client_credentials'],
      refresh_token: ['refresh-token', 'refreshToken', 'refresh token', 'Refresh_Token', 'refresh_tokens'],
      jwt_bearer: ['jwt-bearer', 'jwtBearer', 'JWT_BEARER', 'jwt:bearer', 'urn:ietf:params:oauth:grant-type:jwt-bearer', 'urn:ietf:params:oauth:grant-type:jwt_bearer', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', 'urn:ietf:params:oauth:grant_type:JWT-Bearer', 'grant-type:jwt-bearer', 'ietf:params:oauth:grant-type:jwt-bearer', 'urn:ietf:param:oauth:grant-type:jwt-bearer'],
      token_exchange: ['token-exchange', 'tokenExchange', 'TokenExchange', 'token_exchang', 'urn:ietf:params:oauth:grant-type:token-exchange', 'urn:ietf:params:oauth:grant-type:token_exchange'],
    }).flatMap(([right, types]) =>
      types.map((type): Wrong => [granted({ type, parameters: { x: 'hunter2-value' } }), new RegExp(`^grant\\.type is almost a grant that is built in; did you mean ${right}\\?$`)]),
    ),
  'what is asked for': () => [
    [{ ...right, scope: '' }, /^scope must be scope values separated by single spaces/],
    [{ ...right, scope: 'a  b' }, /^scope must be scope values separated by single spaces/],
    [{ ...right, scope: 'say "a"' }, /^scope must be scope values/],
    [{ ...right, scope: ['a', 'b'] }, /^scope must be scope values/],
    [{ ...right, audience: [] }, /^audience must be a text that is not empty, or a list of them\.$/],
    [{ ...right, audience: { name: 'x' } }, /^audience must be a text/],
    [{ ...right, resource: 'api' }, /^resource must hold absolute URIs without fragments\.$/],
    [{ ...right, resource: 'https://api.example#part' }, /^resource must hold absolute URIs without fragments\.$/],
    [{ ...right, parameters: { client_secret: 'hunter2-value' } }, /^parameters must be parameter names with texts, and may not replace the grant or the credentials\.$/],
    ...['Client_Secret', 'grant_type[]', 'grant_type ', 'client_ſecret', 'ｃlient_secret', 'clıent_assertion', 'client.secret', 'client secret', '[refresh_token]', 'assertion[0][x]', 'clientSecret', 'Client_Id', 'client_secret\0x', 'client[secret', 'grant[type', 'client%5Fsecret'].map(
      (name): Wrong => [{ ...right, parameters: { [name]: 'hunter2-value' } }, /^parameters must be parameter names with texts, and may not replace/],
    ),
    [{ ...right, parameters: { client_id: 'hunter2-value' } }, /^parameters may not hold another client_id than clientId; remove it\.$/],
    [{ ...right, parameters: { client_id: ['me', 'hunter2-value'] } }, /^parameters may not hold another client_id/],
    [{ ...right, parameters: { tenant: 7 } }, /^parameters must be parameter names with texts/],
    [{ ...right, parameters: 'tenant=7' }, /^parameters must be parameter names/],
    [{ ...right, requestFormat: 'xml' }, /^requestFormat must be one of form, json\.$/],
  ],
  'headers of the token request': () => [
    [{ ...right, tokenRequestHeaders: 'X-Api-Key: hunter2-value' }, /^tokenRequestHeaders must be header names with texts, or functions/],
    [{ ...right, tokenRequestHeaders: { 'X-Api-Key': 7 } }, /^tokenRequestHeaders must be header names with texts/],
    [{ ...right, tokenRequestHeaders: { 'X-Api-Key': '' } }, /^tokenRequestHeaders must be/],
    [{ ...right, tokenRequestHeaders: { 'X-Api-Key': ['hunter2-value'] } }, /^tokenRequestHeaders must be/],
    [{ ...right, tokenRequestHeaders: { 'X-Api-Key': 'hunter2-value\r\nX: y' } }, /^tokenRequestHeaders must be/],
    [{ ...right, tokenRequestHeaders: { 'X-Api-Key': 'hunter2-value€' } }, /^tokenRequestHeaders must be/],
    [{ ...right, tokenRequestHeaders: { 'X-Api-Key': ' hunter2-value' } }, /^tokenRequestHeaders must be/],
    [{ ...right, tokenRequestHeaders: { 'X Api Key': 'hunter2-value' } }, /^tokenRequestHeaders must be/],
    [{ ...right, tokenRequestHeaders: { '': 'hunter2-value' } }, /^tokenRequestHeaders must be/],
    [{ ...right, tokenRequestHeaders: { 'content-length': '7' } }, /^tokenRequestHeaders .* may not set Content-Length, Transfer-Encoding or DPoP\.$/],
    [{ ...right, tokenRequestHeaders: { 'Transfer-Encoding': 'chunked' } }, /^tokenRequestHeaders .* may not set/],
    [{ ...right, tokenRequestHeaders: { DPOP: () => 'hunter2-value' } }, /^tokenRequestHeaders .* may not set/],
    [{ ...right, tokenRequestHeaders: { authorization: 'Basic hunter2-value' } }, /^tokenRequestHeaders may not set Authorization beside client_secret_basic \(RFC 6749 §2\.3\); remove it, or set tokenEndpointAuthMethod to none\.$/],
    [{ ...right, tokenEndpointAuthMethod: 'client_secret_post', tokenRequestHeaders: { Authorization: () => 'hunter2-value' } }, /^tokenRequestHeaders may not set Authorization beside client_secret_post/],
  ],
  dpop: () => [
    [{ ...right, dpop: 'yes' }, /^dpop must be true or false\.$/],
    [{ ...right, dpop: 1 }, /^dpop must be true or false\.$/],
    [{ ...right, dpop: { alg: 'ES256' } }, /^dpop\.alg is not an option; did you mean dpop\.algorithm/],
    [{ ...right, dpop: { algorithm: 'HS256' } }, /^dpop\.algorithm must be one of RS256, /],
    [{ ...right, dpop: { algorithm: 'none' } }, /^dpop\.algorithm must be one of/],
    [{ ...right, dpop: { privateKey: 'no key' } }, /^dpop\.privateKey is not a private key in PEM or JWK that fits its algorithm\.$/],
    [{ ...right, dpop: { privateKey: keys.public } }, /^dpop\.privateKey is not a private key/],
    [{ ...right, dpop: { privateKey: keys.short } }, /^dpop\.privateKey is not a private key/],
    [{ ...right, dpop: { privateKey: keys.ec, algorithm: 'EdDSA' } }, /^dpop\.privateKey is not a private key .* that fits its algorithm\.$/],
    [{ ...granted({ type: 'refresh_token', refreshToken: 'r' }), dpop: true }, /^dpop\.privateKey is missing; a refresh token outlives the process/],
    [{ ...right, dpop: { privateKey: '' } }, /^dpop\.privateKey must be a text that is not empty, or a function/],
  ],
  'times and retries': () => [
    [{ ...right, timeoutMs: 0 }, /^timeoutMs must be a number of milliseconds, more than 0\.$/],
    [{ ...right, timeoutMs: '5s' }, /^timeoutMs must be a number of milliseconds/],
    [{ ...right, defaultLifetimeMs: Number.NaN }, /^defaultLifetimeMs must be a number of milliseconds, more than 0\.$/],
    [{ ...right, defaultLifetimeMs: Infinity }, /^defaultLifetimeMs must be a number of milliseconds/],
    [{ ...right, refreshAhead: { ratio: 1.5 } }, /^refreshAhead\.ratio must be a number from 0 to 1\.$/],
    [{ ...right, refreshAhead: { maxMs: -1 } }, /^refreshAhead\.maxMs must be a number of milliseconds, 0 or more\.$/],
    [{ ...right, refreshAhead: 0.5 }, /^refreshAhead must be an object with the members ratio, maxMs\.$/],
    [{ ...right, retry: { attempts: 0 } }, /^retry\.attempts must be a whole number of at least 1\.$/],
    [{ ...right, retry: { attempts: 2.5 } }, /^retry\.attempts must be a whole number/],
    [{ ...right, retry: { minDelayMs: 900, maxDelayMs: 100 } }, /^retry\.minDelayMs may not exceed retry\.maxDelayMs\.$/],
    [{ ...right, retry: { totalMs: 0 } }, /^retry\.totalMs must be a number of milliseconds, more than 0\.$/],
    [{ ...right, retry: { delayMs: 5 } }, /^retry\.delayMs is not an option; did you mean retry\.minDelayMs/],
  ],
  'API requests': () => [
    [{ ...right, http: true }, /^http must be an object\.$/],
    [{ ...right, http: { headers: { authorization: 'Bearer hunter2-value' } } }, /^http\.headers may not set the Authorization or DPoP header, which this client sets; remove it\.$/],
    [{ ...right, http: { headers: { DPoP: 'hunter2-value' } } }, /^http\.headers may not set the Authorization or DPoP header/],
    [{ ...right, http: { headers: { common: { Authorization: 'Bearer hunter2-value' } } } }, /^http\.headers may not set the Authorization or DPoP header/],
    [{ ...right, http: { headers: { post: { authorization: 'Bearer hunter2-value' } } } }, /^http\.headers may not set the Authorization or DPoP header/],
    [{ ...right, http: { headers: { 'content-length': '3' } } }, /^http\.headers may not set Content-Length or Transfer-Encoding, which follow from each body; remove it\.$/],
    [{ ...right, http: { headers: { post: { 'Transfer-Encoding': 'chunked' } } } }, /^http\.headers may not set Content-Length or Transfer-Encoding/],
    [{ ...right, http: { headers: { 'X Partner': 'hunter2-value' } } }, /^http\.headers must be header names with texts, or functions that return one\.$/],
    [{ ...right, http: { headers: 'hunter2-value' } }, /^http\.headers must be an object\.$/],
    [{ ...right, http: { auth: { username: 'me', password: 'hunter2-value' } } }, /^http may not hold auth, which would replace the token; use clientId and clientSecret\.$/],
    [{ ...right, http: { baseURL: 'https://api.example' } }, /^http may not hold baseURL; set the option of that name\.$/],
    [{ ...right, unauthorized: { retry: 1 } }, /^unauthorized\.retry must be true or false\.$/],
    [{ ...right, prefetch: true }, /^prefetch must be one of off, background, required\.$/],
    [{ ...right, prefetch: 'always' }, /^prefetch must be one of/],
    [{ ...right, constructor: 'hunter2-value' }, /^constructor is not an option/],
    [{ ...right, toString: 'hunter2-value' }, /^toString is not an option/],
    [{ ...right, tls: { ...identity, valueOf: 'hunter2-value' } }, /^tls\.valueOf is not an option/],
    [{ ...right, baseUrl: 'https://api.example' }, /^baseUrl is not an option; did you mean baseURL\?$/],
    [{ ...right, timeout: 5 }, /^timeout is not an option; did you mean timeoutMs\?$/],
    [{ ...right, allowedOrigin: 'https://api.example' }, /^allowedOrigin is not an option; did you mean allowedOrigins\?$/],
  ],
}; // prettier-ignore

describe('61. wrong configurations', () => {
  it.each(Object.keys(families))(
    '%s: each fails at boot with a sentence naming client, option and remedy',
    async (family) => {
      const rows = families[family]!();
      expect(rows.length).toBeGreaterThanOrEqual(10);
      const clients = Object.fromEntries(rows.map(([options], index) => [`client-${index}`, options]));
      const error: unknown = await Application.start({ oauth: { clients } }).then(
        () => 'it started',
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(OAuthConfigurationError);
      const { problems, message } = error as OAuthConfigurationError;
      for (const [index, [, sentence]] of rows.entries()) {
        const prefix = `Client "client-${index}": `;
        const own = problems
          .filter((problem) => problem.startsWith(prefix))
          .map((problem) => problem.slice(prefix.length));
        expect(own).toEqual(expect.arrayContaining([expect.stringMatching(sentence)]));
        expect(own).toHaveLength(1); // one mistake, one sentence
      }
      expect(message).not.toMatch(/hunter2|BEGIN/);
    },
  );
});
