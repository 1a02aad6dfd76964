import { TokenRequestError } from '../core/errors.js';
import {
  type TokenEndpoint,
  type TokenRequestContext,
  scopeValues,
  type TokenRequestDetails,
} from '../core/token-request.js';
import type { StoredToken } from '../core/token-store.js';
import type { ResolvedClientOptions } from '../options/resolved-options.js';
import { clientAuthentication, type ClientAuthentication } from './client-authentication.js';
import type { ClientCertificate } from './client-certificate.js';
import { readCredential, unavailable } from './credentials.js';
import type { DpopKey } from './dpop.js';
import { grantIdentity, grantParameters } from './grants.js';
import { refuseRedirect, type ProtocolParts, type ProtocolRequest } from './protocol.js';
import { ServerMetadataSource } from './server-metadata.js';
import { readTokenResponse } from './token-response.js';

/** What a token endpoint needs beside its client's options. */
export interface TokenEndpointParts extends ProtocolParts {
  /** The key its tokens are bound to (RFC 9449), if any. */
  dpop: DpopKey | undefined;
  /** The client's certificate (RFC 8705), if any. */
  certificate: ClientCertificate | undefined;
}

/** One way to ask: where, as whom, for what. */
interface Inquiry extends TokenRequestContext {
  details: TokenRequestDetails;
  url: string;
  authentication: ClientAuthentication;
}

/** Parameters that nobody else may see. */
const CONFIDENTIAL: ReadonlySet<string> = new Set([
  'client_secret', 'client_assertion', 'refresh_token', 'assertion', 'subject_token', 'actor_token',
]); // prettier-ignore

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
    const keys = [await this.#proving((key) => key.thumbprint()), await this.#parts.certificate?.read()];
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
    const inquiry = await this.#inquiry(details, context);
    try {
      return await this.#ask(inquiry);
    } catch (error) {
      if (!isRejection(error) || !mayBeFailedAuthentication(error)) throw error;
      const renewed = await this.#inquiry(details, context);
      if (renewed.authentication.credential === inquiry.authentication.credential) throw error;
      return this.#ask(renewed);
    }
  }

  async #inquiry(details: TokenRequestDetails, context: TokenRequestContext): Promise<Inquiry> {
    const certificate = await this.#parts.certificate?.read(); // first: metadata may be served to it alone
    const { issuer, tokenEndpoint: url } = await this.#metadata.get(context.signal);
    const named = this.#options.assertion?.audience ?? (this.#options.issuer ? 'issuer' : 'token_endpoint');
    const audience = named === 'issuer' ? issuer : named === 'token_endpoint' ? url : named;
    const parts = { audience, now: this.#parts.clock.now(), certificate };
    const authentication = await clientAuthentication(this.#client, this.#options, parts);
    return { ...context, details, url, authentication };
  }

  /** @param again whether this is the second try, with the nonce that the server asked for (RFC 9449 §8) */
  async #ask(inquiry: Inquiry, again = false): Promise<StoredToken> {
    const { url, authentication, details } = inquiry;
    const { dpop, clock, transport } = this.#parts;
    const grant = await grantParameters(this.#client, this.#options, details, inquiry.refreshToken);
    const form = new URLSearchParams([...grant.parameters, ...Object.entries(authentication.fields)]);
    const proof = await this.#proving((key) => key.proof('POST', new URL(url)));
    const request = this.#message(inquiry, form, proof);
    const issuedAt = clock.now();
    inquiry.onSend?.();
    const answer = await transport(request);
    const nonce = answer.headers.get('dpop-nonce') ?? undefined;
    const isNewNonce = dpop?.rememberNonce(new URL(url).origin, nonce, proof) ?? false;
    refuseRedirect(this.#client, url, answer);
    const { credential, authorization } = authentication;
    const sent = [...form].filter(([name]) => CONFIDENTIAL.has(name)).map(([, value]) => value);
    const secrets = [...sent, proof, credential, authorization?.replace('Basic ', '')];
    try {
      return readTokenResponse(answer, await answer.text(), {
        client: this.#client,
        tokenType: dpop ? 'DPoP' : 'Bearer',
        exchange: this.#options.grant.type === 'token_exchange',
        defaultLifetimeMs: this.#options.defaultLifetimeMs,
        scope: scopeValues(details.scope).join(' ') || undefined,
        refreshToken: grant.refreshToken,
        issuedAt,
        now: clock.now(),
        secrets: secrets.filter((secret) => secret !== undefined),
        warn: (what) => this.#warnOnce(`its token response has ${what}`),
      });
    } catch (error) {
      if (again || !isNewNonce || !isRejection(error, 'use_dpop_nonce')) throw error;
      return this.#ask(await this.#inquiry(details, inquiry), true); // an assertion serves once
    }
  }

  /** RFC 6749 wants a form; some servers want JSON. */
  #message({ url, signal, authentication }: Inquiry, form: URLSearchParams, proof?: string): ProtocolRequest {
    const json = this.#options.requestFormat === 'json';
    const headers: Record<string, string> = {
      accept: 'application/json',
      'content-type': json ? 'application/json' : 'application/x-www-form-urlencoded;charset=utf-8',
    };
    if (authentication.authorization !== undefined) headers['authorization'] = authentication.authorization;
    if (proof !== undefined) headers['dpop'] = proof;
    return { url, method: 'POST', headers, data: json ? jsonOf(form) : form.toString(), signal };
  }

  async #proving<T>(work: (key: DpopKey) => Promise<T>): Promise<T | undefined> {
    try {
      return await (this.#parts.dpop && work(this.#parts.dpop));
    } catch (error) {
      throw unavailable(this.#client, 'dpop.privateKey', error);
    }
  }

  #warnOnce(what: string): void {
    if (this.#warned.has(what)) return;
    this.#warned.add(what);
    this.#parts.warn(`OAuth client "${this.#client}": ${what}.`);
  }
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
