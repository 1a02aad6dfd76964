import type { Observable } from 'rxjs';
import type { Pause, RetryOptions } from './backoff.js';
import type { Clock } from './clock.js';
import type { OAuthClientEvent } from './events.js';
import type { RefreshAheadOptions } from './access-token.js';
import type { OncePerFleet } from './once-per-fleet.js';
import type { TokenEndpoint } from './token-request.js';

/** Runs around each token request of a client, as a tracer does. */
export type AroundTokenRequest = <T>(client: string, request: () => Promise<T>) => Promise<T>;

/** The tracers of a module instance, each inside the one that came after it. */
export class TracedRequests {
  #around: AroundTokenRequest = (_client, request) => request();

  /** Has every token request from now on run inside `tracer`. */
  trace(tracer: AroundTokenRequest): void {
    const inner = this.#around;
    this.#around = (client, request) => tracer(client, () => inner(client, request));
  }

  run<T>(client: string, request: () => Promise<T>): Promise<T> {
    return this.#around(client, request);
  }
}

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
  readonly traced: TracedRequests;
  /** Errors every flight when the module shuts down. */
  readonly closed$: Observable<never>;
  /** Called before each token request. */
  readonly onTokenRequest: () => void;
  readonly emit: (event: OAuthClientEvent) => void;
  /** The pause that the authorization server asked for with `Retry-After`: it holds for all tokens of the client. */
  pause: Pause | undefined;
}
