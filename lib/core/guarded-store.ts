import { randomUUID } from 'node:crypto';
import { EMPTY, type Subscription, catchError, defer, exhaustMap, take, timer } from 'rxjs';
import type { Clock } from './clock.js';
import { LruMap, MemoryTokenStore } from './memory-token-store.js';
import { SCOPE_CHARACTERS, TOKEN_CHARACTERS } from './token-request.js';
import type { LockOutcome, StoredToken, TokenStore } from './token-store.js';

const PROBE_INTERVAL_MS = 1_000;
/** What texts in an entry may be: those that are shown, and others by name. */
const SHOWN = /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]{0,2048}$/u;
const MEMBERS: Readonly<Record<string, RegExp>> = {
  tokenType: /^(Bearer|DPoP)$/,
  scope: SCOPE_CHARACTERS,
  refreshToken: /./,
  client: SHOWN,
  error: SHOWN,
  errorDescription: SHOWN,
  credentials: SHOWN,
};
/** How many writes are caught up on. */
const MISSED = 1_000;
/** How many grants are kept against a store that loses its entries. */
const MOST_GRANTS = 10_000;

/** A store that failed is no outcome here: the work is done without it. */
type GuardedOutcome<T> = Exclude<LockOutcome<T>, { outcome: 'error' }>;

/**
 * A store that cannot hurt: once an operation fails, the store or the part of it that has the key counts as down and is
 * skipped, so a call pays for the failure at most once, until a probe in the background succeeds, which also catches up
 * on what this instance wrote. Meanwhile locks hold within this process, and refresh tokens, of which no server gives out
 * another, are kept here.
 */
export class GuardedStore {
  readonly #store: TokenStore;
  readonly #clock: Clock;
  readonly #onChange: (failure: Error | undefined) => void;
  /** The last one to ask for the lock of each key. */
  readonly #turns = new Map<string, Promise<void>>();
  /** The newest entries with a refresh token that came this way, one for each grant; those used last. */
  readonly #grants = new LruMap<StoredToken>(MOST_GRANTS);
  /** What the store missed while it was down, in that order: the last entry of a key, and the values that were removed. */
  readonly #missed = new LruMap<Missed>(MISSED);
  /** Those of the parts of the store that are down. */
  readonly #probes = new Map<string, Subscription>();
  readonly #probeSuffix = `.probe-${randomUUID()}`;
  #closed = false;

