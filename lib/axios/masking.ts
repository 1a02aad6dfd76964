import { inspect } from 'node:util';
import type { AxiosError, AxiosResponse, InternalAxiosRequestConfig } from 'axios';
import type { TokenRequest } from '../core/token-request.js';

const MASK = ' [masked]';

/** Whether an `Authorization` header is what {@link maskError} left: ours, and to be replaced when the request is sent again. */
export function isMasked(authorization: unknown): boolean {
  return typeof authorization === 'string' && authorization.endsWith(MASK);
}

/**
 * Takes the token, the DPoP proof and the subject token out of what an Axios error shows of its request: in JSON,
 * in `util.inspect()` and in the objects that loggers walk through. The request can still be sent again: the
 * interceptor replaces the mask.
 */
export function maskError(error: AxiosError): void {
  if (error.config) maskConfig(error.config);
  hide(error, 'request');
  if (error.response) maskResponse(error.response);
}

function maskResponse(response: AxiosResponse): void {
  maskConfig(response.config);
  hide(response, 'request');
  // The response stream of Node knows its request, headers and all.
  if (typeof response.data === 'object' && response.data !== null) hide(response.data as object, 'req');
}

function maskConfig(config: InternalAxiosRequestConfig): void {
  const { headers, oauth } = config;
  const authorization = headers.get('Authorization');
  if (typeof authorization === 'string' && !isMasked(authorization)) {
    headers.set('Authorization', authorization.replace(/\s.*$/s, '') + MASK);
  }
  if (headers.has('DPoP')) headers.set('DPoP', MASK.trim());
  if (oauth) config.oauth = new SealedTokenRequest(oauth) as TokenRequest;
}

function hide(owner: object, property: string): void {
  const descriptor = Object.getOwnPropertyDescriptor(owner, property);
  if (descriptor?.configurable) Object.defineProperty(owner, property, { ...descriptor, enumerable: false });
}

/** A token request that shows nothing confidential, and that Axios passes on by reference. */
class SealedTokenRequest {
  constructor(request: TokenRequest) {
    Object.assign(this, request);
  }

  toJSON(): Pick<TokenRequest, 'scope' | 'audience' | 'resource'> & { client?: string } {
    const { client, scope, audience, resource } = this as TokenRequest & { client?: string };
    return {
      ...(client !== undefined && { client }),
      ...(scope !== undefined && { scope }),
      ...(audience !== undefined && { audience }),
      ...(resource !== undefined && { resource }),
    };
  }

  [inspect.custom](): unknown {
    return this.toJSON();
  }
}
