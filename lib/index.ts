/**
 * The module, its injectables and decorators, options, errors, events and token stores.
 *
 * @module nestjs-oauth-client
 */

import './http/request-config.js';

export { AccessToken, type RefreshAheadOptions } from './core/access-token.js';
export type { RetryOptions } from './core/backoff.js';
export type { OAuthClientName, OAuthClientNames, PerOAuthClient } from './core/client-names.js';
export type { Clock } from './core/clock.js';
export {
  AuthorizationServerUnavailableError,
  OAuthClientError,
  OAuthConfigurationError,
  OriginNotAllowedError,
  TokenRequestError,
  TokenResponseError,
  type OAuthClientErrorCode,
} from './core/errors.js';
export type {
  OAuthClientEvent,
  OAuthClientState,
  OAuthClientStatus,
  TokenStatus,
  TokenRequestReason,
  TokenSource,
} from './core/events.js';
export { MemoryTokenStore } from './core/memory-token-store.js';
export { OAuthClient } from './core/oauth-client.js';
export type { OAuthRequestConfig, TokenRequest, TokenRequestDetails } from './core/token-request.js';
export { TokenStore } from './core/token-store.js';
export type { AccessTokenType, LockOutcome, StoredFailure, StoredToken } from './core/token-store.js';
export type {
  AssertionOptions,
  DpopOptions,
  GrantOptions,
  HttpOptions,
  OAuthClientOptions,
  PrivateJwk,
  SigningAlgorithm,
  TlsOptions,
  TokenEndpointAuthMethod,
  TokenHeaderOptions,
  UnauthorizedAnswer,
  UnauthorizedOptions,
} from './options/client-options.js';
export type { RequestToken, RequestTokenContext, RequestedToken } from './options/request-token.js';
export type { Source } from './options/source.js';
export {
  InjectOAuthClient,
  InjectOAuthFetch,
  InjectOAuthHttp,
  getOAuthClientToken,
  getOAuthFetchToken,
  getOAuthHttpToken,
} from './nest/injection.js';
export type { OAuthClientModuleOptions, OAuthClientOptionsFactory } from './options/module-options.js';
export { OAuthAxiosInterceptor } from './nest/oauth-axios.interceptor.js';
export { OAuthClientModule } from './nest/oauth-client.module.js';
export { OAuthTokenService } from './nest/oauth-token.service.js';
export { OAuthToken, UseOAuthClient } from './nest/use-oauth-client.decorator.js';
export type { HandlerTokenRequest } from './nest/use-oauth-client.interceptor.js';
