import { HttpService } from '@nestjs/axios';
import { Injectable } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import axios from 'axios';
import { InjectOAuthClient, InjectOAuthHttp, OAuthClient, OAuthClientError } from 'nestjs-oauth-client';
import { firstValueFrom } from 'rxjs';

/** Kept for the callers that set the header themselves. */
@Injectable()
export class PharmacyTokenService {
  constructor(@InjectOAuthClient('pharmacy') private readonly client: OAuthClient) {}

  async getToken(): Promise<string> {
    return (await this.client.getToken()).value;
  }
}

@Injectable()
export class PharmacyService {
  constructor(@InjectOAuthHttp('pharmacy') private readonly pharmacy: HttpService) {}

  async orders(patient: string): Promise<unknown> {
    const { data } = await firstValueFrom(this.pharmacy.get<unknown>(`/patients/${patient}/orders`));
    return data;
  }
}

/** As it was before the migration: a header for each call. */
@Injectable()
export class LabelsService {
  constructor(
    private readonly http: HttpService,
    private readonly config: ConfigService,
    private readonly tokens: PharmacyTokenService,
  ) {}

  async label(order: string): Promise<unknown> {
    const url = `${this.config.getOrThrow<string>('PHARMACY_API_URL')}/labels/${order}`;
    const headers = { Authorization: `Bearer ${await this.tokens.getToken()}` };
    return (await firstValueFrom(this.http.get<unknown>(url, { headers }))).data;
  }
}

/** For a job: whether the same call can succeed later. */
export function isWorthARetry(error: unknown): boolean {
  if (error instanceof OAuthClientError) return error.retryable;
  return axios.isAxiosError(error) && (error.response?.status ?? 500) >= 500;
}
