import { readFile } from 'node:fs/promises';

/** A value, or a function asked for it each time it is needed. */
export type Source<T> = T | (() => T | Promise<T>);

/** What a text file holds at the time, without the newline that most tools end it with. */
export function fileSource(path: string): () => Promise<string> {
  return async () => (await readFile(path, 'utf8')).replace(/\r?\n$/, '');
}
