import { hash } from 'node:crypto';
import { OAuthClientError } from '../core/errors.js';
import { scopeValues, type TokenRequestDetails } from '../core/token-request.js';
import { GRANT_TYPES, type GrantOptions } from '../options/client-options.js';
import { isTaken } from '../options/kinds.js';
import type { Source } from '../options/source.js';
import { readText, readTexts, signJwt } from './credentials.js';
import type { KnownServer, ProtocolParts } from './protocol.js';

/** Fields of a token request by name. */
export type Fields = Record<string, string | string[] | undefined>;

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token';

/**
 * Stands for a grant or another group of options in cache keys, values only as hashes. What a function will say is not
 * known beforehand, so that such a group belongs to the client of that name.
 */
export function identityOf(client: string, group: object): unknown {
  return Object.entries(group).map(([name, value]: [string, unknown]) => {
    if (typeof value === 'function') return [name, 'function', client];
    if (name === 'type' || name.endsWith('Type')) return [name, value];
    const settled = (_: string, inner: unknown) => (typeof inner === 'function' ? [client] : inner);
    return [name, hash('sha256', typeof value === 'string' ? value : (JSON.stringify(value, settled) ?? ''))];
  });
}

/** What is asked for. Parameters that would replace the grant or the credentials, however they are spelt, are left out. */
export function askedFields({ options }: ProtocolParts, details: TokenRequestDetails): Fields {
  const { scope, audience, resource, parameters = {} } = details;
  const { clientId, grant } = options;
  const own = Object.keys(isKnown(grant) ? {} : (grant.parameters ?? {}));
  const isFree = ([name, value]: [string, unknown]) =>
    name === 'client_id' ? value === clientId : !isTaken(name) && !isTaken(name, own);
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

/** What the grant presents, read and signed anew, and what tells whether that has changed since. */
export async function presentGrant(
  parts: ProtocolParts,
  server: KnownServer,
  subjectToken: string | undefined,
  kept: string | undefined,
): Promise<{ granted: Fields; credential?: string }> {
  const { grant, privateKey, privateKeyFile } = parts.options;
  if (!isKnown(grant)) {
    const own = await readTexts(parts.client, 'grant.parameters', grant.parameters);
    return { granted: { ...own, grant_type: grant.type }, credential: JSON.stringify(own) };
  }
  if (grant.type !== 'jwt_bearer' || !('issuer' in grant && grant.issuer) || subjectToken !== undefined)
    return { granted: await grantFields(parts, grant, subjectToken, kept) };
  const { issuer: iss, subject: sub, audience, claims, lifetimeMs } = grant;
  const { jwt, credential } = await signJwt(parts, server, (privateKey ?? privateKeyFile) === undefined, {
    claims: { ...claims, iss, sub },
    header: { typ: 'JWT' },
    audience,
    lifetimeMs,
  });
  return { granted: { grant_type: JWT_BEARER, assertion: jwt }, credential };
}

type KnownGrant = Extract<GrantOptions, { type: (typeof GRANT_TYPES)[number] }>;

function isKnown(grant: GrantOptions): grant is KnownGrant {
  return GRANT_TYPES.some((known) => known === grant.type);
}

async function grantFields(
  { client }: ProtocolParts,
  grant: KnownGrant,
  subjectToken: string | undefined,
  kept: string | undefined,
): Promise<Fields> {
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
      const own = 'assertion' in grant ? grant.assertion : undefined;
      const assertion = subjectToken ?? (own && (await read('assertion', own)));
      if (!assertion) throw subjectMissing(client, 'an assertion (grant.assertion, or subjectToken)');
      return { grant_type: JWT_BEARER, assertion };
    }
    case 'token_exchange': {
      if (!subjectToken) throw subjectMissing(client, 'a subjectToken');
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
