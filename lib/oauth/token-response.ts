import {
  AuthorizationServerUnavailableError,
  TokenRequestError,
  TokenResponseError,
} from '../core/errors.js';
import type { AccessTokenType, StoredToken } from '../core/token-store.js';
import { isRecord } from '../options/option-schema.js';
import { formEncode } from './credentials.js';
import type { ProtocolParts } from './protocol.js';
import { detailsOf, failureText, memberNames, numberIn, parseBody, timeLeft } from './token-members.js';
import type { Members } from './token-members.js';

/** The token request that is answered. */
interface SentForm {
  url: string;
  form: URLSearchParams;
  /** The client's secret, as far as it has one. */
  credential?: string | undefined;
  /** What was sent in confidence, in case the server repeats it. */
  secrets: readonly string[];
  /** When it was sent, epoch milliseconds: the lifetime counts from there. */
  issuedAt: number;
}

const MAX_RETRY_AFTER_MS = 3_600_000;
const YEAR_MS = 365 * 24 * 3_600_000;
const MAX_TEXT = 256;
/** The Date header has whole seconds. */
const CLOCK_TOLERANCE_MS = 2_000;
const TYPE_REMEDY = 'if it is sent as Bearer all the same, say so with readTokenResponse';

/** Reads the token endpoint's answer. The one place that decides which failures are worth another try. */
export async function tokenOf(parts: ProtocolParts, sent: SentForm, answer: Response): Promise<StoredToken> {
  const { status, headers } = answer;
  const body = parseBody(headers, await answer.text());
  const said = serverText(failureText(body), sent.secrets);
  requireAnswer(parts, 'authorization server', sent.url, answer, said);
  const code = isRecord(body) ? body['error'] : undefined;
  if (code === 'temporarily_unavailable') throw unavailableNow(parts, 'authorization server', answer, said);
  if (status >= 300 || (typeof code === 'string' && code !== '')) throw rejection(parts, sent, status, body);
  const members = await readMembers(parts, sent, answer, body);
  const refused = [members, tokenIn(members) === undefined && body].find(hasError);
  if (refused) throw rejection(parts, sent, status, refused);
  if (tokenIn(members) === undefined) throw withoutToken(parts, sent, body);
  return tokenFrom(parts, sent, members as Members, momentOfAnswer(parts, sent, headers));
}

/** The body as RFC 6749 §5.1 has it, by the user's own reading if there is one. */
async function readMembers(parts: ProtocolParts, sent: SentForm, answer: Response, body: unknown) {
  const { readTokenResponse: read } = parts.options;
  try {
    return read ? await read(body, Object.fromEntries(answer.headers)) : body;
  } catch {
    // What it threw may hold the body, and that the token.
    if (hasError(body)) throw rejection(parts, sent, answer.status, body);
    throw invalid(parts.client, `made readTokenResponse throw; ${theMembersOf(body, sent)}`, !isRecord(body));
  }
}

function hasError(body: unknown): boolean {
  return isRecord(body) && Boolean(body['error']);
}

