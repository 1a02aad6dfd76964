import { Module } from '@nestjs/common';
import { OAuthClientModule } from 'nestjs-oauth-client';
import { ImagingAccountsModule } from './imaging-accounts.module.js';
import { ImagingController } from './imaging.controller.js';
import { ImagingService } from './imaging.service.js';

@Module({
  imports: [ImagingAccountsModule, OAuthClientModule.forFeature('imaging')],
  controllers: [ImagingController],
  providers: [ImagingService],
})
export class ImagingModule {}
