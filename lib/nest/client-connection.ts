import { httpTransport } from '../http/protocol-transport.js';
import { TlsAgent, type TlsMaterial } from '../http/tls-agent.js';
import type { Clock } from '../core/clock.js';
import { readCredential } from '../oauth/credentials.js';
import { DpopKey } from '../oauth/dpop.js';
import type { HttpTransport } from '../oauth/protocol.js';
import type { ResolvedClientOptions } from '../options/client-options.js';
import { OAuthTokenEndpoint } from '../oauth/token-endpoint.js';

/** A client's way to its authorization server, and the keys that it shares with the way to its API. */
export interface ClientConnection {
  readonly endpoint: OAuthTokenEndpoint;
  readonly dpop: DpopKey | undefined;
  readonly tlsAgent: TlsAgent | undefined;
}

/**
 * Connects the protocol to its transport.
 *
 * @param observe wraps the transport, to see requests and answers go by
 * @param onCertificateReplaced told when tokens bound to the certificate before are of no use any more (RFC 8705 §3)
 */
export function connectClient(
  name: string,
  options: ResolvedClientOptions,
  clock: Clock,
  warn: (message: string) => void,
  observe: (transport: HttpTransport) => HttpTransport = (transport) => transport,
  onCertificateReplaced: () => void = () => undefined,
): ClientConnection {
  const tlsAgent = options.tls && new TlsAgent(name);
  const dpop = options.dpop ? new DpopKey(options.dpop === true ? {} : options.dpop, clock) : undefined;
  const reload = async () => {
    if (await readTls(name, options, tlsAgent)) onCertificateReplaced();
  };
  const send = httpTransport(name, options.http ?? {}, tlsAgent);
  const endpoint = new OAuthTokenEndpoint(name, options, {
    clock,
    dpop,
    transport: observe(async (url, request) => {
      await reload();
      return send(url, request);
    }),
    certificate: async () => {
      await reload();
      return tlsAgent?.thumbprint;
    },
    warn,
  });
  return { endpoint, dpop, tlsAgent };
}

/** Certificates rotate like secrets: they are read whenever the authorization server is asked. True when it is another. */
async function readTls(
  name: string,
  { tls }: ResolvedClientOptions,
  agent: TlsAgent | undefined,
): Promise<boolean> {
  if (!tls || !agent) return false;
  const material: TlsMaterial = {};
  for (const member of ['cert', 'key', 'ca', 'passphrase'] as const) {
    const source = tls[member];
    if (source !== undefined) material[member] = await readCredential<string>(name, `tls.${member}`, source);
  }
  return agent.use(material);
}
