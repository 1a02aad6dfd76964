import { HttpService } from '@nestjs/axios';
import { Injectable } from '@nestjs/common';
import { InjectOAuthHttp } from 'nestjs-oauth-client';
import { firstValueFrom } from 'rxjs';

@Injectable()
export class LabService {
  constructor(@InjectOAuthHttp('lab') private readonly lab: HttpService) {}

  /** Of the organisation that the request belongs to. */
  async results(patient: string): Promise<unknown> {
    const { data } = await firstValueFrom(this.lab.get<unknown>(`/patients/${patient}/results`));
    return data;
  }

  /** For a job, which belongs to no request. */
  async reportFor(organisation: string): Promise<unknown> {
    const oauth = { tenant: organisation };
    return (await firstValueFrom(this.lab.get<unknown>('/report', { oauth }))).data;
  }
}
