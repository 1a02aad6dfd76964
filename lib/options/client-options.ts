import type { RetryOptions } from '../core/backoff.js';
import type { RefreshAheadOptions } from '../core/access-token.js';
import type { RequestToken } from './request-token.js';
import type { Source } from './source.js';

/** A private key as a JSON Web Key (RFC 7517), such as jose's `JWK`. */
export interface PrivateJwk {
  kty?: string;
  kid?: string;
  alg?: string;
  [member: string]: unknown;
}

/** The names of RFC 7591 §2 and RFC 8705 §2. */
export const TOKEN_ENDPOINT_AUTH_METHODS = [
  'client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt',
  'tls_client_auth', 'self_signed_tls_client_auth', 'none',
] as const; // prettier-ignore

/** How the client proves itself at the token endpoint. @useDeclaredType */
export type TokenEndpointAuthMethod = (typeof TOKEN_ENDPOINT_AUTH_METHODS)[number];

/** The key's type or curve that each algorithm of RFC 7518 §3.1 and RFC 8037 §3.1 signs with; the first is a key's default. */
export const KEY_OF = {
  RS256: 'rsa', RS384: 'rsa', RS512: 'rsa', PS256: 'rsa', PS384: 'rsa', PS512: 'rsa',
  ES256: 'prime256v1', ES384: 'secp384r1', ES512: 'secp521r1', EdDSA: 'ed25519',
} as const; // prettier-ignore

/** JWS algorithms for client assertions and DPoP proofs. @useDeclaredType */
export type SigningAlgorithm = keyof typeof KEY_OF;

/** The algorithms of RFC 7518 §3.2 that sign with a secret; the first is the default. */
export const HMAC_ALGORITHMS = ['HS256', 'HS384', 'HS512'] as const;

/** The grants that are built in. */
export const GRANT_TYPES = ['client_credentials', 'refresh_token', 'jwt_bearer', 'token_exchange'] as const;

/** What the client presents for a token. Tokens and assertions are strings or functions. */
export type GrantOptions =
  | {
      /** `client_credentials` (default, RFC 6749 §4.4), `refresh_token`, `jwt_bearer`, `token_exchange`, or the exact name of an extension grant (§4.5). */
      type: 'client_credentials';
    }
  | {
      type: 'refresh_token';
      /** The first refresh token (RFC 6749 §6); its successors are kept in the store before their access token is used. */
      refreshToken: Source<string>;
    }
  | {
      type: 'jwt_bearer';
      /** The assertion (RFC 7523 §2.1), unless `TokenRequest.subjectToken` brings it. */
      assertion?: Source<string> | undefined;
    }
  | {
      type: 'jwt_bearer';
      /** `iss` of an assertion that is signed for each token request, with the private key or else the secret (HS256), instead of `assertion`. */
      issuer: string;
      /** `sub` of that assertion: whom it acts for. Left out unless given. */
      subject?: string | undefined;
      /** `aud` of that assertion: `issuer`, `token_endpoint` or a value. Default: the issuer of the tokens, else the token endpoint. */
      audience?: string | undefined;
      /** Its further claims. */
      claims?: Record<string, unknown> | undefined;
      /** Its lifetime, in milliseconds. Default 60,000. */
      lifetimeMs?: number | undefined;
    }
  | {
      /** The subject token (RFC 8693 §2.1) comes with each `TokenRequest`. */
      type: 'token_exchange';
      /** Type of the subject token. Default `urn:ietf:params:oauth:token-type:access_token`. */
      subjectTokenType?: string | undefined;
      /** The token of the party that acts for the subject. */
      actorToken?: Source<string> | undefined;
      /** Type of the actor token. Default as for the subject token. */
      actorTokenType?: string | undefined;
      /** Type of the token wanted, where the server offers several. */
      requestedTokenType?: string | undefined;
    }
  | {
      type: string & {};
      /** What an extension grant presents: texts, or functions asked at each token request. They count as credentials. */
      parameters?: Record<string, Source<string>> | undefined;
    };

/** Certificate and key for mutual TLS (RFC 8705), PEM. Functions are asked again at each token request. */
export interface TlsOptions {
  /** Client certificate, with its chain. */
  cert?: Source<string> | undefined;
  /** Its private key. */
  key?: Source<string> | undefined;
  /** Trusted authorities instead of Node's own. */
  ca?: Source<string> | undefined;
  /** Passphrase of the key. */
  passphrase?: Source<string> | undefined;
}

