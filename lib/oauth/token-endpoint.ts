import {
  ClientError,
  Configuration,
  allowInsecureRequests,
  customFetch,
  genericGrantRequest,
} from 'openid-client';
import { OAuthClientError, TokenRequestError, TokenResponseError } from '../core/errors.js';
import type { TokenEndpoint, TokenRequestContext } from '../core/token-endpoint.js';
import { scopeValues, type TokenRequestDetails } from '../core/token-request.js';
import type { StoredToken } from '../core/token-store.js';
import { clientAuthentication, formEncode, type ClientAuthentication } from './client-authentication.js';
import { readCredential, unavailable } from './credentials.js';
import type { DpopKey } from './dpop.js';
import { grantIdentity, grantParameters } from './grants.js';
import { openidFetch, refuseRedirect, type ProtocolParts, type TransportRequest } from './protocol.js';
import type { ResolvedClientOptions } from '../options/client-options.js';
import { ServerMetadataSource, type KnownServer } from './server-metadata.js';
import { readTokenResponse, type TokenResponse } from './token-response.js';

/** What a token endpoint needs beside its client's options. */
export interface TokenEndpointParts extends ProtocolParts {
  /** The key its tokens are bound to (RFC 9449), if any. */
  dpop: DpopKey | undefined;
  /** Names the client certificate (RFC 8705), if any. */
  certificate: () => Promise<string | undefined>;
}

type Request = Omit<TransportRequest, 'signal'>;

/** One way to ask: of whom, as whom, for what. */
interface Attempt extends TokenRequestContext {
  server: KnownServer;
  authentication: ClientAuthentication;
  details: TokenRequestDetails;
}

