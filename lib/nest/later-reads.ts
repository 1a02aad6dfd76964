import { AsyncLocalStorage } from 'node:async_hooks';
import { map, type MonoTypeOperatorFunction } from 'rxjs';

type Run = ReturnType<typeof AsyncLocalStorage.snapshot>;

/** The methods of a `StreamableFile`, of iterables and of web streams that return what is read. */
const GIVING = ['getStream', Symbol.asyncIterator, 'getReader'];
/** The methods of Node's streams, of iterators and of readers that run the code which produces the data. */
const RUNNING = ['_read', '_destroy', 'next', 'return', 'throw', 'read', 'cancel'];

/**
 * Has a stream or iterator that a handler returns, such as a `StreamableFile` on an async generator, run in the
 * asynchronous context of the handler, so that the handler's ambient requests hold for the code which produces the data.
 */
export function readInPresentContext<T>(): MonoTypeOperatorFunction<T> {
  const run = AsyncLocalStorage.snapshot();
  return map((value) => {
    const isReadLater = typeof value === 'object' && value !== null && GIVING.some((name) => name in value);
    return isReadLater ? bound(value, run) : value;
  });
}

/** `owner` itself, since callers may compare it. */
function bound<T extends object>(owner: T, run: Run): T {
  const bind = (name: PropertyKey, use: <R>(result: R) => R) => {
    const method: unknown = Reflect.get(owner, name);
    if (typeof method !== 'function') return;
    const value = (...given: unknown[]): unknown => use(run(() => Reflect.apply(method, owner, given)));
    Object.defineProperty(owner, name, { value, configurable: true, writable: true });
  };
  for (const name of GIVING) bind(name, (result) => bound(result as object, run) as typeof result);
  for (const name of RUNNING) bind(name, (result) => result);
  return owner;
}
