import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { Authority } from '../support/certificates.js';

/** Part of every token these suites put into a store, so that one search finds any of them in clear. */
export const MARK = 'never-in-clear';

/** A real redis-server on a free port, that can be killed, hung, emptied and turned read-only. */
export class RedisServer {
  readonly #port: number;
  readonly #directory: string;
  readonly #options: string[];
  #process!: ChildProcess;
  #monitor: Socket | undefined;
  #transcript = '';
  #admin: Redis | undefined;
  /** What must never be seen in Redis or on its wire. */
  readonly secrets = new Set([MARK]);

  private constructor(port: number, directory: string, options: string[]) {
    this.#port = port;
    this.#directory = directory;
    this.#options = options;
  }

  static async start(...options: string[]): Promise<RedisServer> {
    const directory = await mkdtemp(join(tmpdir(), 'redis-'));
    const server = new RedisServer(await freePort(), directory, options);
    await server.restart();
    return server;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.#port}`;
  }

  get #running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** A connection beside those under test. */
  get admin(): Redis {
    if (this.#admin) return this.#admin;
    this.#admin = new Redis(this.#port, '127.0.0.1', { maxRetriesPerRequest: null, retryStrategy: () => 20 });
    return this.#admin.on('error', () => {
      // The server is down; commands wait for it.
    });
  }

  /** Starts the server, empty, on the same port. */
  async restart(): Promise<void> {
    const plain = [
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
      '--repl-diskless-sync-delay',
      '0',
    ];
    this.#process = spawn(
      'redis-server',
      ['--port', String(this.#port), '--dir', this.#directory, ...plain, ...this.#options],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    let output = '';
    for await (const chunk of this.#process.stdout!.setEncoding('utf8')) {
      output += String(chunk);
      if (output.includes('Ready to accept connections')) break;
    }
    if (!output.includes('Ready to accept')) throw new Error(`redis-server did not start:\n${output}`);
    this.#monitor = connect(this.#port, '127.0.0.1');
    this.#monitor.on('data', (chunk) => (this.#transcript += chunk.toString('latin1')));
    this.#monitor.on('error', () => {
      // Broken by kill().
    });
    this.#monitor.write('MONITOR\r\n');
    await once(this.#monitor, 'data');
  }

  async kill(): Promise<void> {
    if (!this.#running) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await ended;
    this.#monitor?.destroy();
  }

  /** The server accepts, and says nothing until {@link resume}. */
  pause(): void {
    this.#process.kill('SIGSTOP');
  }

  resume(): void {
    this.#process.kill('SIGCONT');
  }

  /** As a replica whose master cannot be reached, the server answers reads and refuses writes. */
  async turnReadOnly(readOnly: boolean): Promise<void> {
    await (readOnly ? this.admin.replicaof('127.0.0.1', 1) : this.admin.replicaof('NO', 'ONE'));
  }

  async takeWritesAway(taken: boolean): Promise<void> {
    await this.admin.acl('SETUSER', 'default', taken ? '-@write' : '+@write');
  }

  /** Running, answering, writable and empty, whatever was done to it. */
  async repair(): Promise<void> {
    if (!this.#running) await this.restart();
    this.resume();
    await this.turnReadOnly(false);
    await this.takeWritesAway(false);
    await this.admin.flushall();
  }

  /** Every key with its value. */
  async dump(): Promise<Record<string, string>> {
    const keys = await this.admin.keys('*');
    const entries: [string, string][] = [];
    for (const key of keys) {
      const text = (await this.admin.type(key)) === 'string' ? await this.admin.get(key) : null;
      entries.push([key, text ?? '']);
    }
    return Object.fromEntries(entries);
  }

  /** All that passed over the wire so far, as MONITOR tells it. */
  async transcript(): Promise<string> {
    const marker = `seen-${Math.random()}`;
    await this.admin.echo(marker);
    while (!this.#transcript.includes(marker)) await once(this.#monitor!, 'data');
    return this.#transcript;
  }

  async stop(): Promise<void> {
    this.#admin?.disconnect();
    await this.kill();
    await rm(this.#directory, { recursive: true });
  }
}

/** `secret` as it is, in hex, and in Base64 at any alignment. */
export function formsOf(secret: string): string[] {
  const inBase64 = [0, 1, 2].map((shift) => {
    const text = Buffer.from(' '.repeat(shift) + secret).toString('base64url');
    return text.slice(shift === 0 ? 0 : shift + 1, -3);
  });
  return [secret, Buffer.from(secret).toString('hex'), ...inBase64];
}

/** A suite that starts servers itself. Without redis-server it is skipped, with one line; under CI it fails. */
export function describeWithRedisServers(name: string, body: () => void): void {
  const missing = spawnSync('redis-server', ['--version']).error !== undefined;
  if (missing && process.env['CI'] !== 'true') {
    process.stderr.write(
      `Skipped: ${name}. Install redis-server (apt-get install redis-server) to run it.\n`,
    );
  }
  const describeOrSkip = missing && process.env['CI'] !== 'true' ? describe.skip : describe;
  describeOrSkip(name, () => {
    beforeAll(() => {
      if (missing) throw new Error('redis-server is not on the PATH: apt-get install redis-server');
    });
    body();
  });
}

/**
 * A suite with a redis-server of its own, and a last case that looks for secrets in all it saw.
 */
export function describeWithRedis(
  name: string,
  body: (server: () => RedisServer) => void,
  ...options: string[]
): void {
  describeWithRedisServers(name, () => {
    let server: RedisServer;
    beforeAll(async () => {
      server = await RedisServer.start(...options);
    });
    afterAll(() => server?.stop());
    body(() => server);

    it('58. 66. nothing in clear: the MONITOR transcript of this suite and all keys and values', async () => {
      const seen = (await server.transcript()) + JSON.stringify(await server.dump());
      expect(seen.includes('oauth:{')).toBe(true);
      const leaked = [...server.secrets].filter((secret) =>
        formsOf(secret).some((form) => seen.includes(form)),
      );
      expect(leaked).toEqual([]);
    });
  });
}

/** Has a {@link RedisServer} speak TLS on a port of its own, beside the plain one. */
export async function tlsOptions(authority: Authority, port: number): Promise<string[]> {
  const path = (name: string) => join(authority.folder, name);
  const { cert, key } = authority.server();
  await writeFile(path('redis.pem'), cert);
  await writeFile(path('redis.key'), key);
  const files = { cert: 'redis.pem', key: 'redis.key', 'ca-cert': 'ca.pem' };
  const options = Object.entries(files).flatMap(([what, name]) => [`--tls-${what}-file`, path(name)]);
  return ['--tls-port', String(port), '--tls-auth-clients', 'no', ...options];
}

export async function freePort(): Promise<number> {
  const probe = createServer();
  await once(probe.listen(0, '127.0.0.1'), 'listening');
  const { port } = probe.address() as AddressInfo;
  await once(probe.close(), 'close');
  return port;
}
