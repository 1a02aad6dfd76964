import { inspect } from 'node:util';
import { snapshotOf, type RequestSnapshot } from '../core/request-snapshot.js';
import type { OAuthRequestConfig } from '../core/token-request.js';

type Asked = Exclude<OAuthRequestConfig, false>;

declare module 'axios' {
  export interface AxiosRequestConfig<D> {
    /** What token this request needs, and of which client; `false` sends it without one. */
    oauth?: OAuthRequestConfig | undefined;
  }
}

declare global {
  interface RequestInit {
    /** What token this request needs, and of which client; `false` sends it without one. Only a fetch of ours reads it. */
    oauth?: OAuthRequestConfig | undefined;
  }
}

/**
 * A copy of the `oauth` member that takes its place on the request, since errors and logs show that: subject token
 * and parameters are out of sight. Axios copies plain objects but passes this one on, so it is still there when the
 * request is sent again.
 */
export class SealedTokenRequest {
  readonly #snapshot: RequestSnapshot;

  private constructor(snapshot: RequestSnapshot) {
    this.#snapshot = snapshot;
  }

  /** `oauth` as it may stand on a request. It is checked when the request is sent. */
  static of(oauth: unknown): Asked {
    const sealed = oauth instanceof SealedTokenRequest ? oauth : new SealedTokenRequest(snapshotOf(oauth));
    return sealed as Asked;
  }

  /** What was asked for. */
  static open(oauth: Asked): RequestSnapshot {
    return oauth instanceof SealedTokenRequest ? oauth.#snapshot : snapshotOf(oauth);
  }

  toJSON(): object {
    const { client, scope, audience, resource } = this.#snapshot.request;
    return { client, scope, audience, resource };
  }

  [inspect.custom](): object {
    return this.toJSON();
  }
}
