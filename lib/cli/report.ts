import type { ClientCheck } from './check-clients.js';

const COLUMNS: readonly [string, (check: ClientCheck) => string][] = [
  ['client', ({ client }) => client],
  ['endpoint', ({ endpoint }) => endpoint ?? '–'],
  ['method', ({ method }) => method],
  ['outcome', ({ outcome, code }) => (code === undefined ? outcome : `${outcome}: ${code}`)],
  ['lifetime', ({ lifetimeMs }) => duration(lifetimeMs)],
  ['scope', ({ scope }) => scope ?? '–'],
  ['clock', ({ clockDifferenceMs }) => signed(clockDifferenceMs)],
  ['round trip', ({ roundTripMs }) => (roundTripMs === undefined ? '–' : `${Math.round(roundTripMs)} ms`)],
];

/** The checks as a table of plain text, one line each, and what to do about those that failed. */
export function report(checks: readonly ClientCheck[]): string {
  const titles = COLUMNS.map(([title]) => title);
  const rows = [titles, ...checks.map((check) => COLUMNS.map(([, cell]) => cell(check)))];
  const widths = titles.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const padded = (row: string[]) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0));
  const remedies = checks.filter(({ remedy }) => remedy !== undefined);
  return [
    ...rows.map((row) => padded(row).join('  ').trimEnd()),
    ...remedies.map(({ client, detail, remedy }) => `\n${client}: ${detail}\n  → ${remedy}`),
  ].join('\n');
}

function duration(ms: number | undefined): string {
  if (ms === undefined) return '–';
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** The Date header has whole seconds, so a difference below two says nothing. */
function signed(ms: number | undefined): string {
  if (ms === undefined) return '–';
  const seconds = Math.round(ms / 1000);
  if (Math.abs(seconds) < 2) return 'in step';
  return `${seconds > 0 ? '+' : '−'}${duration(Math.abs(ms))}`;
}
