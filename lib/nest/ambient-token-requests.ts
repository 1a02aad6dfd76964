import { AsyncLocalStorage } from 'node:async_hooks';
import type { ExecutionContext } from '@nestjs/common';
import { Observable } from 'rxjs';
import type { AccessToken } from '../core/access-token.js';
import type { TokenRequest } from '../core/token-request.js';

/** What `@UseOAuthClient` prepared for a handler, by client. */
export type PreparedClients = ReadonlyMap<string, { request: TokenRequest | undefined; token: AccessToken }>;

/** Private to the last member: Node hangs the stores on promises, where `util.inspect()` would show them. */
class Frame {
  readonly #owner: AmbientTokenRequests;
  readonly #context: ExecutionContext;
  readonly #clients: PreparedClients;
  readonly #outer: Frame | undefined;

  constructor(owner: AmbientTokenRequests, context: ExecutionContext, clients: PreparedClients) {
    this.#owner = owner;
    this.#context = context;
    this.#clients = clients;
    this.#outer = frames.getStore();
  }

  /** Another module instance's clients of the same name have nothing to do with those of `owner`. */
  requestOf(client: string, owner: AmbientTokenRequests): TokenRequest | undefined {
    const prepared = this.#owner === owner ? this.#clients.get(client) : undefined;
    return prepared ? prepared.request : this.#outer?.requestOf(client, owner);
  }

  tokenOf(client: string, context: ExecutionContext): AccessToken | undefined {
    if (this.#context.getHandler() !== context.getHandler()) return undefined;
    return this.#clients.get(client)?.token;
  }

  isOf(owner: AmbientTokenRequests, context: ExecutionContext): boolean {
    return this.#owner === owner && this.#context === context;
  }
}

// Holds no state of its own: each asynchronous context has its own frame.
const frames = new AsyncLocalStorage<Frame>();

/** The token requests that hold for everything a handler does, in the asynchronous context it runs in. */
export class AmbientTokenRequests {
  /** Looking into the asynchronous context takes a tenth of a cached `getToken`: nobody who has no use for it pays. */
  #used = false;

  /** The request that the running handler makes for `client`, if any. */
  readonly requestOf = (client: string): TokenRequest | undefined =>
    this.#used ? frames.getStore()?.requestOf(client, this) : undefined;

  /** Whether this is running for `context` already. */
  prepared(context: ExecutionContext): boolean {
    return frames.getStore()?.isOf(this, context) === true;
  }

  /** Runs `work` with the requests of `clients` as the ambient ones. */
  run<T>(context: ExecutionContext, clients: PreparedClients, work: () => Observable<T>): Observable<T> {
    this.#used = true;
    const frame = new Frame(this, context, clients);
    return new Observable((subscriber) => frames.run(frame, () => work().subscribe(subscriber)));
  }
}

/** The token that `@UseOAuthClient(client)` acquired for the handler of `context`, and for no other one. */
export function ambientToken(client: string, context: ExecutionContext): AccessToken | undefined {
  return frames.getStore()?.tokenOf(client, context);
}
