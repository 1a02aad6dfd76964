import { BadGatewayException, Injectable, NotFoundException } from '@nestjs/common';
import { InjectOAuthFetch } from 'nestjs-oauth-client';

/** What the laboratory found. */
export interface LabReport {
  patient: string;
  results: { test: string; value: number; unit: string; reference: string }[];
}

/** Calls its partner with `fetch`, whose relative URLs are below the client's baseURL. */
@Injectable()
export class LabService {
  constructor(@InjectOAuthFetch('lab') private readonly fetch: typeof globalThis.fetch) {}

  async forPatient(patient: string): Promise<LabReport> {
    const response = await this.fetch(`patients/${encodeURIComponent(patient)}/results`, {
      headers: { accept: 'application/json' },
      signal: AbortSignal.timeout(10_000),
    });
    if (response.ok) return (await response.json()) as LabReport;
    if (response.status === 404) throw new NotFoundException('The laboratory has no such patient.');
    throw new BadGatewayException(`The laboratory answered ${response.status}.`);
  }
}
