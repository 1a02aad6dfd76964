import { serverText } from './server-text.js';

/** Every `code` an {@link OAuthClientError} can carry; stable, made for `switch`. */
export type OAuthClientErrorCode =
  | 'configuration_invalid'
  | 'unknown_client'
  | 'token_request_rejected'
  | 'authorization_server_unavailable'
  | 'token_response_invalid'
  | 'credentials_unavailable'
  | 'tenant_required'
  | 'origin_not_allowed'
  | 'closed';

/** What every error of this package carries. */
export interface OAuthClientErrorOptions {
  client?: string | undefined;
  /** Whether asking again later can help. Default false. */
  retryable?: boolean | undefined;
  cause?: unknown;
  /** A sentence that is put after the message. */
  remedy?: string | undefined;
}

/**
 * Base of all errors thrown here; `code` says which. Messages, causes and properties never hold a token, a
 * secret, a key or an assertion.
 */
export class OAuthClientError extends Error {
  override readonly name: string = 'OAuthClientError';
  readonly code: OAuthClientErrorCode;
  /** The client's name, where one is concerned. */
  readonly client: string | undefined;
  /** The tenant, where one is concerned. */
  declare readonly tenant?: string;
  /** Whether asking again later can help. */
  readonly retryable: boolean;
  /** What to do about a token request that failed, where its answer shows that; `message` ends with it. */
  declare readonly remedy?: string;

  constructor(code: OAuthClientErrorCode, message: string, options: OAuthClientErrorOptions = {}) {
    const { client, retryable = false, cause, remedy } = options;
    super(remedy === undefined ? message : `${message} ${remedy}`, cause === undefined ? {} : { cause });
    if (remedy !== undefined) this.remedy = remedy;
    this.code = code;
    this.client = client;
    this.retryable = retryable;
  }

  /** @internal Has an error of a tenant's client say so. */
  static of<E>(error: E, tenant: string | undefined): E {
    if (tenant === undefined || !(error instanceof OAuthClientError) || error.tenant !== undefined)
      return error;
    const message = ofTenant(error.message, tenant);
    const stack = error.stack?.replace(error.message, () => message);
    return Object.assign(error, { tenant, message, stack });
  }
}

/** @internal A message about a tenant's client, with the tenant's name in front. */
export function ofTenant(message: string, tenant: string): string {
  const said = `Tenant "${serverText(tenant)}": `;
  return message.startsWith(said) ? message : said + message;
}

/**
 * The configuration cannot work (`configuration_invalid`): thrown at boot with every problem of every client, and for a
 * token request with members that do not fit.
 */
export class OAuthConfigurationError extends OAuthClientError {
  override readonly name = 'OAuthConfigurationError';
  /** One sentence each: the client, the option or variable, the remedy. Never a value. */
  readonly problems: string[];

  /** @param client the one whose token request does not fit */
  constructor(problems: string[], client?: string) {
    const list = problems.map((problem) => ` - ${problem}`).join('\n');
    super('configuration_invalid', `The OAuth client configuration cannot work:\n${list}`, { client });
    this.problems = problems;
  }
}

type RejectedAnswer = Pick<TokenRequestError, 'status'> &
  Partial<Pick<TokenRequestError, 'error' | 'errorDescription'>>;

/** The authorization server answered with an error (`token_request_rejected`, RFC 6749 §5.2); asking again will not help. */
export class TokenRequestError extends OAuthClientError {
  override readonly name = 'TokenRequestError';
  /** The server's error code, cleaned; `undefined` when its answer held none. */
  readonly error: string | undefined;
  /** The server's description, cleaned and cut to 256 characters. */
  readonly errorDescription: string | undefined;
  /** HTTP status of the answer. */
  readonly status: number;

  constructor(message: string, options: OAuthClientErrorOptions & RejectedAnswer) {
    super('token_request_rejected', message, options);
    this.error = options.error;
    this.errorDescription = options.errorDescription;
    this.status = options.status;
  }
}

type Outage = Partial<Pick<AuthorizationServerUnavailableError, 'retryAfterMs' | 'status' | 'timedOut'>>;

/** The authorization server could not be reached, was too slow, or asked to come back later (`authorization_server_unavailable`). */
export class AuthorizationServerUnavailableError extends OAuthClientError {
  override readonly name = 'AuthorizationServerUnavailableError';
  /** Milliseconds until the next request makes sense (RFC 9110 §10.2.3), where known. */
  readonly retryAfterMs: number | undefined;
  /** HTTP status, when there was an answer. */
  readonly status: number | undefined;
  /** Whether a deadline passed. */
  readonly timedOut: boolean;

  constructor(message: string, options: OAuthClientErrorOptions & Outage = {}) {
    super('authorization_server_unavailable', message, { retryable: true, ...options });
    this.retryAfterMs = options.retryAfterMs;
    this.status = options.status;
    this.timedOut = options.timedOut ?? false;
  }
}

/** The answer of the authorization server is unusable (`token_response_invalid`): not JSON, no token, a redirect, a wrong issuer. */
export class TokenResponseError extends OAuthClientError {
  override readonly name = 'TokenResponseError';

  constructor(message: string, options: OAuthClientErrorOptions = {}) {
    super('token_response_invalid', message, options);
  }
}

/** A request would have carried a token to an origin outside the client's allow-list (`origin_not_allowed`); it was not sent. */
export class OriginNotAllowedError extends OAuthClientError {
  override readonly name = 'OriginNotAllowedError';
  /** Where the request was going: `unknown` when that cannot be told, `unix:` and a path for a Unix socket. */
  readonly origin: string;

  /** @param origin left out when the request has no absolute URL that could be told */
  constructor(client: string, origin?: string) {
    const remedy =
      origin === undefined
        ? 'an unknown origin: set a baseURL, or give the request an absolute URL'
        : `${origin}, or not to that path there: ${origin.startsWith('unix:') ? 'set it as socketPath in http of the client' : 'add it to its allowedOrigins'}, or send the request with oauth: false`;
    super('origin_not_allowed', `OAuth client "${client}" may not send its token to ${remedy}.`, { client });
    this.origin = origin ?? 'unknown';
  }
}
