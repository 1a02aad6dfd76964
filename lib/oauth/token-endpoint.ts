import {
  ClientError,
  Configuration,
  allowInsecureRequests,
  customFetch,
  genericGrantRequest,
  type DPoPHandle,
} from 'openid-client';
import type { Clock } from '../core/clock.js';
import { OAuthClientError, TokenRequestError, TokenResponseError } from '../core/errors.js';
import type { TokenEndpoint, TokenRequestContext } from '../core/token-flight.js';
import { normaliseScope, type TokenRequestDetails } from '../core/token-request.js';
import type { StoredToken } from '../core/token-store.js';
import { clientAuthentication, type ClientAuthentication } from './client-authentication.js';
import type { DpopKey } from './dpop.js';
import { grantIdentity, grantParameters } from './grants.js';
import type { HttpTransport } from './http-transport.js';
import { openidFetch, refuseRedirect } from './openid-fetch.js';
import type { ResolvedClientOptions } from './options.js';
import { ServerMetadataSource } from './server-metadata.js';
import { parseObject, readTokenResponse, type TokenResponse } from './token-response.js';

/** What a token endpoint needs beside its client's options. */
export interface TokenEndpointParts {
  transport: HttpTransport;
  clock: Clock;
  /** The key its tokens are bound to (RFC 9449), if any. */
  dpop: DpopKey | undefined;
  /** Names the client certificate (RFC 8705), if any. */
  certificate: () => Promise<string | undefined>;
  /** Told of an answer that leaves something out; once for each kind. */
  warn: (message: string) => void;
}

/** The token endpoint of one client: options and a request in, a token or a typed error out. */
export class OAuthTokenEndpoint implements TokenEndpoint {
  readonly #client: string;
  readonly #options: ResolvedClientOptions;
  readonly #parts: TokenEndpointParts;
  readonly #metadata: ServerMetadataSource;
  readonly #warned = new Set<string>();

  constructor(client: string, options: ResolvedClientOptions, parts: TokenEndpointParts) {
    this.#client = client;
    this.#options = options;
    this.#parts = parts;
    this.#metadata = new ServerMetadataSource(client, options, parts.transport, parts.clock);
  }

  async identity(): Promise<string> {
    const { issuer, tokenEndpoint, clientId, grant } = this.#options;
    const { dpop, certificate } = this.#parts;
    const bound = (await dpop?.thumbprint()) ?? (await certificate());
    return JSON.stringify([issuer ?? tokenEndpoint, clientId, grantIdentity(grant), bound]);
  }

  async request(details: TokenRequestDetails, context: TokenRequestContext): Promise<StoredToken> {
    const used = await this.#authentication(context.signal);
    try {
      return await this.#attempt(details, context, used);
    } catch (error) {
      // The secret may have been rotated between our reading it and the server's.
      if (
        !(error instanceof TokenRequestError) ||
        error.error !== 'invalid_client' ||
        used.secret === undefined
      ) {
        throw error;
      }
      const now = await this.#authentication(context.signal);
      if (now.secret === used.secret) throw error;
      return this.#attempt(details, context, now);
    }
  }

