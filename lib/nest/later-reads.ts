import { AsyncLocalStorage } from 'node:async_hooks';
import { map, type MonoTypeOperatorFunction } from 'rxjs';

type Run = ReturnType<typeof AsyncLocalStorage.snapshot>;

/** The methods of a `StreamableFile`, of iterables and of web streams that return what is read. */
const GIVING: PropertyKey[] = ['getStream', Symbol.asyncIterator, 'getReader'];
/** The methods of Node's streams, of iterators and of readers that run the code which produces the data. */
const RUNNING: PropertyKey[] = ['_read', '_destroy', 'next', 'return', 'throw', 'read', 'cancel'];

/**
 * Has a stream or iterator that a handler returns, such as a `StreamableFile` on an async generator, run in the
 * asynchronous context of the handler, so that the handler's ambient requests hold for the code which produces the data.
 *
 * @param failed called with what that code throws; throws the error for the reader
 */
export function readInPresentContext<T>(failed: (error: unknown) => never): MonoTypeOperatorFunction<T> {
  const run = AsyncLocalStorage.snapshot();
  return map((value) => {
    const source = Object(value instanceof Response ? value.body : value) as object;
    if (GIVING.some((name) => name in source)) bind(source, run, failed);
    return value;
  });
}

/** Changes `owner` itself, since callers may compare it. */
function bind(owner: object, run: Run, failed: (error: unknown) => never): void {
  for (const name of [...GIVING, ...RUNNING]) {
    const method: unknown = Reflect.get(owner, name);
    if (typeof method !== 'function') continue;
    const value = (...given: unknown[]): unknown => {
      const result: unknown = run(() => Reflect.apply(method, owner, given));
      if (GIVING.includes(name)) bind(result as object, run, failed);
      return 'then' in Object(result) ? Promise.resolve(result).catch(failed) : result;
    };
    Object.defineProperty(owner, name, { value, configurable: true, writable: true });
  }
}
