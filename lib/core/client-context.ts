import type { Observable } from 'rxjs';
import type { CoolDown, RetryOptions } from './backoff.js';
import type { Clock } from './clock.js';
import type { OAuthClientEvent } from './events.js';
import type { GuardedStore } from './guarded-store.js';
import type { TokenEndpoint } from './token-endpoint.js';
import type { RefreshAheadOptions } from './token-phase.js';

/** What all flights of one client share. */
export interface FlightContext {
  readonly client: string;
  readonly clock: Clock;
  readonly endpoint: TokenEndpoint;
  readonly store: GuardedStore;
  readonly retry: RetryOptions;
  readonly timeoutMs: number;
  /** Errors every flight when the module shuts down. */
  readonly closed$: Observable<never>;
  /** Told of the work of every flight, so that a shutdown can wait for it. */
  readonly track: (work: Promise<unknown>) => void;
  /** Called before each token request. */
  readonly onTokenRequest: () => void;
  /** The pause that the authorization server asked for with `Retry-After`: it holds for all tokens of the client. */
  readonly retryAfter: CoolDown;
}

/** What all tokens of one client share. */
export interface ManagedTokenContext extends FlightContext {
  readonly refreshAhead: RefreshAheadOptions;
  readonly emit: (event: OAuthClientEvent) => void;
}
