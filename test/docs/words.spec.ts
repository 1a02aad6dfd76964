import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, it } from '@jest/globals';
import { sentences } from './messages.js';

const root = resolve(import.meta.dirname, '../..');
const pages = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md'].concat(
  readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
);
/** What a colleague would not say. */
const ODD =
  /\b(whoever|of no use|comes? to nothing|(be|is) news to|sees? to it that|who (forces|needs|comes)|behind (the|its|their) (back|callers|scenes)|at growing distances)\b/i;

it.each(pages)('%s says things plainly', (page) => {
  const lines = readFileSync(join(root, page), 'utf8').split('\n');
  expect(lines.filter((line) => ODD.test(line))).toEqual([]);
});

it('so do the messages', () => {
  expect(sentences().filter(({ text }) => ODD.test(text))).toEqual([]);
});

it('an odd sentence is found', () => {
  expect('A token may be news to an API that lags.').toMatch(ODD);
});
