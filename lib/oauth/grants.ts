import { hash } from 'node:crypto';
import { OAuthClientError } from '../core/errors.js';
import { scopeValues, type TokenRequestDetails } from '../core/token-request.js';
import { isTaken } from '../options/option-schema.js';
import type { Source } from '../options/source.js';
import { readText } from './credentials.js';
import type { ProtocolParts } from './protocol.js';

/** Fields of a token request by name. */
export type Fields = Record<string, string | string[] | undefined>;

const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token';

/**
 * Stands for a grant or another group of options in cache keys, values only as hashes. What a function will say is not
 * known beforehand, so that such a group belongs to the client of that name.
 */
export function identityOf(client: string, group: object): unknown {
  const stable = (value: unknown) => (typeof value === 'function' ? ['function', client] : value);
  return Object.entries(group).map(([name, value]: [string, unknown]) => {
    if (typeof value === 'function') return [name, 'function', client];
    if (typeof value !== 'string')
      return [
        name,
        hash(
          'sha256',
          JSON.stringify(value ?? null, (_, inner) => stable(inner)),
        ),
      ];
    return [name, name === 'type' || name.endsWith('Type') ? value : hash('sha256', value)];
  });
}

/** What is asked for. Parameters that would replace the grant or the credentials, however they are spelt, are left out. */
export function askedFields({ options }: ProtocolParts, details: TokenRequestDetails): Fields {
  const { scope, audience, resource, parameters = {} } = details;
  const isFree = ([name, value]: [string, unknown]) =>
    name === 'client_id' ? value === options.clientId : !isTaken(name);
  const free = Object.entries(parameters).filter(isFree);
  return { scope: scopeValues(scope).join(' '), audience, resource, ...Object.fromEntries(free) };
}

/** The form of a token request: no empty values, none twice but those that may be (RFC 6749 §3.2, RFC 8707 §2). */
export function formOf(fields: Fields): URLSearchParams {
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries(fields))
    for (const one of [value ?? []].flat()) if (one !== '') form.append(name, one);
  return form;
}

/** What is presented for the token; all but the types is confidential. */
export async function grantFields(
  parts: ProtocolParts,
  subjectToken: string | undefined,
  kept: string | undefined,
): Promise<Fields> {
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
