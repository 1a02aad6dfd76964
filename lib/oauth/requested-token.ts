import {
  AuthorizationServerUnavailableError,
  OAuthClientError,
  TokenRequestError,
  TokenResponseError,
} from '../core/errors.js';
import { mergeTokenRequests, type TokenEndpoint } from '../core/token-request.js';
import type { TokenRequestContext, TokenRequestDetails } from '../core/token-request.js';
import type { StoredToken } from '../core/token-store.js';
import type { RequestTokenContext, RequestedToken } from '../options/client-options.js';
import { isRecord } from '../options/option-schema.js';
import { ClientCertificate } from './credentials.js';
import type { ProtocolParts } from './protocol.js';
import { requireAnswer, tokenFrom } from './token-response.js';

type Http = RequestTokenContext['http'];
/** Of an Axios error, from whichever copy of Axios; what else it holds is the request, with its credentials. */
interface Failure {
  isAxiosError?: boolean;
  code?: string;
  response?: { status: number; headers: object };
}

/** The tokens of a client whose own function requests them (`requestToken`). */
export class RequestedTokenEndpoint implements TokenEndpoint {
  readonly dpop = undefined;
  readonly #parts: ProtocolParts;
  readonly #http: (signal: AbortSignal) => Http;
  readonly #certificate: ClientCertificate | undefined;

  constructor(parts: ProtocolParts, http: (signal: AbortSignal) => Http) {
    this.#parts = parts;
    this.#http = http;
    this.#certificate = parts.options.tls && new ClientCertificate(parts);
  }

  /** What a function does is not known, so that the token belongs to the client of that name. */
  async identity(): Promise<string> {
    return JSON.stringify([this.#parts.client, 'requestToken', await this.#certificate?.read()]);
  }

  async request(details: TokenRequestDetails, context: TokenRequestContext): Promise<StoredToken> {
    const { signal, onSend } = context;
    const { clock, options } = this.#parts;
    await this.#certificate?.read();
    onSend?.();
    const issuedAt = clock.now();
    const request = structuredClone(mergeTokenRequests(details));
    let answer: unknown;
    try {
      answer = await options.requestToken?.({ http: this.#http(signal), request, signal });
    } catch (reason) {
      throw this.#classified((reason ?? {}) as Failure);
    }
    const {
      accessToken,
      tokenType,
      expiresInMs,
      expiresAt,
      scope,
      details: others = {},
    } = this.#checked(answer);
    const members = {
      access_token: accessToken,
      token_type: tokenType ?? 'Bearer',
      scope: scope ?? request.scope,
      expires_in: expiresInMs === undefined ? undefined : expiresInMs / 1000,
      expires_at: expiresAt === undefined ? undefined : new Date(expiresAt),
    };
    return tokenFrom(this.#parts, { form: new URLSearchParams(), issuedAt }, members, issuedAt, others);
  }

  #checked(answer: unknown): RequestedToken {
    const { accessToken, tokenType, expiresInMs, expiresAt, scope, details } = (answer ??
      {}) as RequestedToken;
    const sound = {
      accessToken: typeof accessToken === 'string' && accessToken !== '',
      tokenType: tokenType === undefined || typeof tokenType === 'string',
      expiresInMs: expiresInMs === undefined || (Number.isFinite(expiresInMs) && expiresInMs > 0),
      expiresAt: expiresAt === undefined || !Number.isNaN(new Date(expiresAt).getTime()),
      scope: scope === undefined || typeof scope === 'string',
      details: details === undefined || isRecord(details),
    };
    const wrong = Object.entries(sound).filter(([, isSound]) => !isSound);
    if (wrong.length === 0) return answer as RequestedToken;
    const names = wrong.map(([name]) => name).join(', ');
    const { client } = this.#parts;
    const message = `The requestToken of OAuth client "${client}" returned no valid ${names}: have it return { accessToken } and, if known, tokenType, expiresInMs or expiresAt, scope and details.`;
    throw new TokenResponseError(message, { client });
  }

  /** A failed Axios request says what a token endpoint would have said by its status; nothing else of it is looked at. */
  #classified({ isAxiosError, code = '', response }: Failure): Error {
    const { client } = this.#parts;
    const check = 'Check what it does; what it threw is not shown, since it may hold credentials.';
    if (isAxiosError !== true) {
      const message = `The requestToken of OAuth client "${client}" threw. ${check}`;
      return new OAuthClientError('credentials_unavailable', message, { client, retryable: true });
    }
    if (response === undefined) {
      const why = /^E[A-Z_]+$/.test(code) ? ` (${code})` : '';
      const message = `The requestToken of OAuth client "${client}" got no answer${why}. Check its URL, the network and the proxy.`;
      const timedOut = code === 'ECONNABORTED' || code === 'ETIMEDOUT';
      return new AuthorizationServerUnavailableError(message, { client, timedOut });
    }
    const { status } = response;
    const known = Object.entries(response.headers).filter(([name]) => /^(retry-after|location)$/i.test(name));
    requireAnswer(this.#parts, 'server', 'data:,', { status, headers: new Headers(known) });
    const message = `The server rejected the request that requestToken of OAuth client "${client}" made, with status ${status}. ${check}`;
    return new TokenRequestError(message, { client, status });
  }
}
