import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, it } from '@jest/globals';
import type { OAuthClientOptions } from 'nestjs-oauth-client';
import type { FakeAnswer } from 'nestjs-oauth-client/testing';
import { CODES } from './causes/codes.js';
import { ERRORS } from './causes/errors.js';
import type { KnownMessage } from './causes/known-message.js';
import { PROBLEMS } from './causes/problems.js';
import { OTHERS, WARNINGS } from './causes/warnings.js';
import { WHAT, sentences } from './messages.js';
import { Application } from '../support/application.js';

const root = resolve(import.meta.dirname, '../..');
const page = join(root, 'docs/errors.md');
const found = sentences();
/** Files whose texts complete the sentence `Client "…": OPTION …`. */
const ENDINGS = /^(options|core\/request-snapshot)\b/;
/** Sentences that say what to do, which end a message. */
const REMEDIES = /^oauth\/remedies\b/;
const known = [...Object.values(ERRORS).flat(), ...PROBLEMS, ...WARNINGS];
const isKnown = (text: string): boolean =>
  [...known.flatMap(({ find, parts = [] }) => [find, ...parts]), ...OTHERS].some((part) =>
    text.includes(part),
  );

/** Names, numbers, addresses and what a server said: of a message, what differs from case to case. */
const VARYING = /"[^"]*"|(?<=\d): [^:]*?\.(?= |$)|[;:] |\. (?=[A-Z])|\([^)]*\)|https?:\S+|\d+/;

it('docs/errors.md has the messages that the code has, each with its causes (UPDATE_DOCS=1 writes it)', () => {
  const written = readFileSync(page, 'utf8');
  const generated = filled(written);
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(page, generated);
  expect(readFileSync(page, 'utf8')).toBe(generated);
});

it('test/docs/causes knows every message of the code', () => {
  const unknown = found.filter(
    ({ file, text }) => !ENDINGS.test(file) && !REMEDIES.test(file) && !isKnown(text),
  );
  expect(unknown.map(({ file, text }) => `lib/${file} says "${text}": add it to test/docs/causes`)).toEqual(
    [],
  );
});

it('it knows none that the code no longer has, and says of each what was behind it', () => {
  const wanted = known.flatMap(({ find, within, parts = [] }) => [
    find,
    ...(within ? [within] : []),
    ...parts,
  ]);
  expect([...wanted, ...OTHERS].filter((part) => !found.some(({ text }) => text.includes(part)))).toEqual([]);
  expect(known.filter(({ causes }) => causes.length === 0)).toEqual([]);
});

it('no message has more than two sentences', () => {
  const long = known.filter((message) => messageOf(message).split(/[.!?] (?=[A-Z@])/).length > 2);
  expect(long.map(({ find }) => find)).toEqual([]);
});

it('every code has its messages, and every message its code', () => {
  const source = readFileSync(join(root, 'lib/core/errors.ts'), 'utf8');
  const [union = ''] = /export type OAuthClientErrorCode =[^;]+/.exec(source) ?? [];
  const codes = [...union.matchAll(/'(\w+)'/g)].map(([, code = '']) => code);
  expect(Object.keys(CODES).toSorted()).toEqual(codes.toSorted());
  expect(Object.keys(ERRORS).toSorted()).toEqual(codes.toSorted());
});

const isEntry = (line: string) => line.startsWith('`');

it.each<[string, OAuthClientOptions, FakeAnswer | undefined]>([
  ['a refusal', {}, { status: 400, body: { error: 'invalid_scope', error_description: 'no' } }],
  ['an outage', {}, { status: 503 }],
  ['a page', {}, { status: 200, body: '<h1>Hello</h1>' }],
  ['a token by another name', {}, { status: 200, body: { token: 'x' } }],
  ['a token without a lifetime left', {}, { status: 200, body: { access_token: 'x', expires_in: 0 } }],
  ['a redirect', {}, { status: 307, headers: { location: 'https://elsewhere.example/' } }],
  ['a server that is down', { tokenEndpoint: 'http://127.0.0.1:1/token' }, undefined],
  ['a secret that is missing', { clientSecret: () => '' }, undefined],
])(
  'a reader who searches the page for the message about %s finds one entry',
  async (_name, options, answer) => {
    const app = await Application.withServer({ retry: { attempts: 1 }, ...options });
    if (answer) app.server.respondWith(answer);
    const { message } = (await app.failure()) as Error;
    const parts = message.split(VARYING).map((part) => part.replace(/^[. ]+| +$/g, ''));
    const searches = parts.filter((part) => part.includes(' '));
    const lines = readFileSync(page, 'utf8').split('\n');
    const entriesFound = searches
      .map((part) => lines.filter((line) => isEntry(line) && line.includes(part)))
      .filter((matches) => matches.length > 0)
      .reduce((all, matches) => all.filter((line) => matches.includes(line)));
    expect([searches, entriesFound]).toEqual([searches, [expect.any(String)]]);
  },
);

