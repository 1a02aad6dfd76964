import { Observable, ReplaySubject, Subject, defer, firstValueFrom, merge } from 'rxjs';
import { map, mergeMap, take, throwError } from 'rxjs';
import { aborted$ } from './aborted.js';
import type { AccessToken } from './access-token.js';
import { AmbientRequests, outside } from './ambient-requests.js';
import { momentOf, type Clock } from './clock.js';
import { OAuthClientError, OAuthConfigurationError } from './errors.js';
import type { OAuthClientEvent, OAuthClientStatus } from './events.js';
import type { AroundTokenRequest, FlightContext, TokenLifeOptions } from './flight-context.js';
import { GuardedStore } from './guarded-store.js';
import { LruMap } from './memory-token-store.js';
import { OncePerFleet } from './once-per-fleet.js';
import { TokenLife } from './token-life.js';
import { COLD } from './token-state.js';
import { statusOf } from './token-status.js';
import { checked, snapshotOf, type RequestSnapshot } from './request-snapshot.js';
import { isPlain, mergeTokenRequests, tokenKey } from './token-request.js';
import type { TokenEndpoint, TokenRequest, TokenRequestDetails } from './token-request.js';
import type { TokenStore } from './token-store.js';

/** The tenants of a client, each with a client of its own. */
export interface TenantClients {
  /** Whether the client also serves requests without a tenant. */
  areOptional(): boolean;
  use<R>(asked: TokenRequest, work: (own: { client: OAuthClient }) => Promise<R>): Promise<R>;
  /** The tenant's client, if its options are at hand. */
  present(asked: TokenRequest): OAuthClient | undefined;
  clients(): Iterable<OAuthClient>;
}

/** @internal The parts of a client. */
export interface OAuthClientParts {
  name: string;
  endpoint: TokenEndpoint;
  options: TokenRequestDetails & TokenLifeOptions;
  runtime: TokenRuntime;
  /** Of a client with tenants. */
  tenants?: TenantClients | undefined;
  /** Of a tenant's client: the tenant, and the counter that all tenants share. */
  tenant?: string | undefined;
  sent?: FlightContext['sent'] | undefined;
}

/** One named client: its tokens, one for each distinct {@link TokenRequest}. */
export class OAuthClient {
  readonly name: string;
  readonly #runtime: TokenRuntime;
  readonly #details: TokenRequestDetails;
  readonly #context: FlightContext;
  readonly #tenants: TenantClients | undefined;
  readonly #default: TokenLife;
  readonly #defaultKey: string;
  #recent: TokenLife;

  private constructor({ name, endpoint, options, runtime, tenants, tenant, sent }: OAuthClientParts) {
    this.name = name;
    this.#runtime = runtime;
    this.#tenants = tenants;
    this.#details = mergeTokenRequests(checked(name, snapshotOf(options)), { tenant });
    const { clock, fleet, tracers, closed$, events$ } = runtime;
    const forAll: FlightContext['forAll'] = (work) => (runtime.usedAmbient ? outside(work) : work());
    const shared = { clock, fleet, tracers, closed$, events$, forAll, sent: sent ?? { tokenRequests: 0 } };
    const about = { client: name, ...(tenant !== undefined && { tenant }) };
    this.#context = { client: name, about, endpoint, options, ...shared, ailing: false, pause: undefined };
    this.#default = this.#recent = new TokenLife(this.#context, this.#details);
    this.#defaultKey = tokenKey(name, this.#details);
  }

  /** @internal */
  static create(parts: OAuthClientParts): OAuthClient {
    return new OAuthClient(parts);
  }

