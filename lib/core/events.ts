import type { OAuthClientError, OAuthClientErrorCode } from './errors.js';

/** Why a token was asked for. */
export type TokenRequestReason = 'cold' | 'expired' | 'refresh_ahead' | 'rejected' | 'forced';

/** Whom something concerns: a client, and its tenant if it has them. */
export interface Whose {
  readonly client: string;
  readonly tenant?: string;
}

/** Where a token came from. */
export type TokenSource = 'authorization_server' | 'store';

/** What happened to a client's tokens; one event per flight. Never holds a token, secret or assertion. */
export type OAuthClientEvent =
  | {
      type: 'token_acquired';
      client: string;
      /** The tenant, of a client with `tenants`. */
      tenant?: string;
      reason: TokenRequestReason;
      source: TokenSource;
      /** The whole flight, retries and pauses included, in milliseconds. */
      durationMs: number;
      expiresAt: Date;
      scope: string | undefined;
    }
  | {
      /** `token_refresh_failed`: a valid token remains. `token_request_failed`: callers saw the error. */
      type: 'token_refresh_failed' | 'token_request_failed';
      client: string;
      tenant?: string;
      reason: TokenRequestReason;
      durationMs: number;
      expiresAt?: Date;
      error: OAuthClientError;
    }
  | {
      /**
       * An API answered 401 to a token. `limited`: too soon after the last one to ask for another. `unshared`: it is one
       * of several that had been accepted, and other instances that share no store may have displaced them.
       */
      type: 'token_rejected';
      client: string;
      tenant?: string;
      reason: 'rejected';
      limited: boolean;
      unshared?: boolean;
      expiresAt: Date;
    }
  | {
      type: 'token_invalidated';
      client: string;
      tenant?: string;
      reason: 'rejected' | 'forced';
      expiresAt?: Date;
    }
  | { type: 'store_unavailable'; error: Error }
  | { type: 'store_recovered' };

/**
 * `idle`: nothing asked for yet, or expired unused. `fresh`: a valid token. `refreshing`: a token request is
 * under way. `degraded`: refreshing fails, the token is still valid. `down`: no valid token, and asking failed.
 */
export type OAuthClientState = 'idle' | 'fresh' | 'refreshing' | 'degraded' | 'down';

/** One token's life at a glance. */
export interface TokenStatus {
  state: OAuthClientState;
  expiresAt?: Date;
  acquiredAt?: Date;
  /** When a refresh starts in the background. */
  refreshAt?: Date;
  /** Until when this instance makes no token request. */
  backoffUntil?: Date;
  lastError?: { code: OAuthClientErrorCode; at: Date };
}

/** One client at a glance, for health checks and dashboards. */
export interface OAuthClientStatus extends TokenStatus {
  client: string;
  /** Token requests sent by this instance so far, retries included. */
  tokenRequests: number;
  /** Of a client with `tenants`: how many this instance keeps, and how many of those are `degraded` or `down`. */
  tenants?: { known: number; degraded: number; down: number };
}