  async #authentication(signal: AbortSignal): Promise<ClientAuthentication> {
    const { assertionAudience, issuer } = this.#options;
    const server = await this.#metadata.get(signal);
    const known = { issuer: server.issuer, token_endpoint: server.token_endpoint! };
    const audience = assertionAudience ?? (issuer === undefined ? 'token_endpoint' : 'issuer');
    return clientAuthentication(
      this.#client,
      this.#options,
      audience in known ? known[audience as keyof typeof known] : audience,
    );
  }

  async #attempt(
    details: TokenRequestDetails,
    { signal, refreshToken }: TokenRequestContext,
    { authenticate, secret }: ClientAuthentication,
  ): Promise<StoredToken> {
    const { clientId, tls } = this.#options;
    const { clock, dpop } = this.#parts;
    const server = await this.#metadata.get(signal);
    const grant = await grantParameters(this.#client, this.#options, details, refreshToken);
    const secrets = [secret, ...grant.secrets].filter((value) => value !== undefined);
    const issuedAt = clock.now();
    let response: TokenResponse | undefined;

    const config = new Configuration(
      server,
      clientId,
      { use_mtls_endpoint_aliases: tls !== undefined },
      authenticate,
    );
    config.timeout = 0; // the flight's own deadline ends the request through `signal`
    allowInsecureRequests(config); // plain http was ruled out at boot, or allowed by name
    config[customFetch] = openidFetch(async (url, request) => {
      const answer = await this.#parts.transport(url, { ...this.#encode(request), signal });
      refuseRedirect(this.#client, answer);
      const text = await answer.clone().text();
      // openid-client answers the server's nonce itself, once.
      if (dpop && parseObject(text)?.['error'] === 'use_dpop_nonce') return answer;
      const tokenType = dpop ? 'DPoP' : 'Bearer';
      const expected = { client: this.#client, tokenType, now: clock.now(), secrets } as const;
      response = readTokenResponse(answer.status, answer.headers, text, expected);
      return conforming(response, answer.headers);
    });
    try {
      await genericGrantRequest(config, grant.type, grant.parameters, await this.#dpopHandle(config));
    } catch (error) {
      throw this.#typed(error);
    }
    return this.#stored(response!, details, issuedAt, grant.refreshToken);
  }

  async #dpopHandle(config: Configuration): Promise<{ DPoP: DPoPHandle } | undefined> {
    const { dpop } = this.#parts;
    return dpop && { DPoP: await dpop.handle(config) };
  }

  /** RFC 6749 wants a form; some servers want the same fields as a JSON object. */
  #encode<T extends { headers: Record<string, string>; body: string | undefined }>(request: T): T {
    if (this.#options.requestFormat === 'form') {
      const headers = {
        ...request.headers,
        'content-type': 'application/x-www-form-urlencoded;charset=utf-8',
      };
      return { ...request, headers };
    }
    const form = new URLSearchParams(request.body);
    const fields = [...new Set(form.keys())].map((name) => {
      const values = form.getAll(name);
      return [name, values.length > 1 ? values : values[0]];
    });
    return {
      ...request,
      headers: { ...request.headers, 'content-type': 'application/json' },
      body: JSON.stringify(Object.fromEntries(fields)),
    };
  }

  #stored(
    response: TokenResponse,
    details: TokenRequestDetails,
    issuedAt: number,
    refreshToken: string | undefined,
  ): StoredToken {
    const { grant, defaultLifetimeMs } = this.#options;
    if (response.lifetimeMs === undefined) {
      this.#warnOnce(
        `its token response has no expires_in; ${defaultLifetimeMs} ms are assumed (defaultLifetimeMs)`,
      );
    }
    if (response.untyped) this.#warnOnce('its token response has no token_type; Bearer is assumed');
    const scope = response.scope ?? normaliseScope(details.scope);
    // RFC 6749 §4.4.3: a refresh token has no business in a client_credentials response.
    const kept = grant.type === 'refresh_token' ? (response.refreshToken ?? refreshToken) : undefined;
    return {
      value: response.value,
      tokenType: response.tokenType,
      issuedAt,
      expiresAt: issuedAt + (response.lifetimeMs ?? defaultLifetimeMs),
      ...(scope !== undefined && { scope }),
      ...(kept !== undefined && { refreshToken: kept }),
    };
  }

  #warnOnce(what: string): void {
    if (this.#warned.has(what)) return;
    this.#warned.add(what);
    this.#parts.warn(`OAuth client "${this.#client}": ${what}.`);
  }

  #typed(error: unknown): unknown {
    if (error instanceof OAuthClientError) return error;
    if (error instanceof ClientError && error.cause instanceof OAuthClientError) return error.cause;
    return new TokenResponseError(
      `The token endpoint of OAuth client "${this.#client}" gave an answer of no use.`,
      {
        client: this.#client,
      },
    );
  }
}

/** What was read above, in the form that openid-client insists on. */
function conforming({ value, tokenType }: TokenResponse, headers: Headers): Response {
  const nonce = headers.get('dpop-nonce');
  return Response.json(
    { access_token: value, token_type: tokenType },
    nonce === null ? {} : { headers: { 'dpop-nonce': nonce } },
  );
}
