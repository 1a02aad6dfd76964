import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RedisServer, freePort } from './redis-server.js';

/** A primary with a replica, and a Sentinel that promotes the replica when the primary is gone. */
export class RedisSentinel {
  readonly primary: RedisServer;
  readonly replica: RedisServer;
  readonly port: number;
  readonly #process: ChildProcess;
  readonly #directory: string;

  private constructor(
    primary: RedisServer,
    replica: RedisServer,
    port: number,
    process: ChildProcess,
    directory: string,
  ) {
    this.primary = primary;
    this.replica = replica;
    this.port = port;
    this.#process = process;
    this.#directory = directory;
  }

  static async start(): Promise<RedisSentinel> {
    const primary = await RedisServer.start();
    const replica = await RedisServer.start('--replicaof', `127.0.0.1 ${primary.port}`);
    while (!(await replica.admin.info('replication')).includes('master_link_status:up')) await sleep(20);
    const directory = await mkdtemp(join(tmpdir(), 'sentinel-'));
    const file = join(directory, 'sentinel.conf');
    const port = await freePort();
    const settings = [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${directory}`,
      `sentinel monitor main 127.0.0.1 ${primary.port} 1`,
      'sentinel down-after-milliseconds main 300',
      'sentinel failover-timeout main 3000',
    ];
    await writeFile(file, `${settings.join('\n')}\n`);
    const process = spawn('redis-server', [file, '--sentinel'], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    // It asks the primary for its replicas, and can promote none before it knows them.
    process.stdout.setEncoding('utf8').on('data', (chunk) => (output += String(chunk)));
    while (!output.includes('+slave')) await once(process.stdout, 'data');
    return new RedisSentinel(primary, replica, port, process, directory);
  }

  /** Kills the primary and waits until the replica is one. */
  async failOver(): Promise<void> {
    await this.primary.kill();
    while (!(await this.replica.admin.info('replication')).includes('role:master')) await sleep(20);
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await ended;
    await Promise.all([this.primary.stop(), this.replica.stop()]);
    await rm(this.#directory, { recursive: true });
  }
}
