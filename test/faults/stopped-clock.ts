import { asyncScheduler } from 'rxjs';
import type { Clock } from '../../lib/core/clock.js';

/**
 * Both clocks stand still unless a test moves them, so that no outcome depends on how busy the machine is.
 * Timeouts and pauses take their real time.
 */
export class StoppedClock implements Clock {
  readonly scheduler = asyncScheduler;
  #wall = Date.UTC(2030, 0, 1);
  #monotonic = 7_000;

  readonly now = (): number => this.#wall;
  readonly monotonic = (): number => this.#monotonic;
  readonly random = (): number => 0.5;

  pass(ms: number): void {
    this.#wall += ms;
    this.#monotonic += ms;
  }

  /** Somebody sets the wall clock. */
  set(byMs: number): void {
    this.#wall += byMs;
  }

  /** The machine sleeps, and its monotonic clock with it. */
  suspend(ms: number): void {
    this.#wall += ms;
  }
}
