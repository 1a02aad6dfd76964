import { Injectable } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { ServerResponse } from 'node:http';
import { PARTNER_ROUTES, type ClientName } from '../partners/partner-routes.js';

/** How calls went: `failed` are those that the back end answered with a 5xx, or not at all. */
export interface CallCount {
  served: number;
  failed: number;
}

/** Makes and counts calls through the back end's own routes to the partners. */
@Injectable()
export class PartnerCalls {
  readonly #counts = new Map<ClientName, CallCount>();

  constructor(private readonly host: HttpAdapterHost) {}

  /** All calls so far, by visitors and by the demo. */
  count(client: ClientName): CallCount {
    return this.#counts.get(client) ?? { served: 0, failed: 0 };
  }

  /** Middleware for the routes that call this partner. */
  counter(client: ClientName): (request: unknown, response: ServerResponse, next: () => void) => void {
    return (_request, response, next) => {
      response.once('finish', () => {
        const { served, failed } = this.count(client);
        const ok = response.statusCode < 500;
        this.#counts.set(client, { served: served + Number(ok), failed: failed + Number(!ok) });
      });
      next();
    };
  }

  /** Makes so many calls at the same moment. */
  async make(client: ClientName, howMany: number): Promise<CallCount> {
    const { port } = this.host.httpAdapter.getHttpServer().address();
    const { path } = PARTNER_ROUTES.find((route) => route.client === client)!;
    const answers = await Promise.all(
      Array.from({ length: howMany }, async () => {
        const response = await fetch(`http://127.0.0.1:${port}${path}`);
        await response.arrayBuffer();
        return response.status < 500;
      }).map((answer) => answer.catch(() => false)),
    );
    const failed = answers.filter((ok) => !ok).length;
    return { served: howMany - failed, failed };
  }
}
