import { describe, expect, it } from '@jest/globals';
import { existsSync, readFileSync } from 'node:fs';

const checklist = readFileSync('docs/rfc.md', 'utf8');
const references = [...checklist.matchAll(/`([\w/-]+\.spec\.ts)`: (.+?)(?: +\||, and |\.?$)/gm)].map(
  ([, file, title]) => [file!, title!] as const,
);

describe('docs/rfc.md', () => {
  it('has an answer and a test, or a reason, for each line', () => {
    const rows = checklist
      .split('\n')
      .filter((line) => /^\| (?!asked|killed|-)/.test(line) && line.split('|').length === 5);
    expect(rows.length).toBeGreaterThan(70);
    for (const row of rows) {
      expect(row).toMatch(/\| (done|not applicable: .|not enforced: .)/);
      if (row.includes('| done')) expect(row).toMatch(/\.spec\.ts`: /);
    }
  });

  it('names tests that exist', () => {
    expect(references.length).toBeGreaterThan(70);
    const missing = references.filter(([file, title]) => {
      const path = `test/${file}`;
      return !existsSync(path) || !readFileSync(path, 'utf8').includes(title);
    });
    expect(missing).toEqual([]);
  });
});
