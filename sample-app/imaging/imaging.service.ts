import { HttpService } from '@nestjs/axios';
import { Injectable, NotFoundException } from '@nestjs/common';
import { isAxiosError } from 'axios';
import { InjectOAuthHttp } from 'nestjs-oauth-client';
import { catchError, map, type Observable } from 'rxjs';

/** An image in the archive. */
export interface Image {
  clinic: string;
  study: string;
}

/** Knows nothing of tenants: the token and the base URL are those of the clinic that the call is for. */
@Injectable()
export class ImagingService {
  constructor(@InjectOAuthHttp('imaging') private readonly imaging: HttpService) {}

  forPatient(patient: string): Observable<Image[]> {
    return this.imaging.get<{ images: Image[] }>(`patients/${encodeURIComponent(patient)}/images`).pipe(
      map(({ data }) => data.images),
      catchError((error: unknown) => {
        const unknownPatient = isAxiosError(error) && error.response?.status === 404;
        throw unknownPatient ? new NotFoundException('The imaging archive has no such patient.') : error;
      }),
    );
  }
}
