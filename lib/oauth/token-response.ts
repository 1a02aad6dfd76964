import {
  AuthorizationServerUnavailableError,
  TokenRequestError,
  TokenResponseError,
} from '../core/errors.js';
import { redacted, serverText } from '../core/server-text.js';
import { SCOPE_CHARACTERS, TOKEN_CHARACTERS, isRecord } from '../core/token-request.js';
import type { AccessTokenType, StoredToken } from '../core/token-store.js';
import { isEncodingSensitive } from './credentials.js';
import type { ProtocolParts } from './protocol.js';
import { remedyFor } from './remedies.js';
import { EXPIRIES, detailsOf, failureText, memberNames, parseBody, parseRetryAfter, timeLeft, type Members } from './token-members.js'; // prettier-ignore

/** The token request that is answered, and the client that sent it. */
export interface SentForm extends ProtocolParts {
  url: string;
  form: URLSearchParams;
  authorization?: string;
  /** The secrets that were sent, in case the server repeats them. */
  secrets: readonly string[];
  /** When it was sent, epoch milliseconds: the lifetime counts from there. */
  issuedAt: number;
}

type Asked = Omit<SentForm, 'url' | 'authorization'>;

/** An answer to a client's request for a token or for metadata, and the name of what gave it. */
type Answer = ProtocolParts &
  Partial<Pick<SentForm, 'url' | 'secrets'>> &
  Pick<Response, 'status' | 'headers'> & { body?: unknown; what?: string };

const PAGE = /^\s*<(!doctype html|html|head|body|title|center|h\d|p|div)\b/i;
const YEAR_MS = 365 * 24 * 3_600_000;
/** The longest scope that is recorded. */
const MAX_SCOPE = 4_096;
/** The members that `AccessToken` has as properties of its own. */
const TOKEN_MEMBERS = ['access_token', 'token_type', 'expires_in', 'scope'];
/** Those that are read, wherever they stand. */
const READ_MEMBERS = [...TOKEN_MEMBERS, ...EXPIRIES, 'issued_token_type', 'refresh_token', 'error'];

/** Reads the token endpoint's answer. */
export async function tokenOf(sent: SentForm, answer: Response): Promise<StoredToken> {
  const { status, headers } = answer;
  const text = await answer.text();
  const json = parseJson(text);
  const body = isRecord(json) ? json : parseBody(headers, text, json);
  requireAnswer({ ...sent, status, headers, body });
  const code = memberOf(body, 'error');
  const refused = (by: unknown) => rejection(sent, status, by);
  if (status >= 300 || (typeof code === 'string' && code !== '')) throw refused(body);
  const members = await readBy(sent, body, headers);
  if (memberOf(members, 'error')) throw refused(members);
  if (tokenIn(members)) return tokenFrom(sent, members as Members, headers);
  throw code ? refused(body) : withoutToken(sent, body);
}

/** The body, or what `readTokenResponse` makes of it. */
async function readBy({ options }: ProtocolParts, body: unknown, headers: Headers): Promise<unknown> {
  try {
    const { readTokenResponse: read } = options;
    const members = read ? await read(body, Object.fromEntries(headers)) : body;
    if (!read || !isRecord(members)) return members;
    // Read once, here: a getter may throw as well.
    const known = READ_MEMBERS.filter((name) => name in members).map((name) => [name, members[name]]);
    return { ...members, ...(Object.fromEntries(known) as Members) };
  } catch {
    return undefined; // what it threw may hold the token
  }
}

function memberOf(body: unknown, name: string): unknown {
  return isRecord(body) ? body[name] : undefined;
}

function tokenIn(members: unknown): string {
  const value = memberOf(members, 'access_token');
  return typeof value === 'string' ? value : '';
}

