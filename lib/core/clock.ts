import { hrtime } from 'node:process';
import { asyncScheduler, type SchedulerLike } from 'rxjs';

/**
 * Where time and chance come from. Two clocks, since either one alone lies: the wall clock can be set back,
 * the monotonic one stops while a machine is suspended.
 */
export interface Clock {
  /** Runs timeouts, backoff and pauses. */
  readonly scheduler: SchedulerLike;
  /** Wall clock, epoch milliseconds. */
  now(): number;
  /** Monotonic clock, milliseconds from an arbitrary start. */
  monotonic(): number;
  /** Uniform in [0, 1). */
  random(): number;
}

/** The machine's own clocks and `Math.random`. */
export const systemClock: Clock = {
  scheduler: asyncScheduler,
  now: () => Date.now(),
  monotonic: () => {
    const [seconds, nanoseconds] = hrtime(); // of Node's ways to read this clock the cheapest
    return seconds * 1_000 + nanoseconds / 1_000_000;
  },
  random: () => Math.random(),
};
