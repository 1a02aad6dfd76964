import {
  ClientError,
  allowInsecureRequests,
  customFetch,
  discovery,
  type ServerMetadata,
} from 'openid-client';
import type { Clock } from '../core/clock.js';
import { AuthorizationServerUnavailableError, OAuthClientError, TokenResponseError } from '../core/errors.js';
import type { HttpTransport } from './http-transport.js';
import type { ResolvedClientOptions } from './options.js';
import { openidFetch, refuseRedirect } from './openid-fetch.js';

const TTL_MS = 3_600_000;

/** Where a client's authorization server is: as configured, or discovered lazily and kept for an hour. */
export class ServerMetadataSource {
  readonly #client: string;
  readonly #options: ResolvedClientOptions;
  readonly #transport: HttpTransport;
  readonly #clock: Clock;
  #known: { metadata: ServerMetadata; until: number } | undefined;
  #pending: Promise<ServerMetadata> | undefined;

  constructor(client: string, options: ResolvedClientOptions, transport: HttpTransport, clock: Clock) {
    this.#client = client;
    this.#options = options;
    this.#transport = transport;
    this.#clock = clock;
  }

  /** @throws {TokenResponseError | AuthorizationServerUnavailableError} when there is no document, not even an old one. */
  async get(signal: AbortSignal): Promise<ServerMetadata> {
    const { issuer, tokenEndpoint } = this.#options;
    if (issuer === undefined) {
      return { issuer: new URL(tokenEndpoint!).origin, token_endpoint: tokenEndpoint! };
    }
    if (this.#known && this.#clock.monotonic() < this.#known.until) return this.#known.metadata;
    try {
      const found = await (this.#pending ??= this.#discover(issuer, signal));
      const metadata = tokenEndpoint === undefined ? found : { ...found, token_endpoint: tokenEndpoint };
      this.#known = { metadata, until: this.#clock.monotonic() + TTL_MS };
      return metadata;
    } catch (error) {
      if (this.#known) return this.#known.metadata;
      throw error;
    } finally {
      this.#pending = undefined;
    }
  }

  /** OpenID Connect Discovery appends its well-known path, RFC 8414 §3 inserts another; issuers serve either. */
  async #discover(issuer: string, signal: AbortSignal): Promise<ServerMetadata> {
    const failures: OAuthClientError[] = [];
    for (const algorithm of ['oidc', 'oauth2'] as const) {
      try {
        return await this.#fetchMetadata(issuer, algorithm, signal);
      } catch (error) {
        const failure = this.#typed(error);
        if (failure instanceof AuthorizationServerUnavailableError) throw failure;
        failures.push(failure);
      }
    }
    throw failures.find(({ retryable }) => !retryable) ?? failures[0]!;
  }

  async #fetchMetadata(
    issuer: string,
    algorithm: 'oidc' | 'oauth2',
    signal: AbortSignal,
  ): Promise<ServerMetadata> {
    const client = this.#client;
    const config = await discovery(new URL(issuer), this.#options.clientId, undefined, undefined, {
      algorithm,
      execute: [allowInsecureRequests],
      [customFetch]: openidFetch(async (url, request) => {
        const response = await this.#transport(url, { ...request, signal });
        refuseRedirect(client, response);
        if (response.status === 408 || response.status === 429 || response.status >= 500) {
          throw new AuthorizationServerUnavailableError(
            `The metadata of the authorization server of OAuth client "${client}" is unavailable: it answered ${response.status}.`,
            { client, status: response.status },
          );
        }
        return response;
      }),
    });
    const metadata = config.serverMetadata();
    if (typeof metadata.token_endpoint !== 'string') throw this.#unusable('names no token_endpoint');
    if (!this.#options.allowInsecureRequests && !isSecure(metadata.token_endpoint)) {
      throw this.#unusable('names a token_endpoint without https');
    }
    return metadata;
  }

  #typed(error: unknown): OAuthClientError {
    if (error instanceof OAuthClientError) return error;
    if (error instanceof ClientError && error.cause instanceof OAuthClientError) return error.cause;
    const mismatch = error instanceof ClientError && error.code === 'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED';
    return mismatch
      ? this.#unusable('names another issuer than the configured one (RFC 8414 §3.3)')
      : this.#unusable('is not a metadata document', true);
  }

  #unusable(what: string, retryable = false): TokenResponseError {
    const client = this.#client;
    return new TokenResponseError(
      `What the issuer of OAuth client "${client}" serves as its metadata ${what}. Check the issuer, or set tokenEndpoint instead.`,
      { client, retryable },
    );
  }
}

/** Whether a URL is https, or http that does not leave this machine. */
export function isSecure(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  if (protocol === 'https:') return true;
  return protocol === 'http:' && /^(localhost|(.+\.)?localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}
