import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from '@jest/globals';

const root = resolve(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'docs/migration.md'), 'utf8');

/** Where the page is, and which application of test/adoption it is about. */
const SHAPES = [
  ['From a token service of your own', 'token-service'],
  ['From Axios instances per user', 'user-instances'],
  ['From credentials per organisation', 'organisations'],
  ['From fetch with a static token', 'static-fetch'],
] as const;

/** The code of a section, block by block. */
function blocksOf(title: string): string[] {
  const section = page.split(/^## /m).find((text) => text.startsWith(title)) ?? '';
  return [...section.matchAll(/^```ts\n([\s\S]*?)\n```$/gm)].map(([, code = '']) => code);
}

/** Without imports, which a page needs fewer of, and with a body or without. */
function linesOf(code: string): string[] {
  const lines = code.replaceAll(/^import [^;]*;$/gm, '').split('\n');
  return lines.map((line) => line.trim().replace(/\{\}$/, '{')).filter((line) => line !== '');
}

describe.each(SHAPES)('Migration, %s', (title, application) => {
  const folder = join(root, 'test/adoption', application);
  const sources = readdirSync(folder).map((file) => readFileSync(join(folder, file), 'utf8'));
  const [before = '', ...after] = blocksOf(title);

  it('the page shows the code before, and then lines of an application that is run', () => {
    const known = new Set(sources.flatMap(linesOf));
    expect(after.length).toBeGreaterThan(1);
    expect(after.flatMap(linesOf).filter((line) => !known.has(line))).toEqual([]);
    expect(linesOf(before).filter((line) => !known.has(line)).length).toBeGreaterThan(0);
  });
});

it('the page says of each shape what changes at run time', () => {
  expect(page.match(/^What changes at run time:$/gm)).toHaveLength(SHAPES.length);
});

it('every application of test/adoption is on the page', () => {
  const folders = readdirSync(join(root, 'test/adoption'), { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  );
  expect(folders.map(({ name }) => name).toSorted()).toEqual(SHAPES.map(([, name]) => name).toSorted());
});
