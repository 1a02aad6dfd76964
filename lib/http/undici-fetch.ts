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
  return async (target, init) => {
    const given: object = { ...init, headers: [...new Headers(init.headers)] };
    const answer = await fetch(target, { dispatcher: dispatcherFor(target), ...given });
    const { url, status, statusText, headers, body } = answer;
    // As an instance of the global class, which libraries ask for.
    const response = new Response(body as ReadableStream | null, {
      status,
      statusText,
      headers: [...headers],
    });
    return Object.defineProperty(response, 'url', { value: url });
  };
}

function addressOf({ protocol = 'http', host, port, auth }: Proxy): { uri: string; token?: string } {
  const uri = `${protocol.replace(/:?$/, ':')}//${host}${port === undefined ? '' : `:${port}`}`;
  if (auth === undefined) return { uri };
  return { uri, token: `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}` };
}
