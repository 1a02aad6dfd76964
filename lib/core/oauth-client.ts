import { Observable, firstValueFrom, map, merge, take } from 'rxjs';
import { aborted$ } from './aborted.js';
import type { AccessToken } from './access-token.js';
import type { OAuthClientStatus } from './events.js';
import type { FlightContext, TokenLifeOptions } from './flight-context.js';
import type { TokenEndpoint } from './token-endpoint.js';
import { TokenLife } from './token-life.js';
import {
  isPlain,
  mergeTokenRequests,
  tokenKey,
  type TokenRequest,
  type TokenRequestDetails,
} from './token-request.js';
import { closedError, type TokenRuntime } from './token-runtime.js';

/** One named client: its tokens, one for each distinct {@link TokenRequest}. */
export class OAuthClient {
  readonly name: string;
  readonly #runtime: TokenRuntime;
  readonly #details: TokenRequestDetails;
  readonly #context: FlightContext;
  readonly #default: TokenLife;
  readonly #defaultKey: string;
  #recent: TokenLife;
  #tokenRequests = 0;

  private constructor(
    name: string,
    endpoint: TokenEndpoint,
    options: TokenRequestDetails & TokenLifeOptions,
    runtime: TokenRuntime,
  ) {
    this.name = name;
    this.#runtime = runtime;
    this.#details = mergeTokenRequests(options);
    const { clock, fleet, around, closed$, emit, track } = runtime;
    const { refreshAhead, retry, timeoutMs } = options;
    const onTokenRequest = () => void this.#tokenRequests++;
    const shared = { clock, fleet, around, closed$, emit, track, onTokenRequest };
    this.#context = { client: name, endpoint, refreshAhead, retry, timeoutMs, ...shared, pause: undefined };
    this.#default = this.#recent = new TokenLife(this.#context, this.#details);
    this.#defaultKey = tokenKey(name, this.#details);
  }

  /** @internal */
  static create(
    name: string,
    endpoint: TokenEndpoint,
    options: TokenRequestDetails & TokenLifeOptions,
    runtime: TokenRuntime,
  ): OAuthClient {
    return new OAuthClient(name, endpoint, options, runtime);
  }

  /**
   * An access token, shared by all callers until it nears its end.
   *
   * @throws {OAuthClientError} when there is none to be had; an aborted wait rejects with the signal's reason.
   */
  getToken(request?: TokenRequest): Promise<AccessToken> {
    if (this.#runtime.closed) return Promise.reject(closedError(this.name));
    const life = this.life(request);
    if (request?.signal === undefined) return life.get(request?.forceRefresh === true);
    return firstValueFrom(this.token$(request));
  }

  /** The same as an observable: one token, then it completes. Unsubscribing ends this wait only. */
  token$(request?: TokenRequest): Observable<AccessToken> {
    return new Observable<AccessToken>((subscriber) => {
      if (this.#runtime.closed) return subscriber.error(closedError(this.name));
      const signal = request?.signal;
      const token$ = this.life(request).token$(request?.forceRefresh === true);
      if (signal === undefined) return token$.subscribe(subscriber);
      const reason$ = aborted$(signal).pipe(
        map((reason): never => {
          throw reason;
        }),
      );
      return merge(reason$, token$).pipe(take(1)).subscribe(subscriber);
    });
  }

  /** Forgets the token an API rejected, if it is still the present one; without `rejected`, every token of this client. */
  invalidate(rejected?: AccessToken): void {
    for (const life of this.#lives()) {
      if (rejected === undefined) life.giveUp();
      else life.drop('rejected', rejected);
    }
  }

  /** @internal Replaces every token, since those in hand are bound to a key that was replaced. */
  renew(): void {
    for (const life of this.#lives()) life.drop('forced');
  }

  /** How the client fares: its default token, or, if that was never asked for, the one used last. */
  status(): OAuthClientStatus {
    const life = this.#default.used ? this.#default : this.#recent;
    return { client: this.name, ...life.status(), tokenRequests: this.#tokenRequests };
  }

  /** @internal */
  get closed(): boolean {
    return this.#runtime.closed;
  }

  /** @internal The life of the token that `request`, on top of the ambient one, asks for. */
  life(request?: TokenRequest): TokenLife {
    const ambient = this.#runtime.ambient.requestOf(this.name);
    if (ambient === undefined && request === undefined) return this.#default;
    const asked = mergeTokenRequests(ambient, request);
    if (isPlain(asked)) return this.#default;
    const details = mergeTokenRequests(this.#details, asked);
    const key = tokenKey(this.name, details);
    if (key === this.#defaultKey) return this.#default;
    let life = this.#runtime.tokens.get(key);
    if (life === undefined) {
      life = new TokenLife(this.#context, details);
      this.#runtime.tokens.set(key, life);
    }
    return (this.#recent = life);
  }

  *#lives(): Iterable<TokenLife> {
    yield this.#default;
    for (const life of this.#runtime.tokens.values()) if (life.client === this.name) yield life;
  }
}
