import { systemClock } from '../core/clock.js';
import { AuthorizationServerUnavailableError, OAuthClientError, TokenRequestError } from '../core/errors.js';
import { connectClient } from '../nest/client-connection.js';
import { clientsFromEnvironment, variableOf } from '../options/environment.js';
import { isPerRequest, problemsOf } from '../options/problems.js';
import type { ProtocolTransport } from '../oauth/protocol.js';
import type { OAuthClientOptions } from '../options/client-options.js';
import { withDefaults, type ResolvedClientOptions } from '../options/resolved-options.js';
import { isNoTokenEndpoint } from '../oauth/token-response.js';

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
 * Validates the `OAUTH_*` variables and asks for one token for each client.
 *
 * @param only the one client to ask for
 * @param onProgress told of each client before it is asked
 */
export async function checkClients(
  environment: Readonly<Record<string, string | undefined>>,
  only: string | undefined,
  onProgress: (client: string) => void,
): Promise<{ problems: string[]; checks: ClientCheck[] }> {
  const source = { get: (variable: string) => environment[variable], names: () => Object.keys(environment) };
  const { clients, problems } = clientsFromEnvironment(source, 'or name the file that does: --env-file .env');
  const names = Object.keys(clients);
  if (only !== undefined && !names.includes(only)) {
    problems.push(`There is no client "${only}"; OAUTH_CLIENTS lists: ${names.join(', ') || 'none'}.`);
  }
  for (const [name, own] of Object.entries(clients)) {
    problems.push(...problemsOf(name, own, (path) => variableOf(name, path)));
  }
  const checks: ClientCheck[] = [];
  if (problems.length > 0) return { problems, checks };
  for (const [name, own] of Object.entries(clients)) {
    if (only !== undefined && name !== only) continue;
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
  const parts = { name: client, options, clock: systemClock, warn: () => undefined, observe: watch(check) };
  const connection = connectClient(parts);
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const attempt = { signal, refreshToken: undefined };
    const { issuedAt, expiresAt, scope } = await connection.endpoint.request(options, attempt);
    Object.assign(check, { outcome: 'ok', lifetimeMs: expiresAt - issuedAt, scope });
    if (clockIsOff(check)) Object.assign(check, { detail: 'the clocks differ', remedy: CLOCK_REMEDY });
  } catch (error) {
    if (!(error instanceof OAuthClientError)) throw error;
    const remedy = clockIsOff(check) ? CLOCK_REMEDY : remedyFor(client, options, error);
    const code = (error instanceof TokenRequestError && error.error) || error.code;
    const timedOut = signal.aborted && { code: 'timed_out', detail: `no answer within ${timeoutMs} ms` };
    Object.assign(check, { outcome: 'failed', code, detail: error.message, remedy }, timedOut);
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

const CLOCK_REMEDY = 'Set this machine’s clock (NTP): assertions, proofs and expiry depend on it.';

function clockIsOff({ clockDifferenceMs = 0 }: ClientCheck): boolean {
  return Math.abs(clockDifferenceMs) > CLOCK_TOLERANCE_MS;
}

function skipped(check: ClientCheck, why: string): ClientCheck {
  return { ...check, detail: `not asked: ${why}`, remedy: 'Call its API once to see it work.' };
}

function remedyFor(client: string, options: ResolvedClientOptions, error: OAuthClientError): string {
  const variable = (path: string) => variableOf(client, path);
  const endpoint = variable(options.issuer === undefined ? 'tokenEndpoint' : 'issuer');
  if (error instanceof TokenRequestError) {
    if (isNoTokenEndpoint(error)) return `Check ${endpoint}: nothing there takes token requests.`;
    switch (error.error) {
      case 'invalid_scope':
        return `Check ${variable('scope')} against what the partner granted you.`;
      case 'invalid_target':
        return `Check ${variable('resource')} and ${variable('audience')} against the partner's documentation.`;
      case 'unauthorized_client':
      case 'unsupported_grant_type':
        return `Ask the partner to allow the ${options.grant.type} grant for this client, or set ${variable('grant.type')}.`;
      case undefined:
      case 'invalid_client':
        const other = options.basicEncoding === 'raw' ? 'form' : 'raw';
        const isEncoded = error.message.includes('basicEncoding');
        const encoding = isEncoded ? `${variable('basicEncoding')}=${other}, or ` : '';
        return `Check ${variable('clientId')} and its credentials; if they are right, try ${encoding}another ${variable('tokenEndpointAuthMethod')}.`;
      default:
        return 'Look the code up in the partner’s documentation.';
    }
  }
  if (error instanceof AuthorizationServerUnavailableError) {
    const { code } = (error.cause ?? {}) as { code?: string };
    if (code === 'EPROTO') return `Check scheme and port of ${endpoint}: what answers there is not https.`;
    if (code !== undefined && /CERT|TLS|SSL|SELF_SIGNED|ISSUER/.test(code)) {
      return `The server's certificate is not trusted (${code}): set ${variable('tls.ca')}_FILE to the authority's certificate, or NODE_EXTRA_CA_CERTS.`;
    }
    if (error.status !== undefined) return 'Try again later, or ask the partner.';
    return `Check ${endpoint}, the network and the proxy.`;
  }
  if (error.code === 'credentials_unavailable') return 'Check the option that the message names.';
  return `Check ${endpoint} and the option that the message names.`;
}
