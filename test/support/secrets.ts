import { afterAll, beforeAll, beforeEach, expect } from '@jest/globals';
import type { OAuthClientOptions } from 'nestjs-oauth-client';
import { inspect } from 'node:util';
import { CLIENT_ID, CLIENT_SECRET } from './server.js';

type Secret = string | RegExp;

/** What no test may show: the credentials and tokens of `server.ts`. */
const ALWAYS: readonly Secret[] = [...credentials(CLIENT_ID, CLIENT_SECRET), /access-token-\w/];

/** Everything that an application might show of a value that it logs. */
export function everythingShown(value: unknown): string {
  const shown = [
    text(value),
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

function text(value: unknown): string {
  try {
    return String(value);
  } catch {
    return ''; // an object without a prototype has no text
  }
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

/** Looks for secrets in the process's own output and in all that is added. */
export class SecretWatch {
  readonly #secrets: readonly Secret[];
  readonly #seen: string[] = [];

  constructor(...secrets: Secret[]) {
    this.#secrets = [...ALWAYS, ...secrets];
    watches.push(this.#seen);
  }

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

  verify(): void {
    expect(this.leaked).toEqual([]);
  }
}

/** No credential or token of the fakes in any of the things, nor one of `secrets`. */
export function expectNoSecret(things: readonly unknown[], ...secrets: Secret[]): void {
  const watch = new SecretWatch(...secrets);
  watch.add(...things);
  watch.verify();
}

/** The secrets, keys and tokens that stand in a client's options. */
export function secretsOf(options: OAuthClientOptions): string[] {
  const { clientId, clientSecret, privateKey, grant, tls, dpop, tokenRequestHeaders, assertion } = options;
  const { refreshToken, assertion: granted, actorToken, parameters }: Record<string, unknown> = { ...grant };
  const presented = [refreshToken, granted, actorToken, ...Object.values(parameters ?? {})];
  const sources: unknown[] = [tls?.key, tls?.passphrase, assertion?.token, ...presented];
  for (const [name, value] of Object.entries(tokenRequestHeaders ?? {}))
    if (!/^content-type$/i.test(name)) sources.push(value);
  for (const key of [privateKey, typeof dpop === 'object' ? dpop.privateKey : undefined]) {
    sources.push(typeof key === 'object' ? key.d : key);
  }
  if (typeof clientSecret === 'string') sources.push(...credentials(clientId ?? '', clientSecret));
  return sources.filter(
    (value): value is string => typeof value === 'string' && value.length > 4 && !value.startsWith('urn:'),
  );
}

/** A secret, by itself and in a Basic header. */
function credentials(id: string, secret: string): string[] {
  return [secret, Buffer.from(`${id}:${secret}`).toString('base64')];
}

const watches: string[][] = [];
const restore: (() => void)[] = [];

beforeEach(() => void watches.splice(0));

beforeAll(() => {
  for (const stream of [process.stdout, process.stderr]) {
    const write = stream.write;
    stream.write = ((...args: Parameters<typeof write>) => {
      for (const seen of watches) seen.push(String(args[0]));
      return write.apply(stream, args);
    }) as typeof write;
    restore.push(() => (stream.write = write));
  }
});
afterAll(() => {
  for (const undo of restore.splice(0)) undo();
});
