import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LockOutcome, StoredToken, TokenStore } from '../core/token-store.js';

/** A store, and what ends it after the case that used it. */
export interface DisposableTokenStore {
  store: TokenStore;
  dispose(): void | Promise<void>;
}

/** Options of {@link tokenStoreContract}. */
export interface TokenStoreContractOptions {
  /** Also check that `withLock` keeps others out and that leases end, as a shared store must. Default false. */
  exclusive?: boolean | undefined;
}

/**
 * Registers the cases that every {@link TokenStore} must pass, with the `it` or `test` of any framework. Each case
 * asks `createStore` for an empty store.
 *
 * @param options `exclusive`: also check locks and leases, as a shared store needs
 * @example
 * ```ts
 * describe('MyTokenStore', () => {
 *   tokenStoreContract(it, () => new MyTokenStore(), { exclusive: true });
 * });
 * ```
 */
export function tokenStoreContract(
  it: (name: string, run: () => Promise<void>) => void,
  createStore: () => TokenStore | DisposableTokenStore | Promise<TokenStore | DisposableTokenStore>,
  { exclusive = false }: TokenStoreContractOptions = {},
): void {
  const check: Check = (name, run) =>
    it(name, async () => {
      const created = await createStore();
      if ('withLock' in created) return run(created);
      try {
        await run(created.store);
      } finally {
        await created.dispose();
      }
    });
  checkWrites(check);
  checkRemovals(check);
  checkLock(check);
  if (exclusive) checkExclusion(check);
}

type Check = (name: string, run: (store: TokenStore) => Promise<void>) => void;

function checkWrites(check: Check): void {
  check('a key that was never set has no entry', async (store) => {
    assert.equal(await store.get('a'), undefined);
  });

  check('an entry comes back with all its members', async (store) => {
    const least = token('t1');
    const failure = { client: 'c', message: 'm', status: 503 };
    const details = { org: { id: 7, tags: ['x'] } };
    const most: StoredToken = {
      ...least,
      tokenType: 'DPoP',
      scope: 'a b',
      details,
      refreshToken: 'r1',
      failure,
    };
    await store.set('a', least);
    await store.set('b', most);
    assert.deepEqual(await store.get('a'), least);
    assert.deepEqual(await store.get('b'), most);
  });

  const writes: [name: string, first: number, second: number, kept: string][] = [
    ['a newer entry replaces an older one', 1, 2, 'second'],
    ['an older entry never replaces a newer one', 2, 1, 'first'],
    ['an entry of the same issuedAt replaces the present one', 1, 1, 'second'],
  ];
  for (const [name, first, second, kept] of writes)
    check(name, async (store) => {
      await store.set('a', token('first', first));
      await store.set('a', token('second', second));
      assert.equal((await store.get('a'))?.value, kept);
    });

  check('of many concurrent writes the newest stays', async (store) => {
    // 17 and 50 have no common divisor: each number comes once, the newest in the middle.
    const orders = Array.from({ length: 50 }, (_, i) => (i * 17) % 50);
    await Promise.all(orders.map((order) => store.set('a', token(`t${order}`, order))));
    assert.equal((await store.get('a'))?.value, 't49');
  });
}

function checkRemovals(check: Check): void {
  check('delete removes the entry, and an older one may follow', async (store) => {
    await store.delete('a');
    await store.set('a', token('t2', 2));
    await store.delete('a');
    assert.equal(await store.get('a'), undefined);
    await store.set('a', token('t1', 1));
    assert.equal((await store.get('a'))?.value, 't1');
  });

  const removals = {
    'removes the entry that holds that value': 't1',
    'leaves an entry that holds another value': 't2',
  };
  for (const [what, value] of Object.entries(removals))
    check(`delete with ifValue ${what}`, async (store) => {
      await store.set('a', token(value));
      await store.delete('a', 't1');
      assert.equal((await store.get('a'))?.value, value === 't1' ? undefined : value);
    });

  check('two keys do not mix', async (store) => {
    await store.set('a', token('ta', 2));
    await store.set('b', token('tb', 1));
    assert.equal((await store.get('a'))?.value, 'ta');
    assert.equal((await store.get('b'))?.value, 'tb');
    await store.delete('a');
    assert.equal((await store.get('b'))?.value, 'tb');
  });

  check('an entry with a refresh token survives its expiresAt', async (store) => {
    const entry = { ...token('t1'), expiresAt: Date.now() - 1000, refreshToken: 'r1' };
    await store.set('a', entry);
    assert.deepEqual(await store.get('a'), entry);
  });
}

