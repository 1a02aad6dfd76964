import { Injectable } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { IncomingMessage, ServerResponse } from 'node:http';

/** How calls went: `failed` are those that the back end answered with a 5xx, or not at all. */
export interface CallCount {
  served: number;
  failed: number;
}

type Middleware = (request: IncomingMessage, response: ServerResponse, next: () => void) => void;

/** Makes and counts calls through the back end's own routes to the partners. */
@Injectable()
export class PartnerCalls {
  readonly #counts = new Map<string, CallCount>();
  readonly #underWay = new Map<Promise<void>, string>();

  constructor(private readonly host: HttpAdapterHost) {}

  /** All calls so far, by visitors and by the demo. `whose`: a client's name, or a clinic's. */
  count(whose: string): CallCount {
    return this.#counts.get(whose) ?? { served: 0, failed: 0 };
  }

  /** Middleware for the routes that call a partner; `whoseOf` gets the request's URL. */
  counter(whoseOf: (url: string) => string | undefined): Middleware {
    return (request, response, next) => {
      // Nest mounts the middleware below the route, which shortens `url`
      const { originalUrl = '' } = request as IncomingMessage & { originalUrl?: string };
      const whose = whoseOf(originalUrl);
      if (whose === undefined) return next();
      const ended = new Promise<void>((resolve) => response.once('close', resolve));
      this.#underWay.set(ended, whose);
      void ended.then(() => this.#underWay.delete(ended));
      response.once('finish', () => {
        const { served, failed } = this.count(whose);
        const ok = response.statusCode < 500;
        this.#counts.set(whose, { served: served + Number(ok), failed: failed + Number(!ok) });
      });
      next();
    };
  }

  /** Resolves once the calls that are under way now have ended. */
  async ended(whose: string): Promise<void> {
    const theirs = [...this.#underWay].filter(([, owner]) => owner === whose);
    await Promise.all(theirs.map(([ended]) => ended));
  }

  /** Makes so many calls of a route at the same moment. */
  async make(path: string, howMany: number): Promise<CallCount> {
    const { port } = this.host.httpAdapter.getHttpServer().address();
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
