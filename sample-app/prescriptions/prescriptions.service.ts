import { HttpService } from '@nestjs/axios';
import { Injectable, NotFoundException } from '@nestjs/common';
import { isAxiosError } from 'axios';
import { InjectOAuthHttp } from 'nestjs-oauth-client';
import { catchError, map, type Observable } from 'rxjs';

/** A prescription at Honeybee. */
export interface Prescription {
  id: number;
  medication: string;
  dosage: string;
  refills_left: number;
}

@Injectable()
export class PrescriptionsService {
  constructor(@InjectOAuthHttp('honeybee') private readonly honeybee: HttpService) {}

  forPatient(patient: string): Observable<Prescription> {
    return this.honeybee
      .get<{ medication_request: Prescription }>(`/v1/patients/${encodeURIComponent(patient)}/rx`)
      .pipe(
        map(({ data }) => data.medication_request),
        catchError((error: unknown) => {
          const unknownPatient = isAxiosError(error) && error.response?.status === 404;
          throw unknownPatient ? new NotFoundException('Honeybee Health has no such patient.') : error;
        }),
      );
  }
}