/** A page or an empty answer may be a passing disturbance; a well-formed answer is final. */
function withoutToken(sent: SentForm, body: unknown): TokenResponseError {
  const { client, options, secrets } = sent;
  const names = serverText(memberNames(body).join(', '), secrets) ?? 'without usual names';
  const what = isRecord(body)
    ? `has no access_token; its members are ${names}`
    : 'is neither a JSON object nor a form';
  if (isPage(body)) return invalid(client, what, true, remedyFor(sent, { status: 200, isPage: true }));
  const remedy = options.readTokenResponse
    ? 'readTokenResponse threw, or returned none'
    : 'if the token is there, say with readTokenResponse where';
  return invalid(client, `${what}; ${remedy}`, !isRecord(body));
}

/** The token that the members of a response describe (RFC 6749 §5.1). `others` becomes `details`. */
export function tokenFrom(asked: Asked, members: Members, headers: Headers, others = members): StoredToken {
  const { client, options, form, issuedAt } = asked;
  const { refresh_token: next } = members;
  const value = tokenIn(members);
  // A token that cannot stand in a header would otherwise fail every API request, one by one.
  if (!TOKEN_CHARACTERS.test(value)) throw invalid(client, 'has an access_token that no header can carry');
  const tokenType = options.dpop ? 'DPoP' : 'Bearer';
  const named = tokenTypeOf(asked, members);
  const remedy = 'if it is a Bearer token, say so with readTokenResponse';
  if (!named) throw invalid(client, `has a token_type other than Bearer and DPoP; ${remedy}`, false);
  if (named !== tokenType)
    throw invalid(client, `holds a ${named} token where a ${tokenType} token was asked for`, false);
  const scope = scopeOf(asked, members['scope']);
  // One that comes with another grant is ignored (RFC 6749 §4.4.3).
  const used = form.get('refresh_token');
  const details = furtherMembers(asked, others, [value, next]);
  return {
    value,
    tokenType,
    issuedAt,
    expiresAt: issuedAt + lifetimeOf(asked, members, headers),
    ...(scope !== null && { scope }),
    ...(details && { details }),
    ...(used !== null && { refreshToken: (typeof next === 'string' && next) || used }),
  };
}

function furtherMembers(parts: ProtocolParts, members: Members, tokens: unknown[]): Members | undefined {
  try {
    const others = Object.entries(members).filter(([name]) => !TOKEN_MEMBERS.includes(name));
    return others.length === 0 ? undefined : detailsOf(Object.fromEntries(others), tokens);
  } catch {
    hint(parts, 'further members that are no JSON, or more than 16 KiB; details leaves them out');
    return undefined;
  }
}

/** Without a scope in the answer, the requested one is granted (RFC 6749 §5.1). Its characters are checked (§3.3). */
function scopeOf(asked: Asked, said: unknown): string | null {
  const granted = Array.isArray(said) ? said.join(' ') : said; // some servers have a list
  if (typeof granted !== 'string') return asked.form.get('scope');
  if (granted.length <= MAX_SCOPE && SCOPE_CHARACTERS.test(granted)) return redacted(granted, asked.secrets);
  hint(asked, 'a scope with other characters than RFC 6749 allows, or too many; it is not recorded');
  return null;
}

/** `token_type` is case-insensitive (RFC 6749 §5.1); that of an exchanged token may be `N_A` (RFC 8693 §2.2.1). */
function tokenTypeOf(parts: ProtocolParts, body: Members): AccessTokenType | undefined {
  const { token_type: type, issued_token_type: issued } = body;
  const exchange = parts.options.grant.type === 'token_exchange';
  if (exchange && typeof issued !== 'string') hint(parts, 'no issued_token_type; an access token is assumed');
  const named = type ?? 'Bearer';
  if (named !== type) hint(parts, 'no token_type; Bearer is assumed');
  const name = typeof named === 'string' ? named.trim().toLowerCase() : '';
  if (/^bearer([ _-]?token)?$/.test(name) || (exchange && name === 'n_a')) return 'Bearer';
  return name === 'dpop' ? 'DPoP' : undefined;
}

