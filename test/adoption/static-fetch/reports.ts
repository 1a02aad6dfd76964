import { Injectable } from '@nestjs/common';
import { InjectOAuthFetch } from 'nestjs-oauth-client';
import createClient from 'openapi-fetch';

@Injectable()
export class ReportsService {
  constructor(@InjectOAuthFetch('reports') private readonly fetch: typeof globalThis.fetch) {}

  async report(id: string): Promise<unknown> {
    const response = await this.fetch(`/reports/${id}`, { signal: AbortSignal.timeout(10_000) });
    if (!response.ok) throw new Error(`The reports API answered ${response.status}.`);
    return response.json();
  }
}

/** What openapi-typescript makes of the partner's document. */
export interface paths {
  '/notes/{id}': {
    put: {
      parameters: { path: { id: string } };
      requestBody: { content: { 'application/json': { text: string } } };
      responses: { 200: { content: { 'application/json': { method: string; body: { text: string } } } } };
    };
  };
}

@Injectable()
export class NotesService {
  private readonly client;

  constructor(@InjectOAuthFetch('reports') fetch: typeof globalThis.fetch) {
    this.client = createClient<paths>({ baseUrl: process.env['REPORTS_API_URL'] ?? '', fetch });
  }

  async write(id: string, text: string) {
    const { data, response } = await this.client.PUT('/notes/{id}', {
      params: { path: { id } },
      body: { text },
    });
    if (data === undefined) throw new Error(`The reports API answered ${response.status}.`);
    return data;
  }
}

/** An API that still gives out tokens by hand. */
@Injectable()
export class ArchiveService {
  constructor(@InjectOAuthFetch('archive') private readonly fetch: typeof globalThis.fetch) {}

  async file(name: string): Promise<number> {
    return (await this.fetch(`/files/${name}`)).status;
  }
}
