import { Inject, type FactoryProvider } from '@nestjs/common';
import type { OAuthClientName } from '../core/client-names.js';
import { OAuthConfigurationError } from '../core/errors.js';
import { OAuthAxiosInterceptor } from './oauth-axios.interceptor.js';
import { OAuthClientRegistry } from './oauth-client-registry.js';
import { OAuthFetches } from './oauth-fetches.js';
import { OAuthTokenService } from './oauth-token.service.js';

/** DI token of the named `OAuthClient`, for `overrideProvider`. */
export function getOAuthClientToken(name: OAuthClientName): string {
  return `OAuthClient(${name})`;
}

/** DI token of the named client's `HttpService`, for `overrideProvider`. */
export function getOAuthHttpToken(name: OAuthClientName): string {
  return `OAuthHttpService(${name})`;
}

/** DI token of the named client's fetch, for `overrideProvider`. */
export function getOAuthFetchToken(name: OAuthClientName): string {
  return `OAuthFetch(${name})`;
}

/**
 * Injects the named `OAuthClient`.
 *
 * @example constructor(@InjectOAuthClient('buoy') private readonly buoy: OAuthClient) {}
 */
export const InjectOAuthClient = (name: OAuthClientName): ParameterDecorator & PropertyDecorator =>
  Inject(getOAuthClientToken(name));

/**
 * Injects the named client's `HttpService`: its own Axios instance with the client's baseURL and tokens.
 *
 * @example constructor(@InjectOAuthHttp('buoy') private readonly buoy: HttpService) {}
 */
export const InjectOAuthHttp = (name: OAuthClientName): ParameterDecorator & PropertyDecorator =>
  Inject(getOAuthHttpToken(name));

/**
 * Injects the named client's fetch: a function of fetch's own signature, with the client's baseURL and tokens. A client
 * with `tls` or a proxy needs the package undici for it, or the boot fails.
 *
 * @example constructor(@InjectOAuthFetch('lab') private readonly fetch: typeof globalThis.fetch) {}
 */
export const InjectOAuthFetch = (name: OAuthClientName): ParameterDecorator & PropertyDecorator =>
  Inject(getOAuthFetchToken(name));

/** The providers behind the decorators. An unknown name fails at boot. */
export function namedProviders(names: readonly OAuthClientName[]): FactoryProvider[] {
  return names.flatMap((name) => [
    {
      provide: getOAuthClientToken(name),
      inject: [OAuthTokenService, OAuthClientRegistry].map((token) => ({ token, optional: true })),
      // Stand-ins in tests may have nothing but getToken or attach.
      useFactory: (tokens?: Partial<OAuthTokenService>, registry?: OAuthClientRegistry) =>
        tokens?.client?.(name) ?? present(name, registry).get(name).client,
    },
    {
      provide: getOAuthHttpToken(name),
      inject: [OAuthAxiosInterceptor, OAuthClientRegistry].map((token) => ({ token, optional: true })),
      useFactory: (interceptor?: Partial<OAuthAxiosInterceptor>, registry?: OAuthClientRegistry) =>
        interceptor?.httpService?.(name) ??
        new OAuthAxiosInterceptor(present(name, registry)).httpService(name),
    },
    {
      provide: getOAuthFetchToken(name),
      inject: [{ token: OAuthFetches, optional: true }],
      useFactory: (fetches?: OAuthFetches) => present(name, fetches).fetch(name),
    },
  ]);
}

function present<T>(name: string, registered: T | undefined): T {
  if (registered !== undefined) return registered;
  throw new OAuthConfigurationError([
    `OAuthClientModule.forFeature('${name}') sees no OAuthClientModule.forRoot(): import one into the application's root module, and leave isGlobal on. With isGlobal: false, import what forRoot({ clients }) returns instead of forFeature.`,
  ]);
}
