import {
  ConfigurableModuleBuilder,
  type FactoryProvider,
  type Provider,
  type ValueProvider,
} from '@nestjs/common';
import type { OAuthClientModuleOptions } from '../options/module-options.js';

/** DI token of a function that returns the options: Nest's container shows what its providers hold. */
export const MODULE_OPTIONS_TOKEN = Symbol('OAuthClient module options');

function outOfSight(provider: Provider): Provider {
  if (!('provide' in provider) || provider.provide !== MODULE_OPTIONS_TOKEN) return provider;
  const { inject = [], useFactory: read } = provider as Partial<FactoryProvider<OAuthClientModuleOptions>>;
  const { useValue } = provider as ValueProvider<OAuthClientModuleOptions>;
  const useFactory = async (...args: unknown[]) => {
    const options = read ? await read(...args) : useValue;
    return () => options;
  };
  return { provide: MODULE_OPTIONS_TOKEN, inject, useFactory };
}

export const { ConfigurableModuleClass, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<OAuthClientModuleOptions>({
    optionsInjectionToken: MODULE_OPTIONS_TOKEN,
    alwaysTransient: true, // Nest cannot tell registrations apart by their hidden options
  })
    .setClassMethodName('forRoot')
    .setFactoryMethodName('createOAuthClientOptions')
    .setExtras({ isGlobal: true }, ({ providers = [], ...definition }, { isGlobal }) => ({
      ...definition,
      providers: providers.map(outOfSight),
      global: isGlobal,
    }))
    .build();
