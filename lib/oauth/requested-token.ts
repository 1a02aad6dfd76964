import { AuthorizationServerUnavailableError, OAuthClientError, TokenRequestError, TokenResponseError } from '../core/errors.js'; // prettier-ignore
import { isRecord, mergeTokenRequests, type TokenEndpoint } from '../core/token-request.js';
import { isHeaderValue } from '../options/kinds.js';
import type { RequestTokenContext, RequestedToken } from '../options/request-token.js';
import { certificateReader } from './credentials.js';
import type { ProtocolParts } from './protocol.js';
import { requireAnswer, tokenFrom } from './token-response.js';

type LoginClient = (own: { baseURL: string; signal: AbortSignal }) => RequestTokenContext['http'];
/** Of an Axios error, from whichever copy of Axios; what else it holds is the request, with its credentials. */
interface AxiosFailure {
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
export function requestedTokenEndpoint(parts: ProtocolParts, login: LoginClient) {
  const { client, clock, options } = parts;
  const readCertificate = certificateReader(parts);
  return {
    dpop: undefined,
    // The result of a function is not known beforehand, so the token belongs to the client of that name.
    identity: async () => JSON.stringify([client, 'requestToken', await readCertificate()]),
    async request(details, { signal, onSend }) {
      await readCertificate();
      onSend?.();
      const issuedAt = clock.now();
      const request = structuredClone(mergeTokenRequests(details));
      let answer: Record<string, unknown>;
      try {
        const http = login({ baseURL: options.baseURL ?? '', signal });
        const returned = Object(await options.requestToken?.({ http, request, signal })) as object;
        // A getter may throw as well.
        answer = Object.fromEntries(Object.keys(ACCEPTS).map((name) => [name, Reflect.get(returned, name)]));
      } catch (reason) {
        throw classified(parts, reason);
      }
      const token = checked(client, answer);
      const { accessToken, tokenType = 'Bearer', expiresInMs, expiresAt, scope = details.scope } = token;
      const members = {
        access_token: accessToken,
        token_type: tokenType,
        scope,
        expires_in: expiresInMs && expiresInMs / 1000,
        expires_at: expiresAt === undefined ? undefined : new Date(expiresAt),
      };
      const asked = { ...parts, form: new URLSearchParams(), secrets: [], issuedAt };
      return tokenFrom(asked, members, new Headers(), token.details ?? {});
    },
  } satisfies TokenEndpoint & { dpop: undefined };
}

function checked(client: string, returned: Record<string, unknown>): RequestedToken {
  const isWrong = (name: string, value: unknown) =>
    (value !== undefined || name === 'accessToken') && !ACCEPTS[name as keyof RequestedToken](value);
  const wrong = Object.keys(ACCEPTS).filter((name) => isWrong(name, returned[name]));
  if (wrong.length === 0) return returned as unknown as RequestedToken;
  const message = `The requestToken of OAuth client "${client}" returned no valid ${wrong.join(', ')}: have it return { accessToken } and, if known, tokenType, expiresInMs or expiresAt, scope and details.`;
  throw new TokenResponseError(message, { client });
}

/** The status of a failed Axios request counts as that of a token endpoint. Nothing else of it is read. */
function classified(parts: ProtocolParts, reason: unknown): Error {
  const { isAxiosError, code, status, headers } = factsOf(reason);
  const { client } = parts;
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
  const known = texts.filter(([name, text]) => /^(retry-after|location)$/i.test(name) && isHeaderValue(text));
  requireAnswer({ ...parts, status, headers: new Headers(known), what: 'server' });
  return new TokenRequestError(failed(`was refused with status ${status}`), { client, status });
}

/** What is read of a failure, all at once: a getter may throw as well. */
function factsOf(reason: unknown) {
  try {
    const { isAxiosError, code = '', response } = (reason ?? {}) as AxiosFailure;
    return { isAxiosError, code, status: response?.status, headers: { ...response?.headers } };
  } catch {
    return { code: '' };
  }
}

function isText(value: unknown): boolean {
  return typeof value === 'string';
}
