import { EMPTY, type Observable } from 'rxjs';
import { aborted$ } from '../core/aborted.js';
import { OriginNotAllowedError } from '../core/errors.js';
import { checked, type RequestSnapshot } from '../core/request-snapshot.js';
import { targetOf, urlOf, type RequestTarget } from './allowed-origins.js';
import { Credentials, forTenant, sendAuthorized, unlessCancelled } from './authorized-call.js';
import type { ApiAnswer, Conclude, OutgoingRequest } from './authorized-call.js';
import type { ApiClient } from './api-client.js';
import { describe, type FetchTransport } from './fetch-transport.js';
import { withHeadersOf } from './own-defaults.js';
import { nextHop, type Hop } from './redirects.js';
import { isReplayable, markRefused, readable } from './refusals.js';
import { SealedTokenRequest } from './request-config.js';
import { checkStream, mayFail } from './sealing.js';

/** A function of fetch's own signature. */
export type Fetch = typeof globalThis.fetch;

/** What a client's fetch is made of. */
export interface FetchParts {
  readonly api: ApiClient;
  readonly transport: FetchTransport;
  /** The same of a tenant's client. */
  readonly partsOf: (api: ApiClient) => Promise<FetchParts>;
  /** The fetch of another client, which `init.oauth` may name. */
  readonly other: (client: string) => Promise<Fetch>;
}

/**
 * A fetch whose requests get a client's tokens. What the caller passes is never changed, and redirects are followed
 * here, since fetch would take the token wherever they lead.
 *
 * @throws {OAuthClientError} rejects, and nothing is sent, when there is no token or the request leaves the client's
 * origins
 */
export function authorizedFetch(parts: FetchParts): Fetch {
  return (input, given) => {
    try {
      mayFail(given?.body);
      const passed = given?.oauth;
      // Before anything that waits.
      const snapshot = passed === undefined || passed === false ? passed : SealedTokenRequest.open(passed);
      const isPlain = !isRequest(input) && !isRequest(given) && !mayChange(given?.body);
      if (isPlain) return send(parts, input, snapshot, plainInit(given));
      const whole = wholeInit(input, given).then((init) => send(parts, input, snapshot, init));
      // Held until then, since the signal of a request that is garbage collected no longer aborts anything.
      return whole.finally(() => void [input, given]);
    } catch (error) {
      return Promise.reject(error);
    }
  };
}

type Input = Parameters<Fetch>[0];
type Snapshot = RequestSnapshot | false | undefined;

function send(parts: FetchParts, input: Input, snapshot: Snapshot, init: Init): Promise<Response> {
  const { api, other, partsOf } = parts;
  const { name } = api.client;
  const written = isRequest(input) ? input.url : String(input);
  const targetFor = ({ defaults: { baseURL } }: ApiClient): RequestTarget =>
    typeof input === 'string' && baseURL !== undefined ? { baseURL, url: written } : { url: written };
  const oauth = snapshot && checked(name, snapshot);
  if (oauth && oauth.client !== undefined && oauth.client !== name) {
    const { client, ...asked } = oauth;
    const url = new URL(urlOf(targetFor(api)) ?? written);
    return other(client).then((fetch) => fetch(url, { ...init, oauth: asked }));
  }
  const sendBy = (own: FetchParts, present: Init): Promise<Response> => {
    const target = targetFor(own.api);
    const request = new FetchRequest(own, target, urlOf(target) ?? written, present);
    if (oauth !== false && !request.hasOwnCredentials) return sendAuthorized(request, own.api, oauth);
    if (targetOf(target) === undefined) throw new OriginNotAllowedError(name);
    return request.send(undefined, (answer) => answer.surface());
  };
  // Each wait would delay the caller's reading of the body.
  if (!api.tenants && !api.defaults.headers) return sendBy(parts, init);
  const isBare = oauth === false || api.tokenHeader.name.toLowerCase() in init.headers;
  return forTenant({ cancelled$: cancelledBy(init) }, api, oauth || {}, isBare, async (own) => {
    const headers = await withHeadersOf(init.headers, init.method ?? 'GET', own);
    return sendBy(own === api ? parts : await partsOf(own), { ...init, headers });
  });
}

/** The URL of a `Request` that is not sent. */
const ANYWHERE = 'http://localhost';

/** Headers as a record by lower-case names, which fetch reads faster than `Headers`. */
type Init = Omit<RequestInit, 'headers'> & { headers: Hop['headers'] };

/** A copy, since the caller may change its own. Fetch reads the result of a spread more slowly. */
function plainInit(given?: RequestInit | null): Init {
  const init: Record<string, unknown> = {};
  for (const name in given) if (name !== 'oauth') init[name] = given[name as keyof RequestInit];
  init['headers'] = recordOf(given?.headers);
  return init as Init;
}

/** A copy of a `Request`, or of an init whose body the caller may change. It can be sent again. */
async function wholeInit(...[input, given]: Parameters<Fetch>): Promise<Init> {
  const asked = isRequest(input) ? input : undefined;
  const request = new Request(asked instanceof Request ? asked : new Request(ANYWHERE, asked), given);
  // Not that of `request`, which Node no longer aborts once `request` is garbage collected.
  const signal = given?.signal === undefined ? (asked?.signal ?? null) : given.signal;
  const init = isRequest(given) ? undefined : plainInit(given);
  const { method, headers, redirect, cache, credentials, integrity, referrer, referrerPolicy } = request;
  const whole = { method, headers: recordOf(headers), redirect, cache, credentials, integrity };
  // A form has another boundary each time it is read.
  const body = request.body && (await unlessCancelled(cancelledBy({ signal }), () => request.arrayBuffer()));
  return { ...init, ...whole, referrer, referrerPolicy, signal, body };
}

