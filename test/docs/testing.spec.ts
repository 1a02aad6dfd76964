import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, it } from '@jest/globals';

const read = (path: string) => readFileSync(resolve(import.meta.dirname, '../..', path), 'utf8');

/** What a text overrides: `overrideProvider(getOAuthHttpToken`, `overrideModule(oauth` … */
const overridden = (text: string) => new Set(text.match(/(?<=\.)override(Module|Provider)\(\w+/g));

it('63. the page on tests shows each way of overriding that is tested, for whole applications as well', () => {
  const tested = overridden(read('test/testing/overrides.spec.ts'));
  expect(tested.size).toBeGreaterThan(4);
  expect([...tested].filter((way) => !overridden(read('docs/testing.md')).has(way))).toEqual([]);
});
