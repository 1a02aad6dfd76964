import { hash } from 'node:crypto';
import { isRecord } from './token-request.js';

/** A copy of a `tenants` function's answer, which it may change for the next tenant. It is copied at once, unless it is a promise. */
async function answerOf(ask: (tenant: string) => unknown, tenant: string): Promise<unknown> {
  const copy = (answer: unknown) => copyOf(isRecord(answer) ? { ...answer } : answer);
  const answer = ask(tenant);
  return 'then' in Object(answer) ? copy(await answer) : copy(answer);
}

/** More steps than a promise takes to hand on a value that it has already. */
const STEPS = 6;

/**
 * Asks for one tenant a moment after the other, so that a promise's answer is copied before an asynchronous function fills
 * the same object for the next tenant.
 */
export function inTurn(ask: (tenant: string) => unknown): (tenant: string) => Promise<unknown> {
  let turn = Promise.resolve();
  return (tenant) => {
    const answer = turn.then(() => answerOf(ask, tenant));
    for (let step = 0; step < STEPS; step++) turn = turn.then(() => undefined);
    return answer;
  };
}

/** A copy of plain data, in which functions and instances, such as agents, are the same. */
export function copyOf<T>(value: T): T {
  if (Array.isArray(value)) return value.map((item: unknown) => copyOf(item)) as T;
  if (!isPlain(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, copyOf(member)])) as T;
}

/** Whether a value is plain data, and not an instance such as an agent. */
function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  return [null, Object.prototype, Array.prototype].includes(Object.getPrototypeOf(value) as null);
}

/** A summary that tells answers apart. It cannot compare functions and instances, such as agents. */
export function summaryOf(answer: unknown): { data: string; hasCode: boolean } {
  let hasCode = false;
  const text = JSON.stringify(answer, (_, value: unknown) => {
    const isCode = typeof value === 'function' || (typeof value === 'object' && value && !isPlain(value));
    if (!isCode) return typeof value === 'bigint' ? String(value) : value;
    hasCode = true;
    return '';
  });
  return { data: hash('sha256', text ?? ''), hasCode };
}