  constructor(store: TokenStore, clock: Clock, onChange: (failure: Error | undefined) => void) {
    this.#store = store;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** Whether it is more than this process's memory. */
  get shared(): boolean {
    return !(this.#store instanceof MemoryTokenStore);
  }

  /** Whether any part of the store is down. */
  get down(): boolean {
    return this.#probes.size > 0;
  }

  /** Connects the store, and finds out whether it can be used before a call has to. */
  async open(): Promise<void> {
    if (this.#store.open === undefined) return;
    await this.#attempt('open', async () => {
      await this.#store.open?.(() => this.#restore());
      await this.#probe('open');
    });
  }

  async get(key: string): Promise<StoredToken | undefined> {
    const entry = await this.#attempt(key, () => this.#store.get(key));
    const found = isSound(key, entry) ? entry : undefined;
    const kept = this.#grants.get(key);
    if (kept === undefined || (found && found.issuedAt >= kept.issuedAt)) return found;
    // The store lost the newest refresh token, or never had it: what it holds is spent.
    await this.set(key, kept);
    return kept;
  }

  async set(key: string, token: StoredToken): Promise<void> {
    if (token.refreshToken !== undefined) this.#grants.set(key, token);
    await this.#attempt(key, () => this.#store.set(key, token), { name: `set ${key}`, token });
  }

  async delete(key: string, ifValue?: string): Promise<void> {
    const missed = this.#missed.get(`set ${key}`);
    if (ifValue === undefined || missed?.token?.value === ifValue) this.#missed.delete(`set ${key}`);
    const name = `delete ${key} ${ifValue ?? ''}`;
    await this.#attempt(key, () => this.#store.delete(key, ifValue), { name });
  }

  /**
   * Runs `work` under the lock of `key`, one after the other in this process; without the store's part while that
   * is down. Rejects only with what `work` rejects with.
   */
  async withLock<T>(key: string, ttlMs: number, work: () => Promise<T>): Promise<GuardedOutcome<T>> {
    const locked = Promise.resolve(this.#turns.get(key)).then(() => this.#lock(key, ttlMs, work));
    const over = () => {
      if (this.#turns.get(key) === turn) this.#turns.delete(key);
    };
    const turn = locked.then(over, over);
    this.#turns.set(key, turn);
    return locked;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const probe of this.#probes.values()) probe.unsubscribe();
    await this.#store.close?.().catch(() => undefined);
  }

  async #lock<T>(key: string, ttlMs: number, work: () => Promise<T>): Promise<GuardedOutcome<T>> {
    const part = this.#partOf(key);
    let working: Promise<T> | undefined;
    if (!this.#probes.has(part)) {
      try {
        const locked = await this.#store.withLock(key, ttlMs, () => (working = work()));
        if (locked.outcome === 'acquired' && locked.unreleased !== undefined)
          this.#fail(part, key, locked.unreleased);
        if (locked.outcome !== 'error') return locked;
        this.#fail(part, key, locked.error);
      } catch (error) {
        await working; // rejects if the work did; else the store threw
        this.#fail(part, key, error);
      }
    }
    return { outcome: 'acquired', result: await (working ?? work()) };
  }

  /** @param write what to remember of an operation that the store must not miss */
  async #attempt<T>(key: string, operation: () => Promise<T>, write?: Write): Promise<T | undefined> {
    const part = this.#partOf(key); // it may be elsewhere when the operation has failed
    if (!this.#probes.has(part))
      try {
        return await operation();
      } catch (error) {
        this.#fail(part, key, error);
      }
    if (write) this.#missed.set(write.name, { ...write, key, operation });
    return undefined;
  }

  #partOf(key: string): string {
    return this.#store.partOf?.(key) ?? '';
  }

  #fail(part: string, key: string, reason: unknown): void {
    if (this.#probes.has(part) || this.#closed) return;
    const wasUp = !this.down;
    const probe = timer(PROBE_INTERVAL_MS, PROBE_INTERVAL_MS, this.#clock.scheduler)
      .pipe(
        exhaustMap(() => defer(() => this.#probe(key, part)).pipe(catchError(() => EMPTY))),
        take(1),
      )
      .subscribe(() => this.#recover(part));
    this.#probes.set(part, probe);
    if (wasUp) this.#onChange(reason instanceof Error ? reason : new Error('The token store failed.'));
  }

  /** Does all that the store is for, on a key of this instance beside the one that failed, and what `part` missed. */
  async #probe(key: string, part?: string): Promise<void> {
    const store = this.#store;
    const probed = key + this.#probeSuffix;
    const now = this.#clock.now();
    const entry = {
      value: 'probe',
      tokenType: 'Bearer',
      issuedAt: now,
      expiresAt: now + PROBE_INTERVAL_MS,
    } as const;
    const locked = await store.withLock(probed, PROBE_INTERVAL_MS, async () => {
      await store.set(probed, entry);
      await store.get(probed);
      await store.delete(probed, entry.value);
      await store.get(key);
    });
    if (locked.outcome !== 'acquired' || locked.unreleased !== undefined)
      throw new Error('The probe failed.');
    if (part !== undefined) await this.#catchUp(part);
  }

  /** Whatever comes meanwhile, joins the end. */
  async #catchUp(part: string): Promise<void> {
    for (const missed of this.#missed.values()) {
      const { name, key, operation, token } = missed;
      if (this.#partOf(key) !== part) continue;
      const isOver = token && token.refreshToken === undefined && token.expiresAt <= this.#clock.now();
      if (!isOver) await operation();
      if (this.#missed.get(name) === missed) this.#missed.delete(name);
    }
  }

  #recover(part: string): void {
    this.#probes.delete(part);
    if (!this.down) this.#onChange(undefined);
  }

  /** The store may hold predecessors of the refresh tokens that are kept here, which are spent. */
  #restore(): void {
    const grants = [...this.#grants.entries()]; // each write moves its own
    for (const [key, token] of grants) void this.set(key, token);
  }
}

/** A write, and the entry that it was to leave. */
interface Write {
  readonly name: string;
  readonly token?: StoredToken;
}

interface Missed extends Write {
  readonly key: string;
  readonly operation: () => Promise<unknown>;
}

/** Whether an instance may have written an entry: others can write to a store as well. Failures have keys of their own. */
function isSound(key: string, entry: unknown): entry is StoredToken {
  const {
    value,
    issuedAt,
    expiresAt,
    failure = {},
    details = {},
    tokenType = '',
    ...others
  } = Object(entry) as Members;
  const { message, status = 0, ...texts } = Object(failure) as Members;
  const isFailure = /\.(failure|rejection)$/.test(key);
  const content = isFailure ? [message, SHOWN] : [value, TOKEN_CHARACTERS];
  if (isFailure !== 'failure' in Object(entry) || !fits(content)) return false;
  if (![issuedAt, expiresAt, status].every(Number.isFinite) || Object(details) !== details) return false;
  const members = Object.entries({ tokenType, ...others, ...texts }).filter(
    ([, member]) => member !== undefined,
  );
  return members.every(([name, member]) => MEMBERS[name] === undefined || fits([member, MEMBERS[name]]));
}

type Members = Record<string, unknown>;

function fits([text, pattern]: unknown[]): boolean {
  return typeof text === 'string' && (pattern as RegExp).test(text);
}
