import {
  AuthorizationServerUnavailableError,
  TokenRequestError,
  TokenResponseError,
} from '../core/errors.js';
import { redacted, serverText } from '../core/server-text.js';
import type { AccessTokenType, StoredToken } from '../core/token-store.js';
import type { ProtocolParts } from './protocol.js';

export type Members = Record<string, unknown>;

/** The token request that is answered. */
interface SentForm {
  url: string;
  form: URLSearchParams;
  /** What was sent in confidence, in case the server repeats it. */
  secrets: readonly string[];
  /** When it was sent, epoch milliseconds: the lifetime counts from there. */
  issuedAt: number;
}

const MAX_RETRY_AFTER_MS = 3_600_000;
const YEAR_MS = 365 * 24 * 3_600_000;
/** The longest scope that is recorded. */
const MAX_SCOPE = 4_096;

/** Reads the token endpoint's answer. The one place that decides which failures are worth another try. */
export async function tokenOf(parts: ProtocolParts, sent: SentForm, answer: Response): Promise<StoredToken> {
  requireAnswer(parts, 'authorization server', sent.url, answer, sent.secrets);
  const body = parseObject(await answer.text());
  const code = body?.['error'];
  if (code === 'temporarily_unavailable') throw unavailableNow(parts, 'authorization server', answer);
  if (answer.status >= 300 || (code ?? '') !== '') throw rejection(parts, sent, answer.status, body);
  if (body === undefined) throw invalid(parts.client, 'is not a JSON object');
  return successful(parts, sent, body);
}

function successful(parts: ProtocolParts, sent: SentForm, body: Members): StoredToken {
  const { client, options } = parts;
  const { form, issuedAt } = sent;
  const { access_token: value, refresh_token: next } = body;
  if (typeof value !== 'string' || value === '') throw invalid(client, 'has no access_token');
  // A token that cannot stand in a header would otherwise fail every API request, one by one.
  if (!/^[\x21-\x7e]+$/.test(value)) throw invalid(client, 'has an access_token that no header can carry');
  const tokenType = options.dpop ? 'DPoP' : 'Bearer';
  const named = tokenTypeOf(parts, body);
  if (named === undefined) throw invalid(client, 'has a token_type other than Bearer and DPoP', false);
  if (named !== tokenType)
    throw invalid(client, `holds a ${named} token where a ${tokenType} token was asked for`, false);
  const scope = scopeOf(parts, sent, body['scope']);
  // One that comes with another grant is ignored (RFC 6749 §4.4.3).
  const used = form.get('refresh_token');
  return {
    value,
    tokenType,
    issuedAt,
    expiresAt: issuedAt + lifetimeOf(parts, body['expires_in']),
    ...(scope !== null && { scope }),
    ...(used !== null && { refreshToken: (typeof next === 'string' && next) || used }),
  };
}

/** What was asked for is granted unless the server says otherwise (RFC 6749 §5.1); characters by §3.3. */
function scopeOf(parts: ProtocolParts, { form, secrets }: SentForm, granted: unknown): string | null {
  if (typeof granted !== 'string') return form.get('scope');
  if (granted.length <= MAX_SCOPE && /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/.test(granted))
    return redacted(granted, secrets);
  hint(parts, 'a scope with other characters than RFC 6749 allows, or too many; it is not recorded');
  return null;
}

/** `token_type` is case-insensitive (RFC 6749 §5.1); that of an exchanged token may be `N_A` (RFC 8693 §2.2.1). */
function tokenTypeOf(parts: ProtocolParts, body: Members): AccessTokenType | undefined {
  const { token_type: type, issued_token_type: issued } = body;
  const exchange = parts.options.grant.type === 'token_exchange';
  if (exchange && typeof issued !== 'string') hint(parts, 'no issued_token_type; an access token is assumed');
  if (type === undefined || type === null) {
    hint(parts, 'no token_type; Bearer is assumed');
    return 'Bearer';
  }
  const name = typeof type === 'string' ? type.toLowerCase() : undefined;
  if (name === 'bearer' || (exchange && name === 'n_a')) return 'Bearer';
  return name === 'dpop' ? 'DPoP' : undefined;
}

