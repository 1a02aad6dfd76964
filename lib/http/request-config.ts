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
