import { OAuthClientError } from '../core/errors.js';
import { normaliseScope, type TokenRequestDetails } from '../core/token-request.js';
import { fingerprint, readCredential } from './credentials.js';
import type { GrantOptions, ResolvedClientOptions, Source } from './options.js';

/** What a grant sends. */
export interface GrantParameters {
  type: string;
  parameters: URLSearchParams;
  /** The refresh token that is used up, to be kept if the server sends no other (RFC 6749 §6). */
  refreshToken?: string;
}

const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token';
/** Set by the grant and the client's authentication; free parameters never replace them. */
export const RESERVED_PARAMETERS: ReadonlySet<string> = new Set([
  'grant_type', 'client_id', 'client_secret', 'client_assertion', 'client_assertion_type',
  'refresh_token', 'assertion', 'subject_token', 'subject_token_type', 'actor_token', 'actor_token_type',
]); // prettier-ignore

/**
 * Stands for the grant in cache keys, tokens only as hashes. What a function will say is not known beforehand, so
 * that such a grant belongs to the client of that name.
 */
export function grantIdentity(client: string, grant: GrantOptions): unknown {
  return Object.entries(grant).map(([name, value]) => {
    if (typeof value === 'function') return [name, 'function', client];
    return [name, name === 'type' || name.endsWith('Type') ? value : fingerprint(value)];
  });
}

/** Builds the token request's parameters: no empty values, none twice but those that may be (RFC 6749 §3.2, RFC 8707 §2). */
export async function grantParameters(
  client: string,
  options: ResolvedClientOptions,
  details: TokenRequestDetails,
  keptRefreshToken: string | undefined,
): Promise<GrantParameters> {
  const parameters = new URLSearchParams();
  const add = (name: string, value: string | string[] | undefined) => {
    if (value === undefined) return;
    parameters.delete(name);
    for (const one of [value].flat()) if (one !== '') parameters.append(name, one);
  };
  add('scope', normaliseScope(details.scope));
  add('audience', details.audience);
  add('resource', details.resource);
  for (const [name, value] of Object.entries(details.parameters ?? {}))
    if (!RESERVED_PARAMETERS.has(name)) add(name, value);

  const { grant } = options;
  const read = (option: string, source: Source<string>) => readCredential(client, `grant.${option}`, source);
  switch (grant.type) {
    case 'client_credentials':
      return { type: grant.type, parameters };
    case 'refresh_token': {
      const refreshToken = keptRefreshToken ?? (await read('refreshToken', grant.refreshToken));
      add('refresh_token', refreshToken);
      return { type: grant.type, parameters, refreshToken };
    }
    case 'jwt_bearer': {
      const assertion =
        details.subjectToken || (grant.assertion && (await read('assertion', grant.assertion)));
      if (!assertion) throw subjectMissing(client, 'an assertion (grant.assertion, or subjectToken)');
      add('assertion', assertion);
      return { type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', parameters };
    }
    case 'token_exchange': {
      if (!details.subjectToken) throw subjectMissing(client, 'a subjectToken');
      const actorToken = grant.actorToken && (await read('actorToken', grant.actorToken));
      add('subject_token', details.subjectToken);
      add('subject_token_type', grant.subjectTokenType ?? ACCESS_TOKEN_TYPE);
      add('actor_token', actorToken);
      add('actor_token_type', actorToken && (grant.actorTokenType ?? ACCESS_TOKEN_TYPE));
      add('requested_token_type', grant.requestedTokenType);
      return { type: 'urn:ietf:params:oauth:grant-type:token-exchange', parameters };
    }
  }
}

function subjectMissing(client: string, what: string): OAuthClientError {
  return new OAuthClientError(
    'credentials_unavailable',
    `OAuth client "${client}" needs ${what}: pass it with the token request, or in @UseOAuthClient.`,
    { client },
  );
}
