import { hrtime } from 'node:process';
import { Observable, asyncScheduler, catchError, type SchedulerLike, type Subscription } from 'rxjs';

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

/** A deadline passes in so many steps; a stall of this process counts as two at most, however long it is. */
const STEPS = 10;
/** A stall longer than this is a sleep: requests under way may have been lost. */
const SLEEP_MS = 1_000;
/** After a sleep, time to read what has arrived meanwhile. */
const GRACE_MS = 50;

/** The process slept, or its event loop was blocked, so a failure meanwhile does not count against the server. */
export class SleptError extends Error {
  override readonly name = 'SleptError';

  /** @param leftMs the time left to those who wait, in milliseconds. Default: all of it again. */
  constructor(readonly leftMs?: number) {
    super();
  }
}

/**
 * Fails with `late()` once `limitMs` have passed in which this process was awake.
 *
 * @param isAnswer whether an error of the source stands even if the process slept meanwhile. With it, a source that did
 * not deliver although the process slept fails with a {@link SleptError} instead.
 */
export function whileAwake<T>(
  limitMs: number,
  clock: Clock,
  late: () => Error,
  isAnswer?: (error: unknown) => boolean,
): (source: Observable<T>) => Observable<T> {
  return (source) =>
    new Observable<T>((subscriber) => {
      const stepMs = limitMs / STEPS;
      let leftMs = limitMs;
      let seen = momentOf(clock);
      let slept = false;
      let step: Subscription | undefined;
      const look = (dueMs: number): void => {
        const now = momentOf(clock);
        const passedMs = elapsedMs(now, seen);
        seen = now;
        leftMs -= Math.min(Math.max(passedMs, dueMs), 2 * stepMs);
        slept ||= isAnswer !== undefined && passedMs > dueMs + SLEEP_MS;
      };
      const wait = (): void => {
        const dueMs = slept ? GRACE_MS : Math.min(stepMs, leftMs);
        step = clock.scheduler.schedule(() => {
          if (slept) return subscriber.error(new SleptError());
          look(dueMs);
          if (!slept && leftMs <= 0) return subscriber.error(late());
          wait();
        }, dueMs);
      };
      wait();
      const judge = (error: unknown): never => {
        look(stepMs);
        throw slept && isAnswer?.(error) === false ? new SleptError() : error;
      };
      source.pipe(catchError(judge)).subscribe(subscriber);
      return () => step?.unsubscribe();
    });
}
