import { Controller, Get, Param, UseGuards } from '@nestjs/common';
import { UseOAuthClient } from 'nestjs-oauth-client';
import type { Observable } from 'rxjs';
import { ImagingService, type Image } from './imaging.service.js';
import { KnownClinicGuard, clinicOf } from './known-clinic.guard.js';

/** The clinic in the URL is the tenant of all that a handler does. */
@Controller('clinics/:clinic/patients/:patient/images')
@UseGuards(KnownClinicGuard)
@UseOAuthClient('imaging', (context) => ({ tenant: clinicOf(context) }))
export class ImagingController {
  constructor(private readonly imaging: ImagingService) {}

  @Get()
  forPatient(@Param('patient') patient: string): Observable<Image[]> {
    return this.imaging.forPatient(patient);
  }
}
