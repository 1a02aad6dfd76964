import { hash } from 'node:crypto';
import { OAuthClientError } from '../core/errors.js';
import { scopeValues, type TokenRequestDetails } from '../core/token-request.js';
import type { GrantOptions } from '../options/client-options.js';
import { RESERVED_PARAMETERS } from '../options/option-schema.js';
import type { Source } from '../options/source.js';
import { readText } from './credentials.js';
import type { ProtocolParts } from './protocol.js';

type Fields = Record<string, string | string[] | undefined>;

const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token';

/**
 * Stands for the grant in cache keys, tokens only as hashes. What a function will say is not known beforehand, so
 * that such a grant belongs to the client of that name.
 */
export function grantIdentity(client: string, grant: GrantOptions): unknown {
  return Object.entries(grant).map(([name, value]) => {
    if (typeof value === 'function') return [name, 'function', client];
    return [name, name === 'type' || name.endsWith('Type') ? value : hash('sha256', value)];
  });
}

/** The token request's parameters: no empty values, none twice but those that may be (RFC 6749 §3.2, RFC 8707 §2). */
export async function grantParameters(
  parts: ProtocolParts,
  details: TokenRequestDetails,
  keptRefreshToken: string | undefined,
): Promise<URLSearchParams> {
  const { scope, audience, resource, parameters = {}, subjectToken } = details;
  const free = Object.entries(parameters).filter(([name]) => !RESERVED_PARAMETERS.has(name));
  const fields: Fields = {
    scope: scopeValues(scope).join(' '),
    audience,
    resource,
    ...Object.fromEntries(free),
    ...(await grantFields(parts, subjectToken || undefined, keptRefreshToken)),
  };
  const sent = new URLSearchParams();
  for (const [name, value] of Object.entries(fields))
    for (const one of [value ?? []].flat()) if (one !== '') sent.append(name, one);
  return sent;
}

async function grantFields(parts: ProtocolParts, subjectToken?: string, kept?: string): Promise<Fields> {
  const { client, options } = parts;
  const { grant } = options;
  const read = (option: string, source: Source<string>) => readText(client, `grant.${option}`, source);
  switch (grant.type) {
    case 'client_credentials':
      return { grant_type: grant.type };
    case 'refresh_token':
      return {
        grant_type: grant.type,
        refresh_token: kept ?? (await read('refreshToken', grant.refreshToken)),
      };
    case 'jwt_bearer': {
      const assertion = subjectToken ?? (grant.assertion && (await read('assertion', grant.assertion)));
      if (!assertion) throw subjectMissing(client, 'an assertion (grant.assertion, or subjectToken)');
      return { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion };
    }
    case 'token_exchange': {
      if (subjectToken === undefined) throw subjectMissing(client, 'a subjectToken');
      const { actorToken } = grant;
      return {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: subjectToken,
        subject_token_type: grant.subjectTokenType ?? ACCESS_TOKEN_TYPE,
        actor_token: actorToken && (await read('actorToken', actorToken)),
        actor_token_type: actorToken && (grant.actorTokenType ?? ACCESS_TOKEN_TYPE),
        ...(grant.requestedTokenType && { requested_token_type: grant.requestedTokenType }),
      };
    }
  }
}

function subjectMissing(client: string, what: string): OAuthClientError {
  const message = `OAuth client "${client}" needs ${what}: pass it with the token request, or in @UseOAuthClient.`;
  return new OAuthClientError('credentials_unavailable', message, { client });
}