/** DPoP (RFC 9449): tokens bound to a key. Without `privateKey` one is made for the life of the process. */
export interface DpopOptions {
  /** Default ES256, or what the key allows. */
  algorithm?: SigningAlgorithm | undefined;
  /** PEM or JWK, or a function asked once. Needed where a grant outlives the process: refresh_token. */
  privateKey?: Source<string | PrivateJwk> | undefined;
}

/** How client assertions are made (RFC 7523). */
export interface AssertionOptions {
  /** `aud` of client assertions: `issuer`, `token_endpoint` or a value. Default: the issuer, else the token endpoint. */
  audience?: string | undefined;
  /** `typ` of client assertions. Default `client-authentication+jwt`; some servers want `JWT`. */
  typ?: string | undefined;
  /** Further header members of client assertions. */
  header?: Record<string, unknown> | undefined;
  /** Further claims of client assertions. */
  claims?: Record<string, unknown> | undefined;
  /** Lifetime of client assertions, in milliseconds. Default 60,000. */
  lifetimeMs?: number | undefined;
  /** The private key's certificate, PEM or a function asked at each token request: adds `x5t` and `x5t#S256` (RFC 7515 §4.1.7, §4.1.8). */
  certificate?: Source<string> | undefined;
  /** Path of a PEM file with it, read at each token request. */
  certificateFile?: string | undefined;
  /** A client assertion that is made elsewhere, for workload identity, or a function asked at each token request. */
  token?: Source<string> | undefined;
  /** Path of a file with it, read at each token request. */
  tokenFile?: string | undefined;
  /** `client_assertion_type`. Default `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`. */
  clientAssertionType?: string | undefined;
}

/** An API's answer, as `unauthorized.when` sees it. */
export interface UnauthorizedAnswer {
  /** HTTP status. */
  status: number;
  /** By lower-case name. */
  headers: Record<string, string>;
  /** Parsed where the answer is JSON, else its text; `undefined` where it is streamed. */
  data: unknown;
}

/** Which answers of an API mean that it does not accept the token, and what follows. */
export interface UnauthorizedOptions {
  /** HTTP statuses that do, 300 to 599. An `invalid_token` challenge (RFC 6750 §3.1) does with any 4xx; `insufficient_scope` with a 401 only. Default `[401]`. */
  statuses?: number[] | undefined;
  /** Whether an answer with another status does. If it throws, or returns no boolean, the answer does not, and a warning says so. */
  when?: ((answer: UnauthorizedAnswer) => boolean) | undefined;
  /** Whether the request is then replayed once. Default true. */
  retry?: boolean | undefined;
}

/** The header that carries the token to the API. */
export interface TokenHeaderOptions {
  /** Default `Authorization`. */
  name?: string | undefined;
  /** What precedes the token; with an empty one (`none` in a variable) the token stands alone. Default: the token's type for `Authorization`, else none. */
  scheme?: string | undefined;
}

/** Axios request defaults for token and API requests: proxy, agents, headers and the like. */
export interface HttpOptions {
  /** Headers of token and API requests; values may be functions, asked at each request. Of a token request, its own Accept and Content-Type take precedence. */
  headers?: object | undefined;
  [option: string]: unknown;
}

