import type { Observable } from 'rxjs';
import type { Pause, RetryOptions } from './backoff.js';
import type { Clock } from './clock.js';
import type { OAuthClientEvent } from './events.js';
import type { RefreshAheadOptions } from './held-token.js';
import type { OncePerFleet } from './once-per-fleet.js';
import type { TokenEndpoint } from './token-endpoint.js';

/** Runs around each token request of a client, as a tracer does. */
export type AroundTokenRequest = <T>(client: string, request: () => Promise<T>) => Promise<T>;

/** The part of a client's options that its tokens' life depends on. */
export interface TokenLifeOptions {
  refreshAhead: RefreshAheadOptions;
  retry: RetryOptions;
  /** Deadline of one token request, in milliseconds. */
  timeoutMs: number;
}

/** What all tokens of one client share. */
export interface FlightContext extends TokenLifeOptions {
  readonly client: string;
  readonly clock: Clock;
  readonly endpoint: TokenEndpoint;
  readonly fleet: OncePerFleet;
  readonly around: AroundTokenRequest;
  /** Errors every flight when the module shuts down. */
  readonly closed$: Observable<never>;
  /** Takes note of the work of every flight, so that a shutdown can wait for it. */
  readonly track: (work: Promise<unknown>) => void;
  /** Called before each token request. */
  readonly onTokenRequest: () => void;
  readonly emit: (event: OAuthClientEvent) => void;
  /** The pause that the authorization server asked for with `Retry-After`: it holds for all tokens of the client. */
  pause: Pause | undefined;
}
