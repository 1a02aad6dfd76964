/**
 * A token store that a fleet shares; needs `ioredis`.
 *
 * @module nestjs-oauth-client/redis
 */

import { randomUUID } from 'node:crypto';
import type { Cluster, Redis, RedisOptions } from 'ioredis';
import { TokenStore, type LockOutcome, type StoredToken } from './core/token-store.js';
import { byOurClock, ttlMsOf } from './redis/entry-times.js';
import { RedisConnection } from './redis/redis-connection.js';
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
  keyPrefix?: string | undefined;
  /** Deadline of one operation, in milliseconds. Default 100. Connecting has a second of its own. */
  timeoutMs?: number | undefined;
  /**
   * How many replicas must have a new refresh token before its access token is used (`WAIT`). Default 0. After half of
   * `timeoutMs` the call goes on without them.
   */
  waitForReplicas?: number | undefined;
}

/** How long scripts that Redis refused are not tried again. */
const REFUSED_MS = 60_000;

/** Answers the present entry when that is newer and not the one the caller found unreadable (ARGV[4]). */
const SET_UNLESS_OLDER = `
local present = redis.pcall('GET', KEYS[1])
local parsed, entry = pcall(cjson.decode, present)
local issuedAt = parsed and type(entry) == 'table' and tonumber(entry.issuedAt)
if issuedAt and issuedAt > tonumber(ARGV[2]) and present ~= ARGV[4] then return present end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])`;
const DELETE_IF_EQUAL = `return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1])`;

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
  readonly #connection: RedisConnection;
  readonly #client: (Redis | Cluster) & Scripts;
  readonly #keys: ReturnType<typeof readKeys>;
  readonly #keyPrefix: string;
  readonly #timeoutMs: number;
  readonly #replicas: number;
  #refusedAt = -Infinity;

  /**
   * @param redis an ioredis client, which is never closed here, or the options or URL of a connection of the store's
   * own: opened at module init or by the first operation, ended by {@link close}.
   * @throws {OAuthConfigurationError} without any of these, and when an encryption key is missing or malformed.
   */
  constructor(redis: Redis | Cluster | RedisOptions | string, options: RedisTokenStoreOptions) {
    super();
    this.#keys = readKeys(options?.encryptionKeys);
    const { keyPrefix = 'oauth:', timeoutMs = 100, waitForReplicas = 0 } = options;
    this.#keyPrefix = keyPrefix;
    this.#timeoutMs = timeoutMs;
    this.#replicas = waitForReplicas;
    this.#connection = new RedisConnection(redis, timeoutMs);
    const { client } = this.#connection;
    client.defineCommand('oauthSet', { numberOfKeys: 1, lua: SET_UNLESS_OLDER });
    client.defineCommand('oauthDelete', { numberOfKeys: 1, lua: DELETE_IF_EQUAL });
    this.#client = client as typeof client & Scripts;
  }

  override open(restore: () => void): Promise<void> {
    return this.#connection.open(restore);
  }

  override partOf(key: string): string {
    return this.#connection.addressOf(this.#name(key));
  }

  async get(key: string): Promise<StoredToken | undefined> {
    const name = this.#name(key);
    return this.#connection.run(() => this.#entryOf(name, () => this.#read(name)));
  }

  async set(key: string, token: StoredToken): Promise<void> {
    const connection = this.#connection;
    const name = this.#name(key);
    const byScript = () => this.#setByScript(name, token);
    await connection.run(() => this.#scripted(byScript, () => this.#setByCommands(name, token)));
    if (this.#replicas === 0 || token.refreshToken === undefined) return;
    const limitMs = Math.ceil(this.#timeoutMs / 2);
    await connection.run(async () => connection.serverOf(name)?.wait(this.#replicas, limitMs));
  }

  async delete(key: string, ifValue?: string): Promise<void> {
    const name = this.#name(key);
    const connection = this.#connection;
    if (ifValue === undefined) return void (await connection.run(() => this.#remove(name)));
    // Compared here and deleted by its text, so that Redis needs no digest of a token, which might be guessed.
    const text = await connection.run(() => this.#read(name));
    if ((await unseal(this.#keys, name, text))?.value === ifValue)
      await connection.run(() => this.#deleteIf(name, text));
  }

  async withLock<T>(key: string, ttlMs: number, work: () => Promise<T>): Promise<LockOutcome<T>> {
    const connection = this.#connection;
    const name = `${this.#name(key)}:lock`;
    const owner = randomUUID();
    const endsAt = performance.now() + ttlMs;
    const release = () => connection.run(() => this.#deleteIf(name, owner, endsAt));
    let asked: Promise<boolean> | undefined;
    try {
      if (!(await connection.run(() => (asked = this.#acquire(name, owner, Math.ceil(ttlMs))))))
        return { outcome: 'held' };
    } catch (error) {
      // Redis may still carry it out, and a lock without a holder would keep everybody waiting for its lease.
      if (asked) void connection.track(asked.then(release, release)).catch(() => undefined);
      return { outcome: 'error', error };
    }
    const { failures } = connection;
    const [worked] = await Promise.allSettled([(async () => work())()]);
    const released = Promise.allSettled([release()]);
    // A Redis that failed meanwhile has cost the caller its timeoutMs already.
    const [given] = connection.failures === failures ? await released : [];
    if (worked.status === 'rejected') throw worked.reason;
    const { value: result } = worked;
    if (given?.status === 'rejected') return { outcome: 'acquired', result, unreleased: given.reason };
    return { outcome: 'acquired', result };
  }

  /** Waits for locks to be given back and ends the store's own connection, which the next operation opens again. */
  override close(): Promise<void> {
    return this.#connection.close();
  }

  /** In braces what an entry shares with its lock and its failure, so that all are in one slot of a Cluster. */
  #name(key: string): string {
    const [tag = ''] = key.split('.', 1);
    return `${this.#keyPrefix}{${tag}}${key.slice(tag.length)}`;
  }

  /** The entry that `read` answers, which is asked for after its remaining time. */
  async #entryOf(name: string, read: () => Promise<string>): Promise<StoredToken | undefined> {
    const askedAt = Date.now();
    const [leftMs, text] = await Promise.all([this.#leftMs(name), read()]);
    return byOurClock(await unseal(this.#keys, name, text), leftMs, askedAt, this.#timeoutMs);
  }

  /** A client with `stringNumbers` answers with text. */
  async #leftMs(name: string): Promise<number> {
    const answer: unknown = await this.#client.pttl(name);
    return Number(answer);
  }

  async #read(name: string): Promise<string> {
    const text = await this.#client.get(name).catch((error: Error) => {
      if (!error.message.startsWith('WRONGTYPE')) throw error;
      return '';
    });
    return text ?? '';
  }

  async #acquire(name: string, owner: string, ttlMs: number): Promise<boolean> {
    const answer = this.#client.set(name, owner, 'PX', ttlMs, 'NX');
    const [acquired, leftMs] = await Promise.all([answer, this.#leftMs(name)]);
    // A lock without an end gets the lease of the first instance that meets it.
    if (acquired === null && leftMs === -1) await this.#client.pexpire(name, ttlMs);
    return acquired !== null;
  }

  /** Scripts compare and write at once. Where Redis refuses them, for lack of rights mostly, plain commands do. */
  async #scripted<T>(script: () => Promise<T>, commands: () => Promise<T>): Promise<T> {
    if (performance.now() - this.#refusedAt < REFUSED_MS) return commands();
    try {
      return await script();
    } catch (error) {
      if (!(error instanceof Error) || error.name !== 'ReplyError') throw error;
      const result = await commands();
      this.#refusedAt = performance.now();
      return result;
    }
  }

  async #setByScript(name: string, token: StoredToken): Promise<void> {
    const entry = await seal(this.#keys, name, token);
    const write = (found: string) =>
      this.#client.oauthSet(name, entry, token.issuedAt, ttlMsOf(token), found);
    const newer = await write('');
    // A writer whose clock is ahead only seems to be newer.
    if (newer !== null && !isNewer(await this.#entryOf(name, async () => newer), token)) await write(newer);
  }

  /** If a write replaced a newer entry, that is written again, so that the newest entry of all writers stays. */
  async #setByCommands(name: string, token: StoredToken): Promise<void> {
    if (isNewer(await this.#entryOf(name, () => this.#read(name)), token)) return;
    const text = await seal(this.#keys, name, token);
    const former = await this.#entryOf(name, () => this.#swap(name, text, ttlMsOf(token)));
    if (isNewer(former, token)) await this.#setByCommands(name, former);
  }

  async #swap(name: string, text: string, ttlMs: number): Promise<string> {
    const former = await this.#client.set(name, text, 'PX', ttlMs, 'GET').catch((error: Error) => {
      if (!error.message.startsWith('WRONGTYPE')) throw error;
      return this.#client.set(name, text, 'PX', ttlMs).then(() => '');
    });
    return former ?? '';
  }

  #deleteIf(name: string, text: string, until = Infinity): Promise<unknown> {
    return this.#scripted(
      () => this.#client.oauthDelete(name, text),
      async () => (await this.#read(name)) === text && performance.now() < until && this.#remove(name),
    );
  }

  /** An ACL may forbid DEL. SET is needed anyway. */
  #remove(name: string): Promise<unknown> {
    return this.#client.del(name).catch(() => this.#client.set(name, '', 'PX', 1));
  }
}

function isNewer(entry: StoredToken | undefined, token: StoredToken): entry is StoredToken {
  return entry !== undefined && entry.issuedAt > token.issuedAt;
}
