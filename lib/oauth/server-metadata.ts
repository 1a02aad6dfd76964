import { AuthorizationServerUnavailableError, OAuthClientError, TokenResponseError } from '../core/errors.js';
import { KINDS, isLoopback, isSecure } from '../options/option-kinds.js';
import type { ResolvedClientOptions } from '../options/resolved-options.js';
import { isOutage, refuseRedirect, unavailableNow, type ProtocolParts } from './protocol.js';
import { parseObject } from './token-response.js';

/** An authorization server, as far as token requests go. */
export interface KnownServer {
  issuer: string;
  tokenEndpoint: string;
}

const TTL_MS = 3_600_000;
/** When a refresh has failed, the old document serves this much longer before the next one. */
const RETRY_MS = 60_000;
const REFRESH_MAX_MS = 5_000;

/** Where a client's authorization server is: as configured, or discovered lazily and kept for an hour. */
export class ServerMetadataSource {
  readonly #client: string;
  readonly #options: ResolvedClientOptions;
  readonly #parts: ProtocolParts;
  #known: KnownServer | undefined;
  #knownUntil = 0;
  #pending: Promise<KnownServer> | undefined;

  constructor(client: string, options: ResolvedClientOptions, parts: ProtocolParts) {
    this.#client = client;
    this.#options = options;
    this.#parts = parts;
  }

  /** @throws {TokenResponseError | AuthorizationServerUnavailableError} when there is no document, not even an old one. */
  async get(signal: AbortSignal): Promise<KnownServer> {
    const { issuer = '', tokenEndpoint, timeoutMs } = this.#options;
    const { clock } = this.#parts;
    if (tokenEndpoint !== undefined)
      return { issuer: issuer || new URL(tokenEndpoint).origin, tokenEndpoint };
    const old = this.#known;
    if (old && clock.monotonic() < this.#knownUntil) return old;
    // A refresh that hangs must leave time for the token request, which can go without it.
    const bound = old
      ? AbortSignal.any([signal, AbortSignal.timeout(Math.min(Math.ceil(timeoutMs / 2), REFRESH_MAX_MS))])
      : signal;
    try {
      this.#pending ??= this.#discover(issuer, bound).finally(() => (this.#pending = undefined));
      this.#known = await this.#pending;
      this.#knownUntil = clock.monotonic() + TTL_MS;
      return this.#known;
    } catch (error) {
      if (!old) throw error;
      this.#knownUntil = clock.monotonic() + RETRY_MS;
      return old;
    }
  }

  /** OpenID Connect Discovery appends its well-known path, RFC 8414 §3 inserts another; issuers serve either. */
  async #discover(issuer: string, signal: AbortSignal): Promise<KnownServer> {
    const { origin, pathname } = new URL(issuer);
    const path = pathname.replace(/\/$/, '');
    const ask = async (url: string) => {
      const document = await this.#fetch(url, signal);
      const tokenEndpoint = this.#tokenEndpointOf(document, issuer);
      if (this.#known === undefined) this.#warnOfContradictions(document);
      return { issuer, tokenEndpoint };
    };
    return ask(`${origin}${path}/.well-known/openid-configuration`).catch((appended: unknown) =>
      ask(`${origin}/.well-known/oauth-authorization-server${path}`).catch((inserted: unknown) => {
        throw moreTelling(appended, inserted);
      }),
    );
  }

  async #fetch(url: string, signal: AbortSignal): Promise<Record<string, unknown>> {
    const { transport, clock } = this.#parts;
    const answer = await transport({ url, method: 'GET', headers: { accept: 'application/json' }, signal });
    const { status } = answer;
    refuseRedirect(this.#client, url, answer);
    if (isOutage(status))
      throw unavailableNow(this.#client, 'metadata of the authorization server', answer, clock.now());
    if (status !== 200) throw this.#unusable(`is not a metadata document: ${url} answered ${status}`, true);
    const document = parseObject(await answer.text());
    if (document === undefined) throw this.#unusable('is not a metadata document', true);
    return document;
  }

  /** A discovered endpoint obeys the rules of a configured one; http on loopback is no place for an issuer elsewhere to name. */
  #tokenEndpointOf(document: Record<string, unknown>, issuer: string): string {
    const { tls, allowInsecureRequests } = this.#options;
    if (typeof document['issuer'] !== 'string') throw this.#unusable('names no issuer');
    if (document['issuer'] !== issuer)
      throw this.#unusable('names another issuer than the configured one (RFC 8414 §3.3)');
    const aliases = document['mtls_endpoint_aliases'] as { token_endpoint?: unknown } | null | undefined; // RFC 8705 §5
    const endpoint =
      (tls?.cert === undefined ? undefined : aliases?.token_endpoint) ?? document['token_endpoint'];
    if (!KINDS.url.accepts(endpoint))
      throw this.#unusable('names no token_endpoint that is a URL without user name and fragment');
    if (!allowInsecureRequests && (!isSecure(endpoint) || (isLoopback(endpoint) && !isLoopback(issuer))))
      throw this.#unusable('names a token_endpoint without https');
    return endpoint;
  }

  /** A hint beforehand, since servers answer such a contradiction with no more than `invalid_client` (RFC 8414 §2). */
  #warnOfContradictions(document: Record<string, unknown>): void {
    const { tokenEndpointAuthMethod, signingAlgorithm, dpop } = this.#options;
    const proof = typeof dpop === 'object' ? dpop : { algorithm: dpop ? 'ES256' : undefined };
    for (const [option, value, list] of [
      ['tokenEndpointAuthMethod', tokenEndpointAuthMethod, 'token_endpoint_auth_methods_supported'],
      ['signingAlgorithm', signingAlgorithm, 'token_endpoint_auth_signing_alg_values_supported'],
      ['dpop.algorithm', proof.algorithm, 'dpop_signing_alg_values_supported'],
    ] as const) {
      const supported = document[list];
      if (value === undefined || !Array.isArray(supported) || supported.includes(value)) continue;
      this.#parts.warn(
        `OAuth client "${this.#client}": its authorization server does not list ${value} in ${list}; if token requests fail, change ${option}.`,
      );
    }
  }

  #unusable(what: string, retryable = false): TokenResponseError {
    const client = this.#client;
    return new TokenResponseError(
      `What the issuer of OAuth client "${client}" serves as its metadata ${what}. Check the issuer, or set tokenEndpoint instead.`,
      { client, retryable },
    );
  }
}

/** An outage before a document that is wrong, and that before something else at the URL. */
function moreTelling(first: unknown, second: unknown): unknown {
  const both = [first, second];
  return (
    both.find((error) => error instanceof AuthorizationServerUnavailableError) ??
    both.find((error) => error instanceof OAuthClientError && !error.retryable) ??
    first
  );
}
