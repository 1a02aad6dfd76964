import type { AccessToken } from '../../lib/core/access-token.js';
import { AuthorizationServerUnavailableError, TokenRequestError } from '../../lib/core/errors.js';
import type {
  TokenEndpoint,
  TokenRequestContext,
  TokenRequestDetails,
} from '../../lib/core/token-request.js';
import type { StoredToken } from '../../lib/core/token-store.js';
import type { VirtualClock } from './virtual-clock.js';

/** What the authorization server does with one token request. */
export interface Answer {
  /** Default: the endpoint's. */
  latencyMs?: number;
  /** Lifetime of the new token. Default: the endpoint's. */
  lifetimeMs?: number;
  /** Members of the answer that differ from the usual, such as a `value` already issued. */
  token?: Partial<StoredToken>;
  /** Rejects with it instead. */
  error?: unknown;
  /** Never answers; ends only by the request's signal. */
  hang?: boolean;
}

/** One token request as the server saw it. */
export interface SeenRequest {
  details: TokenRequestDetails;
  refreshToken: string | undefined;
  /** {@link VirtualClock.elapsed} when it began. */
  at: number;
  state: 'open' | 'answered' | 'failed' | 'aborted';
}

interface Issued {
  details: TokenRequestDetails;
  wallExpiry: number;
  monotonicExpiry: number;
}

/** A token endpoint that follows a script on virtual time. Its tokens are `t1`, `t2`, … in the order of requests. */
export class ScriptedEndpoint implements TokenEndpoint {
  /** Once the script has run out. */
  otherwise: Answer = {};
  latencyMs = 50;
  lifetimeMs = 3_600_000;
  readonly requests: SeenRequest[] = [];
  /** How often {@link identity} was asked for. */
  identities = 0;
  /** With `true` each answer has the refresh token `r1`, `r2`, … in the order of requests. */
  rotates = false;
  /** What the names of its tokens begin with. */
  prefix = 't';
  /** Fingerprint of what each request presents. */
  credentials: string | undefined;
  /** Rejects {@link identity} as long as it is set. */
  identityError: unknown;
  /** Told of each request as it begins, and of its end unless it was aborted. */
  onRequest: (seen: SeenRequest) => void = () => undefined;
  onAnswer: (seen: SeenRequest, answer: { stored: StoredToken } | { error: unknown }) => void = () =>
    undefined;
  readonly #clock: VirtualClock;
  readonly #identity: string;
  readonly #script: Answer[] = [];
  readonly #issued = new Map<string, Issued>();

  constructor(clock: VirtualClock, identity = 'https://as.example/token client-1') {
    this.#clock = clock;
    this.#identity = identity;
  }

  /** Token requests so far. */
  get posts(): number {
    return this.requests.length;
  }

  /** Answers to the next requests, one each. */
  next(...answers: Answer[]): this {
    this.#script.push(...answers);
    return this;
  }

  /** Forgets the rest of the script. */
  calm(): void {
    this.#script.length = 0;
  }

  /** Whether the server would still take `token`, counted from its request's start by both clocks. */
  isValid(token: AccessToken): boolean {
    const issued = this.#issued.get(token.value);
    if (issued === undefined) return false;
    return this.#clock.now() < issued.wallExpiry && this.#clock.monotonic() < issued.monotonicExpiry;
  }

  /** The scope that `token` was issued for. */
  scopeOf(token: AccessToken): string | undefined {
    return this.#issued.get(token.value)?.details.scope;
  }

  async identity(): Promise<string> {
    this.identities++;
    if (this.identityError !== undefined) throw this.identityError;
    return this.#identity;
  }

  get grant(): string | undefined {
    return this.rotates ? this.#identity : undefined;
  }

  async request(
    details: TokenRequestDetails,
    { signal, refreshToken, onSend }: TokenRequestContext,
  ): Promise<StoredToken> {
    onSend?.(this.credentials);
    const answer = this.#script.shift() ?? this.otherwise;
    const seen: SeenRequest = { details, refreshToken, at: this.#clock.elapsed, state: 'open' };
    const stored = this.#issue(details, answer, this.requests.push(seen));
    this.onRequest(seen);
    return new Promise((resolve, reject) => {
      const timer = answer.hang
        ? undefined
        : this.#clock.scheduler.schedule(() => {
            if (seen.state !== 'open') return;
            seen.state = answer.error === undefined ? 'answered' : 'failed';
            this.onAnswer(seen, answer.error === undefined ? { stored } : { error: answer.error });
            if (answer.error === undefined) resolve(stored);
            else reject(answer.error);
          }, answer.latencyMs ?? this.latencyMs);
      signal.addEventListener('abort', () => {
        timer?.unsubscribe();
        if (seen.state !== 'open') return;
        seen.state = 'aborted';
        reject(signal.reason);
      });
    });
  }

  #issue(
    details: TokenRequestDetails,
    { token, lifetimeMs = this.lifetimeMs }: Answer,
    number: number,
  ): StoredToken {
    const issuedAt = this.#clock.now();
    const stored: StoredToken = {
      value: `${this.prefix}${number}`,
      tokenType: 'Bearer',
      issuedAt,
      expiresAt: issuedAt + lifetimeMs,
      ...(this.rotates && { refreshToken: `r${number}` }),
      ...token,
    };
    const life = stored.expiresAt - issuedAt;
    const monotonicExpiry = this.#clock.monotonic() + life;
    // A token that is issued again is as old as it was the first time.
    if (!this.#issued.has(stored.value) || token?.expiresAt !== undefined) {
      this.#issued.set(stored.value, { details, wallExpiry: stored.expiresAt, monotonicExpiry });
    }
    return stored;
  }
}

/** 5xx, refused, reset: worth another try. */
export function unavailable(
  options: { retryAfterMs?: number; status?: number; timedOut?: boolean } = {},
): Answer {
  return {
    error: new AuthorizationServerUnavailableError('unavailable', {
      client: 'buoy',
      status: 503,
      ...options,
    }),
  };
}

/** `invalid_client` and the like: asking again will not help. */
export function rejected(error = 'invalid_client'): Answer {
  return { error: new TokenRequestError('rejected', { client: 'buoy', status: 401, error }) };
}
