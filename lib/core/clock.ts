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

/** One point in time on both clocks, in milliseconds. */
export interface Moment {
  readonly wall: number;
  readonly monotonic: number;
}

/** Both clocks, read once. */
export function momentOf(clock: Clock): Moment {
  return { wall: clock.now(), monotonic: clock.monotonic() };
}

/** `moment` moved by `ms` on both clocks. */
export function later({ wall, monotonic }: Moment, ms: number): Moment {
  return { wall: wall + ms, monotonic: monotonic + ms };
}

/** Milliseconds from `since` to `now`, by whichever clock says more. */
export function elapsedMs(now: Moment, since: Moment): number {
  return Math.max(now.wall - since.wall, now.monotonic - since.monotonic);
}

/** Milliseconds from `now` to `until`, by whichever clock says less; 0 when that is over. */
export function remainingMs(now: Moment, until: Moment): number {
  return Math.max(0, -elapsedMs(now, until));
}
