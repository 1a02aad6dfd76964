import { identity, type MonoTypeOperatorFunction } from 'rxjs';
import { whileAwake, type SleptError } from './clock.js';
import type { FlightContext } from './flight-context.js';
import { flightIsLate } from './flight-failure.js';
import { leaseMsOf } from './token-flight.js';

/** Lets the callers of a flight that another one replaced wait for that one, within the time that their own had left. */
export function inTimeLeft<T>(context: FlightContext, { leftMs }: SleptError): MonoTypeOperatorFunction<T> {
  if (leftMs === undefined) return identity;
  const { client, clock, fleet, options } = context;
  const othersMs = fleet.store.shared ? leaseMsOf(context) : 0; // the wait for another instance does not count
  const isOver = () => flightIsLate(client, options.retry.totalMs);
  return whileAwake(Math.max(0, leftMs) + othersMs, clock, isOver);
}
