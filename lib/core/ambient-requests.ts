import { AsyncLocalStorage } from 'node:async_hooks';
import { Observable } from 'rxjs';
import type { AccessToken } from './access-token.js';
import type { TokenRequest } from './token-request.js';

/** What was prepared for a handler, by client. */
export type PreparedClients = ReadonlyMap<string, { request: TokenRequest | undefined; token: AccessToken }>;

/** What holds in one asynchronous context. Functions only: Node hangs it on promises, where `util.inspect()` would show more. */
interface Frame {
  requestOf(client: string, owner: AmbientRequests): TokenRequest | undefined;
  tokenOf(client: string, handler: object): AccessToken | undefined;
  isOf(owner: AmbientRequests, call: object): boolean;
}

// Holds no state of its own: each asynchronous context has its own frame.
const frames = new AsyncLocalStorage<Frame>();

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
      // Another module instance's clients of the same name have nothing to do with these.
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

/** The token that was prepared of `client` for `handler`, and for no other one. */
export function ambientToken(client: string, handler: object): AccessToken | undefined {
  return frames.getStore()?.tokenOf(client, handler);
}
