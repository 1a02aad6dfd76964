import { Controller, Delete, HttpCode, Inject, NotFoundException, Param, Post, Put } from '@nestjs/common';
import { OAuthTokenService } from 'nestjs-oauth-client';
import { ImagingAccounts } from '../imaging/imaging-accounts.js';
import { CLINIC_ROUTES, IMAGING } from '../partners/partner-routes.js';
import type { Sandboxes } from '../partners/start-sandboxes.js';
import { ClinicViews } from './clinic-views.js';
import { PartnerCalls } from './partner-calls.js';
import { SANDBOXES } from './sandboxes.token.js';

/** The buttons of the clinics, which are tenants: they come and go while the application runs. */
@Controller('demo/clinics/:clinic')
export class ClinicsController {
  constructor(
    private readonly tokens: OAuthTokenService,
    private readonly accounts: ImagingAccounts,
    private readonly calls: PartnerCalls,
    private readonly views: ClinicViews,
    @Inject(SANDBOXES) private readonly sandboxes: Sandboxes,
  ) {}

  /** The archive opens an account, and the application knows it from the next call on. */
  @Put()
  @HttpCode(204)
  add(@Param('clinic') clinic: string): void {
    expectClinic(clinic);
    if (!this.accounts.has(clinic)) this.accounts.add(clinic, this.sandboxes.imaging.openAccount(clinic));
  }

  /** The account goes first, so that no more calls come. Those under way end before their token goes as well. */
  @Delete()
  @HttpCode(204)
  async remove(@Param('clinic') clinic: string): Promise<void> {
    expectClinic(clinic);
    this.accounts.remove(clinic);
    await this.calls.ended(clinic);
    await this.tokens.forgetTenant(IMAGING.client, clinic);
    this.sandboxes.imaging.closeAccount(clinic);
    this.views.forget(clinic);
  }

  @Post('revocation')
  @HttpCode(204)
  revoke(@Param('clinic') clinic: string): void {
    expectClinic(clinic);
    this.sandboxes.imaging.revoke(clinic);
  }
}

function expectClinic(clinic: string): void {
  if (!CLINIC_ROUTES.some((route) => route.clinic === clinic))
    throw new NotFoundException('There is no such clinic.');
}
