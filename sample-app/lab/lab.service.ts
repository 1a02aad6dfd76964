import { BadGatewayException, Injectable, NotFoundException } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { InjectOAuthClient, OAuthClient } from 'nestjs-oauth-client';

/** What the laboratory found. */
export interface LabReport {
  patient: string;
  results: { test: string; value: number; unit: string; reference: string }[];
}

/** Calls its partner with `fetch`: any HTTP client can take its tokens from an injected `OAuthClient`. */
@Injectable()
export class LabService {
  readonly #baseURL: string;

  constructor(
    @InjectOAuthClient('lab') private readonly lab: OAuthClient,
    config: ConfigService,
  ) {
    this.#baseURL = config.getOrThrow<string>('OAUTH_LAB_BASE_URL');
  }

  async forPatient(patient: string): Promise<LabReport> {
    const response = await this.#get(`patients/${encodeURIComponent(patient)}/results`);
    if (response.ok) return (await response.json()) as LabReport;
    if (response.status === 404) throw new NotFoundException('The laboratory has no such patient.');
    throw new BadGatewayException(`The laboratory answered ${response.status}.`);
  }

  /** An `HttpService` does this by itself: after a 401, one more attempt with a new token. */
  async #get(path: string, lastAttempt = false): Promise<Response> {
    const token = await this.lab.getToken();
    const response = await fetch(new URL(path, this.#baseURL), {
      headers: { accept: 'application/json', authorization: token.authorization },
      redirect: 'error',
      signal: AbortSignal.timeout(10_000),
    });
    if (response.status !== 401 || lastAttempt) return response;
    this.lab.invalidate(token);
    return this.#get(path, true);
  }
}