/** One client: where its tokens come from and where they may go. */
export interface OAuthClientOptions {
  /** Issuer identifier: the endpoints are discovered (RFC 8414, OpenID Connect Discovery) and its metadata must name the same issuer. */
  issuer?: string | undefined;
  /** Address of a metadata document that names the token endpoint, where it is at none of the issuer's (SMART App Launch); its issuer is not compared. */
  metadataURL?: string | undefined;
  /** Token endpoint, instead of discovery. */
  tokenEndpoint?: string | undefined;
  /** Client identifier (RFC 6749 §2.2). */
  clientId?: string | undefined;
  /** Client secret, or a function asked at each token request. */
  clientSecret?: Source<string> | undefined;
  /** Path of a file that holds the secret, read at each token request: mounted secrets rotate. */
  clientSecretFile?: string | undefined;
  /** How the client authenticates. Default `client_secret_basic`; `private_key_jwt` with a private key or an `assertion.token`. */
  tokenEndpointAuthMethod?: TokenEndpointAuthMethod | undefined;
  /** Encoding of id and secret for `client_secret_basic`: `form` (default; RFC 6749 §2.3.1, but `-._~` stay, since many servers read Basic raw) or `raw`. */
  basicEncoding?: 'form' | 'raw' | undefined;
  /** Private key for `private_key_jwt` and signed grants: PEM, JWK, or a function asked at each token request. */
  privateKey?: Source<string | PrivateJwk> | undefined;
  /** Path of a PEM or JWK file, read at each token request. */
  privateKeyFile?: string | undefined;
  /** `kid` of client assertions and signed grants. Default: the JWK's own. */
  keyId?: string | undefined;
  /** `alg` of client assertions and signed grants. Default: from the key; `EdDSA` for Ed25519; HS256 for a secret. */
  signingAlgorithm?: SigningAlgorithm | 'HS256' | 'HS384' | 'HS512' | undefined;
  /** Client assertions, for `private_key_jwt` and `client_secret_jwt`. */
  assertion?: AssertionOptions | undefined;
  /** Mutual TLS, to the authorization server and to the API, through a proxy too. An `adapter` function has to use the `httpsAgent` that it gets. */
  tls?: TlsOptions | undefined;
  /** Default `{ type: 'client_credentials' }`. */
  grant?: GrantOptions | undefined;
  /** Space-delimited scope (RFC 6749 §3.3). */
  scope?: string | undefined;
  /** Audience, one or several. */
  audience?: string | string[] | undefined;
  /** Resource indicators (RFC 8707), one or several. */
  resource?: string | string[] | undefined;
  /** Further parameters of the token request. `client_id` may repeat the client's own; no other credential is accepted here. */
  parameters?: Record<string, string | string[]> | undefined;
  /** Body of the token request; the Content-Type of a form has no charset. Default `form`. */
  requestFormat?: 'form' | 'json' | undefined;
  /** Headers of the token request alone, texts or functions asked at each token request; a Content-Type given here wins. Their values count as credentials. */
  tokenRequestHeaders?: Record<string, Source<string>> | undefined;
  /**
   * Gives the members of a token response the names of RFC 6749 §5.1, where the server has others. `body` is parsed if it is
   * JSON or a form, else its text; `headers` have lower-case names. Understood without it: form-encoded answers, the type
   * `BearerToken`, and `expires_at`, `expires_on` or `expires` in place of `expires_in`.
   */
  readTokenResponse?: ((body: unknown, headers: Record<string, string>) => unknown) | undefined;
  /** Requests the token, for a login that is not OAuth; clientId and endpoint are not needed then. A failed Axios request is classified by its status; anything else that is thrown is `credentials_unavailable`. Neither is ever shown. */
  requestToken?: RequestToken | undefined;
  /** The header that carries the token to the API. Default `Authorization` with the token's type. */
  tokenHeader?: TokenHeaderOptions | undefined;
  /** Sender-constrained tokens (RFC 9449). Default off. */
  dpop?: boolean | DpopOptions | undefined;
  /** Where the API is; its origin may receive the token. */
  baseURL?: string | undefined;
  /** Further origins that may receive the token, each with an optional path prefix. Entries on the origin of `baseURL` take its place, so that a path there limits it. */
  allowedOrigins?: string[] | undefined;
  /** Plain http outside loopback. Default false. */
  allowInsecureRequests?: boolean | undefined;
  /** Lifetime when the response has no `expires_in`, in milliseconds. Default 300,000. */
  defaultLifetimeMs?: number | undefined;
  /** When a refresh starts in the background. */
  refreshAhead?: { [name in keyof RefreshAheadOptions]?: RefreshAheadOptions[name] | undefined } | undefined;
  /** Deadline of one token request, body included, in milliseconds. Default 5,000. */
  timeoutMs?: number | undefined;
  /** Tries inside one flight. */
  retry?: { [name in keyof RetryOptions]?: RetryOptions[name] | undefined } | undefined;
  /** Which answers of the API mean that it does not accept the token, and what follows. */
  unauthorized?: UnauthorizedOptions | undefined;
  /** Whether a token is fetched at application bootstrap; with `required` the boot fails without one. Default `off`. */
  prefetch?: 'off' | 'background' | 'required' | undefined;
  /**
   * The options of a customer of yours, by the name that `TokenRequest.tenant` gives: they lie over those of this client,
   * `prefetch` aside. `undefined` for one that does not exist. Asked when a tenant is first needed, and again when its
   * credentials are refused.
   */
  tenants?:
    | ((tenant: string) => OAuthClientOptions | undefined | Promise<OAuthClientOptions | undefined>)
    | undefined;
  /** Axios defaults for token and API requests: proxy, agents, headers and the like. An `httpsAgent` has to verify servers. */
  http?: HttpOptions | undefined;
}
