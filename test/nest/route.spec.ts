import { fork } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CompiledCopy } from '../support/compiled-copy.js';

const PROGRAM = 'test/nest/route-application.ts';

describe('The route of a request', () => {
  let copy: CompiledCopy;
  beforeAll(async () => {
    copy = await CompiledCopy.of(PROGRAM);
  });
  afterAll(() => copy.remove());

  it('A cold HttpService.get passes through 20 files of the layers at most, and enters nest/ once', async () => {
    const child = fork(copy.path(PROGRAM));
    const exit = once(child, 'exit');
    const [{ status, files }] = (await once(child, 'message')) as [{ status: number; files: string[] }];
    expect(await exit).toEqual([0, null]);
    expect(status).toBe(200);
    const route = files.filter((file) => !file.startsWith('testing/')).sort();
    expect(route.length).toBeLessThanOrEqual(20);
    // The logger, which follows the events.
    expect(route.filter((file) => file.startsWith('nest/'))).toEqual(['nest/oauth-client.logger']);
  });
});
