import { defer, filter, firstValueFrom, merge, mergeMap, throwError, timer, type Observable } from 'rxjs';
import type { AccessToken } from '../core/access-token.js';
import { OriginNotAllowedError } from '../core/errors.js';
import type { TokenLife } from '../core/token-life.js';
import type { TokenRequest } from '../core/token-request.js';
import { targetOf, type AllowedOrigins, type RequestTarget } from './allowed-origins.js';
import type { ApiClient } from './api-client.js';
import { isReplayable, type Answer } from './refusals.js';

export type Conclude<R, T> = (answer: ApiAnswer<R>) => T | Promise<T>;

/** An API request, whatever sends it. */
export interface OutgoingRequest<R> {
  /** Its present state. `send` checks the target again if it may have changed. */
  readonly config: RequestTarget & { readonly method?: string; readonly data?: unknown };
  /** Emits the reason as soon as the caller cancels. */
  readonly cancelled$: Observable<unknown>;
  /** Sends it with those credentials, and hands the answer on without a wait; rejects when none comes. */
  send<T>(credentials: Credentials, conclude: Conclude<R, T>): Promise<T>;
}

export interface ApiAnswer<R> extends Answer {
  /** Returns the response, or throws the error that the caller expects instead. `refused`: the client whose token the API did not accept. */
  surface(refused?: string): R;
  /** Frees the connection of an answer that nobody will read. */
  discard(): void;
}

/** The credentials of one sending, and the origins that may receive them. */
export class Credentials {
  readonly token: AccessToken;
  /** A DPoP proof (RFC 9449 §4), which holds for this sending only. */
  readonly proof: string | undefined;
  /** Whether the request went on without its token, so that the answer says nothing about the token. */
  astray = false;
  readonly #origins: AllowedOrigins;

  constructor(token: AccessToken, proof: string | undefined, origins: AllowedOrigins) {
    this.token = token;
    this.proof = proof;
    this.#origins = origins;
  }

  /**
   * Whether the token may follow a redirect to `url`. It may not if it has a proof, which holds for one URL, nor after
   * a redirect has left the allowed origins, since any server could redirect us back.
   */
  mayFollow(url: URL): boolean {
    this.astray ||= this.proof !== undefined || this.#origins.reach(url) === 0;
    return !this.astray;
  }
}

/** The first pause before a token is tried again that the API may not know yet; each further one is twice as long. */
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 2_000;
/** How many nonces a token is tried with, and how many tokens: under overload, each could be replaced on its way. */
const [MAX_NONCES, MAX_TOKENS] = [2, 4];

/**
 * Sends a request with a client's token, and once more with a newer one when the API refuses that. The token is taken
 * right before each sending.
 *
 * @param asked what token this request needs
 * @throws {OAuthClientError} without sending anything: when there is no token, or the request leaves the client's
 * origins
 */
export function sendAuthorized<R>(
  request: OutgoingRequest<R>,
  api: ApiClient,
  asked: TokenRequest | undefined,
): Promise<R> {
  return new AuthorizedCall(request, api, api.client.life(asked)).start(asked);
}

/**
 * Does `work` with the client of the tenant that a request names; without tenants with `api` itself.
 *
 * @param isBare whether the request gets no token, so that it need not name a tenant
 */
export function forTenant<R>(
  { cancelled$ }: Pick<OutgoingRequest<R>, 'cancelled$'>,
  api: ApiClient,
  asked: TokenRequest,
  isBare: boolean,
  work: (own: ApiClient) => Promise<R>,
): Promise<R> {
  const { tenants } = api;
  if (tenants === undefined) return work(api);
  let isKnown = false;
  const begin = (own: ApiClient) => {
    isKnown = true;
    return work(own);
  };
  const given = () => tenants.use(asked, begin, isBare ? api : undefined);
  return unlessCancelled(cancelled$.pipe(filter(() => !isKnown)), given);
}

/** The client whose allowed origin matches the target of `request` best. */
export function clientFor(request: RequestTarget, clients: Iterable<ApiClient>): ApiClient | undefined {
  const to = targetOf(request);
  const reachOf = ({ origins }: ApiClient) => (to && !origins.detours(request) ? origins.reach(to) : 0);
  const ranked = [...clients].map((api) => ({ api, reach: reachOf(api) })).sort((a, b) => b.reach - a.reach);
  return ranked.find(({ reach }) => reach > 0)?.api;
}

/** @throws {OriginNotAllowedError} if the client's token may not go where `request` goes */
export function checkTarget(request: RequestTarget, { client, origins }: ApiClient): void {
  if (origins.allow(request)) return;
  const origin = origins.detours(request) ? `unix:${request.socketPath}` : targetOf(request)?.origin;
  throw new OriginNotAllowedError(client.name, origin);
}

class AuthorizedCall<R> {
  readonly #request: OutgoingRequest<R>;
  readonly #api: ApiClient;
  readonly #life: TokenLife;
  /** When the request last went out, on the monotonic clock. */
  #sentAt = 0;

  constructor(request: OutgoingRequest<R>, api: ApiClient, life: TokenLife) {
    this.#request = request;
    this.#api = api;
    this.#life = life;
  }

