import { setMaxListeners } from 'node:events';
import { type Observable, defer, fromEvent, of, take } from 'rxjs';

/** Emits the signal's reason once it is aborted. Any number of waits may share a signal, which Node takes for a leak. */
export function aborted$(signal: AbortSignal): Observable<unknown> {
  return defer(() => {
    if (signal.aborted) return of(signal.reason);
    if (signal instanceof EventTarget) setMaxListeners(Infinity, signal); // with 0, getMaxListeners throws on Node 20
    return fromEvent(signal, 'abort', (): unknown => signal.reason).pipe(take(1));
  });
}