function isRequest(given: Parameters<Fetch>[number]): given is Request {
  return typeof given === 'object' && given !== null && 'url' in given;
}

/** Whether a caller could change a body, such as `URLSearchParams`, before it is sent, or sent again. */
function mayChange(body: RequestInit['body']): boolean {
  return typeof body === 'object' && body !== null && !(body instanceof Blob) && isReplayable(body);
}

function cancelledBy({ signal }: Pick<RequestInit, 'signal'>): Observable<unknown> {
  return signal ? aborted$(signal) : EMPTY;
}

function recordOf(headers: RequestInit['headers']): Record<string, string> {
  return headers === undefined ? {} : Object.fromEntries(new Headers(headers));
}

/** A request as it left the caller. */
class FetchRequest implements OutgoingRequest<Response> {
  readonly config: RequestTarget & { method: string; data: unknown };
  readonly cancelled$: Observable<unknown>;
  readonly #parts: FetchParts;
  readonly #init: Init;
  /** Whether redirects are followed, which happens here. */
  readonly #follows: boolean;
  readonly #start: Hop;

  constructor(parts: FetchParts, target: RequestTarget, url: string, init: Init) {
    const { method, headers, body, redirect = 'follow' } = init;
    this.config = Object.assign(target, { method: method ?? 'GET', data: body });
    this.cancelled$ = cancelledBy(init);
    this.#parts = parts;
    this.#follows = redirect === 'follow';
    this.#init = Object.assign(init, { redirect: this.#follows ? 'manual' : redirect });
    this.#start = { url, method, headers, body };
  }

  get hasOwnCredentials(): boolean {
    return Object.hasOwn(this.#start.headers, this.#parts.api.tokenHeader.name.toLowerCase());
  }

  /** Without credentials it still presents the client's certificate, and follows redirects anywhere. */
  send<T>(credentials: Credentials | undefined, conclude: Conclude<Response, T>): Promise<T> {
    const { readsData } = this.#parts.api.refusals;
    return this.#transmit(this.#start, credentials).then((response) => {
      const isWhole = !readsData && (response.status < 300 || response.status >= 400);
      // Each wait would delay the caller's reading of the body.
      if (isWhole) return conclude(new FetchAnswer(response, undefined));
      return this.#follow(response, credentials).then(conclude);
    });
  }

  async #follow(response: Response, credentials: Credentials | undefined): Promise<ApiAnswer<Response>> {
    const { client, dpop, origins, refusals } = this.#parts.api;
    let [hop, carried] = [this.#start, credentials];
    for (let followed = 0; ; followed++) {
      const next = this.#follows ? nextHop(hop, response, followed) : undefined;
      if (next === undefined) {
        if (followed > 0) describe(response, { redirected: true });
        return new FetchAnswer(response, refusals.readsData ? await textOf(response) : undefined);
      }
      discard(response);
      const to = new URL(next.url);
      if (credentials && origins.reach(to) === 0) throw new OriginNotAllowedError(client.name, to.origin);
      if (dpop && carried && to.origin === new URL(hop.url).origin) {
        const proof = await dpop.proof(next.method ?? 'GET', to, carried.token);
        carried = new Credentials(carried.token, proof, origins);
      } else if (!credentials?.mayFollow(to)) carried = undefined;
      hop = next;
      response = await this.#transmit(hop, carried);
    }
  }

  #transmit(hop: Hop, credentials: Credentials | undefined): Promise<Response> {
    const { url, method, body } = hop;
    const { tokenHeader } = this.#parts.api;
    checkStream(body);
    const headers = { ...hop.headers };
    if (credentials) headers[tokenHeader.name] = tokenHeader.valueFor(credentials.token);
    if (credentials?.proof !== undefined) headers['dpop'] = credentials.proof;
    return this.#parts.transport(url, Object.assign(this.#init, { method, body, headers }) as RequestInit);
  }
}

/** What came back, which is looked at no more than needed. */
class FetchAnswer implements ApiAnswer<Response> {
  readonly status: number;
  readonly #response: Response;
  readonly #text: string | undefined;

  /** @param text the body, where it was read for `unauthorized.when` */
  constructor(response: Response, text: string | undefined) {
    this.status = response.status;
    this.#response = response;
    this.#text = text;
  }

  headers(): Record<string, string> {
    return Object.fromEntries(this.#response.headers);
  }

  data(): unknown {
    return readable(this.#text, this.headers());
  }

  surface(refused?: string): Response {
    if (refused !== undefined) markRefused(refused, this.#response);
    return this.#response;
  }

  discard(): void {
    discard(this.#response);
  }
}

const ENDLESS =
  /^(text\/event-stream|multipart\/x-mixed-replace|application\/(x-)?(ndjson|jsonl|json-seq|stream\+json))\b/i;

/** The body of a clone; `undefined` for a type that may never end, and for a body that breaks off. */
async function textOf(response: Response): Promise<string | undefined> {
  if (ENDLESS.test(response.headers.get('content-type') ?? '')) return undefined;
  const text = response.clone().text();
  return text.catch(() => undefined);
}

/** Frees the connection of an answer that nobody will read. */
function discard({ body }: Response): void {
  body?.cancel().catch(() => undefined); // it broke off by itself already
}
