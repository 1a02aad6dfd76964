import { createHmac } from 'node:crypto';
import { TokenRequestError } from '../core/errors.js';
import { refusesCredentials } from '../core/flight-failure.js';
import type { TokenEndpoint, TokenRequestContext, TokenRequestDetails } from '../core/token-request.js';
import type { StoredToken } from '../core/token-store.js';
import { isHeaderValue, readQuery } from '../options/kinds.js';
import { certificateReader, clientAuthentication, readTexts } from './credentials.js';
import { DpopKey } from './dpop.js';
import { askedFields, formOf, identityOf, presentGrant } from './grants.js';
import type { Fields, ProtocolParts, ProtocolRequest } from './protocol.js';
import { ServerMetadataSource } from './server-metadata.js';
import { tokenOf, type SentForm } from './token-response.js';

const FORM = 'application/x-www-form-urlencoded';
/** The fields of a grant that a server may refuse. */
const GRANTED = ['refresh_token', 'assertion', 'subject_token', 'actor_token'];

/** What may have been replaced when a token request is refused. */
type Renewable = 'nonce' | 'credential' | 'refreshToken';

/** A token request that is ready to go out. */
interface PreparedRequest extends Record<Renewable, string | undefined>, Pick<SentForm, 'form' | 'secrets'> {
  message: ProtocolRequest;
}

/** The token endpoint of one client: options and a request in, a token or a typed error out. */
export class OAuthTokenEndpoint implements TokenEndpoint {
  /** Without the keys that access tokens are bound to: the refresh token must be found again after they were replaced. */
  readonly grant: string | undefined;
  /** The key that the client's tokens are bound to (RFC 9449), if any. */
  readonly dpop: DpopKey | undefined;
  readonly #parts: ProtocolParts;
  readonly #readCertificate: ReturnType<typeof certificateReader>;
  readonly #metadata: ServerMetadataSource;
  /** The client's server, its id, and its grant. */
  readonly #registration: readonly unknown[];

  constructor(parts: ProtocolParts) {
    const { issuer, metadataURL, tokenEndpoint, clientId, grant, dpop } = parts.options;
    this.#parts = parts;
    this.#metadata = new ServerMetadataSource(parts);
    this.#registration = [issuer ?? metadataURL, tokenEndpoint, clientId, identityOf(parts.client, grant)];
    this.grant = grant.type === 'refresh_token' ? JSON.stringify(this.#registration) : undefined;
    this.dpop = dpop ? new DpopKey(parts) : undefined;
    this.#readCertificate = certificateReader(parts);
  }

  /**
   * Contains the client's name: the server may treat two clients of one application differently, so each has tokens of its
   * own. The instances of a fleet use the same name.
   */
  async identity(): Promise<string> {
    const { client, options } = this.#parts;
    const { tokenRequestHeaders, assertion } = options;
    const keys = [await this.dpop?.thumbprint(), await this.#readCertificate()];
    const more = identityOf(client, { tokenRequestHeaders, assertion });
    return JSON.stringify([client, ...this.#registration, ...keys, more]);
  }

  /** One token request, and another one after a refusal if a credential, nonce or refresh token was replaced meanwhile. */
  async request(details: TokenRequestDetails, context: TokenRequestContext): Promise<StoredToken> {
    const { signal, refreshToken } = context;
    const renewed = new Set<Renewable>();
    let prepared = await this.#prepare(details, signal, refreshToken);
    for (;;) {
      context.onSend?.(this.#fingerprint(prepared));
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

  /** @param kept the refresh token to use instead of the configured one */
  async #prepare(details: TokenRequestDetails, signal: AbortSignal, kept?: string): Promise<PreparedRequest> {
    const { issuer, tokenEndpoint, tokenRequestHeaders, requestFormat } = this.#parts.options;
    const certificate = await this.#readCertificate(); // first: metadata may be served to it alone
    const server =
      tokenEndpoint === undefined
        ? await this.#metadata.get(signal)
        : { issuer: issuer ?? new URL(tokenEndpoint).origin, tokenEndpoint };
    const parts = { ...this.#parts, server, certificate };
    const url = new URL(server.tokenEndpoint);
    const client = await clientAuthentication(parts);
    const grant = await presentGrant(parts, details.subjectToken, kept);
    const own = await readTexts(parts, 'tokenRequestHeaders', tokenRequestHeaders, isHeaderValue);
    const presented = { ...grant.fields, ...client.fields };
    const form = formOf({ ...askedFields(parts, details), ...presented });
    const nonce = this.dpop?.nonce(url.origin);
    const proof = await this.dpop?.proof('POST', url);
    const isJson = requestFormat === 'json';
    const data = isJson ? JSON.stringify(readQuery(form)) : form.toString();
    const types = { accept: 'application/json', 'content-type': isJson ? 'application/json' : FORM };
    const headers = { ...types, ...client.header, ...own, ...(proof !== undefined && { dpop: proof }) };
    const message = { url: server.tokenEndpoint, method: 'POST' as const, headers, data, signal };
    const confidential = [...valuesOf(presented), ...valuesOf({ ...client.header, ...own })];
    const factors = [client.credential ?? grant.credential ?? JSON.stringify(own), grant.credential ?? ''];
    const secrets = [...confidential, ...factors, proof ?? ''];
    const refreshToken = form.get('refresh_token') ?? undefined;
    return { message, form, secrets, nonce, credential: factors.join(' '), refreshToken };
  }

  /** A fingerprint that only a holder of the credential can make. For signed requests it depends on the clock as well. */
  #fingerprint({ credential = '', form, message }: PreparedRequest): string {
    const isSigned = form.has('client_assertion') || message.headers['dpop'] !== undefined;
    const minute = isSigned ? Math.floor(this.#parts.clock.now() / 60_000) : undefined;
    const sent = [minute, { ...message.headers, dpop: '' }, ...GRANTED.map((name) => form.get(name))];
    return createHmac('sha256', credential).update(JSON.stringify(sent)).digest('base64url');
  }

  async #send({ message, form, secrets }: PreparedRequest): Promise<StoredToken> {
    const issuedAt = this.#parts.clock.now();
    const answer = await this.#parts.transport(message);
    const { dpop: proof = '', authorization = '' } = message.headers;
    this.dpop?.rememberNonce(new URL(message.url).origin, answer.headers.get('dpop-nonce'), proof);
    return tokenOf({ ...this.#parts, url: message.url, form, authorization, secrets, issuedAt }, answer);
  }
}

/** The confidential values of fields or headers: all but ids and types. Of `Basic …`, the second word as well. */
function valuesOf(sent: Fields): string[] {
  const plain =
    /^(client_id|(grant|client_assertion|subject_token|actor_token|requested_token)_type|accept|content-type)$/i;
  const values = Object.entries(sent).flatMap(([name, value]) => (plain.test(name) ? [] : (value ?? [])));
  return values.flatMap((value) => [value, value.replace(/^\w+ /, '')]);
}

function suspectsOf(error: unknown, { refreshToken }: PreparedRequest): Renewable[] {
  if (!(error instanceof TokenRequestError)) return [];
  const { error: code } = error;
  const suspects: Renewable[] = [];
  if (code === 'use_dpop_nonce') suspects.push('nonce');
  if (code === 'invalid_grant' && refreshToken !== undefined) suspects.push('refreshToken');
  if (refusesCredentials(error)) suspects.push('credential');
  return suspects;
}
