import { hash } from 'node:crypto';

/** What one call asks for beyond its client's own options; each set of values has a token of its own. */
export interface TokenRequest {
  /** Space-delimited scope (RFC 6749 §3.3), instead of the client's. */
  scope?: string;
  /** Logical name of the API, one or several, instead of the client's. */
  audience?: string | string[];
  /** Absolute URI of the API, one or several (RFC 8707 §2), instead of the client's. */
  resource?: string | string[];
  /** Further form parameters, over the client's; never `grant_type`, `client_id` or credentials. */
  parameters?: Record<string, string | string[]>;
  /** The subject token (RFC 8693 §2.1) or assertion (RFC 7523 §2.1) of the grants that take one. */
  subjectToken?: string;
  /** Replaces the present token even if it is fresh. */
  forceRefresh?: boolean;
  /** Ends this caller's wait, and nobody else's; the wait rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** The members of a {@link TokenRequest} that make it a different token. */
export type TokenRequestDetails = Pick<
  TokenRequest,
  'scope' | 'audience' | 'resource' | 'parameters' | 'subjectToken'
>;

/** `over` on top of `under`; parameters merge by name. */
export function mergeTokenRequests<T extends TokenRequest>(
  under: T | undefined,
  over: T | undefined,
): T | undefined {
  if (under === undefined || over === undefined) return over ?? under;
  const merged = { ...under };
  for (const [name, value] of Object.entries(over)) {
    if (value !== undefined) Object.assign(merged, { [name]: value });
  }
  if (under.parameters && over.parameters) merged.parameters = { ...under.parameters, ...over.parameters };
  return merged;
}

/** Scope with duplicates dropped, in a stable order: order has no meaning (RFC 6749 §3.3). */
export function normaliseScope(scope: string | undefined): string | undefined {
  const values = scope?.split(' ').filter((value) => value !== '');
  return values?.length ? [...new Set(values)].sort().join(' ') : undefined;
}

/** SHA-256 over everything that makes a request's token its own; `identity` stands for the client behind it. */
export function tokenKey(identity: string, request: TokenRequestDetails): string {
  const { audience, resource, parameters, subjectToken } = request;
  const canonical = JSON.stringify([
    identity,
    normaliseScope(request.scope),
    list(audience),
    list(resource),
    Object.entries(parameters ?? {})
      .map(([name, value]) => [name, list(value)])
      .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
    subjectToken,
  ]);
  return hash('sha256', canonical);
}

function list(value: string | string[] | undefined): string[] {
  return value === undefined ? [] : [value].flat();
}
