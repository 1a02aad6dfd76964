import type { KeyObject } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import type { TokenEndpointAuthMethod } from '../options/client-options.js';
import type { FakeResponse, RecordedRequest } from './fake-answer.js';

/** Values by name: the very text, or a pattern. */
export type DemandedTexts = Record<string, string | RegExp>;

/** What a JWT in a token request must be, a client assertion or the assertion of a JWT bearer grant. */
export interface DemandedAssertion {
  /** `alg`, or several to choose from. */
  algorithm?: string | string[] | undefined;
  /** Further header members: `typ`, `kid`, `x5t#S256`. */
  header?: DemandedTexts | undefined;
  /** `aud`; `token_endpoint` stands for the address of the fake's own. */
  audience?: string | undefined;
  /** Claims: `iss`, `sub`, `scope`. */
  claims?: DemandedTexts | undefined;
  /** The longest time from now to `exp`, in seconds. */
  maxLifetime?: number | undefined;
  /** Verifies the signature. Default: it is not looked at. */
  key?: KeyObject | undefined;
}

/** What a strict partner demands. What is left out is not looked at; what is named has to be right, and alone. */
export interface FakeDemands {
  /** HTTP method of the token request. Default `POST`. */
  method?: string | undefined;
  /** The whole Content-Type of the token request; '' for a request without a body. */
  contentType?: string | undefined;
  /** Where the credentials are, and nowhere else. With `clients`, they have to be right as well. */
  authentication?: Exclude<TokenEndpointAuthMethod, `${string}tls_client_auth`> | undefined;
  /** Every parameter of the token request, of a form, a JSON object or a query, besides those that authenticate the client. */
  parameters?: DemandedTexts | undefined;
  /** Headers of the token request. */
  headers?: DemandedTexts | undefined;
  /** The JWT in the token request. */
  assertion?: DemandedAssertion | undefined;
  /** Headers of API requests. */
  apiHeaders?: DemandedTexts | undefined;
  /** The header that carries the token to the API, and what precedes the token. Default `Authorization` and `Bearer`. */
  tokenHeader?: { name: string; scheme: string } | undefined;
}

/**
 * What is wrong with a token request, without any value of it; `undefined` if all is right. Without demands it has to be
 * a POST, of one of `clients` if there are any, and the answer to others is that of RFC 6749.
 */
export async function refusalOf(
  request: RecordedRequest,
  demands: FakeDemands | undefined,
  tokenEndpoint: string,
  clients: Record<string, string> | undefined,
): Promise<string | FakeResponse | undefined> {
  const { method = 'POST', contentType, authentication, parameters, headers, assertion } = demands ?? {};
  const isKnown = clients === undefined || authenticates(request, clients);
  if (demands === undefined) {
    if (request.method !== method) return { status: 405, headers: { allow: method } };
    return isKnown ? undefined : { status: 401, body: { error: 'invalid_client' } };
  }
  const sent = parametersOf(request);
  if (request.method !== method) return `the method must be ${method}`;
  if (contentType !== undefined && (request.headers['content-type'] ?? '') !== contentType)
    return `the Content-Type must be ${contentType || 'left out'}`;
  if (authentication !== undefined && !isAuthenticated(request, authentication, isKnown))
    return `the client must authenticate with ${authentication}`;
  const known = parameters && [...PROVING, ...Object.keys(parameters)];
  const wrong = misfit(sent, parameters) ?? (known && Object.keys(sent).find((one) => !known.includes(one)));
  if (wrong !== undefined) return `the parameter ${wrong} is missing, wrong or too much`;
  const header = misfit(request.headers, headers);
  if (header !== undefined) return `the header ${header} is missing or wrong`;
  const jwt = sent['client_assertion'] ?? sent['assertion'];
  return assertion && refusalOfAssertion(textOf(jwt), assertion, tokenEndpoint);
}

