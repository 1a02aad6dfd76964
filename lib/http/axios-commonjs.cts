import type { OAuthRequestConfig } from '../core/token-request.js' with { 'resolution-mode': 'import' };

// Axios has types of their own for CommonJS, which only a CommonJS file can name and augment.
export type { AxiosInstance as CommonJsAxiosInstance } from 'axios';
declare module 'axios' {
  export interface AxiosRequestConfig<D> {
    /** What token this request needs, and of which client; `false` sends it without one. */
    oauth?: OAuthRequestConfig | undefined;
  }
}