  /**
   * An access token, which all callers share until it is due for a refresh.
   *
   * @throws {OAuthClientError} when there is no token, or `request` is invalid; an aborted wait rejects with
   * the signal's reason.
   */
  getToken(request?: TokenRequest): Promise<AccessToken> {
    if (this.#runtime.closed) return Promise.reject(closedError(this.name));
    if (request === undefined && this.#tenants === undefined) return this.life().get(false);
    const snapshot = snapshotOf(request === undefined ? {} : request);
    const { request: asked, problems } = snapshot;
    if (asked.signal || problems.length > 0) return firstValueFrom(this.#token$(snapshot));
    if (this.#tenants || asked.tenant !== undefined) {
      const token = asked.forceRefresh ? undefined : this.#tenants?.present(asked)?.life(asked).current();
      return token ? Promise.resolve(token) : this.#ofTenant(asked);
    }
    return this.life(asked).get(asked.forceRefresh === true);
  }

  /** The same as an observable: one token, then it completes. Unsubscribing ends this wait only. */
  token$(request: TokenRequest = {}): Observable<AccessToken> {
    return this.#token$(snapshotOf(request));
  }

  #token$(snapshot: RequestSnapshot): Observable<AccessToken> {
    return new Observable<AccessToken>((subscriber) => {
      if (this.#runtime.closed) return subscriber.error(closedError(this.name));
      const asked = checked(this.name, snapshot);
      const { signal, forceRefresh = false } = asked;
      const own$ = this.#tenants && defer(() => this.#ofTenant(asked));
      const token$ = own$ ?? this.life(asked).token$(forceRefresh);
      if (signal === undefined) return token$.subscribe(subscriber);
      const reason$ = aborted$(signal).pipe(mergeMap((reason) => throwError(() => reason)));
      return merge(reason$, token$).pipe(take(1)).subscribe(subscriber);
    });
  }

  async #ofTenant(asked: TokenRequest): Promise<AccessToken> {
    const work = ({ client }: { client: OAuthClient }) => client.life(asked).get(asked.forceRefresh === true);
    return this.#tenants ? this.#tenants.use(asked, work) : work({ client: this });
  }

  /** Forgets the token an API rejected, if it is still the present one; without `rejected`, every token of this client. */
  invalidate(rejected?: AccessToken): void {
    const present = [...(this.#tenants?.clients() ?? [])]; // the event of one may reorder the others
    for (const own of present) own.invalidate(rejected);
    for (const life of this.lives()) {
      if (rejected === undefined) void life.drop('given_up');
      else void life.drop('rejected', rejected);
    }
  }

  /** @internal Requests tokens from `endpoint` from now on; for tests. */
  askInstead(endpoint: TokenEndpoint): void {
    this.#context.endpoint = endpoint;
  }

  /**
   * The status of the client's default token or, if that was never requested, of the one used last. Of a client with
   * `tenants`: `down` if every tenant is, `degraded` if one is either, `fresh` if one has a token.
   */
  status(): OAuthClientStatus {
    const { tokenRequests } = this.#context.sent;
    const now = momentOf(this.#runtime.clock);
    const { state: shown } = this.#default.state === COLD ? this.#recent : this.#default;
    const states = Array.from(this.#tenants?.clients() ?? [], (own) => own.status().state);
    const showsTenants = states.length > 0 || this.#tenants?.areOptional() === false;
    if (!showsTenants || shown !== COLD)
      return { client: this.name, ...statusOf(shown, this.#context.pause, now), tokenRequests };
    const [degraded = 0, down = 0] = ['degraded', 'down'].map(
      (one) => states.filter((state) => state === one).length,
    );
    const isDown = down > 0 && down === states.length;
    const calm = (['fresh', 'refreshing'] as const).find((one) => states.includes(one)) ?? 'idle';
    const state = isDown ? 'down' : down + degraded > 0 ? 'degraded' : calm;
    return { client: this.name, state, tokenRequests, tenants: { known: states.length, degraded, down } };
  }

  /** @internal */
  get closed(): boolean {
    return this.#runtime.closed;
  }

  /** @internal The life of the token that `request`, a snapshot, asks for on top of the ambient one. */
  life(request?: TokenRequest): TokenLife {
    const ambient = this.#runtime.usedAmbient?.requestOf(this.name);
    if (ambient === undefined && request === undefined) return this.#default;
    // The ambient request of one tenant, which may hold a user's token, must not serve another tenant.
    const isOurs = ambient?.tenant === this.#details.tenant;
    const asked = mergeTokenRequests(isOurs ? ambient : undefined, request);
    if (asked.tenant !== this.#details.tenant) {
      const problem = `Client "${this.name}" has no tenants: leave tenant out of its token requests, or set that option.`;
      throw new OAuthConfigurationError([problem], this.name);
    }
    if (isPlain(asked)) return this.#default;
    const details = mergeTokenRequests(this.#details, asked);
    const key = tokenKey(this.name, details);
    if (key === this.#defaultKey) return this.#default;
    let life = this.#runtime.tokens.get(key);
    // A life of the client that this one replaced has the old credentials.
    if (!life?.isOf(this.#context)) {
      life = new TokenLife(this.#context, details);
      this.#runtime.tokens.set(key, life);
    }
    return (this.#recent = life);
  }

  /** @internal The lives of all its tokens, without those of its tenants. */
  *lives(): Iterable<TokenLife> {
    if (this.#tenants === undefined || this.#default.state !== COLD) yield this.#default;
    if (this.#recent === this.#default) return;
    for (const life of this.#runtime.tokens.values()) if (life.isOf(this.#context)) yield life;
  }
}

/** How long an ended flight may take to release its lock. */
const STORE_GRACE_MS = 1_000;

/** What all clients of one module instance share. */
export class TokenRuntime {
  readonly clock: Clock;
  readonly fleet: OncePerFleet;
  readonly tokens: LruMap<TokenLife>;
  readonly tracers: AroundTokenRequest[] = [];
  readonly events$ = new Subject<OAuthClientEvent>();
  readonly #ending = new ReplaySubject<void>(1);
  /** Fails for each subscriber with an error of its own, since each may name another tenant. */
  readonly closed$: Observable<never> = this.#ending.pipe(
    map(() => {
      throw closedError();
    }),
  );
  #ambient: AmbientRequests | undefined;
  #closed = false;

  constructor(store: TokenStore, clock: Clock) {
    this.clock = clock;
    this.tokens = new LruMap(store.maxEntries ?? 10_000);
    const onChange = (error: Error | undefined) =>
      this.events$.next(error ? { type: 'store_unavailable', error } : { type: 'store_recovered' });
    this.fleet = new OncePerFleet(new GuardedStore(store, clock, onChange), clock, this.closed$);
  }

  get closed(): boolean {
    return this.#closed;
  }

  get ambient(): AmbientRequests {
    return (this.#ambient ??= new AmbientRequests());
  }

  /** The ambient requests, once a handler has used them: to read the asynchronous context takes time. */
  get usedAmbient(): AmbientRequests | undefined {
    return this.#ambient;
  }

  /** Refuses new calls, waits for flights up to `graceMs`, then aborts them. */
  async close(graceMs: number): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.fleet.settled(graceMs);
    this.#ending.next();
    await this.fleet.settled(STORE_GRACE_MS);
    await this.fleet.close();
    this.events$.complete();
  }
}

export function closedError(client?: string): OAuthClientError {
  const whose = client === undefined ? 'The OAuth clients are' : `OAuth client "${client}" is`;
  return new OAuthClientError('closed', `${whose} closed: the application is shutting down.`, { client });
}
