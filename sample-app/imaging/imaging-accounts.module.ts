import { Module } from '@nestjs/common';
import { ImagingAccounts } from './imaging-accounts.js';

@Module({ providers: [ImagingAccounts], exports: [ImagingAccounts] })
export class ImagingAccountsModule {}
