import { Injectable, NotFoundException, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { ImagingAccounts } from './imaging-accounts.js';

/** Keeps a name from the URL from becoming a tenant before it is checked. Yours also checks who calls. */
@Injectable()
export class KnownClinicGuard implements CanActivate {
  constructor(private readonly accounts: ImagingAccounts) {}

  canActivate(context: ExecutionContext): boolean {
    if (this.accounts.has(clinicOf(context))) return true;
    throw new NotFoundException('There is no such clinic.');
  }
}

/** The clinic that a request's URL names. */
export function clinicOf(context: ExecutionContext): string {
  return context.switchToHttp().getRequest<{ params: { clinic: string } }>().params.clinic;
}