function checkLock(check: Check): void {
  check('withLock gives the result of the work and frees the lock', async (store) => {
    const first = await store.withLock('a', LONG, async () => 'result');
    assert.deepEqual(first, { outcome: 'acquired', result: 'result' });
    const second = await store.withLock('a', LONG, async () => undefined);
    assert.deepEqual(second, { outcome: 'acquired', result: undefined });
  });

  check('withLock rejects with the very reason of the work and frees the lock', async (store) => {
    const reason = new Error('the work failed');
    const [first] = await Promise.allSettled([store.withLock('a', LONG, () => Promise.reject(reason))]);
    assert.equal(first.status, 'rejected');
    assert.equal(first.reason, reason);
    assert.equal((await store.withLock('a', LONG, async () => 1)).outcome, 'acquired');
  });

  check('the entry can be read and written under its lock', async (store) => {
    const outcome = await store.withLock('a', LONG, async () => {
      await store.set('a', token('t1'));
      return (await store.get('a'))?.value;
    });
    assert.deepEqual(outcome, { outcome: 'acquired', result: 't1' });
  });
}

function checkExclusion(check: Check): void {
  check('while the work runs, a second withLock is told held or runs after it', async (store) => {
    const first = await hold((work) => store.withLock('a', LONG, work));
    await assertKeptOut(store, first);
  });

  check('locks of two keys do not wait for each other', async (store) => {
    const first = await hold((work) => store.withLock('a', LONG, work));
    const patience = sleep(PATIENCE, undefined, { ref: false });
    const other = await Promise.race([store.withLock('b', LONG, async () => 1), patience]);
    await first.end();
    assert.deepEqual(other, { outcome: 'acquired', result: 1 });
  });

  check('a lease that has ended lets another caller take over', async (store) => {
    const first = await hold((work) => store.withLock('a', SHORT, work));
    const next = await takeOver(store, async () => 'taken');
    await first.end();
    assert.deepEqual(next, { outcome: 'acquired', result: 'taken' });
  });

  check('a holder that outlived its lease does not free the lock of the next one', async (store) => {
    const first = await hold((work) => store.withLock('a', SHORT, work));
    const next = await hold((work) => takeOver(store, work));
    await first.end();
    await assertKeptOut(store, next);
  });
}

/** In milliseconds: a lease that no case outlives, one that a case waits for, and the longest wait of a case. */
const LONG = 30_000;
const SHORT = 50;
const PATIENCE = 3000;

/** A caller of `withLock` whose work goes on until `end()`. */
type Holder = { running: boolean; end(): Promise<void> };

/** Resolves once the work runs. */
function hold(lock: (work: () => Promise<void>) => Promise<LockOutcome<void>>): Promise<Holder> {
  let finish: () => void;
  const finished = new Promise<void>((resolve) => (finish = resolve));
  return new Promise((resolve, reject) => {
    const end = async () => {
      finish();
      await done;
    };
    const holder = { running: true, end };
    const done = lock(async () => {
      resolve(holder);
      await finished;
      holder.running = false;
    });
    // The first to settle wins: a lock that is not granted fails the case instead of hanging it.
    done.then(({ outcome }) => reject(new Error(`withLock of a free key: ${outcome}`)), reject);
  });
}

async function assertKeptOut(store: TokenStore, holder: Holder): Promise<void> {
  let ran = false;
  let overlapped = false;
  const intruder = store.withLock('a', LONG, async () => {
    ran = true;
    overlapped = holder.running;
  });
  await Promise.race([intruder, sleep(100)]);
  await holder.end();
  const { outcome } = await intruder;
  assert.equal(overlapped, false, 'two works ran at once');
  assert.equal(outcome, ran ? 'acquired' : 'held');
}

/** Asks until the lock is granted, as a waiting flight does. */
async function takeOver<T>(store: TokenStore, work: () => Promise<T>): Promise<LockOutcome<T>> {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const outcome = await store.withLock('a', LONG, work);
    if (outcome.outcome !== 'held' || Date.now() > deadline) return outcome;
    await sleep(10);
  }
}

/** A token that is good for an hour; of two, the one with the higher `order` is newer. */
function token(value: string, order = 0): StoredToken {
  const expiresAt = Date.now() + 3_600_000;
  return { value, tokenType: 'Bearer', issuedAt: 1_700_000_000_000 + order, expiresAt };
}