/** The page with its generated parts anew: they stand between comments with their names. */
function filled(text: string): string {
  const parts = {
    codes: codesTable(),
    messages: Object.entries(ERRORS)
      .filter(([code]) => code !== 'configuration_invalid')
      .map(([code, messages]) => `### \`${code}\`\n\n${entries(messages)}`)
      .join('\n\n'),
    problems: entries(PROBLEMS),
    endings: list(ENDINGS, () => true),
    remedies: list(REMEDIES, (text) => /^[A-Z].*\.$/.test(text)),
    warnings: entries(WARNINGS),
  };
  return Object.entries(parts).reduce((result, [name, part]) => {
    if (part === '' && !result.includes(`<!-- ${name} -->`)) return result; // there are none to list
    expect(result).toContain(`<!-- ${name} -->\n`);
    const [before, rest = ''] = result.split(`<!-- ${name} -->\n`);
    const [, after = ''] = rest.split(`<!-- /${name} -->`);
    return `${before}<!-- ${name} -->\n\n${part}\n\n<!-- /${name} -->${after}`;
  }, text);
}

function codesTable(): string {
  const rows = Object.entries(CODES).map(([code, { when, remedy }]) => [
    `\`${code}\``,
    `\`${classOf(code)}\``,
    when,
    remedy,
  ]);
  return table([['code', 'class', 'when', 'what to do'], ...rows]);
}

/** The class whose constructor sets this code. */
function classOf(code: string): string {
  const source = readFileSync(join(root, 'lib/core/errors.ts'), 'utf8');
  const classes = source.split(/export class /).slice(1);
  return (
    classes.find((text) => text.includes(`super('${code}'`) || text.includes(`'${code}', `))?.split(' ')[0] ??
    'OAuthClientError'
  );
}

/** A table as Prettier writes it. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`;
  const [head = [], ...body] = rows;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)].join('\n');
}

/** Each message with its causes. */
function entries(messages: readonly KnownMessage[]): string {
  return messages
    .map(
      (message) => `\`${messageOf(message)}\`\n\n${message.causes.map((cause) => `- ${cause}`).join('\n')}`,
    )
    .join('\n\n');
}

function messageOf({ find, within, subject = '…', what = '…' }: KnownMessage): string {
  const text = textWith(find);
  if (within === undefined) return text.replace(WHAT, what).replace('…', subject);
  const whole = textWith(within).replace('…', subject);
  return whole.replace(whole.includes(WHAT) ? WHAT : /…(?=[^…]*$)/, () => text);
}

/** The shortest of the code's texts with this part. */
function textWith(part: string): string {
  const [text = ''] = found
    .filter((sentence) => sentence.text.includes(part))
    .map((sentence) => sentence.text)
    .toSorted((one, other) => one.length - other.length);
  return text;
}

/** What sentences end with: about an option, or with a remedy. Either says what to do. */
function list(files: RegExp, isMeant: (text: string) => boolean): string {
  const texts = found.filter(({ file, text }) => files.test(file) && isMeant(text) && !isKnown(text));
  const shown = texts.map(({ text }) =>
    text.replace(/\{([\w.…]+)\}/g, (_, name: string) => (/^(method|grant|…)$/.test(name) ? '…' : name)),
  );
  return [...new Set(shown.map((text) => text.replace(/\.$/, '').trim()))]
    .toSorted()
    .map((text) => `- \`${text}\``)
    .join('\n');
}
