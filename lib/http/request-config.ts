import { inspect } from 'node:util';
import type { TokenRequest } from '../core/token-request.js';

/**
 * The `oauth` member of an Axios request: what token this request needs, and of which client; `false` sends it
 * without one.
 */
export type OAuthRequestConfig = (TokenRequest & { client?: string }) | false;

declare module 'axios' {
  export interface AxiosRequestConfig<D> {
    /** What token this request needs, and of which client; `false` sends it without one. */
    oauth?: OAuthRequestConfig;
  }
}

/**
 * A copy of the `oauth` member that takes its place on the request, since errors and logs show that: subject token
 * and parameters are out of sight. Axios copies plain objects but passes this one on, so it is still there when the
 * request is sent again.
 */
export class SealedTokenRequest {
  readonly #request: Exclude<OAuthRequestConfig, false>;

  private constructor(request: Exclude<OAuthRequestConfig, false>) {
    const { audience, resource, parameters } = request;
    this.#request = {
      ...request,
      ...(audience && { audience: copyOf(audience) }),
      ...(resource && { resource: copyOf(resource) }),
      ...(parameters && { parameters: copyOfAll(parameters) }),
    };
  }

  /** `oauth` as it may stand on a request. */
  static of(oauth: Exclude<OAuthRequestConfig, false>): OAuthRequestConfig {
    return oauth instanceof SealedTokenRequest
      ? oauth
      : (new SealedTokenRequest(oauth) as OAuthRequestConfig);
  }

  /** What was asked for. */
  static open(oauth: OAuthRequestConfig | undefined): OAuthRequestConfig | undefined {
    return oauth instanceof SealedTokenRequest ? oauth.#request : oauth;
  }

  toJSON(): object {
    const { client, scope, audience, resource } = this.#request;
    return { client, scope, audience, resource };
  }

  [inspect.custom](): object {
    return this.toJSON();
  }
}

function copyOf(value: string | string[]): string | string[] {
  return Array.isArray(value) ? value.slice() : value;
}

/** Anything but a plain object stays what it is, for the client to refuse. */
function copyOfAll(parameters: Record<string, string | string[]>): Record<string, string | string[]> {
  if (Object.getPrototypeOf(parameters) !== Object.prototype) return parameters;
  return Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, copyOf(value)]));
}
