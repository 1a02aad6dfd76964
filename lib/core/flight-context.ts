import type { Observable, Subject } from 'rxjs';
import type { Pause, RetryOptions } from './backoff.js';
import type { Clock } from './clock.js';
import type { OAuthClientEvent, Whose } from './events.js';
import type { AccessToken, RefreshAheadOptions } from './access-token.js';
import type { OncePerFleet } from './once-per-fleet.js';
import type { TokenEndpoint } from './token-request.js';

/** Runs around each token request of a client, as a tracer does. */
export type AroundTokenRequest = <T>(client: string, request: () => Promise<T>) => Promise<T>;

/** The part of a client's options that its tokens' life depends on. */
export interface TokenLifeOptions {
  refreshAhead: RefreshAheadOptions;
  retry: RetryOptions;
  /** Deadline of one token request, in milliseconds. */
  timeoutMs: number;
}

/** One shared wait for a token. */
export interface Flight {
  readonly token$: Observable<AccessToken>;
  readonly promise: Promise<AccessToken>;
}

/** What all tokens of one client share. */
export interface FlightContext {
  readonly client: string;
  /** Whom events are about: the client, and its tenant if it has them. */
  readonly about: Whose;
  readonly options: TokenLifeOptions;
  readonly clock: Clock;
  endpoint: TokenEndpoint;
  readonly fleet: OncePerFleet;
  /** Around every token request, each inside the one after it. */
  readonly tracers: readonly AroundTokenRequest[];
  /** Errors every flight when the module shuts down. */
  readonly closed$: Observable<never>;
  readonly events$: Subject<OAuthClientEvent>;
  /** Runs what serves the calls of many handlers, with the ambient requests of none. */
  readonly forAll: <T>(work: () => T) => T;
  /** Counts the client's token requests, including those of its tenants. */
  readonly sent: { tokenRequests: number };
  /** This instance did not hear from the authorization server last time, or later than another one. */
  ailing: boolean;
  /** The pause that the authorization server asked for with `Retry-After`: it holds for all tokens of the client. */
  pause: Pause | undefined;
}