function lifetimeOf(asked: Asked, members: Members, headers: Headers): number {
  const { client, clock, options, issuedAt } = asked;
  const { expires_in: expiresIn } = members;
  if (expiresIn === undefined || expiresIn === null) {
    const left = timeLeft(members, issuedAt, clock.now(), headers);
    if (left && left.ms <= 0) throw invalid(client, `has an ${left.name} that has passed`);
    if (left) return Math.min(left.ms, YEAR_MS);
    hint(asked, `no expires_in; ${options.defaultLifetimeMs} ms are assumed (defaultLifetimeMs)`);
    return options.defaultLifetimeMs;
  }
  const isDecimal = typeof expiresIn === 'string' && /^\d+(\.\d+)?$/.test(expiresIn.trim());
  const seconds = isDecimal || typeof expiresIn === 'number' ? Number(expiresIn) : Number.NaN;
  if (!(seconds > 0)) throw invalid(client, 'has an expires_in that is not a positive number');
  return Math.min(seconds * 1000, YEAR_MS);
}

function hint({ client, warn }: ProtocolParts, missing: string): void {
  warn(`OAuth client "${client}": its token response has ${missing}.`);
}

function rejection(sent: SentForm, status: number, body: unknown): Error {
  const { client, secrets } = sent;
  const error = serverText(memberOf(body, 'error'), secrets);
  const others = error !== undefined && isRecord(body) ? { ...body, error: undefined } : body;
  const errorDescription = serverText(failureText(others), secrets);
  const said = error && errorDescription ? `${error} (${errorDescription})` : error || errorDescription;
  const reason = said ? `: ${said.replace(/\.$/, '')}` : '';
  const encodingMatters = isEncodingSensitive(sent.authorization);
  const failure = { status, error, said: errorDescription, isPage: isPage(body), encodingMatters };
  const remedy = remedyFor(sent, failure);
  const message = `The authorization server rejected the token request of OAuth client "${client}" with status ${status}${reason}.`;
  return new TokenRequestError(message, { client, status, error, errorDescription, remedy });
}

/** The answer cannot be used; `retryable` when it looks like a passing disturbance, such as a proxy's page. */
function invalid(client: string, what: string, retryable = true, remedy?: string): TokenResponseError {
  const message = `The token response for OAuth client "${client}" ${what}.`;
  return new TokenResponseError(message, { client, retryable, remedy });
}

/**
 * Refuses outages, and redirects, which would turn a POST into a GET or hand the credentials on (RFC 9110 §15.4). The one
 * place that decides by the status which failures are worth another try.
 */
export function requireAnswer(answer: Answer): void {
  const { client, clock, status, headers, body, url, secrets, what = 'authorization server' } = answer;
  if (status >= 300 && status < 400) {
    const location = headers.get('location') ?? '';
    const target = URL.canParse(location, url)
      ? serverText(new URL(location, url).origin, secrets)
      : 'nowhere';
    const message = `The authorization server of OAuth client "${client}" redirects to ${target}; redirects are refused, since credentials may not follow.`;
    throw new TokenResponseError(message, { client, remedy: remedyFor(answer, { status }) });
  }
  const isBusy = memberOf(body, 'error') === 'temporarily_unavailable';
  if (!isBusy && status !== 408 && status !== 429 && status < 500) return;
  const reason = serverText(failureText(body), secrets)?.replace(/\.$/, '');
  const retryAfterMs = parseRetryAfter(headers.get('retry-after') ?? undefined, clock.now());
  const message = `The ${what} of OAuth client "${client}" is unavailable: it answered ${status}${reason ? ` and said: ${reason}` : ''}.`;
  throw new AuthorizationServerUnavailableError(message, { client, status, retryAfterMs });
}

/** The value of a JSON text; `undefined` if it is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function isPage(body: unknown): boolean {
  return typeof body === 'string' && PAGE.test(body);
}
