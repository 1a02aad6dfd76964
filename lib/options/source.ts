import { readFile } from 'node:fs/promises';

/** A value, or a function asked for it each time it is needed. */
export type Source<T> = T | (() => T | Promise<T>);

/** The value of a {@link Source}. */
export async function valueOf<T extends string | object>(source: Source<T>): Promise<T> {
  return typeof source === 'function' ? (source as () => T | Promise<T>)() : source;
}

/** What a text file holds, without the newline that most tools end it with. */
export async function readTextFile(path: string): Promise<string> {
  return (await readFile(path, 'utf8')).replace(/\r?\n$/, '');
}
