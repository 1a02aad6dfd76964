import { afterEach } from '@jest/globals';

interface Closable {
  close(): Promise<unknown>;
}

const open: Closable[] = [];

/** Has `resource` closed after the present test, the last one first. */
export function closing<T extends Closable>(resource: T): T {
  open.push(resource);
  return resource;
}

// Jest itself fails a test during which a rejection went unhandled; this gives Node time to notice it.
afterEach(async () => {
  await new Promise((resolve) => setImmediate(resolve));
  const problems: unknown[] = [];
  for (let last = open.pop(); last !== undefined; last = open.pop()) {
    await last.close().catch((problem: unknown) => problems.push(problem));
  }
  if (problems.length > 0) throw problems[0];
});
