import {
  ClientError,
  allowInsecureRequests,
  customFetch,
  discovery,
  type ServerMetadata,
} from 'openid-client';
import { AuthorizationServerUnavailableError, OAuthClientError, TokenResponseError } from '../core/errors.js';
import { parseRetryAfter } from './retry-after.js';
import { openidFetch, refuseRedirect, type ProtocolParts } from './protocol.js';
import type { ResolvedClientOptions } from '../options/client-options.js';
import { parseObject } from './token-response.js';

/** An authorization server, as far as token requests go; `token_endpoint` is the one to ask. */
export type KnownServer = ServerMetadata & { token_endpoint: string };

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
    const { issuer, tokenEndpoint, timeoutMs } = this.#options;
    const { clock } = this.#parts;
    if (tokenEndpoint !== undefined) {
      return { issuer: issuer ?? new URL(tokenEndpoint).origin, token_endpoint: tokenEndpoint };
    }
    const old = this.#known;
    if (old && clock.monotonic() < this.#knownUntil) return old;
    // A refresh that hangs must leave time for the token request, which can go without it.
    const bound = old
      ? AbortSignal.any([signal, AbortSignal.timeout(Math.min(Math.ceil(timeoutMs / 2), REFRESH_MAX_MS))])
      : signal;
    try {
      this.#pending ??= this.#discover(issuer!, bound).finally(() => (this.#pending = undefined));
      const found = await this.#pending;
      if (!old) this.#warnOfContradictions(found);
      this.#known = found;
      this.#knownUntil = clock.monotonic() + TTL_MS;
      return found;
    } catch (error) {
      if (!old) throw error;
      this.#knownUntil = clock.monotonic() + RETRY_MS;
      return old;
    }
  }

  /** OpenID Connect Discovery appends its well-known path, RFC 8414 §3 inserts another; issuers serve either. */
  async #discover(issuer: string, signal: AbortSignal): Promise<KnownServer> {
    const failures: OAuthClientError[] = [];
    for (const algorithm of ['oidc', 'oauth2'] as const) {
      try {
        return await this.#fetchMetadata(issuer, algorithm, signal);
      } catch (error) {
        failures.push(this.#typed(error));
      }
    }
    throw failures.find(isUnavailable) ?? failures.find(({ retryable }) => !retryable) ?? failures[0]!;
  }

  async #fetchMetadata(
    issuer: string,
    algorithm: 'oidc' | 'oauth2',
    signal: AbortSignal,
  ): Promise<KnownServer> {
    const { clientId, tls, allowInsecureRequests: insecure } = this.#options;
    const config = await discovery(new URL(issuer), clientId, undefined, undefined, {
      algorithm,
      execute: [allowInsecureRequests], // plain http was ruled out at boot, or allowed by name
      [customFetch]: openidFetch(async (url, request) =>
        this.#document(url, await this.#parts.transport(url, { ...request, signal })),
      ),
    });
    const metadata: ServerMetadata = config.serverMetadata();
    const alias = tls?.cert === undefined ? undefined : metadata.mtls_endpoint_aliases?.token_endpoint; // RFC 8705 §5
    const endpoint: unknown = alias ?? metadata.token_endpoint;
    if (typeof endpoint !== 'string' || !URL.canParse(endpoint))
      throw this.#unusable('names no token_endpoint');
    if (!insecure && !isSecure(endpoint)) throw this.#unusable('names a token_endpoint without https');
    return { ...metadata, token_endpoint: endpoint };
  }

  async #document(url: string, response: Response): Promise<Response> {
    const client = this.#client;
    const { status, headers } = response;
    refuseRedirect(client, url, response);
    if (status === 408 || status === 429 || status >= 500) {
      const retryAfterMs = parseRetryAfter(headers.get('retry-after') ?? undefined, this.#parts.clock.now());
      throw new AuthorizationServerUnavailableError(
        `The metadata of the authorization server of OAuth client "${client}" is unavailable: it answered ${status}.`,
        { client, status, retryAfterMs },
      );
    }
    if (status !== 200) throw this.#unusable(`is not a metadata document: ${url} answered ${status}`, true);
    const document = parseObject(await response.text());
    if (document === undefined) throw this.#unusable('is not a metadata document', true);
    return Response.json(document);
  }

  /** A hint beforehand, since servers answer such a contradiction with no more than `invalid_client` (RFC 8414 §2). */
  #warnOfContradictions(metadata: KnownServer): void {
    const { tokenEndpointAuthMethod, signingAlgorithm, dpop } = this.#options;
    const proof = typeof dpop === 'object' ? dpop : { algorithm: dpop ? 'ES256' : undefined };
    for (const [option, value, list] of [
      ['tokenEndpointAuthMethod', tokenEndpointAuthMethod, 'token_endpoint_auth_methods_supported'],
      ['signingAlgorithm', signingAlgorithm, 'token_endpoint_auth_signing_alg_values_supported'],
      ['dpop.algorithm', proof.algorithm, 'dpop_signing_alg_values_supported'],
    ] as const) {
      const supported: unknown = metadata[list];
      if (value === undefined || !Array.isArray(supported) || supported.includes(value)) continue;
      this.#parts.warn(
        `OAuth client "${this.#client}": its authorization server does not list ${value} in ${list}; if token requests fail, change ${option}.`,
      );
    }
  }

  #typed(error: unknown): OAuthClientError {
    const cause = error instanceof ClientError ? error.cause : error;
    if (cause instanceof OAuthClientError) return cause;
    const mismatch = error instanceof ClientError && error.code === 'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED';
    return this.#unusable(
      mismatch ? 'names another issuer than the configured one (RFC 8414 §3.3)' : 'names no issuer',
    );
  }

  #unusable(what: string, retryable = false): TokenResponseError {
    const client = this.#client;
    return new TokenResponseError(
      `What the issuer of OAuth client "${client}" serves as its metadata ${what}. Check the issuer, or set tokenEndpoint instead.`,
      { client, retryable },
    );
  }
}

function isUnavailable(error: OAuthClientError): error is AuthorizationServerUnavailableError {
  return error instanceof AuthorizationServerUnavailableError;
}

/** Whether a URL is https, or http that does not leave this machine. */
export function isSecure(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  if (protocol === 'https:') return true;
  return protocol === 'http:' && /^(localhost|(.+\.)?localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}
