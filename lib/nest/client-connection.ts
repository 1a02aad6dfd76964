import { httpTransport, loginClient } from '../http/protocol-transport.js';
import { TlsAgent } from '../http/tls-agent.js';
import { OAuthTokenEndpoint } from '../oauth/oauth-token-endpoint.js';
import type { ProtocolParts, ProtocolTransport } from '../oauth/protocol.js';
import { RequestedTokenEndpoint } from '../oauth/requested-token.js';

/** A client's way to its authorization server, and the keys that it shares with the way to its API. */
export interface ClientConnection extends Pick<OAuthTokenEndpoint, 'dpop'> {
  readonly endpoint: OAuthTokenEndpoint | RequestedTokenEndpoint;
  readonly tlsAgent: TlsAgent | undefined;
}

/** What a connection is made of. */
export interface ConnectionParts extends Pick<ProtocolParts, 'options' | 'clock' | 'warn'> {
  name: string;
  /** Called when tokens that are bound to the certificate before cannot be used any more (RFC 8705 §3). */
  onCertificateReplaced?: () => void;
  /** Wraps the transport, to see requests and answers go by. */
  observe?: (transport: ProtocolTransport) => ProtocolTransport;
}

/** Connects the protocol to its transport. */
export function connectClient(parts: ConnectionParts): ClientConnection {
  const { name: client, options, onCertificateReplaced, observe } = parts;
  const tlsAgent = options.tls && new TlsAgent();
  const direct = httpTransport(client, options.http ?? {}, tlsAgent);
  const transport = observe?.(direct) ?? direct;
  const useCertificate: ProtocolParts['useCertificate'] = (material, isReplaced) => {
    tlsAgent?.use(material);
    if (isReplaced) onCertificateReplaced?.();
  };
  const protocol = { ...parts, client, transport, useCertificate };
  const endpoint = options.requestToken
    ? new RequestedTokenEndpoint(protocol, (own) => loginClient({ ...options.http, ...own }, tlsAgent))
    : new OAuthTokenEndpoint(protocol);
  return { endpoint, dpop: endpoint.dpop, tlsAgent };
}
