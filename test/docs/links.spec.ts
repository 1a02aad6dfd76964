import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, it } from '@jest/globals';

const root = resolve(import.meta.dirname, '../..');
const read = (page: string) => readFileSync(join(root, page), 'utf8');
const docs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.md'))
  .map((path) => `docs/${path}`);
const pages = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md', 'bench/results.md', ...docs];
const written = pages.filter((page) => !page.startsWith('docs/api/'));

it.each(written)('the links of %s lead to files, and to headings that they have', (page) => {
  expect(linksOf(page, read(page)).filter(({ target, heading }) => !leads(target, heading))).toEqual([]);
});

it('so do those of the API reference', () => {
  const broken = docs
    .filter((page) => !written.includes(page))
    .flatMap((page) => linksOf(page, read(page)).filter(({ target }) => !existsSync(join(root, target))));
  expect(broken).toEqual([]);
});

it('a link that leads nowhere is found', () => {
  const links = linksOf(
    'docs/x.md',
    '[a](none.md) [b](errors.md#none) [c](errors.md) [d](https://x.example)',
  );
  expect(links.map(({ target, heading }) => leads(target, heading))).toEqual([false, false, true]);
});

it.each(written)('the tests that %s names exist', (page) => {
  const named = [...read(page).matchAll(/`(test\/[\w./-]+)`/g)].map(([, path = '']) => path);
  expect(named.filter((path) => !path.includes('*') && !existsSync(join(root, path)))).toEqual([]);
});

describe('docs/README.md', () => {
  const index = read('docs/README.md');

  it('leads to every page', () => {
    const linked = linksOf('docs/README.md', index).map(({ target }) => target);
    const missing = written.filter((page) => page.startsWith('docs/') && page !== 'docs/README.md');
    expect(missing.filter((page) => !linked.includes(page))).toEqual([]);
  });

  it('has the four kinds of pages, as readers come', () => {
    const kinds = [...index.matchAll(/^## (.+)$/gm)].map(([, kind]) => kind);
    expect(kinds.slice(0, 4)).toEqual(['Tutorial', 'How-to guides', 'Reference', 'Explanation']);
  });
});

it('README.md has at most 250 lines', () => {
  expect(read('README.md').split('\n').length).toBeLessThanOrEqual(251);
});

interface Link {
  target: string;
  heading?: string | undefined;
}

/** Where the links and pictures of a page lead to in this repository. */
function linksOf(page: string, text: string): Link[] {
  return [...text.matchAll(/\]\(<?([^)\s>]+)>?\)/g)].flatMap(([, link = '']) => {
    if (/^(https?|mailto):/.test(link)) return [];
    const [path = '', heading] = link.split('#');
    return [{ target: path === '' ? page : join(dirname(page), decodeURI(path)), heading }];
  });
}

function leads(target: string, heading: string | undefined): boolean {
  if (!existsSync(join(root, target))) return false;
  return heading === undefined || headingsOf(read(target)).includes(heading);
}

/** The anchors that GitHub makes of a page's headings. */
function headingsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_\- ]/gu, '')
      .replaceAll(' ', '-'),
  );
}
