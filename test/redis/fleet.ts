import { transformFile } from '@swc/core';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { MemberOptions, Outcome } from './fleet-member.js';

/** Processes that share one Redis, each a service with the library as plain JavaScript. */
export class Fleet {
  readonly members: Member[];
  readonly #directory: string;

  private constructor(members: Member[], directory: string) {
    this.members = members;
    this.#directory = directory;
  }

  static async start(size: number, options: MemberOptions): Promise<Fleet> {
    const directory = await buildPlainJavaScript();
    const program = join(directory, 'test/redis/fleet-member.js');
    const env = { ...process.env, NODE_OPTIONS: '', MEMBER: JSON.stringify(options) };
    const members = Array.from({ length: size }, () => new Member(fork(program, { env, execArgv: [] })));
    const fleet = new Fleet(members, directory);
    await fleet.restart();
    return fleet;
  }

  async restart(): Promise<void> {
    await Promise.all(this.members.map((member) => member.restart()));
  }

  /** All members at once, `callers` each. */
  ask(callers: number): Promise<Outcome[]> {
    return Promise.all(this.members.map((member) => member.ask(callers)));
  }

  reject(callers: number): Promise<Outcome[]> {
    return Promise.all(this.members.map((member) => member.reject(callers)));
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
    await rm(this.#directory, { recursive: true });
  }
}

/** One process of a {@link Fleet}. */
export class Member {
  readonly #process: ChildProcess;

  constructor(process: ChildProcess) {
    this.#process = process;
  }

  async restart(): Promise<void> {
    await this.#command('restart');
  }

  async ask(callers: number): Promise<Outcome> {
    return (await this.#command('ask', callers)) as Outcome;
  }

  async reject(callers: number): Promise<Outcome> {
    return (await this.#command('reject', callers)) as Outcome;
  }

  pause(): void {
    this.#process.kill('SIGSTOP');
  }

  resume(): void {
    this.#process.kill('SIGCONT');
  }

  /** Closes all and lets the process end by itself; gives its exit code. */
  async end(): Promise<unknown> {
    await this.#command('close');
    const ended = once(this.#process, 'exit');
    this.#process.disconnect();
    const [code] = (await ended) as [number | null];
    return code;
  }

  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await ended;
  }

  async #command(command: string, callers?: number): Promise<unknown> {
    const ended = new AbortController();
    const answer = once(this.#process, 'message', { signal: ended.signal });
    const onExit = () => ended.abort();
    this.#process.once('exit', onExit);
    this.#process.send({ command, callers });
    const [{ result, error }] = (await answer) as [{ result?: unknown; error?: string }];
    this.#process.off('exit', onExit);
    if (error !== undefined) throw new Error(error);
    return result;
  }
}

/** The library and the member's program, stripped of their types, where node finds what they import. */
async function buildPlainJavaScript(): Promise<string> {
  const cache = join(process.cwd(), 'node_modules/.cache');
  await mkdir(cache, { recursive: true });
  const directory = await mkdtemp(join(cache, 'fleet-'));
  await writeFile(join(directory, 'package.json'), '{"type":"module"}');
  const sources = ['lib/redis.ts', 'test/redis/core-client.ts', 'test/redis/fleet-member.ts'];
  for (const folder of ['lib/core', 'lib/redis']) {
    sources.push(...(await readdir(folder)).map((file) => join(folder, file)));
  }
  for (const source of sources) {
    const jsc = { parser: { syntax: 'typescript' }, target: 'es2022' } as const;
    const { code } = await transformFile(source, { swcrc: false, jsc, module: { type: 'es6' } });
    const target = join(directory, source.replace(/\.ts$/, '.js'));
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, code);
  }
  return directory;
}
