import { hash } from 'node:crypto';
import { defer, firstValueFrom, race, timeout } from 'rxjs';
import { OAuthClientError, type OAuthClientErrorCode } from './errors.js';
import { refusesCredentials } from './flight-failure.js';
import { closedError, type OAuthClient, type TenantClients, type TokenRuntime } from './oauth-client.js';

/** A tenant's client with all that belongs to it. */
export interface TenantClient {
  readonly client: OAuthClient;
  /** Close its idle connections; requests under way go on. */
  readonly closers: (() => void)[];
}

/** A tenant's client, and what it was made of. */
interface Kept<C> {
  readonly own: C;
  readonly client: string;
  readonly tenant: string;
  /** Hash of the answer, without functions and instances. */
  readonly data: string;
  /** When an answer that may differ in those alone may take its place, on the monotonic clock; nothing if it has none. */
  readonly renewableAt: number;
}

/** What the tenants of one client come from. */
export interface TenantSource<C> {
  readonly client: string;
  /** The function of the user. */
  readonly ask: (tenant: string) => unknown;
  /** @throws {OAuthConfigurationError} with every problem of the answer */
  readonly make: (tenant: string, answer: unknown) => C;
  /** Serves requests that name no tenant. Without it they are `tenant_required`. */
  readonly otherwise?: C | undefined;
}

/** How long the function may take. */
const ASK_LIMIT_MS = 4_000;
/** An answer that may be new once more is tried after the pause that a refusal makes. */
const RENEW_PAUSE_MS = 5_000;

const MOST_LOOKS = 20;

/** The tenants of all clients: so many are kept, those used last, and any with a flight under way. */
export class TenantCache<C extends TenantClient> {
  readonly #runtime: TokenRuntime;
  readonly #limit: number;
  readonly #kept = new Map<string, Kept<C>>();

  constructor(runtime: TokenRuntime, limit: number) {
    this.#runtime = runtime;
    this.#limit = limit;
    runtime.events$.subscribe((event) => {
      if ('tenant' in event) this.#trim();
    });
  }

  get(key: string): Kept<C> | undefined {
    const kept = this.#kept.get(key);
    if (kept === undefined) return undefined;
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    return kept;
  }

  set(key: string, kept: Kept<C>): void {
    this.drop(key);
    this.#kept.set(key, kept);
    this.#trim();
  }

  drop(key: string): void {
    const kept = this.#kept.get(key);
    if (kept === undefined) return;
    this.#kept.delete(key);
    const { tokens } = this.#runtime;
    const lives = new Set(kept.own.client.lives());
    if (lives.size > 1) for (const [name, life] of tokens.entries()) if (lives.has(life)) tokens.delete(name);
    for (const close of kept.own.closers) close();
  }

  *of(client: string): Iterable<Kept<C>> {
    for (const kept of this.#kept.values()) if (kept.client === client) yield kept;
  }

  all(): Iterable<Kept<C>> {
    return this.#kept.values();
  }

  /** Those with a flight under way count as used just now. Not all are looked at, since all may have one. */
  #trim(): void {
    let looks = 0;
    for (const [key, { own }] of this.#kept) {
      if (this.#kept.size <= this.#limit || looks++ === MOST_LOOKS) return;
      if ([...own.client.lives()].some(({ flying }) => flying)) this.get(key);
      else this.drop(key);
    }
  }
}

/** The tenants of one client: their options are asked for when a request names them, by all callers at once only once. */
export class Tenants<C extends TenantClient> implements TenantClients {
  readonly #source: TenantSource<C>;
  readonly #cache: TenantCache<C>;
  readonly #runtime: TokenRuntime;
  readonly #asked = new Map<string, Promise<Kept<C>>>();
  /** Those whose tokens are being removed from the store. */
  readonly #leaving = new Map<string, Promise<unknown>>();

  constructor(source: TenantSource<C>, cache: TenantCache<C>, runtime: TokenRuntime) {
    this.#source = source;
    this.#cache = cache;
    this.#runtime = runtime;
    runtime.events$.subscribe((event) => {
      // No caller sees it, since a valid token remains.
      if (event.type !== 'token_refresh_failed' || event.client !== source.client) return;
      const kept = this.#cache.get(this.#keyOf(event.tenant ?? ''));
      if (kept && refusesCredentials(event.error)) this.#renew(kept).catch(() => undefined);
    });
  }

