import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, it } from '@jest/globals';
import { PARTNERS } from '../partners/partners.js';
import { CHECKED, type Partner } from '../partners/partner.js';

const page = join(resolve(import.meta.dirname, '../..'), 'docs/partners.md');

it('docs/partners.md has every partner that the suite runs (UPDATE_DOCS=1 writes it)', () => {
  const generated = partnersPage();
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(page, generated);
  expect(readFileSync(page, 'utf8')).toBe(generated);
});

it('there are more than forty partners, each once, each with a public page', () => {
  const all = Object.values(PARTNERS).flat();
  expect(all.length).toBeGreaterThan(40);
  expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
  const pages = all.flatMap(({ source }) => source ?? []);
  expect(pages.length).toBeGreaterThan(40);
  for (const source of pages) expect(new URL(source).protocol).toBe('https:');
});

function partnersPage(): string {
  const sections = Object.entries(PARTNERS).map(([field, partners]) => {
    const rows = partners.map(rowOf).join('\n');
    return `## ${field}\n\n| partner | options | what it demands | lifetime | source |\n| --- | --- | --- | --- | --- |\n${rows}\n`;
  });
  return `# Partners

This page is written by the tests. Each row runs against a strict fake that demands what the partner's public documentation says:
a token request, two API requests with one token, the same from variables where no function is needed, and a refusal when an
option is wrong. No partner's server was asked. The documentation was read on ${CHECKED}; if it has changed since, it is right and
this page is wrong. A † marks rows that rest on other public descriptions as well; check the partner's documentation first.

Is your partner missing? Start from the row with the most similar demands:

- \`tokenEndpointAuthMethod\` says where the credentials go.
- \`scope\`, \`audience\`, \`parameters\` and \`tokenRequestHeaders\` are the rest of the token request.
- \`tokenHeader\` and \`http.headers\` are for the API.

[Testing](testing.md) shows how to write your partner's demands down as a fake. The rows leave out \`clientId\` and \`clientSecret\`.

${sections.join('\n')}`;
}

function rowOf(partner: Partner): string {
  const { name, preset, options, shown, credentials, lifetime, lifetimeVaries, secondhand, source } = partner;
  const key = credentials === 'key' ? { privateKeyFile: 'private.pem', keyId: 'key-1' } : {};
  const text = shown ?? members({ ...key, ...options });
  const own = preset === undefined ? text : `${preset}({${text === '' ? '' : ` ${text} `}})`;
  const page = source === undefined ? '–' : `[${new URL(source).hostname}](${source})`;
  const link = secondhand ? `${page} †` : page;
  return `| ${[name, code(own), demandsOf(partner), lifetimeVaries ? 'as answered' : lifetimeOf(lifetime), link].map(escape).join(' | ')} |`;
}

const escape = (cell: string) => cell.replaceAll('|', '\\|');
const code = (text: string) => `\`${text}\``;

function members(options: object): string {
  return Object.entries(options)
    .map(([name, value]) => `${/^\w+$/.test(name) ? name : `'${name}'`}: ${literal(value)}`)
    .join(', ');
}

function literal(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (typeof value === 'object' && value !== null) return `{ ${members(value)} }`;
  return String(value);
}

function demandsOf({ demands }: Partner): string {
  const { method = 'POST', contentType, authentication, parameters = {}, headers = {}, assertion } = demands;
  const { apiHeaders = {}, tokenHeader } = demands;
  const signed = assertion && [
    assertion.algorithm && `alg ${[assertion.algorithm].flat().join(' or ')}`,
    ...Object.entries(assertion.header ?? {}).map(([name, value]) =>
      name === 'typ' ? `typ ${String(value)}` : name,
    ),
    assertion.audience && `aud ${assertion.audience.replace('_', ' ')}`,
    ...Object.keys(assertion.claims ?? {}).filter((name) => name !== 'jti'),
    assertion.maxLifetime && `at most ${lifetimeOf(assertion.maxLifetime)}`,
  ];
  return [
    method + (contentType ? ` of \`${contentType}\`` : ''),
    authentication && `\`${authentication}\``,
    Object.keys(parameters).map(code).join(', '),
    Object.keys(headers).length > 0 && `headers ${Object.keys(headers).map(code).join(', ')}`,
    signed && `a JWT with ${signed.filter(Boolean).join(', ')}`,
    Object.keys(apiHeaders).length > 0 && `API headers ${Object.keys(apiHeaders).map(code).join(', ')}`,
    tokenHeader && `the token in \`${tokenHeader.name}\``,
  ]
    .filter(Boolean)
    .join('; ');
}

function lifetimeOf(seconds: number): string {
  if (seconds % 86_400 === 0) return `${seconds / 86_400} d`;
  if (seconds % 3600 === 0) return `${seconds / 3600} h`;
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
}
