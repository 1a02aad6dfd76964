import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { CompiledCopy } from '../support/compiled-copy.js';
import type { MemberOptions, Outcome } from './fleet-member.js';

const PROGRAM = 'test/redis/fleet-member.ts';

/** Processes that share one Redis, each a service with the library as plain JavaScript. */
export class Fleet {
  readonly members: Member[];
  readonly #copy: CompiledCopy;

  private constructor(members: Member[], copy: CompiledCopy) {
    this.members = members;
    this.#copy = copy;
  }

  static async start(size: number, options: MemberOptions): Promise<Fleet> {
    const copy = await CompiledCopy.of(PROGRAM, 'test/redis/core-client.ts');
    const program = copy.path(PROGRAM);
    const env = { ...process.env, NODE_OPTIONS: '', MEMBER: JSON.stringify(options) };
    const members = Array.from({ length: size }, () => new Member(fork(program, { env, execArgv: [] })));
    const fleet = new Fleet(members, copy);
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
    await this.#copy.remove();
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
