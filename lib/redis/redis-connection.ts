import { once } from 'node:events';
import { Command, Redis, type Cluster, type RedisOptions } from 'ioredis';
import { defer, firstValueFrom, tap } from 'rxjs';
import { systemClock, whileAwake } from '../core/clock.js';
import { OAuthConfigurationError } from '../core/errors.js';

/** Budget for connecting, and for operations that a shutdown waits for. */
const CONNECT_MS = 1_000;
/** A connection of the store's own that is silent for that long is replaced: the other end may be gone. */
const SILENT_MS = 1_000;
/** A given client serves others as well: it is not asked more often to look for another primary. */
const RECONNECT_INTERVAL_MS = 10_000;

/** For a connection of the store's own: commands fail with it rather than wait for the next one. */
const OWN_DEFAULTS = {
  lazyConnect: true,
  maxRetriesPerRequest: 0,
  retryStrategy: (attempt: number) => Math.min(attempt * 100, 1_000),
  // The primary may have moved, and this address may lead to the new one.
  reconnectOnError: ({ message }: Error) => message.startsWith('READONLY'),
  // It needs INFO, and a round trip; a Redis that is still loading says so itself.
  enableReadyCheck: false,
  socketTimeout: 5_000,
  disconnectTimeout: 100,
};

const WRONG_URL =
  'The URL given to RedisTokenStore must be redis://user:password@host:port/database, or rediss:// for TLS; user name and password go through encodeURIComponent.';

/** Options that name a server. Without one of them, ioredis would connect to localhost. */
const ADDRESSES = ['host', 'port', 'path', 'sentinels', 'Connector'];

/** An ioredis client, given or the store's own, with a deadline for each operation. */
export class RedisConnection {
  readonly client: Redis | Cluster;
  /** How many operations failed. */
  failures = 0;
  readonly #own: Redis | undefined;
  readonly #timeoutMs: number;
  readonly #pending = new Set<Promise<unknown>>();
  readonly #listeners: (() => void)[] = [];
  #opening: Promise<unknown> | undefined;
  #opened = false;
  #becomingReady: Promise<unknown> | undefined;
  #connectionError: string | undefined;
  #reconnectedAt = -Infinity;
  /** When the first operation since the last answer went without one. */
  #silentSince = Infinity;

  /** @throws {OAuthConfigurationError} for anything but a client, options or a URL */
  constructor(redis: Redis | Cluster | RedisOptions | string, timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
    if (typeof redis === 'string' && redis !== '' && !isRedisUrl(redis))
      throw new OAuthConfigurationError([WRONG_URL]);
    if (isClient(redis)) this.client = redis;
    else this.client = this.#own = this.#connection(redis);
  }

