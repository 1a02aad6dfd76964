import { TokenRequestError } from '../core/errors.js';
import type { TokenEndpoint, TokenRequestContext, TokenRequestDetails } from '../core/token-request.js';
import type { StoredToken } from '../core/token-store.js';
import { recordOf } from '../options/option-schema.js';
import type { ClientCertificate } from './client-certificate.js';
import { clientAuthentication } from './credentials.js';
import type { DpopKey } from './dpop.js';
import { grantIdentity, grantParameters } from './grants.js';
import type { KnownServer, ProtocolParts, ProtocolRequest } from './protocol.js';
import { ServerMetadataSource } from './server-metadata.js';
import { readTokenResponse } from './token-response.js';

/** One client, and all that its token requests need. */
export interface TokenEndpointParts extends ProtocolParts {
  /** The key its tokens are bound to (RFC 9449), if any. */
  dpop: DpopKey | undefined;
  /** Its certificate (RFC 8705), if any. */
  certificate: ClientCertificate | undefined;
}

/** A token request that is ready to go out, and of what it presents, all that may be replaced meanwhile. */
interface PreparedRequest {
  message: ProtocolRequest;
  form: URLSearchParams;
  nonce: string | undefined;
  credential: string | undefined;
  refreshToken: string | undefined;
}

type Renewable = 'nonce' | 'credential' | 'refreshToken';

/** Parameters that nobody else may see. */
const CONFIDENTIAL: ReadonlySet<string> = new Set([
  'client_secret', 'client_assertion', 'refresh_token', 'assertion', 'subject_token', 'actor_token',
]); // prettier-ignore

/** The token endpoint of one client: options and a request in, a token or a typed error out. */
export class OAuthTokenEndpoint implements TokenEndpoint {
  readonly #parts: TokenEndpointParts;
  readonly #metadata: ServerMetadataSource;

  constructor(parts: TokenEndpointParts) {
    const warned = new Set<string>();
    const warn = (message: string) => {
      if (!warned.has(message)) parts.warn(message);
      warned.add(message);
    };
    this.#parts = { ...parts, warn };
    this.#metadata = new ServerMetadataSource(this.#parts);
  }

  /** A refresh token has to be found again after the keys that its access tokens are bound to were replaced. */
  get grant(): string | undefined {
    return this.#parts.options.grant.type === 'refresh_token'
      ? JSON.stringify(this.#registration)
      : undefined;
  }

  /**
   * Clients of one application may differ in what the authorization server makes of them, by their credentials for
   * example, so that each has tokens of its own; those of a fleet have the same name.
   */
  async identity(): Promise<string> {
    const keys = [await this.#parts.dpop?.thumbprint(), await this.#parts.certificate?.read()];
    return JSON.stringify([this.#parts.client, ...this.#registration, ...keys]);
  }

  /** Where the client is registered, as whom, and what it presents. */
  get #registration(): unknown[] {
    const { issuer, tokenEndpoint, clientId, grant } = this.#parts.options;
    return [issuer, tokenEndpoint, clientId, grantIdentity(this.#parts.client, grant)];
  }

  /** One token request, and one more for each thing that was replaced when a refusal shows it to be out of date. */
  async request(details: TokenRequestDetails, context: TokenRequestContext): Promise<StoredToken> {
    const { signal, refreshToken } = context;
    const renewed = new Set<Renewable>();
    let prepared = await this.#prepare(details, signal, refreshToken);
    for (;;) {
      context.onSend?.();
      try {
        return await this.#send(prepared);
      } catch (error) {
        const suspects = suspectsOf(error, prepared).filter((suspect) => !renewed.has(suspect));
        if (suspects.length === 0) throw error;
        // The kept refresh token's successor may be lost, with a process that died before it was stored.
        const kept = suspects.includes('refreshToken') ? undefined : prepared.refreshToken;
        const next = await this.#prepare(details, signal, kept);
        const replaced = suspects.filter((suspect) => next[suspect] !== prepared[suspect]);
        if (replaced.length === 0) throw error;
        for (const suspect of replaced) renewed.add(suspect);
        prepared = next;
      }
    }
  }

  #server(signal: AbortSignal): KnownServer | Promise<KnownServer> {
    const { issuer, tokenEndpoint } = this.#parts.options;
    if (tokenEndpoint === undefined) return this.#metadata.get(signal);
    return { issuer: issuer ?? new URL(tokenEndpoint).origin, tokenEndpoint };
  }

  /** @param kept the refresh token to use instead of the configured one */
  async #prepare(details: TokenRequestDetails, signal: AbortSignal, kept?: string): Promise<PreparedRequest> {
    const { dpop, options } = this.#parts;
    const certificate = await this.#parts.certificate?.read(); // first: metadata may be served to it alone
    const server = await this.#server(signal);
    const url = server.tokenEndpoint;
    const authentication = await clientAuthentication(this.#parts, server, certificate);
    const form = await grantParameters(this.#parts, details, kept);
    for (const [name, value] of Object.entries(authentication.fields)) form.append(name, value);
    const nonce = dpop?.nonce(new URL(url).origin);
    const proof = await dpop?.proof('POST', new URL(url));
    // RFC 6749 wants a form; some servers want JSON.
    const json = options.requestFormat === 'json';
    const headers: Record<string, string> = {
      accept: 'application/json',
      'content-type': json ? 'application/json' : 'application/x-www-form-urlencoded;charset=utf-8',
      ...(authentication.authorization !== undefined && { authorization: authentication.authorization }),
      ...(proof !== undefined && { dpop: proof }),
    };
    const data = json ? JSON.stringify(recordOf(form)) : form.toString();
    return {
      message: { url, method: 'POST', headers, data, signal },
      form,
      nonce,
      credential: authentication.credential,
      refreshToken: form.get('refresh_token') ?? undefined,
    };
  }

  async #send({ message, form, credential = '' }: PreparedRequest): Promise<StoredToken> {
    const { dpop, clock, transport } = this.#parts;
    const issuedAt = clock.now();
    const answer = await transport(message);
    const { dpop: proof = '', authorization = '' } = message.headers;
    dpop?.rememberNonce(new URL(message.url).origin, answer.headers.get('dpop-nonce') ?? undefined, proof);
    const confidential = [...form].filter(([name]) => CONFIDENTIAL.has(name)).map(([, value]) => value);
    const secrets = [...confidential, credential, proof, authorization.replace('Basic ', '')];
    return readTokenResponse(this.#parts, { url: message.url, form, secrets, issuedAt }, answer);
  }
}

/** Servers do not agree on how to say that authentication failed (RFC 6749 §5.2 asks for `invalid_client`). */
function suspectsOf(error: unknown, { refreshToken }: PreparedRequest): Renewable[] {
  if (!(error instanceof TokenRequestError)) return [];
  const { error: code, status } = error;
  const suspects: Renewable[] = [];
  if (code === 'use_dpop_nonce') suspects.push('nonce');
  if (code === 'invalid_grant' && refreshToken !== undefined) suspects.push('refreshToken');
  if (code === 'invalid_client' || code === undefined || status === 401 || status === 403)
    suspects.push('credential');
  return suspects;
}