/** The first name whose value is missing or wrong. */
export function misfit(given: Record<string, unknown>, demanded: DemandedTexts = {}): string | undefined {
  const lower = new Map(Object.entries(given).map(([name, value]) => [name.toLowerCase(), value]));
  return Object.entries(demanded).find(([name, text]) => {
    const value = lower.get(name.toLowerCase());
    return typeof text === 'string' ? value !== text : !text.test(textOf(value));
  })?.[0];
}

/** The token in an API request's header. */
export function tokenIn({ headers }: RecordedRequest, demands?: FakeDemands): string {
  const { name, scheme } = demands?.tokenHeader ?? { name: 'authorization', scheme: '(?:Bearer|DPoP)' };
  const value = String(headers[name.toLowerCase()] ?? '');
  return new RegExp(scheme === '' ? '^(.+)$' : `^${scheme} (.+)$`).exec(value)?.[1] ?? '';
}

/** The parameters of a token request, from its query, its form or its JSON body. */
export function parametersOf({ url, form, json }: RecordedRequest): Record<string, unknown> {
  const query = new URL(url, 'http://localhost').searchParams;
  return { ...Object.fromEntries(query), ...Object.fromEntries(form ?? []), ...(json as object | undefined) };
}

const PROVING = ['client_id', 'client_secret', 'client_assertion', 'client_assertion_type', 'assertion'];

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** Whether id and secret are right: as Basic, form-encoded (RFC 6749 section 2.3.1) or raw, or both as parameters. */
function authenticates(request: RecordedRequest, clients: Record<string, string>): boolean {
  const known = (id: unknown, secret: unknown): boolean =>
    typeof id === 'string' && Object.hasOwn(clients, id) && clients[id] === secret;
  const basic = /^Basic (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  const { client_id: named, client_secret: given } = parametersOf(request);
  if (basic === undefined) return known(named, given);
  const [, id = '', secret] = /^([^:]*):(.*)$/s.exec(Buffer.from(basic, 'base64').toString()) ?? [];
  const decoded = (text = '') => new URLSearchParams(`v=${text.replaceAll('&', '%26')}`).get('v');
  return known(id, secret) || known(decoded(id), decoded(secret));
}

/** @param isKnown whether what is there of id and secret is right */
function isAuthenticated(
  request: RecordedRequest,
  method: NonNullable<FakeDemands['authentication']>,
  isKnown: boolean,
): boolean {
  const sent = parametersOf(request);
  const given = [
    /^Basic /i.test(request.headers.authorization ?? '') && 'client_secret_basic',
    'client_secret' in sent && 'client_secret_post',
    'client_assertion' in sent && 'jwt',
  ].filter(Boolean);
  if (method === 'none') return given.length === 0;
  if (method.endsWith('_jwt')) return given.join() === 'jwt';
  return given.join() === method && isKnown;
}

async function refusalOfAssertion(
  jwt: string,
  demands: DemandedAssertion,
  tokenEndpoint: string,
): Promise<string | undefined> {
  const { algorithm, header, audience, claims, maxLifetime = Infinity, key } = demands;
  try {
    const [protectedHeader, payload] = [decodeProtectedHeader(jwt), decodeJwt(jwt)];
    if (key !== undefined) await jwtVerify(jwt, key);
    if (algorithm !== undefined && ![algorithm].flat().includes(String(protectedHeader.alg)))
      return `the assertion's alg must be ${[algorithm].flat().join(' or ')}`;
    const wrong = misfit({ ...protectedHeader }, header) ?? misfit(payload, claims);
    if (wrong !== undefined) return `the assertion's ${wrong} is missing or wrong`;
    const wanted = audience === 'token_endpoint' ? tokenEndpoint : audience;
    if (wanted !== undefined && payload.aud !== wanted) return `the assertion's aud must be ${audience}`;
    const lifetime = (payload.exp ?? Infinity) - Date.now() / 1000;
    return lifetime > 0 && lifetime <= maxLifetime ? undefined : 'the assertion lives too long, or no more';
  } catch {
    return 'the assertion must be a JWT with a signature of the known key';
  }
}
