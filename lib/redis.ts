/**
 * A token store that a fleet shares; needs `ioredis`.
 *
 * @module nestjs-oauth-client/redis
 */

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Redis, type Cluster, type RedisOptions } from 'ioredis';
import { OAuthConfigurationError } from './core/errors.js';
import { TokenStore, type LockOutcome, type StoredToken } from './core/token-store.js';
import { readKeys, seal, unseal, type EncryptionKey } from './redis/token-cipher.js';

export type { EncryptionKey } from './redis/token-cipher.js';

/** How a {@link RedisTokenStore} keeps tokens. */
export interface RedisTokenStoreOptions {
  /**
   * The first encrypts, all decrypt; `'none'` stores in clear. To rotate without a miss: add the new key last on
   * every instance, then move it to the front, then drop the old one.
   */
  encryptionKeys: readonly EncryptionKey[] | 'none';
  /** Start of every Redis key. Default `oauth:`. */
  keyPrefix?: string;
  /** Deadline of one operation, connecting included, in milliseconds. Default 100. */
  timeoutMs?: number;
}

/** How long an entry with a refresh token is kept, whose end nobody knows: 90 days. */
const REFRESH_TOKEN_KEPT_MS = 90 * 24 * 3_600_000;

/** Parts of `timeoutMs`; a stall of this process counts as two at most, however long it is. */
const TICKS = 10;

/** For a connection of the store's own: commands fail with it rather than wait for the next one. */
const CONNECTION_DEFAULTS = {
  lazyConnect: true,
  maxRetriesPerRequest: 0,
  retryStrategy: (attempt: number) => Math.min(attempt * 100, 1_000),
  socketTimeout: 5_000,
  disconnectTimeout: 100,
};

/** Answers the present entry when that is newer and not the one the caller found unreadable (ARGV[4]). */
const SET_UNLESS_OLDER = `
local present = redis.pcall('GET', KEYS[1])
local parsed, entry = pcall(cjson.decode, present)
local issuedAt = parsed and type(entry) == 'table' and tonumber(entry.issuedAt)
if issuedAt and issuedAt > tonumber(ARGV[2]) and present ~= ARGV[4] then return present end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])`;
const DELETE_IF_EQUAL = `return redis.pcall('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1])`;

interface Scripts {
  oauthSet(key: string, text: string, issuedAt: number, ttlMs: number, found: string): Promise<string | null>;
  oauthDelete(key: string, ifText: string): Promise<unknown>;
}

/**
 * The tokens, locks and cool-downs of a whole fleet in one Redis: standalone, Sentinel or Cluster. Redis sees only
 * ciphertext, bound to its key.
 *
 * @example
 * new RedisTokenStore('redis://localhost:6379', { encryptionKeys: [{ id: '2026-01', key: process.env.STORE_KEY! }] });
 */
export class RedisTokenStore extends TokenStore {
  readonly #client: (Redis | Cluster) & Scripts;
  readonly #own: Redis | undefined;
  readonly #keys: ReturnType<typeof readKeys>;
  readonly #keyPrefix: string;
  readonly #timeoutMs: number;
  #connectionError = new Error('the connection was lost');
  #failures = 0;

