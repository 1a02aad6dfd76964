import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** A request as the fake server received it. */
export interface RecordedRequest {
  method: string;
  /** Path and query. */
  url: string;
  headers: IncomingHttpHeaders;
  /** The body byte by byte. */
  rawBody: Buffer;
  /** The body of an `application/x-www-form-urlencoded` request. */
  form?: URLSearchParams | undefined;
  /** The body of a JSON request; absent when it does not parse. */
  json?: unknown;
  /** When the body was complete, epoch milliseconds. */
  at: number;
}

/**
 * What can go wrong on the wire: `hang` accepts and says nothing, `hang_after_headers` stops after the headers,
 * `drip` sends a byte a second, `reset` breaks the connection midway, `huge` sends 50 MB; `html`, `empty` and
 * `garbage` are complete answers with status 200 that are no JSON.
 */
export type FakeFault =
  'hang' | 'hang_after_headers' | 'drip' | 'reset' | 'huge' | 'html' | 'empty' | 'garbage';

/** A whole response. Bytes as `body` are sent as they are, other objects as JSON; without `body` it is empty. */
export interface FakeResponse {
  status: number;
  headers?: OutgoingHttpHeaders | undefined;
  body?: string | object | undefined;
}

/**
 * One scripted answer: a fault; a whole response (an object with a numeric `status`); a redirect (status 307); a
 * delay before another answer, or before the default one; a function of the request, where `undefined` means the
 * default; or any other object, which is sent as JSON with status 200.
 */
export type FakeAnswer =
  | FakeFault
  | FakeResponse
  | { redirectTo: string }
  | { delayMs: number; answer?: FakeAnswer | undefined }
  | FakeAnswerFunction
  | object;

/** Decides at the time of the request. A promise holds the answer back. */
export type FakeAnswerFunction = (
  request: RecordedRequest,
) => FakeAnswer | undefined | Promise<FakeAnswer | undefined>;

/** Reads the whole request. */
export async function record(message: IncomingMessage): Promise<RecordedRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  const { method = '', url = '', headers } = message;
  const request: RecordedRequest = { method, url, headers, rawBody: Buffer.concat(chunks), at: Date.now() };
  const contentType = headers['content-type'] ?? '';
  if (contentType.startsWith('application/x-www-form-urlencoded')) {
    request.form = new URLSearchParams(request.rawBody.toString());
  } else if (/^application\/([\w.-]+\+)?json\b/.test(contentType)) {
    try {
      request.json = JSON.parse(request.rawBody.toString()) as unknown;
    } catch {
      // Absent, as documented.
    }
  }
  return request;
}

/** One address of the server: what it received, and its next answers. */
export class FakeEndpoint {
  readonly requests: RecordedRequest[] = [];
  readonly queue: FakeAnswer[] = [];
  always: FakeAnswer | undefined;

  answer(request: RecordedRequest, byDefault: FakeAnswerFunction, delayMs = 0) {
    // Runs delays and functions until a response or a fault of the wire is left.
    const settle = async (answer: FakeAnswer = byDefault): Promise<FakeFault | FakeResponse> => {
      if (typeof answer === 'string') return answer;
      if (typeof answer === 'function') return settle(await (answer as FakeAnswerFunction)(request));
      if ('delayMs' in answer) {
        // Not referenced: a pending delay must not keep a test's process alive after close().
        await sleep(answer.delayMs, undefined, { ref: false });
        return settle(answer.answer);
      }
      if ('redirectTo' in answer) return { status: 307, headers: { location: answer.redirectTo } };
      return 'status' in answer && typeof answer.status === 'number' ? answer : { status: 200, body: answer };
    };
    this.requests.push(request);
    const answer = this.queue.shift() ?? this.always ?? byDefault;
    return settle(delayMs > 0 ? { delayMs, answer } : answer);
  }
}

/** Puts an answer on the wire. */
export function send(response: ServerResponse, answer: FakeFault | FakeResponse): void {
  if (typeof answer === 'string') return FAULTS[answer](response);
  const { status, headers, body } = answer;
  const isJson = typeof body === 'object' && !ArrayBuffer.isView(body);
  response.writeHead(status, { ...(isJson && JSON_TYPE), ...headers });
  response.end(isJson ? JSON.stringify(body) : body);
}

/** Headers of a JSON answer. */
export const JSON_TYPE = { 'content-type': 'application/json' };
const HUGE_BYTES = 50 * 1024 * 1024;

const FAULTS: Record<FakeFault, (response: ServerResponse) => void> = {
  hang: () => undefined,
  hang_after_headers: (response) => response.writeHead(200, JSON_TYPE).flushHeaders(),
  drip: (response) => {
    response.writeHead(200, JSON_TYPE).write('{');
    const timer = setInterval(() => response.write(' '), 1000);
    response.once('close', () => clearInterval(timer));
  },
  reset: (response) => {
    response.writeHead(200, { ...JSON_TYPE, 'content-length': 1000 }).write('{"access_');
    // Read at once with the data, a reset looks to libuv like a regular end.
    setTimeout(() => response.socket?.resetAndDestroy(), 20).unref();
  },
  huge: (response) => {
    response.writeHead(200, JSON_TYPE).write('{"access_token":"');
    response.end(Buffer.alloc(HUGE_BYTES, 'x'));
  },
  html: (response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Sign in</title>');
  },
  empty: (response) => send(response, { status: 200, headers: JSON_TYPE }),
  garbage: (response) => send(response, { status: 200, headers: JSON_TYPE, body: '{"access_token":' }),
};
