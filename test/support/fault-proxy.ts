import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A TCP proxy on loopback, between a client and a server at a distance that may break. */
export class FaultProxy {
  /** Where new connections lead. */
  target: number;
  /** Half of a round trip, in milliseconds. */
  latencyMs = 0;
  /** Nothing passes any more, and nobody is told: half-open connections. */
  silent = false;
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #lost = new WeakSet<Socket>();

  private constructor(server: Server, target: number) {
    this.#server = server;
    this.target = target;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (client) => this.#join(client));
  }

  static async start(target: number): Promise<FaultProxy> {
    const server = createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return new FaultProxy(server, target);
  }

  /** Ends every connection with a reset; new ones are possible. */
  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Nothing passes over the present connections any more, and nobody is told; new ones are possible. */
  lose(): void {
    for (const socket of this.#sockets) this.#lost.add(socket);
  }

  async close(): Promise<void> {
    const closed = once(this.#server.close(), 'close');
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(client: Socket): void {
    const server = connect(this.target, '127.0.0.1');
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on('error', () => to.destroy()); // a reset, mostly one of ours; it closes as well
      from.on('close', () => {
        this.#sockets.delete(from);
        this.#later(() => to.destroy());
      });
      from.on('data', (chunk) => this.#lost.has(from) || this.#later(() => to.write(chunk)));
      from.on('end', () => this.#later(() => to.end()));
    }
  }

  #later(pass: () => void): void {
    if (this.silent) return;
    if (this.latencyMs > 0) setTimeout(pass, this.latencyMs);
    else pass();
  }
}
