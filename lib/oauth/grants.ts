import { OAuthClientError } from '../core/errors.js';
import { scopeValues, type TokenRequestDetails } from '../core/token-request.js';
import type { GrantOptions } from '../options/client-options.js';
import { RESERVED_PARAMETERS } from '../options/option-kinds.js';
import type { ResolvedClientOptions } from '../options/resolved-options.js';
import type { Source } from '../options/source.js';
import { fingerprint, readCredential } from './credentials.js';

/** What a grant sends. */
export interface GrantParameters {
  /** `grant_type` and all the others. */
  parameters: URLSearchParams;
  /** The refresh token that is used up, to be kept if the server sends no other (RFC 6749 §6). */
  refreshToken: string | undefined;
}

type Fields = Record<string, string | string[] | undefined>;

const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token';
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
  { grant }: ResolvedClientOptions,
  details: TokenRequestDetails,
  keptRefreshToken: string | undefined,
): Promise<GrantParameters> {
  const read = (option: string, source: Source<string>) => readCredential(client, `grant.${option}`, source);
  const refreshToken =
    grant.type === 'refresh_token'
      ? (keptRefreshToken ?? (await read('refreshToken', grant.refreshToken)))
      : undefined;
  const own = await grantFields(client, grant, details.subjectToken || undefined, read);
  const { scope, audience, resource } = details;
  const free = Object.entries(details.parameters ?? {}).filter(([name]) => !RESERVED_PARAMETERS.has(name));
  const fields: Fields = { scope: scopeValues(scope).join(' '), audience, resource };
  Object.assign(fields, Object.fromEntries(free), { refresh_token: refreshToken }, own);
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(fields))
    for (const one of [value ?? []].flat()) if (one !== '') parameters.append(name, one);
  return { parameters, refreshToken };
}

/** The grant's type and its own fields. */
async function grantFields(
  client: string,
  grant: GrantOptions,
  subjectToken: string | undefined,
  read: (option: string, source: Source<string>) => Promise<string>,
): Promise<Fields> {
  switch (grant.type) {
    case 'client_credentials':
    case 'refresh_token':
      return { grant_type: grant.type };
    case 'jwt_bearer': {
      const assertion = subjectToken ?? (grant.assertion && (await read('assertion', grant.assertion)));
      if (!assertion) throw subjectMissing(client, 'an assertion (grant.assertion, or subjectToken)');
      return { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion };
    }
    case 'token_exchange': {
      if (subjectToken === undefined) throw subjectMissing(client, 'a subjectToken');
      const { subjectTokenType, actorToken, actorTokenType, requestedTokenType } = grant;
      return {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: subjectToken,
        subject_token_type: subjectTokenType ?? ACCESS_TOKEN_TYPE,
        ...(actorToken && {
          actor_token: await read('actorToken', actorToken),
          actor_token_type: actorTokenType ?? ACCESS_TOKEN_TYPE,
        }),
        ...(requestedTokenType && { requested_token_type: requestedTokenType }),
      };
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
