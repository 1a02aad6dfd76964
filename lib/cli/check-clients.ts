import { systemClock } from '../core/clock.js';
import { OAuthClientError, TokenRequestError } from '../core/errors.js';
import { connectClient } from '../nest/client-connection.js';
import { clientFromEnvironment, namesFromEnvironment, variableLabel } from '../options/environment.js';
import { isPerRequest, problemsOf } from '../options/problems.js';
import type { ProtocolTransport } from '../oauth/protocol.js';
import { withDefaults, type ResolvedClientOptions } from '../options/resolved-options.js';

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
 * Validates the `OAUTH_*` variables, and asks for one token for each client whose own are right.
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
  const { names, problems } = namesFromEnvironment(source, 'or name the file that does: --env-file .env');
  if (only !== undefined && !names.includes(only))
    problems.push(`There is no client "${only}"; OAUTH_CLIENTS lists: ${names.join(', ') || 'none'}.`);
  const checks: ClientCheck[] = [];
  for (const name of names.filter((one) => one === (only ?? one))) {
    const { options, problems: own } = clientFromEnvironment(source, names, name);
    own.push(...problemsOf(name, options, variableLabel(name)));
    problems.push(...own);
    if (own.length > 0) continue;
    onProgress(name);
    checks.push(await checkClient(name, withDefaults(options)));
  }
  return { problems, checks };
}

async function checkClient(client: string, options: ResolvedClientOptions): Promise<ClientCheck> {
  const { grant, timeoutMs, tokenEndpoint, tokenEndpointAuthMethod: method } = options;
  const check: ClientCheck = { client, method, outcome: 'not asked', endpoint: placeOf(tokenEndpoint) };
  const skipped = { remedy: 'Call its API once to see it work.' };
  if (grant.type === 'refresh_token')
    return { ...check, detail: 'not asked: asking would use up its refresh token', ...skipped };
  if (isPerRequest(grant))
    return { ...check, detail: 'not asked: its subject token comes with each request', ...skipped };
  const parts = { name: client, options, clock: systemClock, warn: () => undefined };
  const { endpoint } = connectClient({ ...parts, label: variableLabel(client), observe: watch(check) });
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const { issuedAt, expiresAt, scope } = await endpoint.request(options, {
      signal,
      refreshToken: undefined,
    });
    Object.assign(check, { outcome: 'ok', lifetimeMs: expiresAt - issuedAt, scope });
  } catch (error) {
    if (!(error instanceof OAuthClientError)) throw error;
    const isOutage = error.code === 'authorization_server_unavailable';
    const { message, remedy = isOutage ? 'Try again later, or ask the partner.' : undefined } = error;
    const code = (error instanceof TokenRequestError && error.error) || error.code;
    const told = { code, detail: message.replace(remedy ?? '', '').trim() };
    const timedOut = signal.aborted && { code: 'timed_out', detail: `no answer within ${timeoutMs} ms` };
    Object.assign(check, { outcome: 'failed', ...told, ...timedOut, remedy });
  }
  const { clockDifferenceMs = 0, detail = 'the clocks differ' } = check;
  if (Math.abs(clockDifferenceMs) > CLOCK_TOLERANCE_MS)
    Object.assign(check, {
      detail,
      remedy: 'Set this machine’s clock (NTP): assertions, proofs and expiry depend on it.',
    });
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
