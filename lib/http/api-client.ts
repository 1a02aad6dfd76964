import type { CreateAxiosDefaults } from 'axios';
import type { AccessToken } from '../core/access-token.js';
import type { Clock } from '../core/clock.js';
import type { OAuthClient } from '../core/oauth-client.js';
import type { Tenants } from '../core/tenants.js';
import type { AllowedOrigins } from './allowed-origins.js';
import type { Refusals } from './refusals.js';
import type { Routes } from './routes.js';
import type { TokenHeader } from './sealing.js';
import type { TlsMaterial } from './tls-agent.js';

/** Makes DPoP proofs for API requests and keeps the APIs' nonces (RFC 9449). */
export interface ProofMaker {
  proof(method: string, url: URL, token: AccessToken): Promise<string>;
  /** True when `proof` was not made with that nonce, so that the request is worth another try. */
  rememberNonce(origin: string, nonce: string | undefined, proof: string): boolean;
}

/** A client as API requests see it. */
export interface ApiClient {
  readonly client: OAuthClient;
  readonly origins: AllowedOrigins;
  readonly tokenHeader: TokenHeader;
  readonly refusals: Refusals;
  readonly unauthorizedRetry: boolean;
  readonly dpop: ProofMaker | undefined;
  readonly clock: Clock;
  /** Present the client's certificate (RFC 8705), if it has one. */
  readonly routes: Routes;
  /** If the client has tenants: a client for each of them. */
  readonly tenants: Tenants<ApiClient> | undefined;
  /** The Axios defaults of its requests. */
  readonly defaults: CreateAxiosDefaults;
  /** The certificate that fetch presents. */
  readonly material: TlsMaterial | undefined;
  /** Close its idle connections; requests under way go on. */
  readonly closers: (() => void)[];
}

/** The clients whose tokens requests may get. */
export interface ApiClients {
  /** @throws {OAuthClientError} `unknown_client` */
  get(name: string): ApiClient;
  all(): Iterable<ApiClient>;
}
