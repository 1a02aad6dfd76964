import { Module } from '@nestjs/common';
import { OAuthClientModule } from 'nestjs-oauth-client';
import { TriageController } from './triage.controller.js';
import { TriageService } from './triage.service.js';

@Module({
  imports: [OAuthClientModule.forFeature('buoy')],
  controllers: [TriageController],
  providers: [TriageService],
})
export class TriageModule {}
