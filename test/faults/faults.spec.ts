import { describe, expect, it } from '@jest/globals';
import { readFile, writeFile } from 'node:fs/promises';
import { format, resolveConfig } from 'prettier';
import { FaultScene, type TokenState } from './fault-scene.js';
import { faultPage, type Observation } from './fault-table.js';
import { FAULTS, type Fault } from './faults.js';

const PAGE = new URL('../../docs/faults.md', import.meta.url);
const STATES: [TokenState, string][] = [
  ['none', 'No token yet → the request waits; without a token it fails with the typed error and is not sent'],
  ['fresh', 'A fresh token → it is used at once; the authorization server is not contacted'],
  ['in the window', 'A token in the refresh window → it is used at once, whatever becomes of the refresh'],
  ['expired', 'An expired token → it is never sent; the request waits for another or fails'],
];
const HOUR_MS = 3_600_000;

const observed = new Map<TokenState, Observation[]>(STATES.map(([state]) => [state, []]));

describe.each(STATES)('%s: %s', (state) => {
  it.each(FAULTS.map((fault) => [fault.behaviours, fault.name, fault] as const))(
    '%s. %s',
    async (_, _name, fault) => {
      // Only where silence is the fault may a busy machine run into the deadline.
      const scene = await FaultScene.start(state, fault.kind === 'silent' ? 300 : 10_000);
      await fault.begin(scene);
      const earlier = scene.flights;
      const first = await scene.call();
      // One event per flight, and no flight but the one.
      expect(scene.flights - earlier).toBe(first.tokenRequests > 0 ? 1 : 0);
      const next = await scene.call();
      observed.get(state)!.push({ fault, first, next });

      if (fault.kind !== 'clock' && fault.kind !== 'answers') {
        if (state === 'fresh' || state === 'in the window') {
          for (const call of [first, next])
            expect(call).toMatchObject({ waited: false, error: undefined, token: 'present' });
        } else {
          expect(first).toMatchObject({ waited: true, authorization: undefined });
          expect(next).toMatchObject({ waited: false, authorization: undefined });
          expect(next.error?.code).toBe(first.error?.code);
        }
        expect(first.tokenRequests).toBe(state === 'fresh' ? 0 : attempts(fault));
        expect(next.tokenRequests).toBe(0);
      }
      if (fault.kind === 'clock') expect([first.error, next.error]).toEqual([undefined, undefined]);
      if (state === 'expired') expect([first.authorization, next.authorization]).not.toContain(scene.old);
      expect(scene.elsewhere.requests).toHaveLength(0);

      // The lock is free, the cool-down ends: the application recovers by itself.
      await fault.end?.(scene);
      scene.recover();
      scene.clock.pass(HOUR_MS);
      expect(await scene.call()).toMatchObject({ error: undefined, token: 'new' });
    },
  );
});

/** Token requests of a flight that fails. */
function attempts({ kind }: Fault): number {
  return kind === 'retried' || kind === 'silent' ? 2 : 1;
}

it('docs/faults.md tells what was observed', async () => {
  const config = await resolveConfig(PAGE);
  const page = await format(faultPage(observed), { ...config, parser: 'markdown' });
  if (process.env['UPDATE_FAULTS']) await writeFile(PAGE, page);
  expect(page).toBe(await readFile(PAGE, 'utf8'));
});
