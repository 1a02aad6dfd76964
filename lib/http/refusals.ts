import { Readable } from 'node:stream';

/** The parts of an API's answer that may show that it does not accept a token. */
export interface Answer {
  readonly status: number;
  /** All of them, by lower-case name. */
  headers(): Record<string, string>;
  /** Parsed where it is JSON, else its text; `undefined` where it is streamed. */
  data(): unknown;
}

export interface RefusalOptions {
  readonly statuses: readonly number[];
  readonly when?:
    ((answer: { status: number; headers: Record<string, string>; data: unknown }) => boolean) | undefined;
}

/** Which answers of an API mean that it does not accept a token. */
export class Refusals {
  /** Whether an answer with any status may be one, so that its data is read. */
  readonly readsData: boolean;
  readonly #options: RefusalOptions;
  readonly #warn: () => void;

  /** @param warn called when `when` throws or returns no boolean */
  constructor(options: RefusalOptions, warn: () => void) {
    this.readsData = options.when !== undefined;
    this.#options = options;
    this.#warn = warn;
  }

  includes(answer: Answer): boolean {
    const { status } = answer;
    const { statuses } = this.#options;
    const { 'www-authenticate': challenges = '' } = answer.headers();
    const says = (error: string) => new RegExp(`\\berror\\s*=\\s*"?${error}\\b`, 'i').test(challenges);
    if (status >= 400 && status < 500 && says('invalid_token')) return true;
    // A new token would have the same rights (RFC 6750 §3.1). On a 401, the code is misleading.
    if (status !== 401 && says('insufficient_scope')) return false;
    return statuses.includes(status) || this.#ask(answer);
  }

  #ask(answer: Answer): boolean {
    const { when } = this.#options;
    if (when === undefined) return false;
    try {
      const { status } = answer;
      const verdict: unknown = when({ status, headers: answer.headers(), data: answer.data() });
      if (typeof verdict === 'boolean') return verdict;
    } catch {
      // The error is not shown, since it may hold the answer.
    }
    this.#warn();
    return false;
  }
}

/** On an answer that refused a token, or its error: the client whose token it refused. */
const REFUSED = Symbol('refused client');
type Refused = { [REFUSED]?: string };

/** Notes on a response, or on its error, that it refused a token; an error made of that response keeps the note. */
export function markRefused(client: string, ...answers: unknown[]): void {
  for (const answer of answers)
    Object.defineProperty(Object(answer), REFUSED, { value: client, configurable: true });
}

/** The client whose token an API rejected for good, if that is what `error` shows. */
export function rejectedClientOf(error: unknown): string | undefined {
  const { response, [REFUSED]: client } = (error ?? {}) as Refused & { response?: Refused };
  return client ?? response?.[REFUSED];
}

/** Data that Axios has not parsed yet: parsed if it is JSON, else as text; `undefined` for a stream. */
export function readable(data: unknown, headers: Record<string, unknown>): unknown {
  if (data instanceof Readable || data instanceof ReadableStream || data instanceof Blob) return undefined;
  const isBytes = data instanceof ArrayBuffer || ArrayBuffer.isView(data);
  const text = isBytes ? new TextDecoder().decode(data as ArrayBuffer) : data;
  if (typeof text !== 'string') return text;
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === 'object' || /json/i.test(String(headers['content-type'])) ? json : text;
  } catch {
    return text;
  }
}

export function lowerCased(headers: object): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]),
  );
}

/** Streams are consumed by the first sending; everything else can be sent again. */
export function isReplayable(body: unknown): boolean {
  if (typeof body !== 'object' || body === null) return true;
  return !('pipe' in body || Symbol.asyncIterator in body);
}
