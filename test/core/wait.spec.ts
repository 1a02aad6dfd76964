import { describe, expect, it } from '@jest/globals';
import { DEFAULT_LIFE, Scenario } from './scenario.js';
import { rejected, unavailable } from './scripted-endpoint.js';
import { settle } from './virtual-clock.js';

const { totalMs } = DEFAULT_LIFE.retry;
/** How long a request takes at most to notice a sleep: the tenth part of its time, and 50 ms to read what has arrived. */
const NOTICE_MS = DEFAULT_LIFE.timeoutMs / 10 + 50;

/** Calls now. `over` brings the token's value or the error, and after how many milliseconds. */
async function callOf({ client, clock }: Scenario): Promise<{ over: Promise<[unknown, number]> }> {
  const began = clock.elapsed;
  const ended = (result: unknown): [unknown, number] => [result, clock.elapsed - began];
  const over = client.getToken().then(({ value }) => ended(value), ended);
  await settle();
  return { over };
}

/** A caller whose flight waits for the turn of another one, which the server keeps for 14 s and then refuses. */
async function queued(): Promise<{ scenario: Scenario; over: Promise<[unknown, number]> }> {
  const scenario = new Scenario();
  scenario.endpoint.next(unavailable({ retryAfterMs: 13_900 }), rejected());
  await callOf(scenario);
  scenario.client.invalidate();
  return { scenario, ...(await callOf(scenario)) };
}

describe('A caller waits for retry.totalMs at most', () => {
  it('if its flight is given up before its turn, and the next one hangs', async () => {
    const { scenario, over } = await queued();
    scenario.client.invalidate();
    scenario.endpoint.otherwise = { hang: true };
    const [error, waited] = await scenario.clock.until(over);
    expect(error).toMatchObject({ code: 'authorization_server_unavailable', timedOut: true });
    expect(waited).toBeLessThanOrEqual(totalMs);
    scenario.endpoint.otherwise = {};
    await scenario.clock.advance(DEFAULT_LIFE.timeoutMs);
    await expect(scenario.token()).resolves.toMatchObject({ value: 't4' }); // for the next caller it goes on
  });

  it('if its flight is given up before its turn, and the next one began later', async () => {
    const scenario = new Scenario();
    scenario.endpoint.otherwise = { hang: true };
    const { client, clock } = scenario;
    const waits: Promise<[unknown, number]>[] = [];
    for (let i = 0; i < 4; i++) {
      client.invalidate();
      waits.push((await callOf(scenario)).over);
      await clock.advance(4_000);
    }
    const ends = await clock.until(Promise.all(waits));
    for (const [, waited] of ends) expect(waited).toBeLessThanOrEqual(totalMs);
  });

  it('if its flight is given up before its turn, and the next one brings a token in time', async () => {
    const { scenario, over } = await queued();
    scenario.client.invalidate();
    expect(await scenario.clock.until(over)).toEqual(['t3', 14_050]);
  });

  it('if the process slept before the call, which shows only when the flight has its turn', async () => {
    const { scenario } = await queued();
    scenario.clock.suspend(3_000);
    scenario.endpoint.otherwise = { hang: true };
    const { over } = await callOf(scenario);
    const [, waited] = await scenario.clock.until(over);
    expect(waited).toBeLessThanOrEqual(totalMs);
  });

  it('if the process slept before the call, which shows only after a pause', async () => {
    const scenario = new Scenario();
    scenario.endpoint.next(unavailable({ retryAfterMs: 10_000 }));
    scenario.endpoint.otherwise = { hang: true };
    await callOf(scenario);
    scenario.clock.suspend(8_000);
    const { over } = await callOf(scenario);
    const [, waited] = await scenario.clock.until(over);
    expect(waited).toBeLessThanOrEqual(totalMs);
  });

  it('and as long as a request takes to notice it, if the process slept just before the call', async () => {
    const scenario = new Scenario();
    scenario.endpoint.otherwise = { hang: true };
    await callOf(scenario);
    scenario.clock.suspend(2_000);
    const { over } = await callOf(scenario);
    const [, waited] = await scenario.clock.until(over);
    expect(waited).toBeLessThanOrEqual(totalMs + NOTICE_MS);
  });
});
