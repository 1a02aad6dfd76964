import type { Clock } from '../core/clock.js';
import { AuthorizationServerUnavailableError, TokenResponseError } from '../core/errors.js';
import type { ResolvedClientOptions } from '../options/resolved-options.js';
import type { ClientCertificate } from './client-certificate.js';
import type { DpopKey } from './dpop.js';

/** One HTTP request of the protocol: never follows a redirect, and answers whatever the status. */
export interface ProtocolRequest {
  url: string;
  method: 'GET' | 'POST';
  headers: Record<string, string>;
  data?: string;
  signal: AbortSignal;
}

/** Port, implemented by `http/`: rejects with an `OAuthClientError`, and reads the body whole, within its bound. */
export type ProtocolTransport = (request: ProtocolRequest) => Promise<Response>;

/** One client, and what its requests to the authorization server need. */
export interface ProtocolParts {
  client: string;
  options: ResolvedClientOptions;
  transport: ProtocolTransport;
  clock: Clock;
  /** The key its tokens are bound to (RFC 9449), if any. */
  dpop: DpopKey | undefined;
  /** Its certificate (RFC 8705), if any. */
  certificate: ClientCertificate | undefined;
  /** Called with a sentence on each thing that a server leaves out or contradicts. */
  warn: (message: string) => void;
}

/** An authorization server, as far as token requests go. */
export interface KnownServer {
  issuer: string;
  tokenEndpoint: string;
}

const MAX_RETRY_AFTER_MS = 3_600_000;

/**
 * Refuses redirects, which would turn a POST into a GET, or hand the credentials on (RFC 9110 §15.4), and outages.
 *
 * @param what was asked for
 * @throws {TokenResponseError} naming the origin that the server at `url` pointed to
 * @throws {AuthorizationServerUnavailableError} when its status says that asking again later can help
 */
export function requireAnswer(parts: ProtocolParts, what: string, url: string, answer: Response): void {
  const { client } = parts;
  const { status, headers } = answer;
  if (status === 408 || status === 429 || status >= 500) throw unavailableNow(parts, what, answer);
  if (status < 300 || status >= 400) return;
  const location = headers.get('location') ?? '';
  const target = URL.canParse(location, url) ? new URL(location, url).origin : 'nowhere';
  throw new TokenResponseError(
    `The authorization server of OAuth client "${client}" redirects to ${target}; redirects are refused, since credentials may not follow. Configure the final URL.`,
    { client },
  );
}

/** The error for an answer that asks to come back later. */
export function unavailableNow(
  { client, clock }: ProtocolParts,
  what: string,
  { status, headers }: Response,
): AuthorizationServerUnavailableError {
  const retryAfterMs = parseRetryAfter(headers.get('retry-after') ?? undefined, clock.now());
  const message = `The ${what} of OAuth client "${client}" is unavailable: it answered ${status}.`;
  return new AuthorizationServerUnavailableError(message, { client, status, retryAfterMs });
}

/** Milliseconds to wait (RFC 9110 §10.2.3: seconds or an HTTP date), 1 hour at most; `undefined` for garbage. */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  const value = header?.trim();
  if (!value) return undefined;
  if (/^\d+$/.test(value)) return Math.min(Number(value) * 1000, MAX_RETRY_AFTER_MS);
  // Date.parse would read a date into almost anything with a number in it.
  if (!/^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? .* \d\d:\d\d:\d\d( |$)/.test(value)) return undefined;
  const at = Date.parse(value.endsWith('GMT') ? value : `${value} GMT`); // asctime's form names no zone
  return Number.isNaN(at) ? undefined : Math.min(Math.max(0, at - now), MAX_RETRY_AFTER_MS);
}

/** The JSON object that `text` is, if it is one. */
export function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
