import { Module, type DynamicModule } from '@nestjs/common';
import type { OAuthClientName } from '../core/client-names.js';
import { MemoryTokenStore } from '../core/memory-token-store.js';
import { TokenStore } from '../core/token-store.js';
import { ConfigEnvironmentModule, ENVIRONMENT, environmentProvider } from './config-environment.js';
import { namedProviders } from './injection.js';
import type { EnvironmentSource } from '../options/environment.js';
import type { OAuthClientModuleOptions } from '../options/module-options.js';
import { OAuthAxiosInterceptor } from './oauth-axios.interceptor.js';
import { OAuthClientRegistry } from './oauth-client-registry.js';
import { OAuthFetches } from './oauth-fetches.js';
import {
  ASYNC_OPTIONS_TYPE,
  ConfigurableModuleClass,
  MODULE_OPTIONS_TOKEN,
  OPTIONS_TYPE,
} from './oauth-client.module-definition.js';
import { OAuthTokenService } from './oauth-token.service.js';

type OptionsReader = () => OAuthClientModuleOptions;

/**
 * OAuth 2.0 machine-to-machine tokens for Nest applications.
 *
 * @example
 * ```ts
 * imports: [ConfigModule.forRoot(), OAuthClientModule.forRoot(), OAuthClientModule.forFeature('buoy')]
 * ```
 */
@Module({
  imports: [ConfigEnvironmentModule],
  providers: [
    environmentProvider,
    {
      provide: TokenStore,
      inject: [MODULE_OPTIONS_TOKEN],
      // Options that are no object are reported with the other problems.
      useFactory: (options: OptionsReader) => options()?.store ?? new MemoryTokenStore(),
    },
    {
      provide: OAuthClientRegistry,
      inject: [MODULE_OPTIONS_TOKEN, TokenStore, ENVIRONMENT],
      useFactory: (options: OptionsReader, store: TokenStore, environment: EnvironmentSource) =>
        new OAuthClientRegistry(options(), store, environment),
    },
    OAuthTokenService,
    OAuthAxiosInterceptor,
    OAuthFetches,
  ],
  exports: [OAuthTokenService, OAuthAxiosInterceptor, OAuthFetches, OAuthClientRegistry, TokenStore],
})
export class OAuthClientModule extends ConfigurableModuleClass {
  constructor(registry: OAuthClientRegistry, tokens: OAuthTokenService) {
    super();
    if (!(tokens instanceof OAuthTokenService)) registry.takeTokensFrom(tokens);
  }

  /**
   * Registers the clients, globally unless `isGlobal` is false. Without `clients` they come from the `OAUTH_*`
   * variables through ConfigService; with them, the named providers exist without `forFeature`.
   *
   * @throws {OAuthConfigurationError} at boot, with every problem of every client
   */
  static override forRoot(options: typeof OPTIONS_TYPE = {}): DynamicModule {
    return withNamed(super.forRoot(options), Object.keys(options.clients ?? {}));
  }

  /**
   * The same with options that come asynchronously: `useFactory`, `useClass`, `useExisting`, or what
   * `registerAs(...).asProvider()` returns.
   */
  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return super.forRootAsync(options);
  }

  /** Provides `@InjectOAuthClient(name)`, `@InjectOAuthHttp(name)` and `@InjectOAuthFetch(name)` in the importing module; an unknown name fails at boot. */
  static forFeature(...names: OAuthClientName[]): DynamicModule {
    return withNamed({ module: OAuthClientFeatureModule }, names);
  }
}

/** Where the named providers of `forFeature` live. */
@Module({})
export class OAuthClientFeatureModule {}

function withNamed(definition: DynamicModule, names: readonly string[]): DynamicModule {
  const named = namedProviders(names);
  return {
    ...definition,
    providers: [...(definition.providers ?? []), ...named],
    exports: [...(definition.exports ?? []), ...named.map(({ provide }) => provide)],
  };
}
