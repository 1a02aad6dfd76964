import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { catchError, type Observable } from 'rxjs';
import type { TokenRequest } from '../core/token-request.js';
import { AmbientTokenRequests } from './ambient-token-requests.js';
import { PartnerFailure } from './partner-failure.js';
import { OAuthTokenService } from './oauth-token.service.js';
import type { HandlerTokenRequest } from './use-oauth-client.decorator.js';

const USES = Symbol('oauth client uses');
type Uses = ReadonlyMap<string, HandlerTokenRequest | undefined>;

/** Notes on a class or method that it uses a client. */
export function addUse(
  name: string,
  request: HandlerTokenRequest | undefined,
): ClassDecorator & MethodDecorator {
  return (target: object, _property?: string | symbol, descriptor?: PropertyDescriptor) => {
    const subject = (descriptor?.value ?? target) as object;
    const present = Reflect.getOwnMetadata(USES, subject) as Uses | undefined;
    Reflect.defineMetadata(USES, new Map([...(present ?? []), [name, request]]), subject);
  };
}

/** What `@UseOAuthClient` does around a handler; once, however often it is stacked. */
@Injectable()
export class UseOAuthClientInterceptor implements NestInterceptor {
  readonly #tokens: OAuthTokenService;
  readonly #ambient: AmbientTokenRequests;
  readonly #adapter: HttpAdapterHost;

  constructor(tokens: OAuthTokenService, ambient: AmbientTokenRequests, adapter: HttpAdapterHost) {
    this.#tokens = tokens;
    this.#ambient = ambient;
    this.#adapter = adapter;
  }

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    // A decorated class with a decorated method has this interceptor twice; the first one serves both.
    if (this.#ambient.entered(context)) return next.handle();
    try {
      const uses = await Promise.all([...this.#uses(context)].map((use) => this.#acquire(context, use)));
      return this.#ambient
        .run(new Map(uses), () => next.handle())
        .pipe(catchError((error: unknown) => this.#fail(context, error)));
    } catch (error) {
      return this.#fail(context, error);
    }
  }

  #uses(context: ExecutionContext): Uses {
    const on = (subject: object) => (Reflect.getMetadata(USES, subject) as Uses | undefined) ?? [];
    return new Map([...on(context.getClass()), ...on(context.getHandler())]);
  }

  async #acquire(
    context: ExecutionContext,
    [name, wanted]: readonly [string, HandlerTokenRequest | undefined],
  ) {
    const request: TokenRequest | undefined = typeof wanted === 'function' ? await wanted(context) : wanted;
    return [name, { request, token: await this.#tokens.getToken(name, request) }] as const;
  }

  #fail(context: ExecutionContext, error: unknown): never {
    const failure = PartnerFailure.of(error);
    if (failure === undefined) throw error;
    if (context.getType() === 'http') {
      const { httpAdapter } = this.#adapter;
      const response: unknown = context.switchToHttp().getResponse();
      httpAdapter.setHeader(response, 'Content-Type', 'application/problem+json');
      if (failure.retryAfterSeconds !== undefined)
        httpAdapter.setHeader(response, 'Retry-After', String(failure.retryAfterSeconds));
    }
    throw failure;
  }
}
