import { Module } from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';
import { OAuthClientModule } from 'nestjs-oauth-client';
import { ImagingAccounts } from './imaging/imaging-accounts.js';
import { ImagingAccountsModule } from './imaging/imaging-accounts.module.js';
import { ImagingModule } from './imaging/imaging.module.js';
import { LabModule } from './lab/lab.module.js';
import { OperationsModule } from './operations/operations.module.js';
import { PrescriptionsModule } from './prescriptions/prescriptions.module.js';
import { StatusController } from './status/status.controller.js';
import { TriageModule } from './triage/triage.module.js';

/**
 * A small back end of two clinics. Its OAuth clients come from `OAUTH_…` variables: see `.env.example`. One of them has
 * tenants, the clinics, whose accounts are looked up at run time.
 */
@Module({
  imports: [
    ConfigModule.forRoot({ isGlobal: true, envFilePath: 'sample-app/.env' }),
    OAuthClientModule.forRootAsync({
      imports: [ImagingAccountsModule],
      inject: [ImagingAccounts],
      useFactory: (accounts: ImagingAccounts) => ({
        defaults: (client) =>
          client === 'imaging' ? { tenants: (clinic) => accounts.find(clinic) } : undefined,
      }),
    }),
    TriageModule,
    PrescriptionsModule,
    LabModule,
    ImagingModule,
    OperationsModule,
  ],
  controllers: [StatusController],
})
export class AppModule {}
