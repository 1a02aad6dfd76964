import { EMPTY, type Observable } from 'rxjs';
import { aborted$ } from '../core/aborted.js';
import { OriginNotAllowedError } from '../core/errors.js';
import { checked } from '../core/request-snapshot.js';
import { targetOf, type RequestTarget } from './allowed-origins.js';
import { Credentials, forTenant, sendAuthorized } from './authorized-call.js';
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
  const { api, other, partsOf } = parts;
  return async (input, given) => {
    const sealed = given?.oauth && SealedTokenRequest.of(given.oauth); // before anything that waits
    const written = typeof input === 'object' && 'url' in input ? input.url : String(input);
    const targetFor = ({ client, defaults: { baseURL } }: ApiClient) => {
      const target = typeof input === 'string' && baseURL ? { baseURL, url: written } : { url: written };
      const url = targetOf(target);
      if (url === undefined) throw new OriginNotAllowedError(client.name);
      return [target, url] as const;
    };
    if (api.tenants === undefined) targetFor(api);
    const { oauth: _, ...init } = await initOf(written, input, given);
    const oauth = sealed ? checked(api.client.name, SealedTokenRequest.open(sealed)) : sealed;
    if (oauth && oauth.client !== undefined && oauth.client !== api.client.name) {
      const { client, ...asked } = oauth;
      return (await other(client))(targetFor(api)[1], { ...init, oauth: asked });
    }
    const isBare = oauth === false || new Headers(init.headers).has(api.tokenHeader.name);
    const cancelled$ = init.signal ? aborted$(init.signal) : EMPTY;
    return forTenant({ cancelled$ }, api, oauth || {}, isBare, async (own) => {
      const request = new FetchRequest(own === api ? parts : await partsOf(own), ...targetFor(own), init);
      if (oauth !== false && !request.hasOwnCredentials) return sendAuthorized(request, own, oauth);
      return (await request.send()).surface();
    });
  };
}

/** What is asked for in the form of `init`, with a body that can be sent again unless it is a stream. */
async function initOf(written: string, ...[input, given]: Parameters<Fetch>): Promise<RequestInit> {
  const init: RequestInit = given instanceof Request ? {} : { ...given };
  if (init.headers) init.headers = new Headers(init.headers); // the caller may change its own meanwhile
  let request = given instanceof Request ? given : undefined;
  if (typeof input === 'object' && 'url' in input)
    request = new Request(input instanceof Request ? input : new Request(written, input), given);
  if (request) {
    const { method, headers, signal, redirect, body } = request;
    return { ...init, method, headers, signal, redirect, body: body && (await request.arrayBuffer()) };
  }
  if (!(init.body instanceof FormData)) return init;
  const encoded = new Response(init.body); // its boundary is another each time
  const headers = new Headers(init.headers);
  if (!headers.has('content-type')) headers.set('content-type', encoded.headers.get('content-type') ?? '');
  return { ...init, headers, body: await encoded.blob() };
}

/** A request as it left the caller. */
class FetchRequest implements OutgoingRequest<Response> {
  readonly config: RequestTarget & Pick<Hop, 'method'> & { data: unknown };
  readonly #parts: FetchParts;
  readonly #init: RequestInit;
  readonly #start: Hop;

  constructor(parts: FetchParts, target: RequestTarget, url: URL, init: RequestInit) {
    const { method = 'GET', body = null } = init;
    const headers = new Headers({ ...defaultHeaders(parts.api.defaults.headers, method) });
    for (const [name, value] of new Headers(init.headers)) headers.set(name, value);
    this.config = { ...target, method, data: body };
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
    header: (name) => headers.get(name),
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
export function defaultHeaders(given: unknown, method: string): Record<string, string> {
  const { common, [method.toLowerCase()]: own, ...rest } = (given ?? {}) as Record<string, object>;
  const all = Object.entries({ ...common, ...rest, ...own } as Record<string, unknown>);
  return Object.fromEntries(all.filter(([, value]) => typeof value !== 'object')) as Record<string, string>;
}