  /**
   * Does `work` with the tenant's client, and once more with what the tenant has by then if its credentials are refused.
   *
   * @param otherwise does it where no tenant is named
   * @throws {OAuthClientError} `tenant_required`, `unknown_client`, `credentials_unavailable`, `configuration_invalid`
   */
  async use<R>(
    tenant: string | undefined,
    work: (own: C) => Promise<R>,
    otherwise = this.#source.otherwise,
  ): Promise<R> {
    const { client } = this.#source;
    if (this.#runtime.closed) throw closedError(client);
    if (tenant === undefined || tenant.trim() === '') {
      if (otherwise) return work(otherwise);
      const message = `OAuth client "${client}" has tenants, and this request names none: pass tenant with it, or return it in @UseOAuthClient.`;
      throw new OAuthClientError('tenant_required', message, { client });
    }
    let kept = this.#cache.get(this.#keyOf(tenant)) ?? (await this.#ask(tenant));
    for (let renewed = false; ; renewed = true) {
      try {
        return await work(kept.own);
      } catch (error) {
        const isRefused = !renewed && refusesCredentials(error) && error.client === client;
        const next = isRefused ? await this.#renew(kept) : kept;
        if (next === kept) throw OAuthClientError.of(error, tenant);
        kept = next;
      }
    }
  }

  *clients(): Iterable<OAuthClient> {
    for (const { own } of this.#cache.of(this.#source.client)) yield own.client;
  }

  /** Drops the options and tokens of a tenant, or of all; resolves once the store has none of the tokens either. */
  async forget(tenant?: string): Promise<void> {
    const gone = [...this.#cache.of(this.#source.client)].filter(
      (kept) => kept.tenant === (tenant ?? kept.tenant),
    );
    if (tenant === undefined) this.#asked.clear();
    else this.#asked.delete(tenant);
    const leaving = gone.map((kept) => {
      const left = Promise.all(Array.from(kept.own.client.lives(), (life) => life.forget()));
      const over = left.finally(() => {
        if (this.#leaving.get(kept.tenant) === over) this.#leaving.delete(kept.tenant);
      });
      this.#leaving.set(kept.tenant, over);
      this.#cache.drop(this.#keyOf(kept.tenant));
      return over;
    });
    await Promise.all(leaving);
  }

  #keyOf(tenant: string): string {
    return JSON.stringify(this.#source.client) + tenant;
  }

  /** What the tenant has by now, unless that is the same; another call may have found out already. */
  #renew(kept: Kept<C>): Promise<Kept<C>> {
    const present = this.#cache.get(this.#keyOf(kept.tenant)) ?? kept;
    return present === kept ? this.#ask(kept.tenant, kept) : Promise.resolve(present);
  }

  #ask(tenant: string, before?: Kept<C>): Promise<Kept<C>> {
    const present = this.#asked.get(tenant);
    if (present !== undefined) return present;
    const isWanted = () => this.#asked.get(tenant) === asked;
    const asked: Promise<Kept<C>> = this.#load(tenant, before, isWanted).finally(() => {
      if (isWanted()) this.#asked.delete(tenant);
    });
    this.#asked.set(tenant, asked);
    return asked;
  }

  /** @param isWanted false once the tenant was forgotten, so that the answer may be out of date */
  async #load(tenant: string, before: Kept<C> | undefined, isWanted: () => boolean): Promise<Kept<C>> {
    await this.#leaving.get(tenant)?.catch(() => undefined);
    const { answer, data, hasCode } = await this.#answer(tenant);
    if (!isWanted()) return this.#ask(tenant);
    const { client, make } = this.#source;
    if (answer === undefined || answer === null) {
      this.#cache.drop(this.#keyOf(tenant));
      throw this.#error('unknown_client', tenant, `OAuth client "${client}" has no such tenant.`);
    }
    const now = this.#runtime.clock.monotonic();
    if (before?.data === data && !(now >= before.renewableAt)) return before;
    const own = make(tenant, answer);
    const renewableAt = hasCode ? (before ? now + RENEW_PAUSE_MS : now) : Number.POSITIVE_INFINITY;
    const kept = { own, client, tenant, data, renewableAt };
    this.#cache.set(this.#keyOf(tenant), kept);
    return kept;
  }

  async #answer(tenant: string): Promise<{ answer: unknown; data: string; hasCode: boolean }> {
    const { client, ask } = this.#source;
    const { clock, closed$ } = this.#runtime;
    const answer$ = defer(async () => ask(tenant)).pipe(
      timeout({ first: ASK_LIMIT_MS, scheduler: clock.scheduler }),
    );
    try {
      const answer = await firstValueFrom(race(closed$, answer$));
      return { answer, ...summaryOf(answer) };
    } catch {
      if (this.#runtime.closed) throw closedError(client);
      const message = `The tenants function of OAuth client "${client}" failed, or took longer than ${ASK_LIMIT_MS} ms: check it. What it threw is not shown, since it may hold credentials.`;
      throw this.#error('credentials_unavailable', tenant, message);
    }
  }

  #error(code: OAuthClientErrorCode, tenant: string, message: string): OAuthClientError {
    const retryable = code === 'credentials_unavailable';
    const error = new OAuthClientError(code, message, { client: this.#source.client, retryable });
    return OAuthClientError.of(error, tenant);
  }
}

/** What tells one answer from another. Functions and instances, such as agents, may say the same or not. */
function summaryOf(answer: unknown): { data: string; hasCode: boolean } {
  let hasCode = false;
  const text = JSON.stringify(answer, (_, value: unknown) => {
    const prototype: unknown =
      typeof value === 'object' && value !== null ? Object.getPrototypeOf(value) : null;
    const isPlain = prototype === null || prototype === Object.prototype || Array.isArray(value);
    const isCode = typeof value === 'function' || !isPlain;
    hasCode ||= isCode;
    return isCode ? '' : value;
  });
  return { data: hash('sha256', text ?? ''), hasCode };
}