function lifetimeOf(parts: ProtocolParts, expiresIn: unknown): number {
  const { defaultLifetimeMs } = parts.options;
  if (expiresIn === undefined || expiresIn === null) {
    hint(parts, `no expires_in; ${defaultLifetimeMs} ms are assumed (defaultLifetimeMs)`);
    return defaultLifetimeMs;
  }
  const text = typeof expiresIn === 'string' && /^\d+(\.\d+)?$/.test(expiresIn.trim());
  const seconds = text || typeof expiresIn === 'number' ? Number(expiresIn) : Number.NaN;
  if (!(seconds > 0)) throw invalid(parts.client, 'has an expires_in that is not a positive number');
  return Math.min(seconds * 1000, YEAR_MS);
}

function hint({ client, warn }: ProtocolParts, missing: string): void {
  warn(`OAuth client "${client}": its token response has ${missing}.`);
}

/** Whether such a refusal comes from something else at that URL. */
export function isNoTokenEndpoint({ error, status }: Pick<TokenRequestError, 'error' | 'status'>): boolean {
  return error === undefined && (status === 404 || status === 405);
}

function rejection(parts: ProtocolParts, sent: SentForm, status: number, body: Members = {}): Error {
  const { client } = parts;
  const error = serverText(body['error'], sent.secrets);
  const errorDescription = serverText(body['error_description'], sent.secrets);
  const description = errorDescription === undefined ? '' : ` (${errorDescription})`;
  const reason = error === undefined ? '' : `: ${error}${description}`;
  const remedy = isNoTokenEndpoint({ error, status })
    ? 'its token endpoint'
    : 'its credentials, grant, scope and audience';
  const message = `The authorization server rejected the token request of OAuth client "${client}" with status ${status}${reason}. Check ${remedy}.`;
  return new TokenRequestError(message, { client, status, error, errorDescription });
}

/** The answer cannot be used; `retryable` when it looks like a passing disturbance, such as a proxy's page. */
function invalid(client: string, what: string, retryable = true): TokenResponseError {
  const message = `The token response for OAuth client "${client}" ${what}.`;
  return new TokenResponseError(message, { client, retryable });
}

/** Refuses outages, and redirects, which would turn a POST into a GET or hand the credentials on (RFC 9110 §15.4). */
export function requireAnswer(
  parts: ProtocolParts,
  what: string,
  url: string,
  answer: Response,
  secrets: readonly string[] = [],
): void {
  const { client } = parts;
  const { status, headers } = answer;
  if (status === 408 || status === 429 || status >= 500) throw unavailableNow(parts, what, answer);
  if (status < 300 || status >= 400) return;
  const location = headers.get('location') ?? '';
  const target = URL.canParse(location, url) ? serverText(new URL(location, url).origin, secrets) : 'nowhere';
  const message = `The authorization server of OAuth client "${client}" redirects to ${target}; redirects are refused, since credentials may not follow. Configure the final URL.`;
  throw new TokenResponseError(message, { client });
}

function unavailableNow(parts: ProtocolParts, what: string, { status, headers }: Response): Error {
  const { client, clock } = parts;
  const retryAfterMs = parseRetryAfter(headers.get('retry-after') ?? undefined, clock.now());
  const message = `The ${what} of OAuth client "${client}" is unavailable: it answered ${status}.`;
  return new AuthorizationServerUnavailableError(message, { client, status, retryAfterMs });
}

/** Milliseconds to wait (RFC 9110 §10.2.3: seconds or an HTTP date), 1 hour at most; `undefined` for garbage. */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  const value = header?.trim();
  if (!value) return undefined;
  if (/^\d+$/.test(value)) return Math.min(Number(value) * 1000, MAX_RETRY_AFTER_MS);
  // Date.parse would read a date into almost anything with a number in it.
  if (!/^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? .* \d\d:\d\d:\d\d( |$)/.test(value)) return undefined;
  const at = Date.parse(value.endsWith('GMT') ? value : `${value} GMT`); // asctime's form names no zone
  return Number.isNaN(at) ? undefined : Math.min(Math.max(0, at - now), MAX_RETRY_AFTER_MS);
}

/** The JSON object that `text` is, if it is one. */
export function parseObject(text: string): Members | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Members) : undefined;
  } catch {
    return undefined;
  }
}
