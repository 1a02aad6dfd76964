import { EMPTY, type Observable } from 'rxjs';
import { aborted$ } from '../core/aborted.js';
import { OriginNotAllowedError } from '../core/errors.js';
import { checked } from '../core/request-snapshot.js';
import { targetOf, type RequestTarget } from './allowed-origins.js';
import { Credentials, sendAuthorized } from './authorized-call.js';
import type { ApiAnswer, ApiClient, OutgoingRequest } from './authorized-call.js';
import type { FetchTransport } from './fetch-transport.js';
import { nextHop, type Hop } from './redirects.js';
import { readable } from './refusals.js';
import { SealedTokenRequest } from './request-config.js';
import { markRefused } from './sealing.js';

/** A function of fetch's own signature. */
export type Fetch = typeof globalThis.fetch;

/** What a client's fetch is made of. */
export interface FetchParts {
  readonly api: ApiClient;
  /** Relative URLs are below it. */
  readonly baseURL: string | undefined;
  /** Default headers as Axios takes them, also by method. */
  readonly headers: object | undefined;
  readonly transport: FetchTransport;
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
  const { api, baseURL, other } = parts;
  const { name } = api.client;
  return async (input, given) => {
    const snapshot = given?.oauth && SealedTokenRequest.open(given.oauth); // before anything that waits
    const isPath = typeof input === 'string' && baseURL !== undefined;
    const url = targetOf({ url: isRequest(input) ? input.url : String(input), ...(isPath && { baseURL }) });
    if (url === undefined) throw new OriginNotAllowedError(name);
    const init = await initOf(url, input, given);
    const oauth = snapshot && checked(name, snapshot);
    if (oauth && oauth.client !== undefined && oauth.client !== name) {
      const { client, ...asked } = oauth;
      return (await other(client))(url, { ...init, oauth: asked });
    }
    const request = new FetchRequest(parts, url, init);
    if (oauth !== false && !request.hasOwnCredentials) return sendAuthorized(request, api, oauth);
    return (await request.send()).surface();
  };
}

type Init = RequestInit & { headers: Headers };

/** What is asked for in the form of `init`, with a body that can be sent again unless it is a stream. */
async function initOf(url: URL, ...[input, given]: Parameters<Fetch>): Promise<Init> {
  const { oauth: _, ...init }: RequestInit = given instanceof Request ? {} : { ...given };
  const isPlain = !isRequest(input) && !(given instanceof Request) && !(init.body instanceof FormData);
  if (isPlain) return { ...init, headers: new Headers(init.headers) }; // the caller may change its own meanwhile
  const whole = input instanceof Request ? input : new Request(url, isRequest(input) ? input : undefined);
  const request = new Request(whole, given);
  const { method, headers, signal, redirect, body } = request;
  // Of a form the boundary is another each time.
  return { ...init, method, headers, signal, redirect, body: body && (await request.arrayBuffer()) };
}

function isRequest(input: Parameters<Fetch>[0]): input is Request {
  return typeof input === 'object' && 'url' in input;
}

/** A request as it left the caller. */
class FetchRequest implements OutgoingRequest<Response> {
  readonly config: RequestTarget & Pick<Hop, 'method'> & { data: unknown };
  readonly #parts: FetchParts;
  readonly #init: RequestInit;
  readonly #start: Hop;

  constructor(parts: FetchParts, url: URL, init: Init) {
    const { method = 'GET', body = null, headers } = init;
    for (const [name, value] of defaultHeaders(parts.headers, method))
      if (!headers.has(name)) headers.set(name, value);
    this.config = { url: url.href, method, data: body };
    this.#parts = parts;
    this.#init = init;
    this.#start = { url, method, headers, body };
  }

  get hasOwnCredentials(): boolean {
    return this.#start.headers.has(this.#parts.api.tokenHeader.name);
  }

  get cancelled$(): Observable<unknown> {
    return this.#init.signal ? aborted$(this.#init.signal) : EMPTY;
  }

  /** Without credentials it still presents the client's certificate, and follows redirects anywhere. */
  async send(credentials?: Credentials): Promise<ApiAnswer<Response>> {
    const { client, dpop, origins, refusals } = this.#parts.api;
    const { redirect = 'follow' } = this.#init;
    let [hop, carried] = [this.#start, credentials];
    for (let followed = 0; ; followed++) {
      const response = await this.#transmit(hop, carried, redirect === 'follow' ? 'manual' : redirect);
      const next = redirect === 'follow' ? nextHop(hop, response, followed) : undefined;
      if (next === undefined) {
        if (followed > 0) Object.defineProperty(response, 'redirected', { value: true });
        return answerOf(response, refusals.readsData ? await textOf(response) : undefined);
      }
      discard(response);
      if (credentials && origins.reach(next.url) === 0)
        throw new OriginNotAllowedError(client.name, next.url.origin);
      if (dpop && carried && next.url.origin === hop.url.origin) {
        const proof = await dpop.proof(next.method, next.url, carried.token);
        carried = new Credentials(carried.token, proof, origins);
      } else if (!credentials?.mayFollow(next.url)) carried = undefined;
      hop = next;
    }
  }

  #transmit(
    hop: Hop,
    credentials: Credentials | undefined,
    redirect: Request['redirect'],
  ): Promise<Response> {
    const { url, method, body } = hop;
    const { tokenHeader } = this.#parts.api;
    const headers = new Headers(hop.headers);
    if (credentials) headers.set(tokenHeader.name, tokenHeader.valueFor(credentials.token));
    if (credentials?.proof !== undefined) headers.set('dpop', credentials.proof);
    return this.#parts.transport(url, { ...this.#init, method, headers, body, redirect });
  }
}

/** @param text the body, where it was read for `unauthorized.when` */
function answerOf(response: Response, text: string | undefined): ApiAnswer<Response> {
  const { status, headers } = response;
  return {
    status,
    headers: () => Object.fromEntries(headers),
    data: () => readable(text, Object.fromEntries(headers)),
    surface: (refused) => {
      if (refused !== undefined) markRefused(response, refused);
      return response;
    },
    discard: () => discard(response),
  };
}

/** The body of a clone; `undefined` for a stream of events, which does not end, and for what breaks off. */
async function textOf(response: Response): Promise<string | undefined> {
  if (/^text\/event-stream\b/i.test(response.headers.get('content-type') ?? '')) return undefined;
  return response
    .clone()
    .text()
    .catch(() => undefined);
}

/** Frees the connection of an answer that nobody will read. */
function discard({ body }: Response): void {
  body?.cancel().catch(() => undefined); // it broke off by itself already
}

/** The headers for one method among the defaults that Axios takes. */
function defaultHeaders(given: object = {}, method: string): [string, string][] {
  const { common, [method.toLowerCase()]: own, ...rest } = given as Record<string, object>;
  const all = Object.entries<unknown>({ ...common, ...rest, ...own });
  return all.filter((header): header is [string, string] => typeof header[1] !== 'object');
}
