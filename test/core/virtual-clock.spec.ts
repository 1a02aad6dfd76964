import { describe, expect, it } from '@jest/globals';
import { firstValueFrom, interval, take, timer } from 'rxjs';
import { elapsedMs, momentOf, systemClock } from '../../lib/core/clock.js';
import { HeldToken, acquiredAt } from '../../lib/core/access-token.js';
import { START, VirtualClock } from './virtual-clock.js';

describe('The clock of these tests', () => {
  it('runs due actions in their order, and lets promises settle between any two', async () => {
    const clock = new VirtualClock();
    const seen: string[] = [];
    const note = (what: string): void => void seen.push(`${what}@${clock.elapsed}`);
    timer(20, clock.scheduler).subscribe(() => note('second'));
    void firstValueFrom(timer(10, clock.scheduler))
      .then(() => undefined)
      .then(() => note('promise'));
    timer(10, clock.scheduler).subscribe(() => note('first'));
    interval(15, clock.scheduler)
      .pipe(take(2))
      .subscribe(() => note('interval'));
    const cancelled = timer(12, clock.scheduler).subscribe(() => note('cancelled'));
    await clock.advance(11);
    cancelled.unsubscribe();
    await clock.advance(100);
    expect(seen).toEqual(['promise@10', 'first@10', 'interval@15', 'second@20', 'interval@30']);
    expect(clock.elapsed).toBe(111);
    expect(clock.pending).toBe(0);
  });

  it('moves the wall clock apart from the monotonic one', async () => {
    const clock = new VirtualClock();
    const monotonic = clock.monotonic();
    clock.setBack(5_000);
    clock.suspend(2_000);
    expect([clock.now() - START, clock.monotonic() - monotonic]).toEqual([-3_000, 0]);
    await clock.advance(1_000);
    expect([clock.now() - START, clock.monotonic() - monotonic]).toEqual([-2_000, 1_000]);
  });

  it('gives up on a promise that no timer settles', async () => {
    const clock = new VirtualClock();
    await expect(clock.until(new Promise(() => undefined), 1_000)).rejects.toThrow('Nothing settled');
  });
});

describe('The age of a token', () => {
  it('is what the clock says that saw more time pass', async () => {
    const clock = new VirtualClock();
    const stored = { value: 't', tokenType: 'Bearer', issuedAt: START, expiresAt: START + 38_000 } as const;
    const held = new HeldToken(
      stored,
      acquiredAt(stored, momentOf(clock)),
      { ratio: 0.25, maxMs: 300_000 },
      1,
    );
    await clock.advance(10_000);
    expect(elapsedMs(momentOf(clock), held.acquired)).toBe(10_000);
    clock.setBack(3_600_000);
    expect(elapsedMs(momentOf(clock), held.acquired)).toBe(10_000);
    clock.suspend(3_620_000);
    expect(elapsedMs(momentOf(clock), held.acquired)).toBe(30_000);
    expect(held.patienceMs(momentOf(clock))).toBe(4_000);
  });

  it('counts from the start of its request, also for a token that comes out of a store', async () => {
    const clock = new VirtualClock();
    const stored = { value: 't', tokenType: 'Bearer', issuedAt: START, expiresAt: START + 60_000 } as const;
    await clock.advance(20_000);
    const held = new HeldToken(
      stored,
      acquiredAt(stored, momentOf(clock)),
      { ratio: 0.25, maxMs: 300_000 },
      1,
    );
    expect(elapsedMs(momentOf(clock), held.acquired)).toBe(20_000);
    clock.setBack(3_600_000);
    expect(elapsedMs(momentOf(clock), held.acquired)).toBe(20_000);
  });
});

describe("The machine's clocks", () => {
  it('23. are read in milliseconds: the time of day, and one that nobody sets', () => {
    const before = [Date.now(), Number(process.hrtime.bigint()) / 1e6] as const;
    const { wall, monotonic } = momentOf(systemClock);
    const after = [Date.now(), Number(process.hrtime.bigint()) / 1e6] as const;
    expect(wall).toBeGreaterThanOrEqual(before[0]);
    expect(wall).toBeLessThanOrEqual(after[0]);
    expect(monotonic).toBeGreaterThanOrEqual(before[1] - 0.001);
    expect(monotonic).toBeLessThanOrEqual(after[1] + 0.001); // of rounding
  });

  it('27. draw chance from [0, 1)', () => {
    const draws = Array.from({ length: 1_000 }, () => systemClock.random());
    expect(draws.every((chance) => chance >= 0 && chance < 1)).toBe(true);
    expect(Math.max(...draws) - Math.min(...draws)).toBeGreaterThan(0.5);
  });
});
