import type { Agent } from 'node:https';
import { inspect } from 'node:util';
import type { InternalAxiosRequestConfig } from 'axios';
import type { AccessToken } from '../core/access-token.js';
import type { Clock } from '../core/clock.js';
import type { TokenLife } from '../core/token-life.js';
import type { OAuthClient } from '../core/oauth-client.js';
import type { AllowedOrigins } from './allowed-origins.js';
import type { OAuthRequestConfig } from './request-config.js';

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
  readonly unauthorizedRetry: boolean;
  readonly dpop: ProofMaker | undefined;
  readonly clock: Clock;
  /** Presents the client's certificate (RFC 8705), if it has one. */
  readonly tlsAgent: Agent | undefined;
}

/** Whose tokens a request gets. */
export interface TokenChoice {
  readonly api: ApiClient;
  readonly managed: TokenLife;
  /** Whether it is an error when the request leaves the client's origins, rather than sent without a token. */
  readonly strict: boolean;
  /** The one at hand, if any. */
  readonly token: AccessToken | undefined;
}

/** How a request was sent. */
export interface Attempt extends TokenChoice {
  /** The one it was sent with. */
  readonly token: AccessToken;
  /** The header made of it. */
  readonly authorization: string;
  /** What sends it; some adapters take themselves out of the config. */
  readonly adapter: InternalAxiosRequestConfig['adapter'];
  /** Whether it went on without its token, by a redirect or rewritten, so that the answer says nothing about that. */
  astray: boolean;
}

/**
 * The `oauth` member of a request on its way: what was asked for, and, out of sight, how it was sent. Axios copies
 * plain objects but passes this one on, so a request that is sent again, by a retry library or with a response's
 * config, is known for ours. It shows nothing confidential.
 */
export class SentRequest {
  readonly #attempt: Attempt | undefined;

  private constructor(asked: OAuthRequestConfig | undefined, attempt: Attempt | undefined) {
    if (asked) Object.assign(this, asked);
    this.#attempt = attempt;
  }

  /** Puts one on `config`, in place of what the caller asked for. */
  static on(config: InternalAxiosRequestConfig, attempt?: Attempt): void {
    config.oauth = new SentRequest(config.oauth, attempt) as OAuthRequestConfig;
  }

  /** How the request of `config` was sent; `undefined` while it waits for its token, and for those without one. */
  static attemptOf(config: InternalAxiosRequestConfig | undefined): Attempt | undefined {
    const sent: unknown = config?.oauth;
    return sent instanceof SentRequest ? sent.#attempt : undefined;
  }

  toJSON(): object {
    const { client, scope, audience, resource } = this as Exclude<OAuthRequestConfig, false>;
    return { client, scope, audience, resource };
  }

  [inspect.custom](): object {
    return this.toJSON();
  }
}
