import type { SecureContextOptions } from 'node:tls';
import type { Clock } from '../core/clock.js';
import type { ResolvedClientOptions } from '../options/resolved-options.js';

/** One HTTP request of the protocol: never follows a redirect, and answers whatever the status. */
export interface ProtocolRequest {
  url: string;
  method: 'GET' | 'POST';
  headers: Record<string, string>;
  data?: string;
  signal: AbortSignal;
}

/** Port, implemented by `http/`: rejects with an `OAuthClientError`, and reads the body whole, within its bound. */
export type ProtocolTransport = (request: ProtocolRequest) => Promise<Response>;

/** One client, and what its requests to the authorization server need. */
export interface ProtocolParts {
  client: string;
  options: ResolvedClientOptions;
  transport: ProtocolTransport;
  clock: Clock;
  /** Called with a sentence about each thing that a server leaves out or contradicts. */
  warn: (message: string) => void;
  /** Names an option as the user wrote it: its variable, or its path as in code. */
  label: (path: string) => string;
  /** Takes over a certificate; `isReplaced` when tokens may be bound to the one before (RFC 8705 §3). */
  useCertificate: (material: SecureContextOptions, isReplaced: boolean) => void;
}

/** The parts of an authorization server that token requests need. */
export type KnownServer = Record<'issuer' | 'tokenEndpoint', string>;

/** Fields of a token request by name. */
export type Fields = Record<string, string | string[] | undefined>;

/** What one token request presents for its client, or for its grant. */
export interface Presented {
  fields: Fields;
  header?: { authorization: string };
  /** To tell whether it has changed since: the secret, or the key's or certificate's public part. */
  credential?: string | undefined;
}

/** What one token request is made of: the client, and its server and its certificate's fingerprint as they are now. */
export interface RequestParts extends ProtocolParts {
  server: KnownServer;
  certificate: string | undefined;
}
