import { AuthorizationServerUnavailableError, OAuthClientError, TokenRequestError, TokenResponseError } from '../core/errors.js'; // prettier-ignore
import { isRecord, mergeTokenRequests, type TokenEndpoint } from '../core/token-request.js';
import type { TokenRequestContext, TokenRequestDetails } from '../core/token-request.js';
import type { StoredToken } from '../core/token-store.js';
import { isHeaderValue } from '../options/kinds.js';
import type { RequestTokenContext, RequestedToken } from '../options/request-token.js';
import { ClientCertificate } from './credentials.js';
import type { ProtocolParts } from './protocol.js';
import { requireAnswer, tokenFrom } from './token-response.js';

type LoginClient = (own: { baseURL: string; signal: AbortSignal }) => RequestTokenContext['http'];
/** Of an Axios error, from whichever copy of Axios; what else it holds is the request, with its credentials. */
interface Failure {
  isAxiosError?: boolean;
  code?: string;
  response?: { status?: number; headers?: object | null } | null;
}

/** What each member must be, unless it is absent. */
const ACCEPTS: Record<keyof RequestedToken, (value: unknown) => boolean> = {
  accessToken: (value) => isText(value) && value !== '',
  tokenType: isText,
  expiresInMs: (value) => Number.isFinite(value) && Number(value) > 0,
  expiresAt: (value) =>
    (isRecord(value) || /^(number|string)$/.test(typeof value)) &&
    Number.isFinite(new Date(value as Date).getTime()),
  scope: isText,
  details: isRecord,
};

/** The tokens of a client whose own function requests them (`requestToken`). */
export class RequestedTokenEndpoint implements TokenEndpoint {
  readonly dpop = undefined;
  readonly #parts: ProtocolParts;
  readonly #http: LoginClient;
  readonly #certificate: ClientCertificate | undefined;

  constructor(parts: ProtocolParts, http: LoginClient) {
    this.#parts = parts;
    this.#http = http;
    this.#certificate = parts.options.tls && new ClientCertificate(parts);
  }

  /** The result of a function is not known beforehand, so the token belongs to the client of that name. */
  async identity(): Promise<string> {
    return JSON.stringify([this.#parts.client, 'requestToken', await this.#certificate?.read()]);
  }

  async request(details: TokenRequestDetails, { signal, onSend }: TokenRequestContext): Promise<StoredToken> {
    const { clock, options } = this.#parts;
    await this.#certificate?.read();
    onSend?.();
    const issuedAt = clock.now();
    const request = structuredClone(mergeTokenRequests(details));
    let answer: Record<string, unknown>;
    try {
      const http = this.#http({ baseURL: options.baseURL ?? '', signal });
      const returned = Object(await options.requestToken?.({ http, request, signal })) as object;
      // A getter may throw as well.
      answer = Object.fromEntries(Object.keys(ACCEPTS).map((name) => [name, Reflect.get(returned, name)]));
    } catch (reason) {
      throw this.#classified(reason);
    }
    const token = this.#checked(answer);
    const { accessToken, tokenType = 'Bearer', expiresInMs, expiresAt, scope = details.scope } = token;
    const members = {
      access_token: accessToken,
      token_type: tokenType,
      scope,
      expires_in: expiresInMs && expiresInMs / 1000,
      expires_at: expiresAt === undefined ? undefined : new Date(expiresAt),
    };
    const asked = { form: new URLSearchParams(), secrets: [], issuedAt };
    return tokenFrom(this.#parts, asked, members, new Headers(), token.details ?? {});
  }

  #checked(returned: Record<string, unknown>): RequestedToken {
    const { client } = this.#parts;
    const isWrong = (name: string, value: unknown) =>
      (value !== undefined || name === 'accessToken') && !ACCEPTS[name as keyof RequestedToken](value);
    const wrong = Object.keys(ACCEPTS).filter((name) => isWrong(name, returned[name]));
    if (wrong.length === 0) return returned as unknown as RequestedToken;
    const message = `The requestToken of OAuth client "${client}" returned no valid ${wrong.join(', ')}: have it return { accessToken } and, if known, tokenType, expiresInMs or expiresAt, scope and details.`;
    throw new TokenResponseError(message, { client });
  }

  /** The status of a failed Axios request counts as that of a token endpoint. Nothing else of it is read. */
  #classified(reason: unknown): Error {
    const { isAxiosError, code, status, headers } = factsOf(reason);
    const { client } = this.#parts;
    const failed = (what: string) =>
      `The requestToken of OAuth client "${client}" ${what}. Check what it does; what it threw is not shown, since it may hold credentials.`;
    if (isAxiosError !== true)
      return new OAuthClientError('credentials_unavailable', failed('threw'), { client, retryable: true });
    if (status === undefined || !Number.isInteger(status)) {
      const why = /^E[A-Z_]+$/.test(code) ? ` (${code})` : '';
      const timedOut = code === 'ECONNABORTED' || code === 'ETIMEDOUT';
      return new AuthorizationServerUnavailableError(failed(`got no answer${why}`), { client, timedOut });
    }
    const texts = Object.entries(headers ?? {}).map(
      ([name, value]) => [name, String(value)] as [string, string],
    );
    const known = texts.filter(
      ([name, text]) => /^(retry-after|location)$/i.test(name) && isHeaderValue(text),
    );
    const answer = { status, headers: new Headers(known) };
    requireAnswer(this.#parts, { url: 'data:,' }, answer, { what: 'server' });
    return new TokenRequestError(failed(`was refused with status ${status}`), { client, status });
  }
}

/** What is read of a failure, all at once: a getter may throw as well. */
function factsOf(reason: unknown) {
  try {
    const { isAxiosError, code = '', response } = (reason ?? {}) as Failure;
    return { isAxiosError, code, status: response?.status, headers: { ...response?.headers } };
  } catch {
    return { code: '' };
  }
}

function isText(value: unknown): boolean {
  return typeof value === 'string';
}
