import { TokenRequestError, TokenResponseError } from '../core/errors.js';
import type { AccessTokenType, StoredToken } from '../core/token-store.js';
import { formEncode } from './client-authentication.js';
import { isOutage, unavailableNow } from './protocol.js';

/** What the answer is judged by. */
export interface ResponseExpectations {
  client: string;
  /** The type the client asked for: a DPoP client takes no Bearer token. */
  tokenType: AccessTokenType;
  /** Whether the grant is token exchange, whose answers have members of their own (RFC 8693 §2.2.1). */
  exchange: boolean;
  defaultLifetimeMs: number;
  /** The scope asked for, which is granted unless the server says otherwise (RFC 6749 §5.1). */
  scope: string | undefined;
  /** The refresh token of the request; one that comes with another grant is ignored (RFC 6749 §4.4.3). */
  refreshToken: string | undefined;
  /** When the request was sent, epoch milliseconds: the lifetime counts from there. */
  issuedAt: number;
  /** Wall clock, for `Retry-After` dates. */
  now: number;
  /** What was sent in confidence, in case the server repeats it. */
  secrets: readonly string[];
  /** Called with what the answer leaves out, and what is assumed instead. */
  warn: (what: string) => void;
}

const YEAR_MS = 365 * 24 * 3_600_000;
const MAX_TEXT = 256;

/**
 * Reads the token endpoint's answer. The one place that decides which failures are worth another try.
 *
 * @throws {AuthorizationServerUnavailableError | TokenRequestError | TokenResponseError}
 */
export function readTokenResponse(
  answer: Response,
  text: string,
  expected: ResponseExpectations,
): StoredToken {
  const { client, secrets, now } = expected;
  const { status } = answer;
  const body = parseObject(text);
  const code = body?.['error'];
  if (isOutage(status) || code === 'temporarily_unavailable')
    throw unavailableNow(client, 'authorization server', answer, now);
  if (status >= 300 || (code ?? '') !== '') {
    const error = serverText(code, secrets);
    throw rejection(client, status, error, serverText(body?.['error_description'], secrets));
  }
  if (body === undefined) throw invalid(client, 'is not a JSON object', true);
  return successful(body, expected);
}

function successful(body: Record<string, unknown>, expected: ResponseExpectations): StoredToken {
  const { client, tokenType, exchange, issuedAt, warn, refreshToken: used } = expected;
  const { access_token: value, refresh_token: next } = body;
  if (typeof value !== 'string' || value === '') throw invalid(client, 'has no access_token', true);
  // A token that cannot stand in a header would otherwise fail every API request, one by one.
  if (!/^[\x21-\x7e]+$/.test(value))
    throw invalid(client, 'has an access_token that no header can carry', true);
  const named = tokenTypeOf(body['token_type'], expected);
  if (named === undefined) throw invalid(client, 'has a token_type other than Bearer and DPoP', false);
  if (named !== tokenType) {
    throw invalid(client, `holds a ${named} token where a ${tokenType} token was asked for`, false);
  }
  if (exchange && typeof body['issued_token_type'] !== 'string')
    warn('no issued_token_type; an access token is assumed');
  const scope = typeof body['scope'] === 'string' ? body['scope'] : expected.scope;
  const refreshToken = used !== undefined && typeof next === 'string' && next !== '' ? next : used;
  return {
    value,
    tokenType,
    issuedAt,
    expiresAt: issuedAt + lifetimeOf(body['expires_in'], expected),
    ...(scope !== undefined && { scope }),
    ...(refreshToken !== undefined && { refreshToken }),
  };
}

/** `token_type` is case-insensitive (RFC 6749 §5.1); that of an exchanged token may be `N_A` (RFC 8693 §2.2.1). */
function tokenTypeOf(type: unknown, { exchange, warn }: ResponseExpectations): AccessTokenType | undefined {
  if (type === undefined || type === null) {
    warn('no token_type; Bearer is assumed');
    return 'Bearer';
  }
  const name = typeof type === 'string' ? type.toLowerCase() : undefined;
  if (name === 'bearer' || (exchange && name === 'n_a')) return 'Bearer';
  return name === 'dpop' ? 'DPoP' : undefined;
}

function lifetimeOf(expiresIn: unknown, { client, defaultLifetimeMs, warn }: ResponseExpectations): number {
  if (expiresIn === undefined || expiresIn === null) {
    warn(`no expires_in; ${defaultLifetimeMs} ms are assumed (defaultLifetimeMs)`);
    return defaultLifetimeMs;
  }
  const text = typeof expiresIn === 'string' && /^\d+(\.\d+)?$/.test(expiresIn.trim());
  const seconds = text || typeof expiresIn === 'number' ? Number(expiresIn) : Number.NaN;
  if (!(seconds > 0)) throw invalid(client, 'has an expires_in that is not a positive number', true);
  return Math.min(seconds * 1000, YEAR_MS);
}

/** Whether such a refusal comes from something else at that URL. */
export function isNoTokenEndpoint({ error, status }: Pick<TokenRequestError, 'error' | 'status'>): boolean {
  return error === undefined && (status === 404 || status === 405);
}

function rejection(
  client: string,
  status: number,
  error: string | undefined,
  errorDescription: string | undefined,
): TokenRequestError {
  const reason =
    error === undefined ? '' : `: ${error}${errorDescription === undefined ? '' : ` (${errorDescription})`}`;
  const remedy = isNoTokenEndpoint({ error, status })
    ? 'its token endpoint'
    : 'its credentials, grant, scope and audience';
  return new TokenRequestError(
    `The authorization server rejected the token request of OAuth client "${client}" with status ${status}${reason}. Check ${remedy}.`,
    { client, status, error, errorDescription },
  );
}

/** The answer cannot be used; `retryable` when it looks like a passing disturbance, such as a proxy's page. */
function invalid(client: string, what: string, retryable: boolean): TokenResponseError {
  const message = `The token response for OAuth client "${client}" ${what}.`;
  return new TokenResponseError(message, { client, retryable });
}

/** A server's text is untrusted: secrets it repeats are taken out, control characters become spaces, and it is cut. */
function serverText(text: unknown, secrets: readonly string[]): string | undefined {
  if (typeof text !== 'string' || text === '') return undefined;
  return secrets
    .flatMap(spellings)
    .filter(isTelling)
    .reduce((kept, secret) => kept.replaceAll(secret, '[redacted]'), text)
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
    .slice(0, MAX_TEXT)
    .replace(/[\ud800-\udbff]$/, '')
    .trim();
}

/** A secret as it may come back: plain, in JSON, in a form, and in a form by our own rules. */
function spellings(secret: string): string[] {
  const inForm = new URLSearchParams([['', secret]]).toString().slice(1);
  return [secret, JSON.stringify(secret).slice(1, -1), inForm, formEncode(secret)];
}

/** A secret that is a plain short word says nothing where it stands in a sentence, and is in many. */
function isTelling(secret: string): boolean {
  return secret.length >= 8 || (secret.length >= 4 && /[^a-z]/i.test(secret));
}

/** The JSON object that `text` is, if it is one. */
export function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
