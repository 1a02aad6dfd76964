import { AsyncLocalStorage } from 'node:async_hooks';
import { Observable } from 'rxjs';
import type { AccessToken } from '../core/access-token.js';
import type { TokenRequest } from '../core/token-request.js';

/** What `@UseOAuthClient` prepared for the handler that runs. */
interface Frame {
  /** The module instance it belongs to: another one's clients of the same name have nothing to do with it. */
  readonly owner: AmbientTokenRequests;
  readonly uses: ReadonlyMap<string, { request: TokenRequest | undefined; token: AccessToken }>;
  readonly outer: Frame | undefined;
}

// Holds no state of its own: each asynchronous context has its own frame.
const frames = new AsyncLocalStorage<Frame>();

/** The token requests that hold for everything a handler does, in the asynchronous context it runs in. */
export class AmbientTokenRequests {
  readonly #entered = new WeakSet<object>();

  /** The request that the running handler makes for `client`, if any. */
  readonly requestOf = (client: string): TokenRequest | undefined => {
    const current = frames.getStore();
    return current && find(current, client, this)?.request;
  };

  /** Whether a handler's call was prepared already. */
  entered(context: object): boolean {
    if (this.#entered.has(context)) return true;
    this.#entered.add(context);
    return false;
  }

  /** Runs `work` with `uses` as the ambient requests. */
  run<T>(uses: Frame['uses'], work: () => Observable<T>): Observable<T> {
    const frame: Frame = { owner: this, uses, outer: frames.getStore() };
    return new Observable((subscriber) => frames.run(frame, () => work().subscribe(subscriber)));
  }
}

/** The token that `@UseOAuthClient(client)` acquired for the handler that runs. */
export function ambientToken(client: string): AccessToken | undefined {
  const current = frames.getStore();
  return current && find(current, client)?.token;
}

function find(frame: Frame | undefined, client: string, owner?: AmbientTokenRequests) {
  for (let at = frame; at !== undefined; at = at.outer) {
    const use = owner === undefined || at.owner === owner ? at.uses.get(client) : undefined;
    if (use) return use;
  }
  return undefined;
}
