import type { AxiosInstance } from 'axios';
import type { TokenRequestDetails } from '../core/token-request.js';

/** What `requestToken` gets. */
export interface RequestTokenContext {
  /** An Axios instance with the client's `baseURL`, `http` and `tls`, without tokens and redirects; its requests end with `signal`. */
  http: AxiosInstance;
  /** Scope, audience, resource, parameters and subject token that are asked for. */
  request: TokenRequestDetails;
  /** Aborted when nobody waits any more, and after `timeoutMs`. */
  signal: AbortSignal;
}

/** The token that `requestToken` got. */
export interface RequestedToken {
  accessToken: string;
  /** `Bearer`, in any case. Default `Bearer`. */
  tokenType?: string | undefined;
  /** Milliseconds from the start of the request. Default: as `expiresAt` says, else `defaultLifetimeMs`. */
  expiresInMs?: number | undefined;
  /** A date, or epoch milliseconds. */
  expiresAt?: Date | number | undefined;
  /** The granted scope. Default: the one asked for. */
  scope?: string | undefined;
  /** Becomes `AccessToken.details`. */
  details?: Record<string, unknown> | undefined;
}

/** A function of the user's that requests a token. */
export type RequestToken = (context: RequestTokenContext) => RequestedToken | Promise<RequestedToken>;
