import { AsyncLocalStorage } from 'node:async_hooks';
import { Observable } from 'rxjs';
import type { AccessToken } from './access-token.js';
import type { TokenRequest } from './token-request.js';

/** The request and token that were prepared for a handler, by client. */
export type PreparedClients = ReadonlyMap<string, { request: TokenRequest | undefined; token: AccessToken }>;

/** The state of one asynchronous context. It has only functions: Node attaches it to promises, where `util.inspect()` would show data. */
interface Frame {
  requestOf(client: string, owner: AmbientRequests): TokenRequest | undefined;
  tokenOf(client: string, handler: object): AccessToken | undefined;
  isOf(owner: AmbientRequests, call: object): boolean;
}

// Holds no state of its own: each asynchronous context has its own frame.
const frames = new AsyncLocalStorage<Frame | undefined>();

/** The token requests that hold for everything a handler does, in the asynchronous context it runs in. */
export class AmbientRequests {
  /** The request that the running handler makes for `client`, if any. */
  requestOf(client: string): TokenRequest | undefined {
    return frames.getStore()?.requestOf(client, this);
  }

  /** Whether this is running for `call` already. */
  prepared(call: object): boolean {
    return frames.getStore()?.isOf(this, call) === true;
  }

  /** Runs `work`, one call of one handler, with the requests of `clients` as the ambient ones. */
  run<T>(scope: { call: object; handler: object }, clients: PreparedClients, work: () => Observable<T>) {
    const outer = frames.getStore();
    const frame: Frame = {
      // Clients of the same name in another module instance are different ones.
      requestOf: (client, owner) => {
        const prepared = owner === this ? clients.get(client) : undefined;
        return prepared ? prepared.request : outer?.requestOf(client, owner);
      },
      tokenOf: (client, handler) => (handler === scope.handler ? clients.get(client)?.token : undefined),
      isOf: (owner, call) => owner === this && call === scope.call,
    };
    return new Observable<T>((subscriber) => frames.run(frame, () => work().subscribe(subscriber)));
  }
}

/** Runs what serves the calls of many handlers, with the requests of none. */
export function outside<T>(work: () => T): T {
  return frames.run(undefined, work);
}

/** The tenant that a request of `client` names, or the ambient one. */
export function tenantOf(
  { tenant }: TokenRequest,
  client: string,
  ambient?: AmbientRequests,
): string | undefined {
  return tenant ?? ambient?.requestOf(client)?.tenant;
}

/** The token that was prepared of `client` for `handler`, and for no other one. */
export function ambientToken(client: string, handler: object): AccessToken | undefined {
  return frames.getStore()?.tokenOf(client, handler);
}
