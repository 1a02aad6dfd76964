import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, type AddressInfo, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { Authority } from './certificates.js';

/** User name and password that a proxy asks for (RFC 9110 §11.7). */
export interface ProxyCredentials {
  username: string;
  password: string;
}

/** What a proxy is like. */
export interface ProxyKind {
  /** Without them a request is refused with 407. */
  credentials?: ProxyCredentials | undefined;
  /** Talks TLS itself, and would take a client's certificate. */
  authority?: Authority | undefined;
  /** What it does to a CONNECT in place of opening a tunnel: answers with that status, or drops the connection. */
  instead?: number | 'drop';
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
  readonly #kind: ProxyKind;
  /** The certificate that the client presented for each tunnel, if any. */
  readonly certificates: (string | undefined)[] = [];
  readonly #sockets = new Set<Duplex>();
  readonly #read: (string | Buffer)[] = [];

  private constructor(server: Server, kind: ProxyKind) {
    this.#server = server;
    this.#kind = kind;
    this.port = (server.address() as AddressInfo).port;
    server.on('connect', (request: IncomingMessage, socket: Duplex) => this.#tunnel(request, socket));
    server.on('request', (request, response) => {
      this.#record(request);
      request.on('data', (chunk: Buffer) => this.#read.push(chunk));
      request.on('end', () => response.writeHead(502).end('This proxy only opens tunnels.'));
    });
  }

  static async start(kind: ProxyKind = {}): Promise<ConnectProxy> {
    const { authority } = kind;
    const server = authority
      ? createTlsServer({ ...authority.server(), requestCert: true, rejectUnauthorized: false })
      : createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return new ConnectProxy(server, kind);
  }

  /** As Axios takes it in `proxy`, without credentials. */
  get address(): { protocol: string; host: string; port: number } {
    return { protocol: this.#scheme, host: '127.0.0.1', port: this.port };
  }

  /** As environment variables name it. */
  urlFor(credentials?: ProxyCredentials): string {
    const user = credentials === undefined ? '' : `${credentials.username}:${credentials.password}@`;
    return `${this.#scheme}://${user}127.0.0.1:${this.port}`;
  }

  /** Everything that the proxy, or a listener on the way to it, could read: heads, bodies and tunnels. */
  get seen(): string {
    return this.#read.map((part) => part.toString('latin1')).join('\n');
  }

  get #scheme(): string {
    return this.#kind.authority === undefined ? 'http' : 'https';
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
    this.certificates.push((client as Partial<TLSSocket>).getPeerCertificate?.().fingerprint256);
    const { instead } = this.#kind;
    if (instead === 'drop') return void client.destroy();
    if (instead !== undefined) {
      const body = '{"error":"of the proxy"}';
      const head = `HTTP/1.1 ${instead} No\r\nwww-authenticate: Bearer error="invalid_token"\r\n`;
      client.end(`${head}content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
      return;
    }
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
    if (this.#kind.credentials === undefined) return true;
    const { username, password } = this.#kind.credentials;
    const expected = Buffer.from(`${username}:${password}`).toString('base64');
    return headers['proxy-authorization'] === `Basic ${expected}`;
  }
}
