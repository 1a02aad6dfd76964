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
  for (const [name, check] of Object.entries({ ...ENTRIES, ...LOCK, ...(exclusive && EXCLUSION) }))
    it(name, async () => {
      const created = await createStore();
      if ('withLock' in created) return check(created);
      try {
        await check(created.store);
      } finally {
        await created.dispose();
      }
    });
}

type Cases = Record<string, (store: TokenStore) => Promise<void>>;

const ENTRIES: Cases = {
  'a key that was never set has no entry': async (store) => {
    assert.equal(await store.get('a'), undefined);
  },
  'an entry comes back with all its members': async (store) => {
    const least = token('t1');
    const failure = { client: 'c', message: 'm', status: 503 };
    const details = { org: { id: 7, tags: ['x'] } };
    const most = { ...least, tokenType: 'DPoP' as const, scope: 'a b', details, refreshToken: 'r1', failure };
    await store.set('a', least);
    await store.set('b', most);
    assert.deepEqual(await store.get('a'), least);
    assert.deepEqual(await store.get('b'), most);
  },
  'a newer entry replaces an older one': (store) =>
    assertHolds(store, 'second', token('first', 1), token('second', 2)),
  'an older entry never replaces a newer one': (store) =>
    assertHolds(store, 'first', token('first', 2), token('second', 1)),
  'an entry of the same issuedAt replaces the present one': (store) =>
    assertHolds(store, 'second', token('first'), token('second')),
  'of many concurrent writes the newest stays': async (store) => {
    // 17 and 50 have no common divisor: each number comes once, the newest in the middle.
    const orders = Array.from({ length: 50 }, (_, i) => (i * 17) % 50);
    await Promise.all(orders.map((order) => store.set('a', token(`t${order}`, order))));
    await assertHolds(store, 't49');
  },
  'delete removes the entry, and an older one may follow': async (store) => {
    await store.set('a', token('t2', 2));
    await store.delete('a');
    await assertHolds(store, undefined);
    await assertHolds(store, 't1', token('t1', 1));
  },
  'delete with ifValue removes the entry that holds that value': async (store) => {
    await store.set('a', token('t1'));
    await store.delete('a', 't1');
    await assertHolds(store, undefined);
  },
  'delete with ifValue leaves an entry that holds another value': async (store) => {
    await store.set('a', token('t2'));
    await store.delete('a', 't1');
    await assertHolds(store, 't2');
  },
  'two keys do not mix': async (store) => {
    await store.set('b', token('tb', 1));
    await assertHolds(store, 'ta', token('ta', 2));
    await store.delete('a');
    assert.equal((await store.get('b'))?.value, 'tb');
  },
  'an entry with a refresh token survives its expiresAt': async (store) => {
    const entry = { ...token('t1'), expiresAt: Date.now() - 1000, refreshToken: 'r1' };
    await store.set('a', entry);
    assert.deepEqual(await store.get('a'), entry);
  },
};

const LOCK: Cases = {
  'withLock gives the result of the work and frees the lock': async (store) => {
    const first = await store.withLock('a', LONG, async () => 'result');
    assert.deepEqual(first, { outcome: 'acquired', result: 'result' });
    const second = await store.withLock('a', LONG, async () => undefined);
    assert.deepEqual(second, { outcome: 'acquired', result: undefined });
  },
  'withLock rejects with the very reason of the work and frees the lock': async (store) => {
    const reason = new Error('the work failed');
    const [first] = await Promise.allSettled([store.withLock('a', LONG, () => Promise.reject(reason))]);
    assert.equal(first.status, 'rejected');
    assert.equal(first.reason, reason);
    assert.equal((await store.withLock('a', LONG, async () => 1)).outcome, 'acquired');
  },
  'the entry can be read and written under its lock': async (store) => {
    const outcome = await store.withLock('a', LONG, async () => {
      await store.set('a', token('t1'));
      return (await store.get('a'))?.value;
    });
    assert.deepEqual(outcome, { outcome: 'acquired', result: 't1' });
  },
};

const EXCLUSION: Cases = {
  'while the work runs, a second withLock is told held or runs after it': async (store) => {
    const first = await hold((work) => store.withLock('a', LONG, work));
    await assertKeptOut(store, first);
  },
  'locks of two keys do not wait for each other': async (store) => {
    const first = await hold((work) => store.withLock('a', LONG, work));
    const patience = sleep(PATIENCE, undefined, { ref: false });
    const other = await Promise.race([store.withLock('b', LONG, async () => 1), patience]);
    await first.end();
    assert.deepEqual(other, { outcome: 'acquired', result: 1 });
  },
  'a lease that has ended lets another caller take over': async (store) => {
    const first = await hold((work) => store.withLock('a', SHORT, work));
    const next = await takeOver(store, async () => 'taken');
    await first.end();
    assert.deepEqual(next, { outcome: 'acquired', result: 'taken' });
  },
  'a holder that outlived its lease does not free the lock of the next one': async (store) => {
    const first = await hold((work) => store.withLock('a', SHORT, work));
    const next = await hold((work) => takeOver(store, work));
    await first.end();
    await assertKeptOut(store, next);
  },
};

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

/** After `entries`, one after the other, the key holds `value`. */
async function assertHolds(store: TokenStore, value: string | undefined, ...entries: StoredToken[]) {
  for (const entry of entries) await store.set('a', entry);
  assert.equal((await store.get('a'))?.value, value);
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
