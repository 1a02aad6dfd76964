import { defer, firstValueFrom, race, timeout } from 'rxjs';
import { outside, tenantOf } from './ambient-requests.js';
import { OAuthClientError, type OAuthClientErrorCode } from './errors.js';
import { refusesCredentials } from './flight-failure.js';
import { summaryOf } from './tenant-answer.js';
import type { TokenRequest } from './token-request.js';
import { closedError, type OAuthClient, type TenantClients, type TokenRuntime } from './oauth-client.js';

/** A tenant's client with all that belongs to it. */
export interface TenantClient {
  readonly client: OAuthClient;
  /** Close its idle connections; requests under way go on. */
  readonly closers: (() => void)[];
}

/** A tenant's client, and the answer that it was made from. */
interface Kept<C> {
  readonly own: C;
  readonly tenant: string;
  /** Hash of the answer, without functions and instances. */
  readonly data: string;
  /** When an answer with the same data may replace it, on the monotonic clock. */
  readonly renewableAt: number;
  /** Calls under way. */
  uses: number;
  /** Its place in the order of use. */
  used: number;
  /** Has the client forget it. */
  readonly leave: () => void;
}

/** Where the tenants of one client come from. */
export interface TenantSource<C> {
  readonly name: string;
  /** Resolves to a copy of the answer. */
  readonly ask: (tenant: string) => Promise<unknown>;
  /** @throws {OAuthConfigurationError} with every problem of the answer */
  readonly make: (tenant: string, answer: unknown) => C;
  /** Serves requests that name no tenant, if they are allowed. */
  readonly otherwise: () => C | undefined;
}

/** Marks a `tenants` function whose client also serves requests without a tenant, as in unit tests. */
export const TENANT_IS_OPTIONAL = Symbol('optional');

const ASK_LIMIT_MS = 4_000;
/** A function in the answer may return new credentials or the old ones: it is tried after the pause that follows a refusal. */
const RENEW_PAUSE_MS = 5_000;
const MOST_LOOKS = 20;

/** The tenants of all clients. It keeps those used last up to a limit, and all that are in use. */
export class TenantCache<C extends TenantClient> {
  readonly #runtime: TokenRuntime;
  readonly #limit: number;
  readonly #kept = new Set<Kept<C>>();
  #uses = 0;

  constructor(runtime: TokenRuntime, limit: number) {
    this.#runtime = runtime;
    this.#limit = limit;
  }

  add(kept: Kept<C>): void {
    this.#kept.add(kept);
    this.touch(kept);
  }

  /** Notes a use by a number, since moving it in a map would take longer than finding it. */
  touch(kept: Kept<C>): void {
    kept.used = ++this.#uses;
  }

