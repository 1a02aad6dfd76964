import type { SecureContextOptions } from 'node:tls';
import { Agent, ProxyAgent, fetch, type Dispatcher } from 'undici';
import { describe, type FetchRoute, type FetchTransport } from './fetch-transport.js';

/**
 * Sends by undici, with the client's certificate to its allowed origins and through its proxy. By undici's own fetch,
 * since Node's may be of a version that does not get along with undici's agents.
 */
export function fetchByUndici(route: FetchRoute, proxy: URL | undefined): FetchTransport {
  const { material, origins, staysHere } = route;
  const dispatcherWith = (tls: SecureContextOptions | undefined): Dispatcher => {
    if (proxy === undefined) return new Agent(tls && { connect: tls });
    return new ProxyAgent({ uri: proxy.href, ...(tls && { requestTls: tls }) });
  };
  const direct = new Agent();
  // undici cancels the body of an answer that is garbage collected.
  const answers = new WeakMap<object, object>();
  const foreign = proxy ? dispatcherWith(undefined) : direct;
  let [generation, own] = [material?.generation, dispatcherWith(material?.options)];
  const dispatcherFor = (url: URL): Dispatcher => {
    if (staysHere(url.href)) return direct;
    if (origins.reach(url) === 0) return foreign;
    if (generation !== material?.generation) {
      own.close().catch(() => undefined); // after the requests under way, whose own failures their callers see
      [generation, own] = [material?.generation, dispatcherWith(material?.options)];
    }
    return own;
  };
  const transport = async (...[target, init]: Parameters<FetchTransport>): Promise<Response> => {
    const given: object = { ...init, headers: [...new Headers(init.headers)] };
    const answer = await fetch(target, { dispatcher: dispatcherFor(new URL(target)), ...given });
    const { url, status, statusText, headers, body } = answer;
    // As an instance of the global class, which libraries ask for.
    const head = { status, statusText, headers: [...headers] };
    if (body) answers.set(body, answer);
    return describe(new Response(body as ReadableStream | null, head), { url });
  };
  const close = () => {
    for (const dispatcher of [direct, foreign, own]) dispatcher.close().catch(() => undefined);
  };
  return Object.assign(transport, { close });
}