  /**
   * @param redis an ioredis client, which is never closed here, or the options or URL of a connection of the store's
   * own: opened at the first operation, ended by {@link close}.
   * @throws {OAuthConfigurationError} without any of these, and when an encryption key is missing or malformed.
   */
  constructor(redis: Redis | Cluster | RedisOptions | string, options: RedisTokenStoreOptions) {
    super();
    const missing =
      'RedisTokenStore needs an ioredis client, its options or a URL, and was given none of them.';
    if (!redis) throw new OAuthConfigurationError([missing]);
    this.#keys = readKeys(options?.encryptionKeys);
    ({ keyPrefix: this.#keyPrefix = 'oauth:', timeoutMs: this.#timeoutMs = 100 } = options);
    const given = typeof redis === 'object' && 'defineCommand' in redis;
    const client = given ? redis : (this.#own = this.#connection(redis));
    client.defineCommand('oauthSet', { numberOfKeys: 1, lua: SET_UNLESS_OLDER });
    client.defineCommand('oauthDelete', { numberOfKeys: 1, lua: DELETE_IF_EQUAL });
    this.#client = client as typeof client & Scripts;
  }

  async get(key: string): Promise<StoredToken | undefined> {
    const name = this.#open(key);
    return this.#bounded(() => this.#entryOf(name, () => this.#read(name)));
  }

  async set(key: string, token: StoredToken): Promise<void> {
    const name = this.#open(key);
    const minMs = token.refreshToken === undefined ? 1 : REFRESH_TOKEN_KEPT_MS;
    const ttlMs = Math.ceil(Math.max(token.expiresAt - Date.now(), minMs));
    await this.#bounded(async () => {
      const entry = await seal(this.#keys, name, token);
      const newer = await this.#client.oauthSet(name, entry, token.issuedAt, ttlMs, '');
      const present = newer === null ? token : await this.#entryOf(name, async () => newer);
      // A writer whose clock is ahead only seems to be newer.
      if (newer === null || (present && present.issuedAt > token.issuedAt)) return;
      await this.#client.oauthSet(name, entry, token.issuedAt, ttlMs, newer);
    });
  }

  async delete(key: string, ifValue?: string): Promise<void> {
    const name = this.#open(key);
    await this.#bounded(async () => {
      if (ifValue === undefined) return this.#client.del(name);
      // Compared here and deleted by its text, so that Redis needs no digest of a token, which might be guessed.
      const text = await this.#read(name);
      const holds = (await unseal(this.#keys, name, text))?.value === ifValue;
      return holds && this.#client.oauthDelete(name, text);
    });
  }

  async withLock<T>(key: string, ttlMs: number, work: () => Promise<T>): Promise<LockOutcome<T>> {
    const name = `${this.#open(key)}:lock`;
    const owner = randomUUID();
    const answer = this.#client.set(name, owner, 'PX', Math.ceil(ttlMs), 'NX');
    const release = () => this.#bounded(() => this.#client.oauthDelete(name, owner)).catch(() => undefined);
    try {
      if ((await this.#bounded(() => answer)) === null) return { outcome: 'held' };
    } catch (error) {
      // Redis may still carry it out, and a lock without a holder would keep everybody waiting for its lease.
      void answer.then(release, release);
      return { outcome: 'error', error };
    }
    const failures = this.#failures;
    try {
      return { outcome: 'acquired', result: await work() };
    } finally {
      const released = release();
      // A Redis that failed meanwhile has cost the caller its timeoutMs already.
      if (this.#failures === failures) await released;
    }
  }

  /** Ends the store's own connection, which the next operation opens again; a client that was given stays open. */
  override async close(): Promise<void> {
    const own = this.#own;
    if (own?.status === 'ready') await this.#bounded(() => own.quit()).catch(() => undefined);
    own?.disconnect();
    if (own && own.status !== 'end') await this.#bounded(() => once(own, 'end')).catch(() => undefined);
  }

  #connection(redis: RedisOptions | string): Redis {
    const own =
      typeof redis === 'string'
        ? new Redis(redis, CONNECTION_DEFAULTS)
        : new Redis({ ...CONNECTION_DEFAULTS, ...redis, replyMapping: 'legacy' });
    // Without a listener ioredis prints; the operations tell of the failure.
    return own.on('error', (error: Error) => (this.#connectionError = error));
  }

  /** What Redis calls the key. Opens a connection that was closed: another application may share the store. */
  #open(key: string): string {
    if (this.#own?.status === 'end') this.#own.connect().catch(() => undefined); // the operation tells of it
    return `${this.#keyPrefix}{${key}}`; // in braces, so that all keys of one operation share a slot of a Cluster
  }

  /** The entry that `read` answers, which is asked for after its remaining time. */
  async #entryOf(name: string, read: () => Promise<string>): Promise<StoredToken | undefined> {
    const askedAt = Date.now();
    const [leftMs, text] = await Promise.all([this.#client.pttl(name), read()]);
    return byOurClock(await unseal(this.#keys, name, text), leftMs, askedAt, this.#timeoutMs);
  }

  async #read(name: string): Promise<string> {
    const text = await this.#client.get(name).catch((error: Error) => {
      if (!error.message.startsWith('WRONGTYPE')) throw error;
      return '';
    });
    return text ?? '';
  }

  #bounded<T>(operation: () => Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const tickMs = this.#timeoutMs / TICKS;
    let leftMs = this.#timeoutMs;
    let seenAt = performance.now();
    const deadline = new Promise<never>((_resolve, reject) => {
      timer = setInterval(() => {
        const now = performance.now();
        // Time in which this process did not get to run says nothing about Redis.
        leftMs -= Math.min(now - seenAt, 2 * tickMs);
        seenAt = now;
        // With the next tick it would be too late.
        if (leftMs < tickMs) reject(new Error(`no answer within ${this.#timeoutMs} ms`));
      }, tickMs);
    });
    return Promise.race([operation(), deadline])
      .catch((reason: Error) => {
        this.#failures++;
        const { message } = reason.name === 'MaxRetriesPerRequestError' ? this.#connectionError : reason;
        // Not the error itself: ioredis hangs the arguments on it, and Redis quotes them in some messages.
        throw new Error(`The Redis token store failed: ${message.replace(/\.?(, with args.*)?$/s, '')}.`);
      })
      .finally(() => clearInterval(timer));
  }
}

/** What a writer's clock may be ahead of ours before that counts. */
const AHEAD_MS = 50;

/**
 * The entry with its times by our clock. How long it lives is Redis's to say: its writer's clock may be off by hours.
 *
 * @param leftMs its remaining time in Redis at some point between `askedAt` and now; negative when there is none
 * @param delayMs how much later than meant a write may have begun to count down
 */
function byOurClock(
  token: StoredToken | undefined,
  leftMs: number,
  askedAt: number,
  delayMs: number,
): StoredToken | undefined {
  if (token === undefined || token.refreshToken !== undefined || leftMs < 0) return token;
  const behindMs = askedAt + leftMs - token.expiresAt;
  const isPlausible = behindMs < delayMs && token.expiresAt <= Date.now() + leftMs + AHEAD_MS;
  if (isPlausible) return token;
  return { ...token, issuedAt: token.issuedAt + behindMs, expiresAt: token.expiresAt + behindMs };
}
