import { ConflictException, Injectable, NotFoundException } from '@nestjs/common';
import axios, { AxiosError, type AxiosInstance } from 'axios';
import axiosRetry from 'axios-retry';
import { OAuthAxiosInterceptor } from 'nestjs-oauth-client';

@Injectable()
export class RecordsService {
  private readonly http: AxiosInstance;

  constructor(interceptor: OAuthAxiosInterceptor) {
    this.http = axios.create({ baseURL: process.env['RECORDS_API_URL'] ?? '', timeout: 10_000 });
    axiosRetry(this.http, { retries: 2 });
    this.http.interceptors.response.use(undefined, (error: unknown) => {
      throw toHttpException(error);
    });
    interceptor.attach(this.http, 'records');
  }

  async mine(): Promise<unknown> {
    return (await this.http.get<unknown>('/records')).data;
  }

  async add(record: object): Promise<unknown> {
    return (await this.http.post<unknown>('/records', record)).data;
  }
}

/** What only this API means by its answers. Failures of the token, and a 401, are left to `@UseOAuthClient`. */
function toHttpException(error: unknown): unknown {
  if (!(error instanceof AxiosError)) return error;
  if (error.response?.status === 404) return new NotFoundException('There is no such record.');
  if (error.response?.status === 409) return new ConflictException('The record exists.');
  return error;
}
