import type { JWK } from 'jose';
import type { RetryOptions } from '../core/backoff.js';
import type { TokenLifeOptions } from '../core/flight-context.js';
import type { RefreshAheadOptions } from '../core/held-token.js';

/** A value, or a function asked for it each time it is needed. */
export type Source<T> = T | (() => T | Promise<T>);

/** The names of RFC 7591 §2 and RFC 8705 §2. */
export const TOKEN_ENDPOINT_AUTH_METHODS = [
  'client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt',
  'tls_client_auth', 'self_signed_tls_client_auth', 'none',
] as const; // prettier-ignore

/** How the client proves itself at the token endpoint. @useDeclaredType */
export type TokenEndpointAuthMethod = (typeof TOKEN_ENDPOINT_AUTH_METHODS)[number];

/** The asymmetric algorithms of RFC 7518 §3.1 and RFC 8037 §3.1. */
export const SIGNING_ALGORITHMS = [
  'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA',
] as const; // prettier-ignore

/** JWS algorithms for client assertions and DPoP proofs. @useDeclaredType */
export type SigningAlgorithm = (typeof SIGNING_ALGORITHMS)[number];

/** What the client presents for a token. Tokens and assertions are strings or functions. */
export type GrantOptions =
  | {
      /** Default `client_credentials` (RFC 6749 §4.4). */
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
      assertion?: Source<string>;
    }
  | {
      /** The subject token (RFC 8693 §2.1) comes with each `TokenRequest`. */
      type: 'token_exchange';
      /** Type of the subject token. Default `urn:ietf:params:oauth:token-type:access_token`. */
      subjectTokenType?: string;
      /** The token of who acts for the subject. */
      actorToken?: Source<string>;
      /** Type of the actor token. Default as for the subject token. */
      actorTokenType?: string;
      /** Type of the token wanted, where the server offers several. */
      requestedTokenType?: string;
    };

/** Certificate and key for mutual TLS (RFC 8705), PEM. Functions are asked again at each token request. */
export interface TlsOptions {
  /** Client certificate, with its chain. */
  cert?: Source<string>;
  /** Its private key. */
  key?: Source<string>;
  /** Trusted authorities instead of Node's own. */
  ca?: Source<string>;
  /** Passphrase of the key. */
  passphrase?: Source<string>;
}

/** DPoP (RFC 9449): tokens bound to a key. Without `privateKey` one is made for the life of the process. */
export interface DpopOptions {
  /** Default ES256, or what the key allows. */
  algorithm?: SigningAlgorithm;
  /** PEM or JWK, or a function asked once. Needed where a grant outlives the process: refresh_token. */
  privateKey?: Source<string | JWK>;
}

/** Axios request defaults for token and API requests: proxy, agents, headers and the like. */
export type HttpOptions = Record<string, unknown>;

