import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster } from 'ioredis';
import { RedisServer, freePort } from './redis-server.js';

const SLOTS = 16_384;
const OPTIONS = [
  ['--cluster-enabled', 'yes'],
  ['--cluster-announce-ip', '127.0.0.1'],
  ['--cluster-node-timeout', '500'],
  ['--cluster-require-full-coverage', 'no'],
].flat();

/** A Redis Cluster of three masters without replicas, that goes on with two. */
export class RedisCluster {
  readonly masters: RedisServer[];

  private constructor(masters: RedisServer[]) {
    this.masters = masters;
  }

  static async start(): Promise<RedisCluster> {
    const busPorts = [await freePort(), await freePort(), await freePort()];
    const masters = await Promise.all(
      busPorts.map((busPort) => RedisServer.start(...OPTIONS, '--cluster-port', String(busPort))),
    );
    const cluster = new RedisCluster(masters);
    const [first] = masters;
    for (const [index, { admin, port }] of masters.entries()) {
      const bounds = [index, index + 1].map((part) => Math.floor((part * SLOTS) / 3));
      await admin.call('CLUSTER', 'ADDSLOTSRANGE', bounds[0]!, bounds[1]! - 1);
      if (index > 0) await first!.admin.call('CLUSTER', 'MEET', '127.0.0.1', port, busPorts[index]!);
    }
    await cluster.settled();
    return cluster;
  }

  /** A client like those of applications, with their defaults. */
  client(): Cluster {
    return new Cluster(this.masters.map(({ port }) => ({ host: '127.0.0.1', port }))).on('error', () => {
      // The outage is what the test is about.
    });
  }

  /** Waits until every master that runs knows that all slots are served. */
  async settled(): Promise<void> {
    for (const { admin } of this.masters)
      while (!/cluster_state:ok[^]*cluster_slots_ok:16384\r/.test(await admin.cluster('INFO')))
        await sleep(20);
  }

  async stop(): Promise<void> {
    await Promise.all(this.masters.map((master) => master.stop()));
  }
}
