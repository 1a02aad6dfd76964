import { asyncScheduler, type SchedulerAction, type Subscription } from 'rxjs';
import { systemClock, type Clock } from '../../lib/core/clock.js';

/** The machine's clocks at several times their speed, so that pauses of seconds pass in a test over real sockets. */
export function fastClock(factor: number): Clock {
  const [wall, monotonic] = [Date.now(), systemClock.monotonic()];
  const schedule = <T>(
    work: (this: SchedulerAction<T>, state?: T) => void,
    delay = 0,
    state?: T,
  ): Subscription => asyncScheduler.schedule(work, delay / factor, state);
  return {
    ...systemClock,
    scheduler: { now: () => asyncScheduler.now(), schedule },
    now: () => wall + (Date.now() - wall) * factor,
    monotonic: () => monotonic + (systemClock.monotonic() - monotonic) * factor,
  };
}
