import { request as requestInClear } from 'node:http';
import { request as requestOverTls, type Agent } from 'node:https';
import { BlockList, isIP } from 'node:net';
import { unescape } from 'node:querystring';
import type { Duplex } from 'node:stream';
import type { AxiosRequestConfig } from 'axios';

/** A server to be reached, by host and port. */
interface Server {
  host?: string | null | undefined;
  port?: number | string | null | undefined;
}

type Proxy = Exclude<NonNullable<AxiosRequestConfig['proxy']>, false>;
type Authorities = Agent['options']['ca'];
type Opened = (error: Error | null, tunnel?: Duplex) => void;

/** The `code` of an error that a proxy caused, as Node calls it. */
export const PROXY_FAILED = 'ERR_PROXY_TUNNEL';
/** How long a proxy may take to open a tunnel. */
const TIMEOUT_MS = 30_000;
const LOOPBACK = /^(localhost|127(\.\d+){3}|::1)$/;

/** The proxy that an Axios config names. */
export function proxyOf(proxy: Proxy): URL {
  if (proxy instanceof URL) return proxy;
  const { protocol = 'http', host, port, auth } = proxy;
  const url = new URL(`${protocol.replace(/:$/, '')}://${isIP(host) === 6 ? `[${host}]` : host}`);
  url.port = String(port ?? '');
  url.username = encodeURIComponent(auth?.username ?? '');
  url.password = encodeURIComponent(auth?.password ?? '');
  return url;
}

/** The proxy that the environment names for a protocol, or for all; in upper or lower case. */
export function environmentProxy(protocol: 'http' | 'https'): URL | undefined {
  const named = variable(`${protocol}_proxy`) || variable('all_proxy');
  const url = named.includes('://') ? named : `http://${named}`;
  return named !== '' && URL.canParse(url) ? new URL(url) : undefined;
}

/** Whether `NO_PROXY` excepts a server: by name, by `.domain`, by address or range, each with an optional port, or by `*`. */
export function isExempt({ host, port }: Server): boolean {
  const name = String(host).toLowerCase().replace(/\.$/, '');
  return variable('no_proxy')
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => {
      const [, inBrackets, plain = entry, only] = /^(?:\[(.+)\]|([^:]+))(?::(\d+))?$/.exec(entry) ?? [];
      const excepted = inBrackets ?? plain.replace(/(\w)\.$/, '$1');
      if (excepted === '' || (only !== undefined && Number(only) !== Number(port))) return false;
      const [network = '', prefix] = excepted.split('/');
      if (prefix !== undefined) return isInRange(name, network, Number(prefix));
      if (/^[*.]/.test(excepted)) return name.endsWith(excepted.replace(/^\*/, ''));
      if (LOOPBACK.test(name) && LOOPBACK.test(excepted)) return true;
      return name === excepted || isInRange(name, excepted, isIP(excepted) === 6 ? 128 : 32);
    });
}

function isInRange(address: string, network: string, prefix: number): boolean {
  const version = isIP(network);
  if (version === 0 || version !== isIP(address) || !(prefix <= (version === 6 ? 128 : 32))) return false;
  const ranges = new BlockList();
  ranges.addSubnet(network, prefix, `ipv${version as 4 | 6}`);
  return ranges.check(address, `ipv${version as 4 | 6}`);
}

function variable(name: string): string {
  return process.env[name] || process.env[name.toUpperCase()] || '';
}

/**
 * Opens a tunnel through a proxy (RFC 9110 §9.3.6). The proxy gets the target and its own credentials. Any answer but
 * a tunnel is an error that names the proxy.
 *
 * @param ca authorities to trust in an https proxy, instead of Node's own
 */
export function openTunnel(proxy: URL, { host, port }: Server, ca: Authorities, opened: Opened): void {
  const authority = `${isIP(String(host)) === 6 ? `[${host}]` : host}:${port}`;
  const failed = (why: string) => opened(proxyError(proxy.host, `opened no tunnel to ${authority}: ${why}`));
  if (!/^https?:$/.test(proxy.protocol)) return failed('it must be an http or https proxy');
  const credentials = unescape(`${proxy.username}:${proxy.password}`);
  const basic = `Basic ${Buffer.from(credentials).toString('base64')}`;
  const headers = { host: authority, ...(credentials !== ':' && { 'proxy-authorization': basic }) };
  const target = { method: 'CONNECT', path: authority, auth: null, headers };
  // Else Node would verify the proxy by the name in `host`. An address is no name.
  const servername = /^(\[.*|[\d.]+)$/.test(proxy.hostname) ? '' : proxy.hostname;
  const options = { ...target, agent: false, timeout: TIMEOUT_MS, ca, servername };
  const request = (proxy.protocol === 'https:' ? requestOverTls : requestInClear)(proxy, options);
  request.once('connect', ({ statusCode }, socket) => {
    request.removeAllListeners('timeout');
    socket.setTimeout(0);
    if (statusCode === 200) return opened(null, socket);
    socket.destroy();
    failed(`it answered ${statusCode}`);
  });
  request.once('timeout', () => request.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })));
  request.once('error', ({ code }: NodeJS.ErrnoException) => failed(code ?? 'it broke off'));
  request.end();
}

/** An error that a proxy caused, which names it and shows no credentials. */
export function proxyError(proxy: string, what: string): Error {
  return Object.assign(new Error(`The proxy ${proxy && `at ${proxy} `}${what}.`), { code: PROXY_FAILED });
}
