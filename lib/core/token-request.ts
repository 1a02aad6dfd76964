import { hash } from 'node:crypto';
import type { OAuthClientName } from './client-names.js';
import type { StoredToken } from './token-store.js';

/**
 * What one call needs beyond its client's own options. Each set of values has a token of its own. The request is copied when
 * it is passed. A member of another type, or a blank one, is `configuration_invalid`; only parameters may be empty, and
 * are not sent then (RFC 6749 §3.2).
 */
export interface TokenRequest {
  /** Space-delimited scope (RFC 6749 §3.3), instead of the client's. */
  scope?: string | undefined;
  /** Logical name of the API, one or several, instead of the client's. */
  audience?: string | string[] | undefined;
  /** Absolute URI of the API, one or several (RFC 8707 §2), instead of the client's. */
  resource?: string | string[] | undefined;
  /** Further form parameters, over the client's; never `grant_type`, `client_id` or credentials. */
  parameters?: Record<string, string | string[]> | undefined;
  /** The subject token (RFC 8693 §2.1) or assertion (RFC 7523 §2.1) of the grants that take one. */
  subjectToken?: string | undefined;
  /** Replaces the present token even if it is fresh. */
  forceRefresh?: boolean | undefined;
  /** The tenant whose options and tokens are used; for clients with `tenants`, and for no others. */
  tenant?: string | undefined;
  /** Ends this caller's wait only, which rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/**
 * The `oauth` member of an Axios request, or of fetch's `init`: the token that this request needs, and its client. `false`
 * sends the request without a token.
 */
export type OAuthRequestConfig = (TokenRequest & { client?: OAuthClientName | undefined }) | false;

/** The members of a {@link TokenRequest} that make it a different token. */
export type TokenRequestDetails = Omit<TokenRequest, 'forceRefresh' | 'signal'>;

/** What `over` on top of `under` asks for; parameters merge by name. */
export function mergeTokenRequests(under: TokenRequest = {}, over: TokenRequest = {}): TokenRequestDetails {
  const both = under.parameters && over.parameters;
  const parameters = both && Object.freeze({ ...under.parameters, ...over.parameters });
  return Object.freeze({
    scope: over.scope ?? under.scope,
    audience: over.audience ?? under.audience,
    resource: over.resource ?? under.resource,
    parameters: parameters ?? over.parameters ?? under.parameters,
    subjectToken: over.subjectToken ?? under.subjectToken,
    tenant: over.tenant ?? under.tenant,
  });
}

/** Whether `request` asks for the default token of the client or tenant. */
export function isPlain({ scope, audience, resource, parameters, subjectToken }: TokenRequest): boolean {
  return (scope ?? audience ?? resource ?? parameters ?? subjectToken) === undefined;
}

/** The characters of a scope, blanks included (RFC 6749 §3.3). */
export const SCOPE_CHARACTERS = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;
/** The characters of a token that a header can carry. */
export const TOKEN_CHARACTERS = /^[\x21-\x7e]+$/;

/** Whether a value has members by name, as an object of JSON has. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Scope values without duplicates (RFC 6749 §3.3). */
export function scopeValues(scope: string | undefined): string[] {
  return [...new Set(scope?.split(' ').filter((value) => value !== ''))];
}

/** SHA-256 over everything that makes a request's token its own; `identity` stands for the client behind it. */
export function tokenKey(identity: string, request: TokenRequestDetails): string {
  const canonical = JSON.stringify([
    identity,
    scopeValues(request.scope).sort(), // their order has no meaning (RFC 6749 §3.3)
    list(request.audience),
    list(request.resource),
    Object.entries(request.parameters ?? {})
      .map(([name, value]) => [name, list(value)])
      .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
    request.subjectToken,
    ...(request.tenant === undefined ? [] : [request.tenant]),
  ]);
  return hash('sha256', canonical);
}

function list(value: string | string[] | undefined): string[] {
  return value === undefined ? [] : [value].flat();
}

/** What core asks of a client's authorization server; implemented by `oauth/`. */
export interface TokenEndpoint {
  /**
   * Stands for the one refresh token that all tokens of the client come of, in its cache key; `undefined` where the
   * grant is another. Holds no secret.
   */
  readonly grant?: string | undefined;
  /** Stands for the server, the client and the keys its tokens are bound to in cache keys; holds no secret. */
  identity(): Promise<string>;
  /** One token request. Rejects with an {@link OAuthClientError}. */
  request(details: TokenRequestDetails, context: TokenRequestContext): Promise<StoredToken>;
}

/** What one token request gets beside its details. */
export interface TokenRequestContext {
  signal: AbortSignal;
  /** The stored refresh token of a rotating grant; `undefined` before the first request. */
  refreshToken: string | undefined;
  /**
   * Called before each HTTP request of this token request, with a keyed fingerprint of its credentials. If it throws, the
   * token request ends, and nothing is sent.
   */
  onSend?: (credentials?: string) => void;
}

export type TokenKeys = Awaited<ReturnType<typeof tokenKeys>>;

/** The keys of the token that `details` ask for, and of the refresh token that all tokens of the client come of, if they do. */
export async function tokenKeys(endpoint: TokenEndpoint, details: TokenRequestDetails) {
  const key = tokenKey(await endpoint.identity(), details);
  const { tenant } = details;
  const { grant } = endpoint;
  return { key, grantKey: grant === undefined ? undefined : `${tokenKey(grant, { tenant })}.grant` };
}
