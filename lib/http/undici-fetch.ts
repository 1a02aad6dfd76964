import type { SecureContextOptions } from 'node:tls';
import { Agent, ProxyAgent, fetch, type Dispatcher } from 'undici';
import type { FetchRoute, FetchTransport, Proxy } from './fetch-transport.js';

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/**
 * Sends by undici, with the client's certificate to its allowed origins and through its proxy. By undici's own fetch,
 * since Node's may be of a version that does not get along with undici's agents.
 */
export function fetchByUndici(route: FetchRoute, proxy: Proxy | undefined): FetchTransport {
  const { tlsAgent, origins } = route;
  const dispatcherWith = (tls: SecureContextOptions | undefined): Dispatcher => {
    if (proxy === undefined) return new Agent(tls && { connect: tls });
    return new ProxyAgent({ ...addressOf(proxy), ...(tls && { requestTls: tls }) });
  };
  const direct = new Agent();
  const foreign = proxy ? dispatcherWith(undefined) : direct;
  let [material, own] = [tlsAgent?.material, dispatcherWith(tlsAgent?.material)];
  const dispatcherFor = (url: URL): Dispatcher => {
    if (url.protocol === 'http:' && LOOPBACK.test(url.hostname)) return direct;
    if (origins.reach(url) === 0) return foreign;
    if (material !== tlsAgent?.material) {
      own.close().catch(() => undefined); // after the requests under way, whose own failures their callers see
      [material, own] = [tlsAgent?.material, dispatcherWith(tlsAgent?.material)];
    }
    return own;
  };
  return async (input, init) => {
    const { url, ...more } = input instanceof Request ? await partsOf(input) : { url: input };
    const all: object = { ...more, ...init, headers: [...new Headers(init.headers)] };
    const response = await fetch(url, { dispatcher: dispatcherFor(url), ...all });
    return asOwn(response);
  };
}

function addressOf({ protocol = 'http', host, port, auth }: Proxy): { uri: string; token?: string } {
  const uri = `${protocol.replace(/:?$/, ':')}//${host}${port === undefined ? '' : `:${port}`}`;
  if (auth === undefined) return { uri };
  return { uri, token: `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}` };
}

/** A `Request` for a fetch that knows another class of that name. */
async function partsOf(request: Request): Promise<RequestInit & { url: URL }> {
  const { url, method, signal, redirect } = request;
  return { url: new URL(url), method, signal, redirect, body: request.body && (await request.arrayBuffer()) };
}

/** The same as an instance of the global class. */
function asOwn({ url, status, statusText, headers, body }: Awaited<ReturnType<typeof fetch>>): Response {
  const response = new Response(body as ReadableStream | null, { status, statusText, headers: [...headers] });
  return Object.defineProperty(response, 'url', { value: url });
}
