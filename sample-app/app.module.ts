import { Module } from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';
import { OAuthClientModule } from 'nestjs-oauth-client';
import { LabModule } from './lab/lab.module.js';
import { OperationsModule } from './operations/operations.module.js';
import { PrescriptionsModule } from './prescriptions/prescriptions.module.js';
import { StatusController } from './status/status.controller.js';
import { TriageModule } from './triage/triage.module.js';

/** A small clinic back end. Its three OAuth clients come from `OAUTH_…` variables: see `.env.example`. */
@Module({
  imports: [
    ConfigModule.forRoot({ isGlobal: true, envFilePath: 'sample-app/.env' }),
    OAuthClientModule.forRoot(),
    TriageModule,
    PrescriptionsModule,
    LabModule,
    OperationsModule,
  ],
  controllers: [StatusController],
})
export class AppModule {}