  drop(kept: Kept<C>): void {
    if (!this.#kept.delete(kept)) return;
    kept.leave();
    const { tokens } = this.#runtime;
    const lives = new Set(kept.own.client.lives());
    if (lives.size > 1) for (const [name, life] of tokens.entries()) if (lives.has(life)) tokens.delete(name);
    this.#close(kept);
  }

  /** Counts a call as over. */
  release(kept: Kept<C>): void {
    kept.uses--;
    this.#close(kept);
    this.trim();
  }

  /** Drops those used least recently beyond the limit. It looks at few of them, since all may be in use. */
  trim(): void {
    for (let looks = 0; this.#kept.size > this.#limit && looks < MOST_LOOKS; looks++) {
      let oldest: Kept<C> | undefined;
      for (const kept of this.#kept)
        if (kept.uses === 0 && !(oldest && oldest.used < kept.used)) oldest = kept;
      if (oldest === undefined) return;
      const isBusy = [...oldest.own.client.lives()].some(({ state }) => state.refresh.kind === 'flying');
      if (isBusy) this.touch(oldest);
      else this.drop(oldest);
    }
  }

  /** Not while calls are under way, since they may still need a connection. */
  #close(kept: Kept<C>): void {
    if (kept.uses === 0 && !this.#kept.has(kept)) for (const close of kept.own.closers.splice(0)) close();
  }
}

/** The tenants of one client. A request that names a tenant loads its options, once for concurrent callers. */
export class Tenants<C extends TenantClient> implements TenantClients {
  readonly #source: TenantSource<C>;
  readonly #cache: TenantCache<C>;
  readonly #runtime: TokenRuntime;
  readonly #kept = new Map<string, Kept<C>>();
  readonly #asked = new Map<string, Promise<Kept<C>>>();
  /** Tenants whose tokens are being removed from the store. */
  readonly #leaving = new Map<string, Promise<unknown>>();
  readonly areOptional = () => this.#source.otherwise() !== undefined;

  constructor(source: TenantSource<C>, cache: TenantCache<C>, runtime: TokenRuntime) {
    this.#source = source;
    this.#cache = cache;
    this.#runtime = runtime;
    runtime.events$.subscribe((event) => {
      if ('tenant' in event) cache.trim();
      if (event.type !== 'token_refresh_failed' || event.client !== source.name) return;
      const kept = this.#kept.get(event.tenant ?? '');
      // No caller sees the refusal, or how the renewal ends: the valid token that remains may still be in the store.
      if (kept && refusesCredentials(event.error)) this.#renew(kept).catch(() => undefined);
    });
  }

  /**
   * Does `work` with the tenant's client. If the server refuses its credentials, loads its options again and repeats `work`.
   *
   * @param otherwise used where no tenant is named
   * @throws {OAuthClientError} `tenant_required`, `unknown_client`, `credentials_unavailable`, `configuration_invalid`
   */
  async use<R>(
    asked: TokenRequest,
    work: (own: C) => Promise<R>,
    otherwise = this.#source.otherwise(),
  ): Promise<R> {
    const { name } = this.#source;
    if (this.#runtime.closed) throw closedError(name);
    const tenant = tenantOf(asked, name, this.#runtime.usedAmbient);
    if (tenant === undefined || tenant.trim() === '') {
      if (otherwise) return work(otherwise);
      throw this.#error('tenant_required', 'has tenants, and this request names none: pass tenant with it, or return it in @UseOAuthClient'); // prettier-ignore
    }
    let kept = this.#kept.get(tenant) ?? (await this.#ask(tenant));
    for (let renewed = false; ; renewed = true) {
      const used = kept;
      used.uses++;
      this.#cache.touch(used);
      try {
        return await work(used.own);
      } catch (error) {
        const isRefused = !renewed && refusesCredentials(error) && error.client === name;
        const next = isRefused ? await this.#renew(kept) : kept;
        if (next === kept) throw OAuthClientError.of(error, tenant);
        kept = next;
      } finally {
        this.#cache.release(used);
      }
    }
  }

  present(asked: TokenRequest): OAuthClient | undefined {
    const kept = this.#kept.get(tenantOf(asked, this.#source.name, this.#runtime.usedAmbient) ?? '');
    if (kept) this.#cache.touch(kept);
    return kept?.own.client;
  }

  /** The clients of the tenants that are kept. */
  *clients(): Iterable<OAuthClient> {
    for (const { own } of this.#kept.values()) yield own.client;
  }

  /** Drops the options and tokens of a tenant, or of all; resolves once the store has none of the tokens either. */
  async forget(tenant?: string): Promise<void> {
    for (const asked of tenant === undefined ? [...this.#asked.keys()] : [tenant]) this.#asked.delete(asked);
    const leaving = [...this.#kept.values()].map(async (kept) => {
      if (kept.tenant !== (tenant ?? kept.tenant)) return;
      const left = Promise.all(Array.from(kept.own.client.lives(), (life) => life.drop('forgotten')));
      this.#leaving.set(kept.tenant, left);
      this.#cache.drop(kept);
      await left;
      if (this.#leaving.get(kept.tenant) === left) this.#leaving.delete(kept.tenant);
    });
    await Promise.all(leaving);
  }

  /** The tenant with its present options; `kept` itself if nothing changed. Another call may have loaded them already. */
  async #renew(kept: Kept<C>): Promise<Kept<C>> {
    const present = this.#kept.get(kept.tenant) ?? kept;
    return present === kept ? this.#ask(kept.tenant, kept) : present;
  }

  #ask(tenant: string, before?: Kept<C>): Promise<Kept<C>> {
    // Once the tenant was forgotten, an answer that is on its way may be out of date.
    const isWanted = () => this.#asked.get(tenant) === asked;
    const asked: Promise<Kept<C>> =
      this.#asked.get(tenant) ??
      this.#load(tenant, before)
        .then((load) => (isWanted() ? load() : this.#ask(tenant)))
        .finally(() => isWanted() && this.#asked.delete(tenant));
    this.#asked.set(tenant, asked);
    return asked;
  }

  async #load(tenant: string, before: Kept<C> | undefined): Promise<() => Kept<C>> {
    await this.#leaving.get(tenant);
    const { name, ask, make } = this.#source;
    const { clock, closed$ } = this.#runtime;
    const limit = { first: ASK_LIMIT_MS, scheduler: clock.scheduler };
    const answer$ = race(closed$, defer(() => outside(() => ask(tenant))).pipe(timeout(limit)));
    const answered = firstValueFrom(answer$).then((answer) => ({ answer, ...summaryOf(answer) }));
    const { answer, data, hasCode } = await answered.catch(() => {
      if (this.#runtime.closed) throw closedError(name);
      throw this.#error('credentials_unavailable', `could not be told this tenant's options within ${ASK_LIMIT_MS} ms: check its tenants function. What it threw is not shown, since it may hold credentials`, tenant); // prettier-ignore
    });
    return () => {
      const present = this.#kept.get(tenant);
      if (answer === undefined || answer === null) {
        if (present) this.#cache.drop(present);
        throw this.#error('unknown_client', 'has no such tenant', tenant);
      }
      const now = clock.monotonic();
      if (before?.data === data && !(now >= before.renewableAt)) return before;
      const renewableAt = hasCode ? now + (before ? RENEW_PAUSE_MS : 0) : Number.POSITIVE_INFINITY;
      try {
        const leave = () => void this.#kept.delete(tenant);
        const kept = { own: make(tenant, answer), tenant, data, renewableAt, uses: 0, used: 0, leave };
        if (present) this.#cache.drop(present);
        this.#kept.set(tenant, kept);
        this.#cache.add(kept);
        return kept;
      } catch (error) {
        throw OAuthClientError.of(error, tenant);
      }
    };
  }

  #error(code: OAuthClientErrorCode, what: string, tenant?: string): OAuthClientError {
    const { name: client } = this.#source;
    const options = { client, retryable: code === 'credentials_unavailable' };
    const error = new OAuthClientError(code, ['OAuth client "', client, '" ', what, '.'].join(''), options);
    return OAuthClientError.of(error, tenant);
  }
}
