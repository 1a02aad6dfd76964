/** How much of a server's text is kept and shown. */
const MAX_TEXT = 256;
/** How much of it is searched, so that a secret at the cut is recognised as a whole. */
const MAX_READ = 2_048;
/** The length from which the beginning of a secret reveals too much. */
const MIN_PREFIX = 8;
const NAMED: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;', ' ': '+' }; // prettier-ignore

/**
 * What may be kept and shown of a server's text: at most 256 characters, without control characters, and with
 * `[redacted]` in place of the secrets that it repeats.
 */
export function serverText(text: unknown, secrets: readonly string[] = []): string | undefined {
  if (typeof text !== 'string' || text === '') return undefined;
  const cleaned = clean(text.slice(0, MAX_READ));
  return redacted(cleaned, secrets)
    .slice(0, MAX_TEXT)
    .replace(/[\ud800-\udbff]$/, '')
    .trim();
}

/** Takes secrets out: whole or cut short after 8 characters, as they are, escaped, or encoded in Base64 or hex. */
export function redacted(text: string, secrets: readonly string[]): string {
  const known = new Map<string, string[]>();
  const spelled = (char: string) => known.get(char) ?? known.set(char, spellings(char)).get(char) ?? [];
  const forms = secrets.flatMap(formsOf).filter(isTelling).map((form) => Array.from(clean(form), spelled)); // prettier-ignore
  const lower = lowerCase(text);
  let shown = '';
  for (let at = 0; at < text.length;) {
    const length = Math.max(0, ...forms.map((form) => lengthOf(form, lower, at)));
    shown += length > 0 ? '[redacted]' : text.charAt(at);
    at += length || 1;
  }
  return shown;
}

/** Keeps the length, unlike `toLowerCase()`. */
function lowerCase(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

function clean(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+/gu, ' ');
}

/** A short plain word stands in many sentences, and reveals nothing there. */
function isTelling(secret: string): boolean {
  return secret.length >= MIN_PREFIX || (secret.length >= 4 && /[^a-z]/i.test(secret));
}

/** Base64 depends on the bytes in front of the secret: of the three possible texts, the part that never changes is used. */
function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const encoded = [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
    return text.replace(/=+$/, '').slice(before && before + 1);
  });
  return [secret, bytes.toString('hex'), ...encoded, ...encoded.map(inUrl)];
}

function inUrl(base64: string): string {
  return base64.replaceAll('+', '-').replaceAll('/', '_');
}

/** The length of the secret, or of its beginning, at that place; 0 if there is none. */
function lengthOf(form: readonly string[][], text: string, start: number): number {
  let at = start;
  for (const [index, spelled] of form.entries()) {
    const end = endOf(spelled, text, at);
    // Characters that were cleaned away in the middle left a blank.
    const next = end === 0 && index > 0 && text[at] === ' ' ? endOf(spelled, text, at + 1) : end;
    if (next === 0) return index >= MIN_PREFIX ? at - start : 0;
    at = next;
  }
  return at - start;
}

function endOf(spelled: readonly string[], text: string, at: number): number {
  const spelling = spelled.find((one) => text.startsWith(one, at));
  return spelling === undefined ? 0 : at + spelling.length;
}

/** How a server may spell a character: as it is, or escaped for a URL, a form, HTML or JSON. */
function spellings(char: string): string[] {
  const code = char.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  const percent = Buffer.from(char).toString('hex').replace(/../g, '%$&');
  const escaped = [
    percent,
    percent.replaceAll('%', '%25'),
    `&#${code};`,
    `&#x${hex};`,
    `\\u${hex.padStart(4, '0')}`,
    `\\${char}`,
  ];
  // Itself last: an escape may begin with it.
  return [...escaped, NAMED[char] ?? char, char].map(lowerCase);
}
