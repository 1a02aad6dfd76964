import { afterEach, expect, jest } from '@jest/globals';
import type { LoggerService } from '@nestjs/common';
import { inspect } from 'node:util';

/** Whatever an application might show of a value that it logs. */
export function everythingShown(value: unknown): string {
  const shown = [
    inspect(value),
    inspect(value, { depth: Infinity, maxArrayLength: null, maxStringLength: null }),
    inspect(value, { depth: Infinity, maxArrayLength: null, maxStringLength: null, showHidden: true }),
    json(value),
  ];
  for (let error = value; error instanceof Error; error = error.cause) {
    shown.push(String(error), error.message, error.stack ?? '', json(error), json(asLogged(error)));
  }
  return shown.join('\n');
}

/** As structured loggers take an error: every member that can be listed, inherited ones too. */
function asLogged(error: Error): object {
  const logged: Record<string, unknown> = { message: error.message, stack: error.stack };
  for (const name in error) logged[name] = (error as unknown as Record<string, unknown>)[name];
  return logged;
}

/** JSON that survives circles, as loggers write it. */
function json(value: unknown): string {
  const path: unknown[] = [];
  return JSON.stringify(value, function (this: unknown, _name, member: unknown) {
    while (path.length > 0 && path.at(-1) !== this) path.pop();
    if (path.includes(member)) return '[circular]';
    path.push(member);
    return typeof member === 'bigint' ? String(member) : member;
  });
}

/**
 * Until the test ends: a logger for Nest, an ear on the process's own output, and a place for what the test itself
 * adds, such as errors and events. None of it may show a secret.
 */
export class SecretWatch implements LoggerService {
  readonly #secrets: readonly (string | RegExp)[];
  readonly #seen: string[] = [];

  constructor(...secrets: (string | RegExp)[]) {
    this.#secrets = secrets;
    for (const stream of [process.stdout, process.stderr]) {
      const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
      jest.spyOn(stream, 'write').mockImplementation((...args: unknown[]) => {
        this.#seen.push(String(args[0]));
        return write(...args);
      });
    }
    watches.push(this);
  }

  readonly log = (...values: unknown[]): void => this.add(...values);
  readonly fatal = this.log;
  readonly error = this.log;
  readonly warn = this.log;
  readonly debug = this.log;
  readonly verbose = this.log;

  add(...values: unknown[]): void {
    this.#seen.push(...values.map(everythingShown));
  }

  /** All of it, for a test that wants to find something harmless. */
  get seen(): string {
    return this.#seen.join('\n');
  }

  /** Numbers of the secrets that were seen: a failed comparison of the secrets themselves would print them. */
  get leaked(): number[] {
    const { seen } = this;
    return this.#secrets.flatMap((secret, i) =>
      (typeof secret === 'string' ? seen.includes(secret) : secret.test(seen)) ? [i + 1] : [],
    );
  }
}

const watches: SecretWatch[] = [];

afterEach(() => {
  jest.restoreAllMocks();
  for (const watch of watches.splice(0)) expect(watch.leaked).toEqual([]);
});
