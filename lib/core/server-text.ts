/** How much of a server's text is kept and shown. */
const MAX_TEXT = 256;
/** How much of it is looked at, so that a secret at the cut is recognised as a whole. */
const MAX_READ = 2_048;
/** From here on the beginning of a secret says too much of it. */
const MIN_PREFIX = 8;
/** How many characters between two of a secret are passed over. */
const MAX_GAP = 8;
const NAMED: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;', ' ': '+' }; // prettier-ignore

/**
 * What may be kept and shown of a server's text: at most 256 characters, without control characters, and with
 * `[redacted]` in place of the secrets that it repeats.
 */
export function serverText(text: unknown, secrets: readonly string[] = []): string | undefined {
  if (typeof text !== 'string' || text === '') return undefined;
  const shown = redacted(clean(text.slice(0, MAX_READ)), secrets).slice(0, MAX_TEXT);
  return shown.replace(/[\ud800-\udbff]$/, '').trim();
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

/** A plain short word says nothing where it stands in a sentence, and is in many. */
function isTelling(secret: string): boolean {
  return secret.length >= MIN_PREFIX || (secret.length >= 4 && /[^a-z]/i.test(secret));
}

/** A form reader takes plus signs for blanks. Base64 depends on what stands before: three beginnings are possible, of which the shared part is taken. */
function formsOf(secret: string): string[] {
  const encoded = [0, 1, 2].flatMap((before) => {
    const bytes = Buffer.from('\0'.repeat(before) + secret);
    const texts = [bytes.toString('base64').replace(/=+$/, ''), bytes.toString('base64url')];
    return texts.map((text) => text.slice(before && before + 1));
  });
  return [secret, secret.replaceAll('+', ' '), Buffer.from(secret).toString('hex'), ...encoded];
}

/** How long the secret is that begins there, or its beginning; 0 if there is none. A spelling may begin another, so all are followed. */
function lengthOf(form: readonly string[][], text: string, start: number): number {
  let ends = [start];
  for (const [index, spelled] of form.entries()) {
    const starts = index === 0 ? ends : ends.flatMap((at) => gapAt(text, at));
    const next = new Set(
      starts.flatMap((at) => spelled.flatMap((one) => (text.startsWith(one, at) ? at + one.length : []))),
    );
    if (next.size === 0) return index >= MIN_PREFIX ? Math.max(...ends) - start : 0;
    ends = [...next];
  }
  return Math.max(...ends) - start;
}

/** Where the next character may stand: what was cleaned away left a blank, and text that is escaped again has more backslashes. */
function gapAt(text: string, at: number): number[] {
  const { length } = /^[ \\]*/.exec(text.slice(at, at + MAX_GAP))?.[0] ?? '';
  return Array.from({ length: length + 1 }, (_, skipped) => at + skipped);
}

/** How a character may come back: as it is, or escaped for a URL, a form, HTML or JSON. */
function spellings(char: string): string[] {
  const code = char.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  const percent = Buffer.from(char).toString('hex').replace(/../g, '%$&');
  const units = Array.from({ length: char.length }, (_, at) => char.charCodeAt(at).toString(16));
  const escaped = [
    percent,
    percent.replaceAll('%', '%25'),
    percent.replaceAll('%', '%2525'),
    `%${hex.padStart(2, '0')}`,
    `&#${code};`,
    `&#0${code};`,
    `&#x${hex};`,
    units.map((unit) => `\\u${unit.padStart(4, '0')}`).join(''),
    `\\${char}`,
  ];
  return [...escaped, NAMED[char] ?? char, char].map(lowerCase);
}
