import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { closing } from './closing.js';

/** Where no token belongs: a server that notes what it is sent, and answers 200 or what `answer` says. */
export class Recorder {
  readonly requests: IncomingMessage[] = [];
  readonly port: number;
  answer: (request: IncomingMessage, response: ServerResponse) => void = (_, response) => response.end('{}');
  readonly close: () => Promise<unknown>;

  private constructor(port: number, close: () => Promise<unknown>) {
    this.port = port;
    this.close = close;
  }

  static async start(): Promise<Recorder> {
    const server = createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const recorder = new Recorder((server.address() as AddressInfo).port, () => {
      server.closeAllConnections();
      return once(server.close(), 'close');
    });
    server.on('request', (request, response) => {
      recorder.requests.push(request);
      request.resume();
      recorder.answer(request, response);
    });
    return closing(recorder);
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Everything in the received headers that proves who we are. */
  get credentials(): string[] {
    return this.requests.flatMap(({ headers }) =>
      [headers.authorization, headers['dpop']].flat().filter((value) => value !== undefined),
    );
  }
}

/** For whom every host name, however it is spelt, leads to loopback. */
export function loopbackAgent(): Agent {
  return new Agent({
    lookup: (_name, { all }, done) =>
      all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4),
  });
}
