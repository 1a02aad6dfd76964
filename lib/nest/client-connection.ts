import type { Clock } from '../core/clock.js';
import { httpTransport } from '../http/protocol-transport.js';
import { TlsAgent } from '../http/tls-agent.js';
import { ClientCertificate } from '../oauth/client-certificate.js';
import { DpopKey } from '../oauth/dpop.js';
import { OAuthTokenEndpoint } from '../oauth/oauth-token-endpoint.js';
import type { ProtocolTransport } from '../oauth/protocol.js';
import type { ResolvedClientOptions } from '../options/resolved-options.js';

/** A client's way to its authorization server, and the keys that it shares with the way to its API. */
export interface ClientConnection {
  readonly endpoint: OAuthTokenEndpoint;
  readonly dpop: DpopKey | undefined;
  readonly tlsAgent: TlsAgent | undefined;
}

/** What a connection is made of. */
export interface ConnectionParts {
  name: string;
  options: ResolvedClientOptions;
  clock: Clock;
  warn: (message: string) => void;
  /** Called when tokens that are bound to the certificate before cannot be used any more (RFC 8705 §3). */
  onCertificateReplaced?: () => void;
  /** Wraps the transport, to see requests and answers go by. */
  observe?: (transport: ProtocolTransport) => ProtocolTransport;
}

/** Connects the protocol to its transport. */
export function connectClient(parts: ConnectionParts): ClientConnection {
  const { name, options, clock, warn, onCertificateReplaced = () => undefined, observe } = parts;
  const tlsAgent = options.tls && new TlsAgent();
  const certificate =
    options.tls &&
    new ClientCertificate(name, options.tls, (material, isReplaced) => {
      tlsAgent?.use(material);
      if (isReplaced) onCertificateReplaced();
    });
  const dpop = options.dpop ? new DpopKey(name, options.dpop === true ? {} : options.dpop, clock) : undefined;
  const direct = httpTransport(name, options.http ?? {}, tlsAgent);
  const transport = observe?.(direct) ?? direct;
  const endpoint = new OAuthTokenEndpoint({
    client: name,
    options,
    clock,
    warn,
    transport,
    dpop,
    certificate,
  });
  return { endpoint, dpop, tlsAgent };
}
