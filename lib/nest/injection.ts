import { Inject, type FactoryProvider } from '@nestjs/common';
import { OAuthConfigurationError } from '../core/errors.js';
import { OAuthAxiosInterceptor } from './oauth-axios.interceptor.js';
import { OAuthTokenService } from './oauth-token.service.js';

/** DI token of the named `OAuthClient`, for `overrideProvider`. */
export function getOAuthClientToken(name: string): string {
  return `OAuthClient(${name})`;
}

/** DI token of the named client's `HttpService`, for `overrideProvider`. */
export function getOAuthHttpToken(name: string): string {
  return `OAuthHttpService(${name})`;
}

/**
 * Injects the named `OAuthClient`.
 *
 * @example constructor(@InjectOAuthClient('buoy') private readonly buoy: OAuthClient) {}
 */
export const InjectOAuthClient = (name: string): ParameterDecorator & PropertyDecorator =>
  Inject(getOAuthClientToken(name));

/**
 * Injects the named client's `HttpService`: its own Axios instance with the client's baseURL and tokens.
 *
 * @example constructor(@InjectOAuthHttp('buoy') private readonly buoy: HttpService) {}
 */
export const InjectOAuthHttp = (name: string): ParameterDecorator & PropertyDecorator =>
  Inject(getOAuthHttpToken(name));

/** The providers behind both decorators. An unknown name fails at boot. */
export function namedProviders(names: readonly string[]): FactoryProvider[] {
  return names.flatMap((name) => [
    {
      provide: getOAuthClientToken(name),
      inject: [{ token: OAuthTokenService, optional: true }],
      useFactory: (tokens?: OAuthTokenService) => present(name, tokens).client(name),
    },
    {
      provide: getOAuthHttpToken(name),
      inject: [{ token: OAuthAxiosInterceptor, optional: true }],
      useFactory: (interceptor?: OAuthAxiosInterceptor) => present(name, interceptor).httpService(name),
    },
  ]);
}

function present<T>(name: string, registered: T | undefined): T {
  if (registered !== undefined) return registered;
  throw new OAuthConfigurationError([
    `OAuthClientModule.forFeature('${name}') sees no OAuthClientModule.forRoot(): import one into the application's root module, and leave isGlobal on. With isGlobal: false, import what forRoot({ clients }) returns instead of forFeature.`,
  ]);
}
