import { inspect } from 'node:util';
import type { OAuthClientName } from '../core/client-names.js';
import type { TokenRequest } from '../core/token-request.js';

/**
 * The `oauth` member of an Axios request, or of fetch's `init`: what token this request needs, and of which client;
 * `false` sends it without one.
 */
export type OAuthRequestConfig = (TokenRequest & { client?: OAuthClientName }) | false;
type Asked = Exclude<OAuthRequestConfig, false>;

declare module 'axios' {
  export interface AxiosRequestConfig<D> {
    /** What token this request needs, and of which client; `false` sends it without one. */
    oauth?: OAuthRequestConfig;
  }
}

declare global {
  interface RequestInit {
    /** What token this request needs, and of which client; `false` sends it without one. Only a fetch of ours reads it. */
    oauth?: OAuthRequestConfig;
  }
}

/**
 * A copy of the `oauth` member that takes its place on the request, since errors and logs show that: subject token
 * and parameters are out of sight. Axios copies plain objects but passes this one on, so it is still there when the
 * request is sent again.
 */
export class SealedTokenRequest {
  readonly #request: Asked;

  private constructor(request: Asked) {
    this.#request = copyOf({ ...request }) as Asked;
  }

  /** `oauth` as it may stand on a request. */
  static of(oauth: Asked): Asked {
    return oauth instanceof SealedTokenRequest ? oauth : (new SealedTokenRequest(oauth) as Asked);
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

/** Anything but arrays and plain objects stays what it is, for the client to refuse. */
function copyOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice();
  if (!(value instanceof Object) || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, copyOf(member)]));
}
