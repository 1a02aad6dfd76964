import { systemClock } from '../core/clock.js';
import { OAuthClientError, TokenRequestError } from '../core/errors.js';
import { connectClient } from '../nest/client-connection.js';
import { clientsFromEnvironment, variableLabel, variableOf } from '../options/environment.js';
import { isPerRequest, problemsOf } from '../options/problems.js';
import type { ProtocolTransport } from '../oauth/protocol.js';
import type { OAuthClientOptions } from '../options/client-options.js';
import { withDefaults } from '../options/resolved-options.js';

/** What became of asking one client's authorization server for a token. Holds nothing secret. */
export interface ClientCheck {
  client: string;
  endpoint?: string | undefined;
  method: string;
  outcome: 'ok' | 'failed' | 'not asked';
  code?: string;
  lifetimeMs?: number;
  scope?: string;
  /** The server's clock minus ours. */
  clockDifferenceMs?: number;
  roundTripMs?: number;
  detail?: string;
  remedy?: string;
}

/** From here on client assertions and DPoP proofs are taken for expired or not yet valid. */
const CLOCK_TOLERANCE_MS = 30_000;

/**
 * Validates the `OAUTH_*` variables and asks for one token for each client if they are right.
 *
 * @param only the one client to validate and ask for
 * @param onProgress told of each client before it is asked
 */
export async function checkClients(
  environment: Readonly<Record<string, string | undefined>>,
  only: string | undefined,
  onProgress: (client: string) => void,
): Promise<{ problems: string[]; checks: ClientCheck[] }> {
  const source = { get: (variable: string) => environment[variable], names: () => Object.keys(environment) };
  const otherwise = 'or name the file that does: --env-file .env';
  const { names, clients, problems } = clientsFromEnvironment(source, otherwise, only);
  if (only !== undefined && !names.includes(only)) {
    problems.push(`There is no client "${only}"; OAUTH_CLIENTS lists: ${names.join(', ') || 'none'}.`);
  }
  for (const [name, own] of Object.entries(clients)) {
    problems.push(...problemsOf(name, own, (path) => variableOf(name, path)));
  }
  const checks: ClientCheck[] = [];
  if (problems.length > 0) return { problems, checks };
  for (const [name, own] of Object.entries(clients)) {
    onProgress(name);
    checks.push(await checkClient(name, own));
  }
  return { problems, checks };
}

async function checkClient(client: string, own: OAuthClientOptions): Promise<ClientCheck> {
  const options = withDefaults(own);
  const { grant, timeoutMs, tokenEndpoint, tokenEndpointAuthMethod: method } = options;
  const check: ClientCheck = { client, method, outcome: 'not asked', endpoint: placeOf(tokenEndpoint) };
  if (grant.type === 'refresh_token') return skipped(check, 'asking would use up its refresh token');
  if (isPerRequest(grant)) return skipped(check, 'its subject token comes with each request');
  const parts = { name: client, options, clock: systemClock, warn: () => undefined };
  const connection = connectClient({ ...parts, label: variableLabel(client), observe: watch(check) });
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const attempt = { signal, refreshToken: undefined };
    const { issuedAt, expiresAt, scope } = await connection.endpoint.request(options, attempt);
    Object.assign(check, { outcome: 'ok', lifetimeMs: expiresAt - issuedAt, scope });
    if (clockIsOff(check)) Object.assign(check, { detail: 'the clocks differ', remedy: CLOCK_REMEDY });
  } catch (error) {
    if (!(error instanceof OAuthClientError)) throw error;
    const {
      message,
      remedy = error.code === 'authorization_server_unavailable' ? OUTAGE_REMEDY : undefined,
    } = error;
    const detail = message.replace(remedy ?? '', '').trim();
    const code = (error instanceof TokenRequestError && error.error) || error.code;
    const timedOut = signal.aborted && { code: 'timed_out', detail: `no answer within ${timeoutMs} ms` };
    const late = clockIsOff(check) && { remedy: CLOCK_REMEDY };
    Object.assign(check, { outcome: 'failed', code, detail, remedy }, timedOut, late);
  }
  return check;
}

/** Notes endpoint, round trip and clock of the token request as it goes by; the last request is that one. */
function watch(check: ClientCheck): (transport: ProtocolTransport) => ProtocolTransport {
  return (transport) => async (request) => {
    check.endpoint = placeOf(request.url);
    const startedAt = Date.now();
    const started = performance.now();
    const response = await transport(request);
    check.roundTripMs = Math.round(performance.now() - started);
    const date = Date.parse(response.headers.get('date') ?? '');
    // The header has whole seconds; on average half of one has passed.
    const differenceMs = Math.round(date + 500 - (startedAt + check.roundTripMs / 2));
    if (!Number.isNaN(date)) check.clockDifferenceMs = differenceMs;
    return response;
  };
}

/** A URL without its query, which may hold a key. */
function placeOf(url: string | undefined): string | undefined {
  return url?.replace(/[?#].*$/, '');
}

const OUTAGE_REMEDY = 'Try again later, or ask the partner.';
const CLOCK_REMEDY = 'Set this machine’s clock (NTP): assertions, proofs and expiry depend on it.';

function clockIsOff({ clockDifferenceMs = 0 }: ClientCheck): boolean {
  return Math.abs(clockDifferenceMs) > CLOCK_TOLERANCE_MS;
}

function skipped(check: ClientCheck, why: string): ClientCheck {
  return { ...check, detail: `not asked: ${why}`, remedy: 'Call its API once to see it work.' };
}
