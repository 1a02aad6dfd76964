import type { ClientCheck } from './check-clients.js';

/** What a run came to: what to print, and the exit code. */
export interface Outcome {
  output: string;
  code: 0 | 1 | 2;
}

/** The columns, and what a check has in each; those that find no room in a line come below it, the last ones first. */
const COLUMNS: readonly [string, (check: ClientCheck) => string][] = [
  ['client', ({ client }) => client],
  ['outcome', ({ outcome, code }) => (code === undefined ? outcome : `${outcome}: ${code}`)],
  ['lifetime', ({ lifetimeMs }) => duration(lifetimeMs)],
  ['clock', ({ clockDifferenceMs }) => signed(clockDifferenceMs)],
  ['round trip', ({ roundTripMs }) => (roundTripMs === undefined ? '–' : `${Math.round(roundTripMs)} ms`)],
  ['scope', ({ scope }) => scope ?? '–'],
  ['method', ({ method }) => method],
  ['endpoint', ({ endpoint }) => endpoint ?? '–'],
];

/**
 * The checks as a table of plain text, and what to do about those that failed.
 *
 * @param columns how many characters a line may have
 */
export function report(checks: readonly ClientCheck[], columns: number): string {
  const titles = COLUMNS.map(([title]) => title);
  const rows = [titles, ...checks.map((check) => COLUMNS.map(([, cell]) => cell(check)))];
  const widths = titles.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  let used = -2;
  const room = widths.filter((width) => (used += width + 2) <= columns).length;
  const table = rows.flatMap((row) => {
    const line = row.slice(0, room).map((cell, column) => cell.padEnd(widths[column] ?? 0));
    const below = row.map((cell, column) => [titles[column] ?? '', cell] as const).slice(room);
    const told = row === titles ? [] : below.filter(([, cell]) => cell !== '–');
    const more = told.map(([title, cell]) => fold(`${title} ${cell}`, columns, '  '));
    return [line.join('  ').trimEnd(), ...more].filter((one) => one !== '');
  });
  const remedies = checks.flatMap(({ client, detail, remedy }) => [
    ...(detail === undefined ? [] : ['', fold(`${client}: ${detail}`, columns)]),
    ...(remedy === undefined ? [] : [fold(`→ ${remedy}`, columns, '  ')]),
  ]);
  return [...table, ...remedies].join('\n');
}

/** Text in lines of so many characters, which begin with `indent`, and two blanks more from the second on. */
export function fold(text: string, columns: number, indent = ''): string {
  const width = Math.max(columns - indent.length - 2, 8);
  const parts = text.split(' ').flatMap((word) => word.match(new RegExp(`.{1,${width}}`, 'gu')) ?? [word]);
  const lines: string[] = [];
  for (const part of parts) {
    const line = lines.at(-1);
    if (line === undefined || line.length + 1 + part.length > width) lines.push(part);
    else lines[lines.length - 1] = `${line} ${part}`;
  }
  return indent + lines.join(`\n${indent}  `);
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
