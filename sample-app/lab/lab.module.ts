import { Module } from '@nestjs/common';
import { OAuthClientModule } from 'nestjs-oauth-client';
import { LabController } from './lab.controller.js';
import { LabService } from './lab.service.js';

@Module({
  imports: [OAuthClientModule.forFeature('lab')],
  controllers: [LabController],
  providers: [LabService],
})
export class LabModule {}