/** One client: where its tokens come from and where they may go. */
export interface OAuthClientOptions {
  /** Issuer identifier: the endpoints are discovered (RFC 8414, OpenID Connect Discovery) and its metadata must name the same issuer. */
  issuer?: string;
  /** Token endpoint, instead of discovery. */
  tokenEndpoint?: string;
  /** Client identifier (RFC 6749 §2.2). */
  clientId?: string;
  /** Client secret, or a function asked at each token request. */
  clientSecret?: Source<string>;
  /** Path of a file that holds the secret, read at each token request: mounted secrets rotate. */
  clientSecretFile?: string;
  /** How the client authenticates. Default `client_secret_basic`; `private_key_jwt` with a private key. */
  tokenEndpointAuthMethod?: TokenEndpointAuthMethod;
  /**
   * Encoding of id and secret for `client_secret_basic`. `form` (default): RFC 6749 §2.3.1, but unreserved
   * characters (`-._~`) stay as they are, since many servers read Basic raw. `raw`: none.
   */
  basicEncoding?: 'form' | 'raw';
  /** Private key for `private_key_jwt`: PEM, JWK, or a function asked at each token request. */
  privateKey?: Source<string | JWK>;
  /** Path of a PEM or JWK file, read at each token request. */
  privateKeyFile?: string;
  /** `kid` of client assertions. Default: the JWK's own. */
  keyId?: string;
  /** `alg` of client assertions. Default: from the key; `EdDSA` for Ed25519. */
  signingAlgorithm?: SigningAlgorithm;
  /** `aud` of client assertions: `issuer`, `token_endpoint` or a value. Default: the issuer, else the token endpoint. */
  assertionAudience?: string;
  /** Mutual TLS, to the authorization server and to the API. */
  tls?: TlsOptions;
  /** Default `{ type: 'client_credentials' }`. */
  grant?: GrantOptions;
  /** Space-delimited scope (RFC 6749 §3.3). */
  scope?: string;
  /** Audience, one or several. */
  audience?: string | string[];
  /** Resource indicators (RFC 8707), one or several. */
  resource?: string | string[];
  /** Further parameters of the token request. */
  parameters?: Record<string, string | string[]>;
  /** Body of the token request. Default `form`. */
  requestFormat?: 'form' | 'json';
  /** Sender-constrained tokens (RFC 9449). Default off. */
  dpop?: boolean | DpopOptions;
  /** Where the API is; its origin may receive the token. */
  baseURL?: string;
  /** Further origins that may receive the token, each with an optional path prefix. */
  allowedOrigins?: string[];
  /** Plain http outside loopback. Default false. */
  allowInsecureRequests?: boolean;
  /** Lifetime when the response has no `expires_in`, in milliseconds. Default 300,000. */
  defaultLifetimeMs?: number;
  /** When a refresh starts behind the callers' backs. */
  refreshAhead?: Partial<RefreshAheadOptions>;
  /** Deadline of one token request, body included, in milliseconds. Default 5,000. */
  timeoutMs?: number;
  /** Tries inside one flight. */
  retry?: Partial<RetryOptions>;
  /** Whether an API request is replayed once after a 401. Default true. */
  unauthorizedRetry?: boolean;
  /** Whether a token is fetched at application bootstrap; with `required` the boot fails without one. Default `off`. */
  prefetch?: 'off' | 'background' | 'required';
  /** Axios defaults for token and API requests. */
  http?: HttpOptions;
}

const DEFAULTS = {
  basicEncoding: 'form',
  grant: { type: 'client_credentials' },
  requestFormat: 'form',
  allowInsecureRequests: false,
  defaultLifetimeMs: 300_000,
  timeoutMs: 5_000,
  unauthorizedRetry: true,
  prefetch: 'off',
} as const satisfies OAuthClientOptions;
const REFRESH_AHEAD: RefreshAheadOptions = { ratio: 0.25, maxMs: 300_000 };
const RETRY: RetryOptions = { attempts: 3, minDelayMs: 200, maxDelayMs: 5_000, totalMs: 15_000 };

/** A client's options with every default in place. */
export type ResolvedClientOptions = OAuthClientOptions &
  TokenLifeOptions &
  Required<Pick<OAuthClientOptions, keyof typeof DEFAULTS | 'clientId' | 'tokenEndpointAuthMethod'>>;

/** Adds the defaults to options that were found valid. */
export function withDefaults(given: OAuthClientOptions): ResolvedClientOptions {
  const options = defined(given);
  const keyed = options.privateKey !== undefined || options.privateKeyFile !== undefined;
  return {
    clientId: '',
    tokenEndpointAuthMethod: keyed ? 'private_key_jwt' : 'client_secret_basic',
    ...DEFAULTS,
    ...options,
    refreshAhead: { ...REFRESH_AHEAD, ...defined(options.refreshAhead ?? {}) },
    retry: { ...RETRY, ...defined(options.retry ?? {}) },
  };
}

/** Without the members that are undefined: those say nothing, and must not hide a default. */
export function defined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

/** The value of a {@link Source}. */
export async function valueOf<T extends string | object>(source: Source<T>): Promise<T> {
  return typeof source === 'function' ? (source as () => T | Promise<T>)() : source;
}
