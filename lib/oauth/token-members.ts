import { isRecord, recordOf } from '../options/option-schema.js';

export type Members = Record<string, unknown>;

/** When a token expires, in the order in which it is looked for; `expires_in` comes before them (RFC 6749 §5.1). */
const EXPIRY_MEMBERS = ['expires_at', 'expires_on', 'expires'];
/** Numbers below are lifetimes in seconds, as of this one moments in seconds, and as of the next in milliseconds. */
const FIRST_EPOCH_S = 1e9;
const FIRST_EPOCH_MS = 1e11;

/** What {@link AccessToken} has members for. */
const TOKEN_MEMBERS = ['access_token', 'token_type', 'expires_in', 'scope'];
const CREDENTIAL_NAME = /(token|secret|assertion|password|jwt|api_?key)s?$/i;
const JWT = /^ey[\w-]+\.ey[\w-]+\./;
const MAX_DETAILS = 16_384;

/** Where servers put what they have to say of a failure, the most telling one first. */
const TELLING = [
  'errordescription', 'errormessage', 'message', 'errorsummary', 'msg', 'detail', 'details', 'title', 'description',
  'faultstring', 'reason', 'fault', 'error', 'errors',
]; // prettier-ignore
const MAX_DEPTH = 4;

/** An answer's body: parsed where it is JSON or a form, else its text. */
export function parseBody(headers: Headers, text: string): unknown {
  const type = headers.get('content-type') ?? '';
  const json = parseJson(text);
  if ((typeof json === 'object' && json !== null) || (json !== undefined && /json/i.test(type))) return json;
  // A bare token may end in "=" as well.
  const isForm = /^application\/x-www-form-urlencoded\b/i.test(type) && /(^|&)[^=&]+=[^=&]/.test(text);
  return isForm ? recordOf(new URLSearchParams(text)) : text;
}

/** The JSON object that `text` is, if it is one. */
export function parseObject(text: string): Members | undefined {
  const value = parseJson(text);
  return isRecord(value) ? value : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Names of members and of those one level below; what is too odd for a name may be a value. */
export function memberNames(body: unknown): string[] {
  const names = Object.entries(isRecord(body) ? body : {}).flatMap(([name, value]) =>
    isRecord(value) ? Object.keys(value).map((inner) => `${name}.${inner}`) : [name],
  );
  return names.filter((name) => /^[\w.:$@-]{1,40}$/.test(name)).slice(0, 20);
}

/** The text in which a server says what is wrong: all of it, or the most telling member. A page's is its title. */
export function failureText(body: unknown, depth = 0): string | undefined {
  if (typeof body === 'string') return plainText(body) || undefined;
  if (Array.isArray(body)) return failureText(body[0], depth + 1);
  if (!isRecord(body) || depth > MAX_DEPTH) return undefined;
  const members = new Map(Object.entries(body).map(([name, value]) => [plainName(name), value]));
  for (const name of TELLING) {
    const said = failureText(members.get(name), depth + 1);
    if (said !== undefined) return said;
  }
  return undefined;
}

function plainName(name: string): string {
  return name.replace(/[^a-z]/gi, '').toLowerCase();
}

function plainText(text: string): string {
  if (!text.trimStart().startsWith('<')) return text.trim();
  const [, , title] = /<(title|h1)\b[^<>]*>([^<]*)</i.exec(text) ?? [];
  return (title ?? text.replace(/<[^<>]*>/g, ' ')).replace(/\s+/g, ' ').trim();
}

/**
 * Milliseconds from `now` until the moment that a token response names instead of a lifetime: epoch seconds or
 * milliseconds, or a date, in UTC unless it says otherwise.
 *
 * @returns the member as well; `undefined` where no member says anything of the kind
 */
export function timeLeft(members: Members, now: number): { name: string; leftMs: number } | undefined {
  for (const name of EXPIRY_MEMBERS) {
    const leftMs = leftMsUntil(members[name], now);
    if (Number.isFinite(leftMs)) return { name, leftMs };
  }
  return undefined;
}

function leftMsUntil(value: unknown, now: number): number {
  if (value instanceof Date) return value.getTime() - now;
  const number = numberIn(value);
  if (Number.isFinite(number)) {
    if (number <= 0) return Number.NaN; // in several dialects: never
    if (number < FIRST_EPOCH_S) return number * 1000;
    return (number < FIRST_EPOCH_MS ? number * 1000 : number) - now;
  }
  if (typeof value !== 'string' || !/\d{4}/.test(value)) return Number.NaN;
  const date = value.trim();
  const isZoned = /(z|gmt|utc|[+-]\d\d:?\d\d)$/i.test(date);
  return Date.parse(isZoned ? date : `${date}${/\dT\d/.test(date) ? '' : ' '}Z`) - now;
}

/** A number, or a text that is one; else NaN. */
export function numberIn(value: unknown): number {
  const isNumeric = typeof value === 'string' && /^\d+(\.\d+)?$/.test(value.trim());
  return isNumeric || typeof value === 'number' ? Number(value) : Number.NaN;
}

/**
 * The other members of a token response, without anything that is or may be a token, in a copy.
 *
 * @returns `undefined` where there are none; `'too_large'` beyond 16 KiB
 * @throws {TypeError} for what JSON cannot say
 */
export function detailsOf(members: Members, tokens: readonly unknown[]): Members | 'too_large' | undefined {
  const others = Object.entries(members).filter(([name]) => !TOKEN_MEMBERS.includes(name));
  const isToken = (value: unknown): boolean =>
    typeof value === 'string' &&
    (JWT.test(value) || tokens.some((token) => value === token || (isLong(token) && value.includes(token))));
  const text = JSON.stringify(Object.fromEntries(others), (name, value: unknown) =>
    CREDENTIAL_NAME.test(name) || isToken(value) ? undefined : value,
  );
  if (text.length > MAX_DETAILS) return 'too_large';
  return text === '{}' ? undefined : (JSON.parse(text) as Members);
}

function isLong(token: unknown): token is string {
  return typeof token === 'string' && token.length >= 8;
}
