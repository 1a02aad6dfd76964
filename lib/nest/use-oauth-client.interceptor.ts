import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { catchError, defer, mergeMap, type Observable } from 'rxjs';
import type { PreparedClients } from '../core/ambient-requests.js';
import { checked, snapshotOf, type RequestSnapshot } from '../core/request-snapshot.js';
import type { TokenRequest } from '../core/token-request.js';
import { readInPresentContext } from './later-reads.js';
import { OAuthClientRegistry } from './oauth-client-registry.js';
import { OAuthTokenService } from './oauth-token.service.js';
import { PartnerFailure, RpcPartnerFailure } from './partner-failure.js';

/** A token request, or a function of the call that returns it: with a tenant, a scope, or the caller's own token. */
export type HandlerTokenRequest =
  | TokenRequest
  | ((context: ExecutionContext) => TokenRequest | undefined | Promise<TokenRequest | undefined>);
type Use = RequestSnapshot | Exclude<HandlerTokenRequest, TokenRequest> | undefined;

const USES = Symbol('oauth client uses');

/** A decorator's argument, copied when the decorator ran. */
export function useOf(request: HandlerTokenRequest | undefined): Use {
  return request === undefined || typeof request === 'function' ? request : snapshotOf(request);
}

/** Copies the answer of a synchronous function at once, since the next call may refill the same object. */
function snapshotFor(use: Use, context: ExecutionContext) {
  if (typeof use !== 'function') return use;
  const passed: unknown = use(context);
  const copyOf = (request: unknown) => (request === undefined ? undefined : snapshotOf(request));
  return 'then' in Object(passed) ? (passed as Promise<unknown>).then(copyOf) : copyOf(passed);
}

/** Records that a class or method uses a client. */
export function addUse(name: string, use: Use): ClassDecorator & MethodDecorator {
  return (target: object, _property?: string | symbol, descriptor?: PropertyDescriptor) => {
    const subject = (descriptor?.value ?? target) as object;
    Reflect.defineMetadata(USES, new Map([...usesOf(subject), [name, use]]), subject);
  };
}

function usesOf(subject: object): ReadonlyMap<string, Use> {
  return (Reflect.getMetadata(USES, subject) as ReturnType<typeof usesOf> | undefined) ?? new Map();
}

/** Express sends objects by `json`, Fastify by `send`. */
type HttpResponse = Partial<Record<'json' | 'send', (body: unknown) => unknown>>;

/** The interceptor of `@UseOAuthClient(name)`. Each is a class of its own, so that a decorator that cannot work fails the boot. */
export function interceptorFor(name: string, use: Use): typeof UseOAuthClientInterceptor {
  class Interceptor extends UseOAuthClientInterceptor {
    constructor(tokens: OAuthTokenService, registry: OAuthClientRegistry, adapter: HttpAdapterHost) {
      super(tokens, registry, adapter);
      registry.get(name);
      if (typeof use === 'object') checked(name, use);
    }
  }
  // Nest shows it when a dependency is missing.
  Object.defineProperty(Interceptor, 'name', { value: `@UseOAuthClient('${name}')` });
  return Interceptor;
}

/** Runs once, however often the decorator is stacked. */
@Injectable()
class UseOAuthClientInterceptor implements NestInterceptor {
  readonly #tokens: OAuthTokenService;
  readonly #registry: OAuthClientRegistry;
  readonly #adapter: HttpAdapterHost;

  constructor(tokens: OAuthTokenService, registry: OAuthClientRegistry, adapter: HttpAdapterHost) {
    this.#tokens = tokens;
    this.#registry = registry;
    this.#adapter = adapter;
  }

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const { ambient } = this.#registry.runtime;
    // A decorated class with a decorated method has this interceptor twice; the first one serves both.
    if (ambient.prepared(context)) return next.handle();
    const scope = { call: context, handler: context.getHandler() };
    const failed = (error: unknown) => this.#fail(context, error);
    const handled = () => next.handle().pipe(readInPresentContext(failed));
    return defer(() => this.#prepare(context)).pipe(
      mergeMap((clients) => ambient.run(scope, clients, handled)),
      catchError(failed),
    );
  }

  async #prepare(context: ExecutionContext): Promise<PreparedClients> {
    const uses = new Map([...usesOf(context.getClass()), ...usesOf(context.getHandler())]);
    const prepared = [...uses].map(async ([name, wanted]) => {
      const snapshot = await snapshotFor(wanted, context);
      const request = snapshot && checked(name, snapshot);
      return [name, { request, token: await this.#tokens.getToken(name, request) }] as const;
    });
    return new Map(await Promise.all(prepared));
  }

  #fail(context: ExecutionContext, error: unknown): never {
    const failure = PartnerFailure.of(error);
    if (failure === undefined) throw error;
    this.#registry.logger.handlerFailed(failure, `${context.getClass().name}.${context.getHandler().name}`);
    if (context.getType() === 'rpc') throw new RpcPartnerFailure(failure);
    if (context.getType() === 'http') this.#describe(failure, context.switchToHttp().getResponse());
    throw failure;
  }

  #describe({ problem, retryAfterSeconds }: PartnerFailure, response: HttpResponse): void {
    const { httpAdapter } = this.#adapter;
    if (httpAdapter.isHeadersSent(response)) return;
    if (retryAfterSeconds) httpAdapter.setHeader(response, 'Retry-After', String(retryAfterSeconds));
    // Only when it is sent: Nest 11 resets a type that is set earlier, and a filter of the application may send another body.
    const method = response.json ? 'json' : 'send';
    const send = response[method];
    response[method] = (body) => {
      if (body === problem) httpAdapter.setHeader(response, 'Content-Type', 'application/problem+json');
      return send?.call(response, body);
    };
  }
}
