import { AuthorizationServerUnavailableError, OAuthClientError, TokenResponseError } from '../core/errors.js';
import { isRecord } from '../core/token-request.js';
import { isUrl } from '../options/kinds.js';
import { isLoopback, isSecure } from '../options/option-schema.js';
import type { KnownServer, ProtocolParts } from './protocol.js';
import type { Members } from './token-members.js';
import { parseJson, requireAnswer } from './token-response.js';

const TTL_MS = 3_600_000;
/** When a refresh has failed, the old document serves this much longer before the next one. */
const RETRY_MS = 60_000;
const REFRESH_MAX_MS = 5_000;

/** Where a client's authorization server is: discovered lazily and kept for an hour. */
export class ServerMetadataSource {
  readonly #parts: ProtocolParts;
  #known: KnownServer | undefined;
  #knownUntil = 0;
  #pending: Promise<KnownServer> | undefined;

  constructor(parts: ProtocolParts) {
    this.#parts = parts;
  }

  /** @throws {TokenResponseError | AuthorizationServerUnavailableError} when there is no document, not even an old one. */
  async get(signal: AbortSignal): Promise<KnownServer> {
    const { clock, options } = this.#parts;
    const { issuer = '', metadataURL: url } = options;
    const old = this.#known;
    if (old && clock.monotonic() < this.#knownUntil) return old;
    // A refresh that hangs must leave time for the token request, which can go without it.
    const boundMs = Math.min(Math.ceil(options.timeoutMs / 2), REFRESH_MAX_MS);
    const bound = old ? AbortSignal.any([signal, AbortSignal.timeout(boundMs)]) : signal;
    try {
      const found = () => (url === undefined ? this.#discover(issuer, bound) : this.#read(url, bound));
      this.#pending ??= found().finally(() => (this.#pending = undefined));
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
    const errors: unknown[] = [];
    for (const url of [
      `${origin}${path}/.well-known/openid-configuration`,
      `${origin}/.well-known/oauth-authorization-server${path}`,
    ]) {
      try {
        return await this.#read(url, signal, issuer);
      } catch (error) {
        errors.push(error);
      }
    }
    // An outage before a document that is wrong, and that before something else at the URL.
    const outage = errors.find((error) => error instanceof AuthorizationServerUnavailableError);
    const wrong = errors.find((error) => error instanceof OAuthClientError && !error.retryable);
    throw outage ?? wrong ?? errors[0];
  }

  /** Of a document at an address that was configured itself, the issuer is that address's origin. */
  async #read(url: string, signal: AbortSignal, issuer?: string): Promise<KnownServer> {
    const headers = { accept: 'application/json' };
    const answer = await this.#parts.transport({ url, method: 'GET', headers, signal });
    const { status } = answer;
    const what = 'metadata of the authorization server';
    requireAnswer({ ...this.#parts, status, headers: answer.headers, url, what });
    const document = parseJson(await answer.text());
    const why = status === 200 ? '' : `: ${url} answered ${status}`;
    if (why || !isRecord(document)) throw this.#unusable(`is not a metadata document${why}`, true);
    const tokenEndpoint = this.#tokenEndpointOf(document, url, issuer);
    this.#warnOfContradictions(document);
    return { issuer: issuer ?? new URL(url).origin, tokenEndpoint };
  }

  /** A discovered endpoint obeys the rules of a configured one; http on loopback is no place for an issuer elsewhere to name. */
  #tokenEndpointOf(document: Members, url: string, issuer?: string): string {
    const { tls, allowInsecureRequests } = this.#parts.options;
    if (issuer !== undefined && typeof document['issuer'] !== 'string')
      throw this.#unusable('names no issuer');
    if (issuer !== undefined && document['issuer'] !== issuer)
      throw this.#unusable('names another issuer than the configured one (RFC 8414 §3.3)');
    const aliases = document['mtls_endpoint_aliases'] as Members | null | undefined; // RFC 8705 §5
    const alias = tls?.cert === undefined ? undefined : aliases?.['token_endpoint'];
    const endpoint = alias ?? document['token_endpoint'];
    if (!isUrl(endpoint))
      throw this.#unusable('names no token_endpoint that is a URL without user name and fragment');
    if (!allowInsecureRequests && (!isSecure(endpoint) || (isLoopback(endpoint) && !isLoopback(url))))
      throw this.#unusable('names a token_endpoint without https');
    return endpoint;
  }

  /** A hint beforehand, since servers answer such a contradiction with no more than `invalid_client` (RFC 8414 §2). */
  #warnOfContradictions(document: Members): void {
    const { client, options, warn } = this.#parts;
    const dpop = options.dpop === true ? { algorithm: 'ES256' } : options.dpop || {};
    for (const [option, value, list] of [
      ['tokenEndpointAuthMethod', options.tokenEndpointAuthMethod, 'token_endpoint_auth_methods_supported'],
      ['signingAlgorithm', options.signingAlgorithm, 'token_endpoint_auth_signing_alg_values_supported'],
      ['dpop.algorithm', dpop.algorithm, 'dpop_signing_alg_values_supported'],
    ] as const) {
      const supported = document[list];
      if (value === undefined || !Array.isArray(supported) || supported.includes(value)) continue;
      const message = `its authorization server does not list ${value} in ${list}; if token requests fail, change ${option}.`;
      warn(`OAuth client "${client}": ${message}`);
    }
  }

  #unusable(what: string, retryable = false): TokenResponseError {
    const { client, options, label } = this.#parts;
    const option = options.metadataURL === undefined ? 'issuer' : 'metadataURL';
    const remedy = `Check ${label(option)}, or set ${label('tokenEndpoint')} instead.`;
    const message = `What the ${option} of OAuth client "${client}" serves as its metadata ${what}.`;
    return new TokenResponseError(message, { client, retryable, remedy });
  }
}