  start(asked: TokenRequest | undefined): Promise<R> {
    checkTarget(this.#request.config, this.#api);
    const { client, dpop, origins } = this.#api;
    const ready = dpop === undefined && !client.closed && !asked?.forceRefresh && !asked?.signal?.aborted;
    const token = ready ? this.#life.current() : undefined;
    if (token === undefined)
      return this.#unlessCancelled(() => client.getToken(asked))
        .then((newest) => this.#send(newest))
        .then(([credentials, answer]) => this.#conclude(credentials, answer));
    const credentials = new Credentials(token, undefined, origins);
    this.#sentAt = this.#api.clock.monotonic();
    return this.#request.send(credentials, (answer) => this.#conclude(credentials, answer));
  }

  async #send(token: AccessToken): Promise<[Credentials, ApiAnswer<R>]> {
    const { origins, dpop } = this.#api;
    const { method = 'get' } = this.#request.config;
    const proof = dpop && (await dpop.proof(method, this.#target, token));
    const credentials = new Credentials(token, proof, origins);
    this.#sentAt = this.#api.clock.monotonic();
    return this.#request.send(credentials, (answer) => [credentials, answer]);
  }

  get #target(): URL {
    const target = targetOf(this.#request.config);
    if (target === undefined) throw new OriginNotAllowedError(this.#api.client.name);
    return target;
  }

  #conclude(credentials: Credentials, answer: ApiAnswer<R>): R | Promise<R> {
    return this.#isRefused(credentials, answer)
      ? this.#mend(credentials, answer)
      : this.#accept(credentials, answer);
  }

  #isRefused(credentials: Credentials, answer: ApiAnswer<R>): boolean {
    const { refusals } = this.#api;
    return (answer.status >= 300 || refusals.readsData) && !credentials.astray && refusals.includes(answer);
  }

  /** After a refusal: tries the same token again if the API may not know it yet, then another one. */
  async #mend(credentials: Credentials, answer: ApiAnswer<R>): Promise<R> {
    if (!this.#api.unauthorizedRetry || !isReplayable(this.#request.config.data)) {
      this.#report(credentials, answer);
      return answer.surface(this.#api.client.name);
    }
    const first = credentials.token;
    let [nonces, tokens] = [0, 1];
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs *= 2) {
      const { token } = credentials;
      const nonceIsNew = this.#noteNonce(credentials, answer);
      let next: AccessToken | undefined;
      if (nonceIsNew && nonces++ < MAX_NONCES) next = await this.#newest();
      else if (token.value === first.value) next = await this.#after(token, pauseMs);
      else if (tokens < MAX_TOKENS) next = await this.#successorOf(token); // it may have been replaced on its way
      if (next === undefined) return answer.surface(this.#api.client.name);
      if (next.value !== token.value) [nonces, tokens] = [0, tokens + 1];
      answer.discard();
      [credentials, answer] = await this.#send(next);
      if (!this.#isRefused(credentials, answer)) return this.#accept(credentials, answer);
    }
  }

  /** The token to send after `rejected`; `undefined` if it is too soon for another one, or there is none. */
  async #after(rejected: AccessToken, pauseMs: number): Promise<AccessToken | undefined> {
    const life = this.#life;
    switch (life.reject(rejected, this.#sentAt)) {
      case 'lagging': {
        const pause$ = timer(Math.min(pauseMs, LONGEST_PAUSE_MS), this.#api.clock.scheduler);
        const successor$ = defer(() => life.successorOf(rejected)).pipe(filter(Boolean));
        const same$ = pause$.pipe(mergeMap(() => life.get(false)));
        return this.#unlessCancelled(() => merge(successor$, same$));
      }
      case 'limited':
      case 'superseded':
        return this.#successorOf(rejected);
      case 'replaceable': {
        const newer = await this.#newest();
        return newer.value === rejected.value ? undefined : newer;
      }
    }
  }

  /** Reports a refusal that the caller gets at once, without waiting for a new token. */
  #report(credentials: Credentials, answer: ApiAnswer<R>): void {
    if (this.#noteNonce(credentials, answer)) return; // it says nothing about the token
    if (this.#life.reject(credentials.token, this.#sentAt) === 'replaceable')
      this.#life.get(false).catch(() => undefined); // an event reports it
  }

  /** Notes that the API accepted the token, whatever else it answered. */
  #accept(credentials: Credentials, answer: ApiAnswer<R>): R {
    if (!credentials.astray) {
      this.#life.accept(credentials.token);
      this.#noteNonce(credentials, answer);
    }
    return answer.surface();
  }

  #noteNonce({ proof }: Credentials, answer: ApiAnswer<R>): boolean {
    const { dpop } = this.#api;
    if (dpop === undefined || proof === undefined) return false;
    return dpop.rememberNonce(this.#target.origin, answer.headers()['dpop-nonce'], proof);
  }

  /** The token that replaced a refused one, or is about to; `undefined` if there is none. */
  #successorOf(refused: AccessToken): Promise<AccessToken | undefined> {
    return this.#unlessCancelled(() => this.#life.successorOf(refused));
  }

  #newest(): Promise<AccessToken> {
    return this.#unlessCancelled(() => this.#life.get(false));
  }

  #unlessCancelled<T>(work: () => Observable<T> | Promise<T>): Promise<T> {
    return unlessCancelled(this.#request.cancelled$, work);
  }
}

/** The result of `work`; rejects with the reason as soon as the caller cancels, and starts nothing after that. */
export function unlessCancelled<T>(reason$: Observable<unknown>, work: () => Observable<T> | Promise<T>) {
  const cancelled$ = reason$.pipe(mergeMap((reason) => throwError(() => reason)));
  return firstValueFrom(merge(cancelled$, defer(work)));
}
