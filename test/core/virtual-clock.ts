import { Subscription, type SchedulerAction, type SchedulerLike } from 'rxjs';
import type { Clock } from '../../lib/core/clock.js';

/** RxJS's own virtual scheduler nests the repetitions of an interval ever deeper; this one repeats in place. */
class SteppingScheduler implements SchedulerLike {
  /** Milliseconds since the start. */
  frame = 0;
  readonly #due: SteppingAction<unknown>[] = [];

  now(): number {
    return this.frame;
  }

  schedule<T>(work: (this: SchedulerAction<T>, state: T) => void, delay = 0, state?: T): Subscription {
    return new SteppingAction<T>(this, work).schedule(state, delay);
  }

  get pending(): number {
    return this.#due.length;
  }

  get nextAt(): number | undefined {
    return this.#due[0]?.at;
  }

  /** Executes the next action, so that promises can settle before the one after it. */
  step(): void {
    const action = this.#due.shift();
    if (action === undefined) return;
    this.frame = Math.max(this.frame, action.at);
    action.execute();
  }

  /** Behind everything that is due at the same time or earlier. */
  insert(action: SteppingAction<unknown>): void {
    let [low, high] = [0, this.#due.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#due[middle]!.at <= action.at) low = middle + 1;
      else high = middle;
    }
    this.#due.splice(low, 0, action);
  }

  remove(action: SteppingAction<unknown>): void {
    const index = this.#due.indexOf(action);
    if (index >= 0) this.#due.splice(index, 1);
  }
}

class SteppingAction<T> extends Subscription implements SchedulerAction<T> {
  at = 0;
  #state: T | undefined;
  readonly #scheduler: SteppingScheduler;
  readonly #work: (this: SchedulerAction<T>, state: T) => void;

  constructor(scheduler: SteppingScheduler, work: (this: SchedulerAction<T>, state: T) => void) {
    super(() => scheduler.remove(this as SteppingAction<unknown>));
    this.#scheduler = scheduler;
    this.#work = work;
  }

  schedule(state?: T, delay = 0): Subscription {
    if (this.closed) return this;
    this.#scheduler.remove(this as SteppingAction<unknown>);
    this.#state = state;
    this.at = this.#scheduler.frame + delay;
    this.#scheduler.insert(this as SteppingAction<unknown>);
    return this;
  }

  execute(): void {
    this.#work.call(this, this.#state as T);
  }
}

/** Epoch milliseconds at which every virtual clock starts. */
export const START = Date.UTC(2030, 0, 1);
/** The monotonic clock's start: neither 0 nor anything like the wall clock, so that mixing them up shows. */
const MONOTONIC_START = 7_000;

/** A clock that goes only when told to. Its wall clock can be moved apart from the monotonic one. */
export class VirtualClock implements Clock {
  readonly scheduler = new SteppingScheduler();
  /** Replace it to script chance. Default: a pseudo-random sequence that is the same in every run. */
  random: () => number;
  #wallOffset = 0;

  constructor(seed = 1) {
    this.random = mulberry32(seed);
  }

  now(): number {
    return START + this.scheduler.frame + this.#wallOffset;
  }

  monotonic(): number {
    return MONOTONIC_START + this.scheduler.frame;
  }

  /** Milliseconds that passed since the clock was made. */
  get elapsed(): number {
    return this.scheduler.frame;
  }

  /** Timers that are still set. */
  get pending(): number {
    return this.scheduler.pending;
  }

  /** Lets `ms` pass: due timers fire in order, and promises settle before the first, between and after them. */
  async advance(ms: number): Promise<void> {
    const end = this.scheduler.frame + ms;
    await settle();
    for (let at = this.scheduler.nextAt; at !== undefined && at <= end; at = this.scheduler.nextAt) {
      this.scheduler.step();
      await settle();
    }
    this.scheduler.frame = end;
  }

  /** Lets time pass until `promise` is settled, `withinMs` at most, and returns its result. */
  async until<T>(promise: Promise<T>, withinMs = 120_000): Promise<T> {
    let settled = false;
    const settle_ = (): void => void (settled = true);
    promise.then(settle_, settle_);
    const end = this.scheduler.frame + withinMs;
    await settle();
    for (let at = this.scheduler.nextAt; !settled; at = this.scheduler.nextAt) {
      if (at === undefined || at > end) throw new Error(`Nothing settled the promise within ${withinMs} ms.`);
      this.scheduler.step();
      await settle();
    }
    return promise;
  }

  /** Somebody sets the wall clock back. */
  setBack(ms: number): void {
    this.#wallOffset -= ms;
  }

  /** The process is stopped: both clocks go on, and every timer that fell due meanwhile fires late. */
  freeze(ms: number): void {
    this.scheduler.frame += ms;
  }

  /** The machine sleeps: the wall clock goes on, the monotonic one and all timers stand still. */
  suspend(ms: number): void {
    this.#wallOffset += ms;
  }
}

/** All promise callbacks run, however long their chains, before the event loop comes back to an immediate. */
export async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** Uniform in [0, 1), a good enough sequence from any seed. */
export function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
