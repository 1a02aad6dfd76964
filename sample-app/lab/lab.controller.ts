import { Controller, Get, Param } from '@nestjs/common';
import { UseOAuthClient } from 'nestjs-oauth-client';
import { LabService, type LabReport } from './lab.service.js';

@Controller('patients/:patient/lab-results')
@UseOAuthClient('lab')
export class LabController {
  constructor(private readonly lab: LabService) {}

  @Get()
  forPatient(@Param('patient') patient: string): Promise<LabReport> {
    return this.lab.forPatient(patient);
  }
}
