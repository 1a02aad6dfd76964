import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** User name and password that a proxy asks for (RFC 9110 §11.7). */
export interface ProxyCredentials {
  username: string;
  password: string;
}

/**
 * An HTTP proxy on loopback that opens tunnels (RFC 9110 §9.3.6) and keeps all that it could read on the way. A request
 * that is not CONNECT was sent to it in clear text; it goes no further and is answered with 502.
 */
export class ConnectProxy {
  /** The line of each request: method and target. */
  readonly requestLines: string[] = [];
  readonly port: number;
  readonly #server: Server;
  readonly #credentials: ProxyCredentials | undefined;
  readonly #sockets = new Set<Duplex>();
  readonly #read: (string | Buffer)[] = [];

  private constructor(server: Server, credentials: ProxyCredentials | undefined) {
    this.#server = server;
    this.#credentials = credentials;
    this.port = (server.address() as AddressInfo).port;
    server.on('connect', (request: IncomingMessage, socket: Duplex) => this.#tunnel(request, socket));
    server.on('request', (request, response) => {
      this.#record(request);
      request.on('data', (chunk: Buffer) => this.#read.push(chunk));
      request.on('end', () => response.writeHead(502).end('This proxy only opens tunnels.'));
    });
  }

  /** @param credentials without them a request is refused with 407 */
  static async start(credentials?: ProxyCredentials): Promise<ConnectProxy> {
    const server = createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return new ConnectProxy(server, credentials);
  }

  /** As Axios takes it in `proxy`, without credentials. */
  get address(): { protocol: string; host: string; port: number } {
    return { protocol: 'http', host: '127.0.0.1', port: this.port };
  }

  /** As environment variables name it. */
  urlFor(credentials?: ProxyCredentials): string {
    const user = credentials === undefined ? '' : `${credentials.username}:${credentials.password}@`;
    return `http://${user}127.0.0.1:${this.port}`;
  }

  /** Everything that the proxy, and whoever listens on the way to it, could read: heads, bodies and tunnels. */
  get seen(): string {
    return this.#read.map((part) => part.toString('latin1')).join('\n');
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    for (const socket of this.#sockets) socket.destroy();
    const closed = once(this.#server.close(), 'close');
    this.#server.closeAllConnections();
    await closed;
  }

  #record({ method = '', url = '', rawHeaders }: IncomingMessage): void {
    this.requestLines.push(`${method} ${url}`);
    this.#read.push(`${method} ${url}`, rawHeaders.join('\n'));
  }

  #tunnel(request: IncomingMessage, client: Duplex): void {
    this.#record(request);
    this.#sockets.add(client);
    client.on('error', () => client.destroy());
    if (!this.#admits(request)) {
      client.end('HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n\r\n');
      return;
    }
    const { hostname, port } = new URL(`http://${request.url ?? ''}`);
    const target: Socket = connect(Number(port), hostname, () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      client.on('data', (chunk: Buffer) => this.#read.push(chunk));
      client.pipe(target).pipe(client);
    });
    this.#sockets.add(target);
    target.on('error', () => client.destroy());
    client.on('close', () => target.destroy());
  }

  #admits({ headers }: IncomingMessage): boolean {
    if (this.#credentials === undefined) return true;
    const { username, password } = this.#credentials;
    const expected = Buffer.from(`${username}:${password}`).toString('base64');
    return headers['proxy-authorization'] === `Basic ${expected}`;
  }
}