function tokenIn(members: unknown): string | undefined {
  const value = isRecord(members) ? members['access_token'] : undefined;
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** A page or an empty answer may be a passing disturbance; a well-formed answer is what the server has to say. */
function withoutToken({ client, options }: ProtocolParts, sent: SentForm, body: unknown): TokenResponseError {
  const remedy = options.readTokenResponse
    ? 'have readTokenResponse return it as access_token'
    : 'if the token is there, say with readTokenResponse where';
  if (!isRecord(body) && !options.readTokenResponse)
    return invalid(client, `is neither a JSON object nor a form; ${remedy}`);
  return invalid(client, `has no access_token; ${theMembersOf(body, sent)}; ${remedy}`, !isRecord(body));
}

function theMembersOf(body: unknown, { secrets }: SentForm): string {
  const names = serverText(memberNames(body).join(', '), secrets);
  return names === undefined ? 'it has no members' : `its members are ${names}`;
}

/** Where a moment that the server names counts from: its own clock's time, if that differs from ours. */
function momentOfAnswer({ clock }: ProtocolParts, { issuedAt }: SentForm, headers: Headers): number {
  const date = Date.parse(headers.get('date') ?? '');
  return Math.abs(date - clock.now()) > CLOCK_TOLERANCE_MS ? date : issuedAt;
}

/**
 * The token that the members of a response describe (RFC 6749 §5.1).
 *
 * @param now where moments of expiry count from
 * @param others what becomes `details`
 */
export function tokenFrom(
  parts: ProtocolParts,
  { form, issuedAt }: Pick<SentForm, 'form' | 'issuedAt'>,
  members: Members,
  now: number,
  others = members,
): StoredToken {
  const { client, options } = parts;
  const { refresh_token: next } = members;
  const value = tokenIn(members) ?? '';
  // A token that cannot stand in a header would otherwise fail every API request, one by one.
  if (!/^[\x21-\x7e]+$/.test(value)) throw invalid(client, 'has an access_token that no header can carry');
  const tokenType = options.dpop ? 'DPoP' : 'Bearer';
  const named = tokenTypeOf(parts, members);
  if (named === undefined)
    throw invalid(client, `has a token_type other than Bearer and DPoP; ${TYPE_REMEDY}`, false);
  if (named !== tokenType)
    throw invalid(client, `holds a ${named} token where a ${tokenType} token was asked for`, false);
  // What was asked for is granted unless the server says otherwise (RFC 6749 §5.1).
  const scope = typeof members['scope'] === 'string' ? members['scope'] : form.get('scope');
  // One that comes with another grant is ignored (RFC 6749 §4.4.3).
  const used = form.get('refresh_token');
  const details = furtherMembers(parts, others, [value, next]);
  return {
    value,
    tokenType,
    issuedAt,
    expiresAt: issuedAt + lifetimeOf(parts, members, now),
    ...(scope !== null && { scope }),
    ...(details && { details }),
    ...(used !== null && { refreshToken: (typeof next === 'string' && next) || used }),
  };
}

function furtherMembers(parts: ProtocolParts, members: Members, tokens: unknown[]): Members | undefined {
  try {
    const details = detailsOf(members, tokens);
    if (details !== 'too_large') return details;
    hint(parts, 'more than 16 KiB of further members; details leaves them out');
    return undefined;
  } catch {
    throw invalid(parts.client, 'has members that cannot be kept as JSON', false);
  }
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
  const name = typeof type === 'string' ? type.trim().toLowerCase() : '';
  if (/^bearer([ _-]?token)?$/.test(name) || (exchange && name === 'n_a')) return 'Bearer';
  return name === 'dpop' ? 'DPoP' : undefined;
}

function lifetimeOf(parts: ProtocolParts, members: Members, now: number): number {
  const { defaultLifetimeMs } = parts.options;
  const { expires_in: expiresIn } = members;
  if (expiresIn !== undefined && expiresIn !== null) {
    const seconds = numberIn(expiresIn);
    if (!(seconds > 0)) throw invalid(parts.client, 'has an expires_in that is not a positive number');
    return Math.min(seconds * 1000, YEAR_MS);
  }
  const left = timeLeft(members, now);
  if (left && left.leftMs <= 0) throw invalid(parts.client, `has an ${left.name} that has passed`);
  if (left) return Math.min(left.leftMs, YEAR_MS);
  hint(parts, `no expires_in; ${defaultLifetimeMs} ms are assumed (defaultLifetimeMs)`);
  return defaultLifetimeMs;
}

function hint({ client, warn }: ProtocolParts, missing: string): void {
  warn(`OAuth client "${client}": its token response has ${missing}.`);
}

/** Whether such a refusal comes from something else at that URL. */
export function isNoTokenEndpoint({ error, status }: Pick<TokenRequestError, 'error' | 'status'>): boolean {
  return error === undefined && (status === 404 || status === 405);
}

function rejection(parts: ProtocolParts, sent: SentForm, status: number, body: unknown): Error {
  const { client } = parts;
  const members = isRecord(body) ? body : {};
  const error = serverText(members['error'], sent.secrets);
  const others = error === undefined ? body : { ...members, error: undefined };
  const errorDescription = serverText(failureText(others), sent.secrets);
  const said = [error, errorDescription && (error ? `(${errorDescription})` : errorDescription)].filter(
    Boolean,
  );
  const reason = said.length === 0 ? '' : `: ${said.join(' ').replace(/\.$/, '')}`;
  const remedy = isNoTokenEndpoint({ error, status })
    ? 'its token endpoint'
    : `its credentials${encodingHint(parts, sent, error)}, grant, scope and audience`;
  const message = `The authorization server rejected the token request of OAuth client "${client}" with status ${status}${reason}. Check ${remedy}.`;
  return new TokenRequestError(message, { client, status, error, errorDescription });
}

/** A secret that one encoding changes and the other does not is right for half of all servers. */
function encodingHint({ options }: ProtocolParts, { credential = '' }: SentForm, code?: string): string {
  const { tokenEndpointAuthMethod: method, clientId } = options;
  const isOdd = [clientId, credential].some((text) => formEncode(text) !== text);
  const isMeant = method === 'client_secret_basic' && [undefined, 'invalid_client'].includes(code);
  return isMeant && isOdd ? ' and basicEncoding (id or secret has characters that it changes)' : '';
}

/** The answer cannot be used; `retryable` when it looks like a passing disturbance, such as a proxy's page. */
function invalid(client: string, what: string, retryable = true): TokenResponseError {
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

/**
 * Refuses outages, and redirects, which would turn a POST into a GET or hand the credentials on (RFC 9110 §15.4).
 *
 * @param said what the server says of it, cleaned
 */
export function requireAnswer(
  parts: ProtocolParts,
  what: string,
  url: string,
  answer: Pick<Response, 'status' | 'headers'>,
  said?: string,
): void {
  const { client } = parts;
  const { status, headers } = answer;
  if (status === 408 || status === 429 || status >= 500) throw unavailableNow(parts, what, answer, said);
  if (status < 300 || status >= 400) return;
  const location = headers.get('location') ?? '';
  const target = URL.canParse(location, url) ? new URL(location, url).origin : 'nowhere';
  const message = `The authorization server of OAuth client "${client}" redirects to ${target}; redirects are refused, since credentials may not follow. Configure the final URL.`;
  throw new TokenResponseError(message, { client });
}

function unavailableNow(
  { client, clock }: ProtocolParts,
  what: string,
  { status, headers }: Pick<Response, 'status' | 'headers'>,
  said = '',
): Error {
  const retryAfterMs = parseRetryAfter(headers.get('retry-after') ?? undefined, clock.now());
  const reason = said && ` and said: ${said.replace(/\.$/, '')}`;
  const message = `The ${what} of OAuth client "${client}" is unavailable: it answered ${status}${reason}.`;
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
