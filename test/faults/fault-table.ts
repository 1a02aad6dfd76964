import { AuthorizationServerUnavailableError } from 'nestjs-oauth-client';
import type { Outcome, TokenState } from './fault-scene.js';
import type { Fault } from './faults.js';

/** What was observed of one fault in one state: the first request, and the one right after it. */
export interface Observation {
  fault: Fault;
  first: Outcome;
  next: Outcome;
}

const SECTIONS: Record<TokenState, string> = {
  none: `## What if there is no token yet?

The request waits for the attempts, and is not sent if they fail. Until the cool-down is over, later requests fail at once,
without another token request.`,
  fresh: `## What if the token is fresh?

The authorization server is not asked, so its failures do not show. Only the clocks matter.`,
  'in the window': `## What if the token is in its refresh window?

The present token is used at once, and the refresh runs in the background. Its failure reaches no caller.`,
  expired: `## What if the token has expired?

It is never sent again.`,
};

const HEAD = `# What happens when the authorization server fails

Every line of these tables was observed. The suite in \`test/faults\` runs a Nest application against an authorization server
with that fault, and fails if this page says anything else. \`UPDATE_FAULTS=1 npm test -- test/faults\` writes the page.

The application makes a request through its \`HttpService\`, and another one right after that. Tokens live for an hour, and the
last five minutes are the refresh window. A wait has two attempts (\`retry.attempts: 2\`).
`;

/** The page that tells all observations. */
export function faultPage(observations: ReadonlyMap<TokenState, Observation[]>): string {
  const sections = [...observations].map(([state, rows]) => `${SECTIONS[state]}\n\n${table(rows)}`);
  return `${[HEAD.trimEnd(), ...sections].join('\n\n')}\n`;
}

function table(observations: Observation[]): string {
  const rows = [
    ['Fault', 'The request', 'API request', 'Token requests', 'The next request'],
    ...observations.map(({ fault, first, next }) => [
      fault.name,
      told(first),
      first.token === undefined ? 'not sent' : `sent with the ${first.token} token`,
      String(first.tokenRequests),
      told(next) + (next.tokenRequests === 0 ? '' : `, token requests: ${next.tokenRequests}`),
    ]),
  ];
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  const lines = rows.map((row) => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`);
  lines.splice(1, 0, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`);
  return lines.join('\n');
}

function told({ error, waited }: Outcome): string {
  const when = waited ? 'waits' : 'at once';
  if (error === undefined) return waited ? 'waits, then is served' : 'is served at once';
  const { timedOut, retryAfterMs } = error instanceof AuthorizationServerUnavailableError ? error : {};
  const details = [
    ...(timedOut ? ['timed out'] : []),
    // Without a Retry-After this is a matter of chance.
    ...(retryAfterMs !== undefined && retryAfterMs > 10_000
      ? [`to be tried again in ${retryAfterMs / 1_000} s`]
      : []),
  ];
  const what = `fails with \`${error.code}\`${details.length ? ` (${details.join(', ')})` : ''}`;
  return waited ? `${when}, then ${what}` : `${what} ${when}`;
}
