import { hash } from 'node:crypto';
import { OAuthClientError } from '../core/errors.js';
import { scopeValues, type TokenRequestDetails } from '../core/token-request.js';
import { GRANT_TYPES, type GrantOptions } from '../options/client-options.js';
import { isTaken } from '../options/kinds.js';
import { readOption, readTexts, signJwt, textOf } from './credentials.js';
import type { Fields, Presented, ProtocolParts, RequestParts } from './protocol.js';

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token';

/**
 * Represents a grant or another group of options in cache keys, its values only as hashes. The result of a function is not
 * known beforehand, so a group with a function belongs to the client of that name.
 */
export function identityOf(client: string, group: object): unknown {
  return Object.entries(group).map(([name, value]: [string, unknown]) => {
    if (typeof value === 'function') return [name, 'function', client];
    if (name === 'type' || name.endsWith('Type')) return [name, value];
    const settled = (_: string, inner: unknown) => (typeof inner === 'function' ? [client] : inner);
    return [name, hash('sha256', typeof value === 'string' ? value : (JSON.stringify(value, settled) ?? ''))];
  });
}

/** The fields that say what is requested. Parameters that would replace the grant or the credentials, in any spelling, are left out. */
export function askedFields({ options }: ProtocolParts, details: TokenRequestDetails): Fields {
  const { scope, audience, resource, parameters = {} } = details;
  const { clientId, grant } = options;
  const own = Object.keys(isKnown(grant) ? {} : (grant.parameters ?? {}));
  const isFree = ([name, value]: [string, unknown]) =>
    name === 'client_id' ? value === clientId : !isTaken(name) && !isTaken(name, own);
  const free = Object.entries(parameters).filter(isFree);
  return { scope: scopeValues(scope).join(' '), audience, resource, ...Object.fromEntries(free) };
}

/** The form of a token request. Empty values are left out, and only audience and resource may come twice (RFC 6749 §3.2, RFC 8707 §2). */
export function formOf(fields: Fields): URLSearchParams {
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries(fields))
    for (const one of [value ?? []].flat()) if (one !== '') form.append(name, one);
  return form;
}

/** The grant's fields, read and signed anew. */
export async function presentGrant(
  parts: RequestParts,
  subjectToken: string | undefined,
  kept: string | undefined,
): Promise<Presented> {
  const { client, options } = parts;
  const { grant } = options;
  if (!isKnown(grant)) {
    const own = await readTexts(parts, 'grant.parameters', grant.parameters);
    return {
      fields: { ...own, grant_type: grant.type },
      credential: grant.parameters && JSON.stringify(own),
    };
  }
  switch (grant.type) {
    case 'client_credentials':
      return { fields: { grant_type: grant.type } };
    case 'refresh_token': {
      const refresh_token = kept ?? (await readOption(parts, 'grant.refreshToken', textOf));
      return { fields: { grant_type: grant.type, refresh_token } };
    }
    case 'jwt_bearer':
      return presentAssertion(parts, grant, subjectToken);
    case 'token_exchange': {
      if (!subjectToken) throw subjectMissing(client, 'a subjectToken');
      const { actorToken, actorTokenType = ACCESS_TOKEN_TYPE } = grant;
      const fields = {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: subjectToken,
        subject_token_type: grant.subjectTokenType ?? ACCESS_TOKEN_TYPE,
        actor_token: actorToken && (await readOption(parts, 'grant.actorToken', textOf)),
        actor_token_type: actorToken && actorTokenType,
        ...(grant.requestedTokenType && { requested_token_type: grant.requestedTokenType }),
      };
      return { fields };
    }
  }
}

type KnownGrant = Extract<GrantOptions, { type: (typeof GRANT_TYPES)[number] }>;

function isKnown(grant: GrantOptions): grant is KnownGrant {
  return GRANT_TYPES.some((known) => known === grant.type);
}

/** The assertion of the request, or the client's own, or one that is signed with its private key or else its secret. */
async function presentAssertion(
  parts: RequestParts,
  grant: Extract<KnownGrant, { type: 'jwt_bearer' }>,
  subjectToken: string | undefined,
): Promise<Presented> {
  const { privateKey, privateKeyFile } = parts.options;
  if (subjectToken === undefined && 'issuer' in grant && grant.issuer) {
    const { issuer: iss, subject: sub, audience, lifetimeMs } = grant;
    const content = { typ: 'JWT', claims: { ...grant.claims, iss, sub }, audience, lifetimeMs };
    const bySecret = (privateKey ?? privateKeyFile) === undefined;
    const { jwt, credential } = await signJwt(parts, bySecret, content);
    return { fields: { grant_type: JWT_BEARER, assertion: jwt }, credential };
  }
  const hasOwn = 'assertion' in grant && grant.assertion !== undefined;
  const assertion = subjectToken ?? (hasOwn ? await readOption(parts, 'grant.assertion', textOf) : '');
  if (!assertion) throw subjectMissing(parts.client, 'an assertion (grant.assertion, or subjectToken)');
  return { fields: { grant_type: JWT_BEARER, assertion } };
}

function subjectMissing(client: string, what: string): OAuthClientError {
  const message = `OAuth client "${client}" needs ${what}: pass it with the token request, or in @UseOAuthClient.`;
  return new OAuthClientError('credentials_unavailable', message, { client });
}
