import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, it } from '@jest/globals';
import ts from 'typescript';
import { FAULTS } from '../faults/faults.js';

const root = resolve(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'docs/behaviours.md'), 'utf8');
const entries = [...page.matchAll(/^\*\*(\d+a?)\.\*\* /gm)].map(([, number = '']) => number);
/** Behaviours that tests must show; later ones may still be without. */
const SHOWN = 66;

/** Names of tests by the numbers that they begin with. */
const tested = new Map<string, string[]>();
for (const file of readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })) {
  if (file.endsWith('.spec.ts')) for (const name of namesIn(join(root, 'test', file))) note(name);
}
for (const { behaviours, name } of FAULTS) note(`${behaviours}. ${name}`);
// The only behaviour that needs other versions of a package: it names itself in its comment.
for (const [, number = ''] of read('test/package/matrix.js').matchAll(/Behaviour (\d+)/g))
  note(`${number}. `);

function read(file: string): string {
  return readFileSync(resolve(root, file), 'utf8');
}

function note(name: string): void {
  const [numbers = ''] = /^((\d+a?, )*\d+a?\. )+/.exec(name) ?? [];
  for (const [number] of numbers.matchAll(/\d+a?/g)) {
    tested.set(number, [...(tested.get(number) ?? []), name]);
  }
}

/** What the tests and suites of a file are called. */
function namesIn(file: string): string[] {
  const names: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && /^(it|test|describe)/.test(node.expression.getText())) {
      const [name] = node.arguments;
      if (name && ts.isStringLiteralLike(name)) names.push(name.text);
      if (name && ts.isTemplateExpression(name)) names.push(name.head.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, read(file), ts.ScriptTarget.Latest, true));
  return names;
}

it('docs/behaviours.md has its numbers in order, each once', () => {
  const expected = Array.from({ length: entries.length - 1 }, (_, index) => String(index + 1));
  expected.splice(expected.indexOf('33') + 1, 0, '33a');
  expect(entries).toEqual(expected);
});

it('every number that the name of a test begins with leads to an entry', () => {
  const unknown = [...tested].filter(([number]) => !entries.includes(number)).flatMap(([, names]) => names);
  expect(unknown).toEqual([]);
  expect(tested.get('33a')?.length).toBeGreaterThan(0); // the search finds what it is to find
});

it(`every entry up to ${SHOWN} is named by a test`, () => {
  const untested = entries.filter((number) => Number.parseInt(number, 10) <= SHOWN && !tested.has(number));
  expect(untested).toEqual([]);
});
