import { isRecord } from '../core/token-request.js';
import { readQuery } from '../options/kinds.js';

/** The members of a JSON object or a form. */
export type Members = Record<string, unknown>;

/** Smaller numbers are lifetimes in seconds, others are moments. */
const FIRST_EPOCH_S = 1e9;
/** Milliseconds; in this unit, no moment that a server means is as late. */
const LAST_EPOCH_MS = 1e14;
/** The Date header has whole seconds. */
const CLOCK_TOLERANCE_MS = 2_000;

/** The members that name the moment of the expiry, the first of which counts. */
export const EXPIRIES = ['expires_at', 'expires_on', 'expires'];
const CREDENTIAL_NAME =
  /(token|secret|assertion|passw(or)?d|jwt|credential|authorization|cookie|(api|access|private)[_-]?key)s?$|^refresh$/i;
/** Signed (RFC 7515) or encrypted (RFC 7516), wherever it stands. */
const JWT = /\bey[IJ][\w-]+\.ey[IJ][\w-]+\.|\bey[IJ][\w-]+(\.[\w-]*){4}/;
const MAX_DETAILS = 16_384;

/** The names under which servers explain a failure, the most telling one first. */
const TELLING = [
  'errordescription', 'errormessage', 'message', 'errorsummary', 'msg', 'detail', 'details', 'title', 'description',
  'faultstring', 'reason', 'fault', 'error', 'errors',
]; // prettier-ignore
/** What is told where there is nothing else. */
const CODES = ['code', 'errorcode'];
/** Ends of further such names. */
const ALSO_TELLING =
  /(message|msg|description|detail|reason|summary|text|info|information|exception|error)s?$/;
const MAX_DEPTH = 4;
/** How much of a page is looked at. */
const MAX_PAGE = 16_384;
const MAX_RETRY_AFTER_MS = 3_600_000;

/** A body that is no JSON object: parsed where it is a form or other JSON, else its text. `json`: what it is as JSON. */
export function parseBody(headers: Headers, text: string, json: unknown): unknown {
  const type = headers.get('content-type') ?? '';
  if (Array.isArray(json) || (json !== undefined && /json/i.test(type))) return json;
  // A bare token may end in "=" as well.
  const isForm = /^application\/x-www-form-urlencoded\b/i.test(type) && /(^|&)[^=&]+=[^=&]/.test(text);
  return isForm ? readQuery(text) : text;
}

/** Names of members and of those one level below; what is too odd for a name may be a value. */
export function memberNames(body: unknown): string[] {
  const names = Object.entries(isRecord(body) ? body : {}).flatMap(([name, value]) =>
    isRecord(value) ? Object.keys(value).map((inner) => `${name}.${inner}`) : [name],
  );
  return names.filter((name) => /^[\w.:$@-]{1,40}$/.test(name)).slice(0, 20);
}

/** The text in which a server says what is wrong: all of it, or the most telling member. A page's is its title. */
export function failureText(body: unknown): string | undefined {
  return textIn(body) ?? textIn(body, CODES) ?? textIn(body, CODES, true);
}

function textIn(body: unknown, more: readonly string[] = [], lists = false, depth = 0): string | undefined {
  if (typeof body === 'string') return plainText(body) || undefined;
  if (depth > MAX_DEPTH) return undefined;
  if (Array.isArray(body)) return textIn(body[0], more, lists, depth + 1);
  if (!isRecord(body)) return undefined;
  const plainName = (name: string) => name.replace(/[^a-z]/gi, '').toLowerCase();
  const members = new Map(Object.entries(body).map(([name, value]) => [plainName(name), value]));
  const isTelling = (value: unknown) => isRecord([value].flat()[0]) || (lists && Array.isArray(value));
  const others = [...members].filter(([name, value]) => ALSO_TELLING.test(name) || isTelling(value));
  const named = (names: readonly string[]) => names.map((name) => members.get(name));
  const values = new Set([...named(TELLING), ...others.map(([, value]) => value), ...named(more)]);
  for (const value of values) {
    const said = textIn(value, more, lists, depth + 1);
    if (said !== undefined) return said;
  }
  return undefined;
}

function plainText(text: string): string {
  if (!text.trimStart().startsWith('<')) return text.trim();
  const page = text.slice(0, MAX_PAGE).replace(/<!\[CDATA\[(.*?)\]\]>/gs, '$1');
  const shown = page.replace(/<(style|script)\b.*?<\/\1[^>]*>|<!--.*?-->/gis, ' ');
  const [, , title] = /<(title|h1)\b[^<>]*>\s*([^<\s][^<]*)</i.exec(shown) ?? [];
  return (title ?? shown.replace(/<[^<>]*>/g, ' ')).replace(/\s+/g, ' ').trim();
}

/**
 * How long a token lives whose response names the moment of its expiry: epoch seconds or a smaller unit, or a date, in
 * UTC unless it says otherwise. The moment is one of the server's clock, if that differs from ours.
 *
 * @returns the member as well; `undefined` where none says anything of the kind
 */
export function timeLeft(members: Members, issuedAt: number, now: number, headers: Headers) {
  const date = Date.parse(headers.get('date') ?? '');
  const from = Math.abs(date - now) > CLOCK_TOLERANCE_MS ? date : issuedAt;
  const left = EXPIRIES.map((name) => ({ name, ms: msUntil(members[name], from) }));
  return left.find(({ ms }) => Number.isFinite(ms));
}

function msUntil(value: unknown, from: number): number {
  if (value instanceof Date) return value.getTime() - from;
  const text = typeof value === 'string' || typeof value === 'number' ? String(value).trim() : '';
  if (/^\d+(\.\d+)?$/.test(text)) {
    const number = Number(text) || Number.NaN; // 0: in several dialects, never
    if (number < FIRST_EPOCH_S) return number * 1000;
    const unitMs = [1e3, 1, 1e-3, 1e-6].find((unit) => number * unit < LAST_EPOCH_MS) ?? Number.NaN;
    return number * unitMs - from;
  }
  // A zone's name after its offset, and an offset of hours alone, are more than Date.parse reads.
  const plain = text.replace(/ ?[[(].*[\])]$/, '').replace(/(?<=:\d\d(\.\d+)?)([+-]\d\d)$/, '$2:00');
  const isZoned = /(\b|\d)(z|ut|utc|gmt|[ecmp][sd]t)\b|[+-]\d\d:?\d\d$/i.test(plain);
  const zoned = isZoned ? plain : `${plain}${/\dT\d/.test(plain) ? '' : ' '}Z`;
  // Date.parse would read a date into almost anything with a number in it.
  return /[1-9]\d{3}/.test(plain) ? Date.parse(zoned) - from : Number.NaN;
}

/**
 * A copy of `members` without anything that is or may be a token; `undefined` where nothing is left.
 *
 * @throws for more than 16 KiB, and for what JSON cannot say
 */
export function detailsOf(members: Members, tokens: readonly unknown[]): Members | undefined {
  const holds = (text: string, token: unknown) =>
    typeof token === 'string' && (text === token || (token.length >= 8 && text.includes(token)));
  const isToken = (value: unknown) =>
    typeof value === 'string' && (JWT.test(value) || tokens.some((token) => holds(value, token)));
  const text = JSON.stringify(members, (name, value: unknown) =>
    CREDENTIAL_NAME.test(name) || isToken(value) ? undefined : value,
  );
  if (text.length > MAX_DETAILS) throw new RangeError('too large');
  return text === '{}' ? undefined : (JSON.parse(text) as Members);
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
