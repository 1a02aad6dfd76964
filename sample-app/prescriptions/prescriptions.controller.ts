import { Controller, Get, Param } from '@nestjs/common';
import { UseOAuthClient } from 'nestjs-oauth-client';
import type { Observable } from 'rxjs';
import { PrescriptionsService, type Prescription } from './prescriptions.service.js';

@Controller('patients/:patient/prescriptions')
@UseOAuthClient('honeybee')
export class PrescriptionsController {
  constructor(private readonly prescriptions: PrescriptionsService) {}

  @Get()
  forPatient(@Param('patient') patient: string): Observable<Prescription> {
    return this.prescriptions.forPatient(patient);
  }
}