/** Parameters that nobody else may see. */
const CONFIDENTIAL = /^(client_secret|client_assertion|refresh_token|assertion|subject_token|actor_token)$/;

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
    this.#metadata = new ServerMetadataSource(client, options, parts);
  }

  /** A refresh token has to be found again after the keys that its access tokens are bound to were replaced. */
  get grant(): string | undefined {
    return this.#options.grant.type === 'refresh_token' ? JSON.stringify(this.#registration) : undefined;
  }

  /**
   * Clients of one application may differ in what the authorization server makes of them, by their credentials for
   * example, so that each has tokens of its own; those of a fleet have the same name.
   */
  async identity(): Promise<string> {
    const keys = [await this.#proving(async (key) => key?.thumbprint()), await this.#parts.certificate()];
    return JSON.stringify([this.#client, ...this.#registration, ...keys]);
  }

  /** Where the client is registered, as whom, and what it presents. */
  get #registration(): unknown[] {
    const { issuer, tokenEndpoint, clientId, grant } = this.#options;
    return [issuer, tokenEndpoint, clientId, grantIdentity(this.#client, grant)];
  }

  /**
   * One token request, and one more where a refusal may be out of date: the kept refresh token may be spent, its
   * successor lost with a process that died before it was stored, or replaced in the configuration.
   */
  async request(details: TokenRequestDetails, context: TokenRequestContext): Promise<StoredToken> {
    const { grant } = this.#options;
    try {
      return await this.#authenticated(details, context);
    } catch (error) {
      const kept = context.refreshToken;
      if (grant.type !== 'refresh_token' || !kept || !isRejection(error, 'invalid_grant')) throw error;
      const configured = await readCredential(this.#client, 'grant.refreshToken', grant.refreshToken);
      if (configured === kept) throw error;
      return this.#authenticated(details, { ...context, refreshToken: configured });
    }
  }

  /** The credential may have been replaced between our reading it and the server's. */
  async #authenticated(details: TokenRequestDetails, context: TokenRequestContext): Promise<StoredToken> {
    const server = await this.#metadata.get(context.signal);
    const attempt = { ...context, details, server, authentication: await this.#authentication(server) };
    try {
      return await this.#ask(attempt);
    } catch (error) {
      if (!isRejection(error) || !mayBeFailedAuthentication(error)) throw error;
      const authentication = await this.#authentication(server);
      if (authentication.credential === attempt.authentication.credential) throw error;
      return this.#ask({ ...attempt, authentication });
    }
  }

  #authentication({ issuer, token_endpoint: endpoint }: KnownServer): Promise<ClientAuthentication> {
    const named = this.#options.assertionAudience ?? (this.#options.issuer ? 'issuer' : 'token_endpoint');
    const audience = named === 'issuer' ? issuer : named === 'token_endpoint' ? endpoint : named;
    return clientAuthentication(this.#client, this.#options, audience, this.#parts.certificate);
  }

  /** @param again whether this is the second try, with the nonce that the server asked for (RFC 9449 §8) */
  async #ask(attempt: Attempt, again = false): Promise<StoredToken> {
    const { server, authentication, details } = attempt;
    const grant = await grantParameters(this.#client, this.#options, details, attempt.refreshToken);
    const issuedAt = this.#parts.clock.now();
    let response: TokenResponse | undefined;
    let newNonce = false;
    const config = new Configuration(server, this.#options.clientId, {}, authentication.authenticate);
    config.timeout = 0; // the flight's own deadline ends the request through `signal`
    allowInsecureRequests(config); // plain http was ruled out at boot, or allowed by name
    config[customFetch] = openidFetch(async (url, request) => {
      const sent = await this.#complete(url, request);
      attempt.onSend?.();
      const answer = await this.#parts.transport(url, { ...sent, signal: attempt.signal });
      const nonce = answer.headers.get('dpop-nonce') ?? undefined;
      newNonce = this.#parts.dpop?.rememberNonce(new URL(url).origin, nonce, sent.headers['dpop']) ?? false;
      refuseRedirect(this.#client, url, answer);
      const secrets = [...confidentialIn(request), sent.headers['dpop']];
      if (authentication.credential) secrets.push(...spellings(authentication.credential));
      response = this.#read(answer, await answer.text(), secrets);
      // What was read is what counts; openid-client insists on an answer in its own form.
      return Response.json({ access_token: response.value, token_type: 'bearer' });
    });
    try {
      await genericGrantRequest(config, grant.type, grant.parameters);
    } catch (reason) {
      const error = this.#typed(reason);
      if (again || !newNonce || !isRejection(error, 'use_dpop_nonce')) throw error;
      return this.#ask(attempt, true);
    }
    return stored(response!, details, issuedAt, grant.refreshToken);
  }

  /** Adds the DPoP proof, and puts the body into the form asked for: RFC 6749 wants a form, some servers JSON. */
  async #complete(url: string, { method, headers, body }: Request): Promise<Request> {
    const proof = await this.#proving(async (key) => key?.proof(method, new URL(url)));
    const json = this.#options.requestFormat === 'json';
    // Without openid-client's User-Agent, which would take the place of one that the user set.
    const { 'user-agent': _, ...rest } = headers;
    if (proof !== undefined) rest['dpop'] = proof;
    rest['content-type'] = json ? 'application/json' : 'application/x-www-form-urlencoded;charset=utf-8';
    return { method, headers: rest, body: json ? jsonOf(new URLSearchParams(body)) : body };
  }

  #proving<T>(work: (key: DpopKey | undefined) => Promise<T>): Promise<T> {
    return work(this.#parts.dpop).catch((error: unknown) => {
      throw unavailable(this.#client, 'dpop.privateKey', error);
    });
  }

  #read({ status, headers }: Response, text: string, secrets: (string | undefined)[]): TokenResponse {
    const { defaultLifetimeMs, grant } = this.#options;
    return readTokenResponse(status, headers, text, {
      client: this.#client,
      tokenType: this.#parts.dpop ? 'DPoP' : 'Bearer',
      exchange: grant.type === 'token_exchange',
      defaultLifetimeMs,
      now: this.#parts.clock.now(),
      secrets: secrets.filter((secret) => secret !== undefined),
      warn: (what) => this.#warnOnce(`its token response has ${what}`),
    });
  }

  #warnOnce(what: string): void {
    if (this.#warned.has(what)) return;
    this.#warned.add(what);
    this.#parts.warn(`OAuth client "${this.#client}": ${what}.`);
  }

  #typed(error: unknown): unknown {
    const cause = error instanceof ClientError ? error.cause : error;
    if (cause instanceof OAuthClientError) return cause;
    const message = `The token request of OAuth client "${this.#client}" could not be made: check its credentials and its endpoint.`;
    return new TokenResponseError(message, { client: this.#client });
  }
}

/** @param used the refresh token of the request; one that comes with another grant is ignored (RFC 6749 §4.4.3) */
function stored(
  { value, tokenType, lifetimeMs, ...response }: TokenResponse,
  details: TokenRequestDetails,
  issuedAt: number,
  used: string | undefined,
): StoredToken {
  const scope = response.scope ?? (scopeValues(details.scope).join(' ') || undefined);
  return {
    value,
    tokenType,
    issuedAt,
    expiresAt: issuedAt + lifetimeMs,
    ...(scope !== undefined && { scope }),
    ...(used !== undefined && { refreshToken: response.refreshToken ?? used }),
  };
}

function isRejection(error: unknown, code?: string): error is TokenRequestError {
  return error instanceof TokenRequestError && (code === undefined || error.error === code);
}

/** Servers do not agree on how to say it (RFC 6749 §5.2 asks for `invalid_client`). */
function mayBeFailedAuthentication({ error, status }: TokenRequestError): boolean {
  return error === 'invalid_client' || error === undefined || status === 401 || status === 403;
}

function jsonOf(form: URLSearchParams): string {
  const fields = [...new Set(form.keys())].map((name) => {
    const values = form.getAll(name);
    return [name, values.length > 1 ? values : values[0]];
  });
  return JSON.stringify(Object.fromEntries(fields));
}

/** A secret as it may come back: plain, in JSON, in a form, and in a form by our own rules. */
function spellings(secret: string): string[] {
  return [
    secret,
    JSON.stringify(secret).slice(1, -1),
    new URLSearchParams([['', secret]]).toString().slice(1),
    formEncode(secret),
  ];
}

/** The confidential parts of a request, plain and as they are encoded in it. */
function confidentialIn({ headers, body = '' }: Request): string[] {
  const pairs = body.split('&').filter((pair) => CONFIDENTIAL.test(pair.split('=')[0]!));
  const values = [...new URLSearchParams(pairs.join('&')).values()];
  const credentials = headers['authorization']?.replace(/^Basic /, '') ?? '';
  return [...pairs.map((pair) => pair.replace(/^.*?=/, '')), ...values, credentials];
}
