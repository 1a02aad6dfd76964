import type { TokenEndpoint } from '../core/token-request.js';
import { AllowedOrigins } from '../http/allowed-origins.js';
import type { ApiClient } from '../http/api-client.js';
import { httpTransport, routedInstance } from '../http/protocol-transport.js';
import { Routes } from '../http/routes.js';
import type { TlsMaterial } from '../http/tls-agent.js';
import { OAuthTokenEndpoint } from '../oauth/oauth-token-endpoint.js';
import type { ProtocolParts, ProtocolTransport } from '../oauth/protocol.js';
import { remedyFor } from '../oauth/remedies.js';
import { requestedTokenEndpoint } from '../oauth/requested-token.js';
import { isLoopback } from '../options/option-schema.js';
import { ignoresAgents } from '../options/problems.js';

/** A client's connection to its authorization server, and the keys that it shares with the connection to its API. */
export interface ClientConnection extends Pick<ApiClient, 'dpop' | 'origins' | 'routes' | 'material'> {
  readonly endpoint: TokenEndpoint;
}

/** What a connection is made of. */
export interface ConnectionParts extends Pick<ProtocolParts, 'options' | 'clock' | 'warn'> {
  name: string;
  /** Called when the present tokens may be bound to a certificate that was replaced (RFC 8705 §3). */
  onCertificateReplaced?: () => void;
  /** Names an option as the user wrote it. Default: its path, as in code. */
  label?: ProtocolParts['label'] | undefined;
  /** Wraps the transport, to observe requests and answers. */
  observe?: (transport: ProtocolTransport) => ProtocolTransport;
}

/** Connects the protocol to its transport. */
export function connectClient(parts: ConnectionParts): ClientConnection {
  const { name: client, options, onCertificateReplaced, observe, label = (path) => path } = parts;
  const material = options.tls && ({ options: {}, generation: 0 } satisfies TlsMaterial);
  const routes = new Routes(client, material, { staysHere: isLoopback, ignoresAgents });
  const remedy = (said: string) => remedyFor({ options, label }, { said });
  const direct = httpTransport(client, options.http ?? {}, routes, remedy);
  const transport = observe?.(direct) ?? direct;
  const useCertificate: ProtocolParts['useCertificate'] = (replacement, isReplaced) => {
    if (material) Object.assign(material, { options: replacement, generation: material.generation + 1 });
    if (isReplaced) onCertificateReplaced?.();
  };
  const protocol = { ...parts, client, transport, useCertificate, label };
  const endpoint = options.requestToken
    ? requestedTokenEndpoint(protocol, (own) => routedInstance(client, routes, { ...options.http, ...own }))
    : new OAuthTokenEndpoint(protocol);
  const { baseURL, allowedOrigins, http } = options;
  const origins = new AllowedOrigins(baseURL, allowedOrigins, http?.['socketPath']);
  return { endpoint, origins, dpop: endpoint.dpop, routes, material };
}
