import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { OAuthClientModuleOptions } from '../options/module-options.js';

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<OAuthClientModuleOptions>({ moduleName: 'OAuthClient' })
    .setClassMethodName('forRoot')
    .setFactoryMethodName('createOAuthClientOptions')
    .setExtras({ isGlobal: true }, (definition, { isGlobal }) => ({ ...definition, global: isGlobal }))
    .build();
