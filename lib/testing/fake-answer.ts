import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
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
  form?: URLSearchParams;
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

/** A whole response. An object as `body` is sent as JSON; without `body` it is empty. */
export interface FakeResponse {
  status: number;
  headers?: OutgoingHttpHeaders;
  body?: string | object;
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
  | { delayMs: number; answer?: FakeAnswer }
  | FakeAnswerFunction
  | object;

/** Decides at the time of the request. A promise holds the answer back. */
export type FakeAnswerFunction = (
  request: RecordedRequest,
) => FakeAnswer | undefined | Promise<FakeAnswer | undefined>;

const HUGE_BYTES = 50 * 1024 * 1024;

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
    const json = parseJson(request.rawBody.toString());
    if (json !== undefined) request.json = json;
  }
  return request;
}

/** One address of the server: what it received and what it says next. */
export class FakeEndpoint {
  readonly requests: RecordedRequest[] = [];
  readonly queue: FakeAnswer[] = [];
  always: FakeAnswer | undefined;

  answer(
    request: RecordedRequest,
    byDefault: FakeAnswerFunction,
    delayMs = 0,
  ): Promise<FakeFault | FakeResponse> {
    this.requests.push(request);
    const answer = this.queue.shift() ?? this.always ?? byDefault;
    return settle(delayMs > 0 ? { delayMs, answer } : answer, request, byDefault);
  }
}

/** Runs delays and functions until a response or a fault of the wire is left. */
async function settle(
  answer: FakeAnswer | undefined,
  request: RecordedRequest,
  byDefault: FakeAnswerFunction,
): Promise<FakeFault | FakeResponse> {
  if (answer === undefined) return settle(byDefault, request, byDefault);
  if (typeof answer === 'function') {
    return settle(await (answer as FakeAnswerFunction)(request), request, byDefault);
  }
  if (typeof answer === 'string') return answer;
  if ('delayMs' in answer) {
    // Not referenced: a pending delay must not keep a test's process alive after close().
    await sleep(answer.delayMs, undefined, { ref: false });
    return settle(answer.answer, request, byDefault);
  }
  if ('redirectTo' in answer) return { status: 307, headers: { location: answer.redirectTo } };
  if (isResponse(answer)) return answer;
  return { status: 200, body: answer };
}

/** Puts an answer on the wire. */
export function send(response: ServerResponse, answer: FakeFault | FakeResponse): void {
  switch (answer) {
    case 'hang':
      return;
    case 'hang_after_headers':
      return response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    case 'drip':
      return drip(response.writeHead(200, { 'content-type': 'application/json' }));
    case 'reset':
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1000 });
      response.write('{"access_');
      // Read at once with the data, a reset looks to libuv like a regular end.
      setTimeout(() => response.socket?.resetAndDestroy(), 20).unref();
      return;
    case 'huge':
      Readable.from(hugeBody()).pipe(response.writeHead(200, { 'content-type': 'application/json' }));
      return;
    case 'html':
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Sign in</title>');
      return;
    case 'empty':
      response.writeHead(200, { 'content-type': 'application/json' }).end();
      return;
    case 'garbage':
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"access_token":');
      return;
    default: {
      const { status, headers, body } = answer;
      const type = typeof body === 'object' ? { 'content-type': 'application/json' } : {};
      response.writeHead(status, { ...type, ...headers });
      response.end(typeof body === 'object' ? JSON.stringify(body) : body);
    }
  }
}

function isResponse(answer: object): answer is FakeResponse {
  return 'status' in answer && typeof answer.status === 'number';
}

function drip(response: ServerResponse): void {
  response.write('{');
  const timer = setInterval(() => response.write(' '), 1000);
  response.once('close', () => clearInterval(timer));
}

function* hugeBody(): Generator<Buffer> {
  yield Buffer.from('{"access_token":"');
  const chunk = Buffer.alloc(64 * 1024, 'x');
  for (let sent = 0; sent < HUGE_BYTES; sent += chunk.length) yield chunk;
  yield Buffer.from('"}');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
