import { expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const repository = resolve(import.meta.dirname, '../..');
const readme = readFileSync(join(repository, 'README.md'), 'utf8');
const codeBlocks = [...readme.matchAll(/^```[a-z]*\n([\s\S]*?)\n```$/gm)].map(([, code]) => code);

it('the README starts with the command that tries it and the command that tests it', () => {
  expect(codeBlocks.slice(0, 2)).toEqual(['npm ci && npm start', 'npm ci && npm test']);
});

it('CI runs the README’s test command', () => {
  expect(readFileSync(join(repository, '.ci/run'), 'utf8')).toContain(`bash -c '${codeBlocks[1]}'`);
});
