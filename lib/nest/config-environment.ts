import { Module, type FactoryProvider } from '@nestjs/common';
import { ConfigModule, ConfigService } from '@nestjs/config';
import type { EnvironmentSource } from '../options/environment.js';

const UNBOUND_CONFIG = Symbol('ConfigService without loaders');

/** A `ConfigService` for applications whose own is not visible to this module. */
@Module({
  imports: [ConfigModule],
  providers: [{ provide: UNBOUND_CONFIG, useExisting: ConfigService }],
  exports: [UNBOUND_CONFIG],
})
export class ConfigEnvironmentModule {}

/** DI token of the source of the `OAUTH_*` variables. */
export const ENVIRONMENT = Symbol('OAuth client environment');

/** The application's `ConfigService` if it is global or imported: only that one waits for asynchronous loaders. */
export const environmentProvider: FactoryProvider<EnvironmentSource> = {
  provide: ENVIRONMENT,
  inject: [UNBOUND_CONFIG, { token: ConfigService, optional: true }],
  useFactory: (unbound: ConfigService, config: ConfigService = unbound) => ({
    get: (variable) => config.get<unknown>(variable),
    names: () => namesIn(config['internalConfig']),
  }),
};

/** Only a private member of `ConfigService` has the names that loaders and, one level down, a schema added. */
function namesIn(loaded: Record<string, object | undefined> = {}): string[] {
  return Object.keys({ ...process.env, ...loaded, ...loaded['_PROCESS_ENV_VALIDATED'] });
}
