import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { CompiledCopy } from '../support/compiled-copy.js';
import type { Service, ServiceOptions } from './service.js';

const PROGRAM = 'test/redis/service.ts';

/** Services of one kind, each in a process of its own. */
export class Services {
  readonly #processes: ChildProcess[];

  private constructor(processes: ChildProcess[]) {
    this.#processes = processes;
  }

  /** What {@link start} runs. */
  static compile(): Promise<CompiledCopy> {
    return CompiledCopy.of(PROGRAM);
  }

  static async start(copy: CompiledCopy, ...each: ServiceOptions[]): Promise<Services> {
    const processes = each.map((options) => {
      const env = { ...process.env, NODE_OPTIONS: '', SERVICE: JSON.stringify(options) };
      return fork(copy.path(PROGRAM), { env, execArgv: [] });
    });
    await Promise.all(processes.map((service) => once(service, 'message')));
    return new Services(processes);
  }

  /** All of them call for that long, every 25 ms. */
  run(forMs: number): Promise<Service[]> {
    return Promise.all(this.#processes.map((_, index) => this.#tell(index, forMs)));
  }

  /** One call of one of them. */
  call(index: number): Promise<Service> {
    return this.#tell(index, 0);
  }

  async close(): Promise<void> {
    for (const service of this.#processes) {
      if (service.exitCode !== null || service.signalCode !== null) continue;
      const ended = once(service, 'exit');
      service.kill('SIGKILL');
      await ended;
    }
  }

  async #tell(index: number, forMs: number): Promise<Service> {
    const service = this.#processes[index]!;
    const ended = new AbortController();
    const onExit = () => ended.abort();
    service.once('exit', onExit);
    const answer = once(service, 'message', { signal: ended.signal });
    service.send({ forMs, everyMs: forMs > 0 ? 25 : 0 });
    const [result] = (await answer) as [Service];
    service.off('exit', onExit);
    return result;
  }
}
