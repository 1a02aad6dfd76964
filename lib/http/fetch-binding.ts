import { EMPTY, type Observable } from 'rxjs';
import { aborted$ } from '../core/aborted.js';
import { OriginNotAllowedError } from '../core/errors.js';
import { targetOf, type RequestTarget } from './allowed-origins.js';
import { Credentials, sendAuthorized } from './authorized-call.js';
import type { ApiAnswer, ApiClient, OutgoingRequest } from './authorized-call.js';
import type { FetchTransport } from './fetch-transport.js';
import { nextHop, type Hop } from './redirects.js';
import { markRefused } from './sealing.js';

/** A function of fetch's own signature. */
export type Fetch = typeof globalThis.fetch;
type Init = Omit<RequestInit, 'oauth'>;

/** What a client's fetch is made of. */
export interface FetchParts {
  readonly api: ApiClient;
  /** Relative URLs are below it. */
  readonly baseURL: string | undefined;
  /** Default headers as Axios takes them, also by method; the caller's replace them. */
  readonly headers: unknown;
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
  return async (input, given) => {
    const { oauth, ...init }: RequestInit = given instanceof Request ? {} : (given ?? {});
    const isRequest = typeof input === 'object' && 'url' in input;
    const target: RequestTarget = { url: isRequest ? input.url : String(input) };
    if (typeof input === 'string' && baseURL !== undefined) target.baseURL = baseURL;
    const url = targetOf(target);
    if (url === undefined) throw new OriginNotAllowedError(api.client.name);
    let request: Request | undefined;
    if (isRequest) request = new Request(input instanceof Request ? input : new Request(url, input), init);
    if (given instanceof Request) request = new Request(request ?? url, given);
    if (oauth && oauth.client !== undefined && oauth.client !== api.client.name) {
      const { client: _, ...asked } = oauth;
      const fetch = await other(oauth.client);
      return request ? fetch(request, { oauth: asked }) : fetch(url, { ...init, oauth: asked });
    }
    const outgoing = await FetchRequest.of(parts, target, url, init, request);
    if (oauth !== false && !outgoing.hasOwnCredentials) return sendAuthorized(outgoing, api, oauth);
    return (await outgoing.send()).surface();
  };
}

/** A request as it left the caller. */
class FetchRequest implements OutgoingRequest<Response> {
  readonly config: RequestTarget & { method: string; data: unknown };
  readonly #parts: FetchParts;
  readonly #init: Init;
  readonly #start: Hop;
  /** What a `Request` holds, once it had to be read to be sent again. */
  #bytes: ArrayBuffer | undefined;
  #opened = false;

  private constructor(parts: FetchParts, target: RequestTarget, init: Init, start: Hop) {
    this.config = { ...target, method: start.method, data: start.body };
    this.#parts = parts;
    this.#init = init;
    this.#start = start;
  }

  /** @param request takes the place of `init`, if the caller passed one */
  static async of(
    parts: FetchParts,
    target: RequestTarget,
    url: URL,
    init: Init,
    request?: Request,
  ): Promise<FetchRequest> {
    const { method = 'GET', headers: given, body: whole } = request ?? init;
    const headers = new Headers(given);
    for (const [name, value] of defaultHeaders(parts.headers, method))
      if (!headers.has(name)) headers.set(name, value);
    let body: unknown = request && whole ? request : (whole ?? undefined);
    if (body instanceof FormData) {
      const encoded = new Response(body); // once, since its boundary is another each time
      if (!headers.has('content-type'))
        headers.set('content-type', encoded.headers.get('content-type') ?? '');
      body = await encoded.blob();
    }
    const more = request ? { signal: request.signal, redirect: request.redirect } : undefined;
    return new FetchRequest(parts, target, { ...init, ...more }, { url, method, headers, body });
  }

  get hasOwnCredentials(): boolean {
    return this.#start.headers.has('authorization');
  }

  get cancelled$(): Observable<unknown> {
    const { signal } = this.#init;
    return signal ? aborted$(signal) : EMPTY;
  }

  /** Without credentials it still presents the client's certificate, and follows redirects anywhere. */
  async send(credentials?: Credentials): Promise<ApiAnswer<Response>> {
    const { client, dpop, origins } = this.#parts.api;
    const follows = (this.#init.redirect ?? 'follow') === 'follow';
    let [hop, carried] = [this.#start, credentials];
    for (let followed = 0; ; followed++) {
      const response = await this.#transmit(hop, carried, follows);
      const next = follows ? nextHop(hop, response, followed) : undefined;
      if (next === undefined) return this.#answerOf(response, followed > 0, credentials);
      discard(response.body);
      if (credentials && origins.reach(next.url) === 0)
        throw new OriginNotAllowedError(client.name, next.url.origin);
      if (carried?.proof !== undefined && next.url.origin === hop.url.origin)
        carried = new Credentials(
          carried.token,
          await dpop?.proof(next.method, next.url, carried.token),
          origins,
        );
      else if (!credentials?.mayFollow(next.url)) carried = undefined;
      hop = next;
    }
  }

  async #transmit(hop: Hop, credentials: Credentials | undefined, follows: boolean): Promise<Response> {
    const { transport } = this.#parts;
    const headers = new Headers(hop.headers);
    if (credentials) {
      headers.set('authorization', credentials.token.authorization);
      if (credentials.proof !== undefined) headers.set('dpop', credentials.proof);
    }
    const changed = follows ? ({ headers, redirect: 'manual' } as const) : { headers };
    let { body } = hop;
    if (body instanceof Request) {
      if (!this.#opened) {
        this.#opened = true;
        return transport(body.clone(), changed); // its length is known, unlike that of its stream
      }
      body = this.#bytes ??= await body.arrayBuffer();
    }
    return transport(hop.url, {
      ...this.#init,
      ...changed,
      method: hop.method,
      body: (body ?? null) as NonNullable<RequestInit['body']> | null,
    });
  }

  #answerOf(
    response: Response,
    redirected: boolean,
    credentials: Credentials | undefined,
  ): ApiAnswer<Response> {
    if (credentials && response.status === 401) markRefused(response, this.#parts.api.client.name);
    if (redirected) Object.defineProperty(response, 'redirected', { value: true });
    const { body } = this.#start;
    return {
      status: response.status,
      header: (name) => response.headers.get(name),
      surface: () => {
        if (body instanceof Request && !body.bodyUsed) discard(body.body);
        return response;
      },
      discard: () => discard(response.body),
    };
  }
}

/** Frees the connection of an answer, or the memory of a request, that nobody will read. */
function discard(body: ReadableStream | null): void {
  body?.cancel().catch(() => undefined); // it failed by itself already
}

/** The headers for one method among the defaults that Axios takes. */
function* defaultHeaders(given: unknown, method: string): Iterable<[string, string]> {
  if (typeof given !== 'object' || given === null) return;
  const { common, [method.toLowerCase()]: own, ...rest } = given as Record<string, unknown>;
  for (const group of [own, rest, common])
    for (const [name, value] of Object.entries(group ?? {}))
      if (Array.isArray(value) || ['string', 'number', 'boolean'].includes(typeof value))
        yield [name, String(value)];
}