  /** Connects, within a budget of its own. `onReconnect` is called after every later connect. */
  async open(onReconnect?: () => void): Promise<void> {
    this.#opening ??= this.#connect().finally(() => (this.#opened = true));
    await this.#opening.finally(() => {
      if (onReconnect === undefined) return;
      this.#listeners.push(onReconnect);
      for (const event of RECONNECTED) this.client.on(event, onReconnect);
    });
  }

  /** Rejects once `timeoutMs` have passed, with an error that shows nothing of what was sent. */
  async run<T>(operation: () => Promise<T>): Promise<T> {
    if (!this.#opened) await this.open();
    return this.#within(this.#timeoutMs, async () => {
      await this.#ready();
      return this.track(operation());
    });
  }

  /** Has {@link close} wait for it. */
  track<T>(operation: Promise<T>): Promise<T> {
    const over = () => this.#pending.delete(settled);
    const settled: Promise<unknown> = operation.then(over, over);
    this.#pending.add(settled);
    return operation;
  }

  /** Where the key of that name is: one master of a Cluster may be down while the others are up. */
  addressOf(name: string): string {
    if (!('slots' in this.client)) return '';
    const { keyPrefix = '' } = this.client.options;
    return this.client.slots[new Command('get', [keyPrefix + name]).getSlot()]?.[0] ?? '';
  }

  /** The connection to that place. */
  serverOf(name: string): Redis | undefined {
    if (!('slots' in this.client)) return this.client;
    const address = this.addressOf(name);
    const masters = this.client.nodes('master');
    return masters.find(({ options: { host, port } }) => `${host}:${port}` === address);
  }

  /** Waits for operations under way, then ends the store's own connection, which the next operation opens again. */
  async close(): Promise<void> {
    const ignore = () => undefined;
    await this.#within(CONNECT_MS, async () => {
      while (this.#pending.size > 0) await Promise.all(this.#pending);
    }).catch(ignore);
    for (const listener of this.#listeners.splice(0))
      for (const event of RECONNECTED) this.client.off(event, listener);
    this.#opening = undefined;
    this.#opened = false;
    const own = this.#own;
    if (own?.status === 'ready') await this.#within(this.#timeoutMs, () => own.quit()).catch(ignore);
    own?.disconnect();
    if (own && own.status !== 'end')
      await this.#within(this.#timeoutMs, () => once(own, 'end')).catch(ignore);
  }

  #connection(redis: RedisOptions | string): Redis {
    const own =
      typeof redis === 'string'
        ? new Redis(redis, OWN_DEFAULTS)
        : new Redis({
            ...OWN_DEFAULTS,
            enableReadyCheck: Boolean(redis.sentinels), // there it makes sure of the server's role
            ...redis,
            replyMapping: 'legacy',
          });
    // Without a listener ioredis prints; the operations tell of the failure.
    return own
      .on('error', ({ message }: Error) => (this.#connectionError = message))
      .on('ready', () => (this.#connectionError = undefined));
  }

  async #connect(): Promise<void> {
    const { client } = this;
    await this.#within(CONNECT_MS, () => this.#ready());
    if (!('slots' in client)) return;
    // To each of its masters a Cluster connects with the first command for that one, and some may be down.
    const greet = () => Promise.allSettled(client.nodes('master').map((master) => master.ping()));
    await this.#within(CONNECT_MS, greet).catch(() => undefined);
  }

  /** Nothing is queued without a connection, since it would be carried out long after its deadline. */
  #ready(): Promise<unknown> {
    const { client } = this;
    if (client.status === 'ready') return Promise.resolve();
    if (client.status === 'end' && !this.#own) throw new Error('the client was closed');
    if (client.status === 'wait' || client.status === 'end') client.connect().catch(() => undefined);
    return (this.#becomingReady ??= once(client, 'ready').finally(() => (this.#becomingReady = undefined)));
  }

  #within<T>(limitMs: number, operation: () => Promise<T>): Promise<T> {
    const late = () => {
      this.#breakSilence();
      return new Error(this.#connectionError ?? `no answer within ${limitMs} ms`);
    };
    const answered = () => (this.#silentSince = Infinity);
    const operation$ = defer(operation).pipe(whileAwake(limitMs, systemClock, late), tap(answered));
    return firstValueFrom(operation$).catch((reason: Error) => {
      this.failures++;
      if (reason.name === 'ReplyError') answered();
      if (reason.message.startsWith('READONLY')) this.#lookForPrimary();
      const isLost = reason.name === 'MaxRetriesPerRequestError';
      const message = isLost ? (this.#connectionError ?? 'the connection was lost') : reason.message;
      // Not the error itself: ioredis hangs the arguments on it, and Redis quotes them in some messages.
      throw new Error(`The Redis token store failed: ${message.replace(/\.?(, with args.*)?$/s, '')}.`);
    });
  }

  #breakSilence(): void {
    const now = performance.now();
    this.#silentSince = Math.min(this.#silentSince, now);
    if (this.#own?.status === 'ready' && now - this.#silentSince >= SILENT_MS) this.#own.disconnect(true);
  }

  /** A given client that stays connected to a demoted primary cannot write at all. */
  #lookForPrimary(): void {
    const now = performance.now();
    if (this.#own || 'slots' in this.client || now - this.#reconnectedAt < RECONNECT_INTERVAL_MS) return;
    this.#reconnectedAt = now;
    this.client.disconnect(true);
  }
}

/** The events of a client that has connected again, to Redis or to a server of a Cluster. */
const RECONNECTED = ['ready', '+node'];

function isClient(redis: unknown): redis is Redis | Cluster {
  const members = redis !== null && typeof redis === 'object' ? redis : {};
  if ('defineCommand' in members && 'status' in members) return true;
  const isOptions = Object.entries(members).some(([name, value]) => value && ADDRESSES.includes(name));
  if (isOptions || (typeof redis === 'string' && redis !== '')) return false;
  throw new OAuthConfigurationError([
    'RedisTokenStore: its first argument must be an ioredis client (new Redis(...), not a client of the redis package), ' +
      'the options of one, with a host, port, path or sentinels, or a URL.',
  ]);
}

/** ioredis takes an unreadable URL for a host name, and shows or resolves parts of a password. */
function isRedisUrl(url: string): boolean {
  if (!/^rediss?:\/\/[^\s/]/.test(url) || !URL.canParse(url)) return false;
  const { username, password, hostname, pathname, search, hash } = new URL(url);
  const isWhole = hostname !== '' && /^(\/\d*)?$/.test(pathname) && !search.includes('@');
  return isWhole && hash === '' && !url.endsWith('#') && !/%(?![\da-f]{2})/i.test(username + password);
}
