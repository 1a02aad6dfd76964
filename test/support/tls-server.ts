import { once } from 'node:events';
import { createServer, type Server, type ServerOptions } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Authority } from './certificates.js';

/** A request as it came over TLS. */
export interface TlsRequest {
  method: string;
  url: string;
  headers: IncomingMessage['headers'];
  form: URLSearchParams;
  body: string;
  /** SHA-256 fingerprint of the client's certificate; `undefined` without one. */
  certificate: string | undefined;
}

type Answer = { status: number; body: unknown; headers?: Record<string, string> };

/** A TLS server on loopback that records the certificate of each client. */
export class TlsServer {
  readonly requests: TlsRequest[] = [];
  /** How many connections were made. */
  connections = 0;
  /** How many of them are open. */
  openConnections = 0;
  readonly url: string;
  readonly #server: Server;

  private constructor(server: Server, answer: (request: TlsRequest) => Answer | Promise<Answer>) {
    this.#server = server;
    this.url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('secureConnection', (socket) => {
      this.connections++;
      this.openConnections++;
      socket.once('close', () => this.openConnections--);
    });
    server.on('request', async (message, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of message) chunks.push(chunk as Buffer);
      const body = Buffer.concat(chunks).toString();
      const { method = '', url = '', headers } = message;
      const certificate = (message.socket as TLSSocket).getPeerCertificate().fingerprint256;
      const request = { method, url, headers, form: new URLSearchParams(body), body, certificate };
      this.requests.push(request);
      const { status, body: answered, headers: more } = await answer(request);
      response
        .writeHead(status, { 'content-type': 'application/json', ...more })
        .end(JSON.stringify(answered));
    });
  }

  /** `demanding` (default): no connection without a certificate of the authority. */
  static async start(
    authority: Authority,
    answer: (request: TlsRequest) => Answer | Promise<Answer>,
    { demanding = true, ...more }: ServerOptions & { demanding?: boolean } = {},
  ): Promise<TlsServer> {
    const demands = { ca: authority.ca, requestCert: true, rejectUnauthorized: demanding };
    const server = createServer({ ...authority.server(), ...demands, ...more });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return new TlsServer(server, answer);
  }

  async close(): Promise<void> {
    const closed = once(this.#server.close(), 'close');
    this.#server.closeAllConnections();
    await closed;
  }
}
