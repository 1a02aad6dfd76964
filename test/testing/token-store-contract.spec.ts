import { describe, expect, it } from '@jest/globals';
import { MemoryTokenStore } from '../../lib/core/memory-token-store.js';
import type { LockOutcome, StoredToken, TokenStore } from '../../lib/core/token-store.js';
import { tokenStoreContract } from '../../lib/testing.js';

/** What a shared store does, in one process: locks with an owner and a lease. */
class LeasingStore extends MemoryTokenStore {
  readonly locks = new Map<string, { until: number }>();

  override async withLock<T>(key: string, ttlMs: number, work: () => Promise<T>): Promise<LockOutcome<T>> {
    if ((this.locks.get(key)?.until ?? 0) > Date.now()) return { outcome: 'held' };
    const mine = { until: Date.now() + ttlMs };
    this.locks.set(key, mine);
    try {
      return { outcome: 'acquired', result: await work() };
    } finally {
      if (this.locks.get(key) === mine) this.locks.delete(key);
    }
  }
}

/** The other kind the contract allows: a second caller waits instead of being told. */
class QueueingStore extends LeasingStore {
  override async withLock<T>(key: string, ttlMs: number, work: () => Promise<T>): Promise<LockOutcome<T>> {
    for (;;) {
      const outcome = await super.withLock(key, ttlMs, work);
      if (outcome.outcome !== 'held') return outcome;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

describe('54. the contract passes on MemoryTokenStore', () => {
  tokenStoreContract(it, () => new MemoryTokenStore());
});

describe('54. the contract passes on a store with exclusive locks', () => {
  tokenStoreContract(it, () => new LeasingStore(), { exclusive: true });
});

describe('54. the contract passes on a store whose locks queue', () => {
  tokenStoreContract(it, async () => new QueueingStore(), { exclusive: true });
});

describe('the contract ends what createStore gave it', () => {
  it('disposes of the store after a case that passed and after one that failed', async () => {
    let disposed = 0;
    const dispose = async (): Promise<void> => void disposed++;
    const passed = await failures(() => ({ store: new LeasingStore(), dispose }));
    expect(passed).toEqual([]);
    expect(disposed).toBe(ALL.length);

    const failed = await failures(() => ({ store: broken(() => ({ get: async () => undefined })), dispose }));
    expect(failed.length).toBeGreaterThan(0);
    expect(disposed).toBe(2 * ALL.length);
  });

  it('leaves the exclusive cases out unless they are asked for', async () => {
    const names: string[] = [];
    tokenStoreContract(
      (name) => names.push(name),
      () => new LeasingStore(),
    );
    expect(ALL.slice(0, names.length)).toEqual(names);
    expect(ALL.slice(names.length)).toEqual([KEPT_OUT, TWO_LOCKS, TAKE_OVER, OUTLIVED]);
  });
});

const ABSENT = 'a key that was never set has no entry';
const MEMBERS = 'an entry comes back with all its members';
const NEWER = 'a newer entry replaces an older one';
const OLDER = 'an older entry never replaces a newer one';
const EQUAL = 'an entry of the same issuedAt replaces the present one';
const MANY = 'of many concurrent writes the newest stays';
const DELETE = 'delete removes the entry, and an older one may follow';
const DELETE_MATCH = 'delete with ifValue removes the entry that holds that value';
const DELETE_OTHER = 'delete with ifValue leaves an entry that holds another value';
const TWO_KEYS = 'two keys do not mix';
const REFRESH = 'an entry with a refresh token survives its expiresAt';
const RESULT = 'withLock gives the result of the work and frees the lock';
const REASON = 'withLock rejects with the very reason of the work and frees the lock';
const INSIDE = 'the entry can be read and written under its lock';
const KEPT_OUT = 'while the work runs, a second withLock is told held or runs after it';
const TWO_LOCKS = 'locks of two keys do not wait for each other';
const TAKE_OVER = 'a lease that has ended lets another caller take over';
const OUTLIVED = 'a holder that outlived its lease does not free the lock of the next one';

/** Stores with one mistake each, and the cases that find it. */
const MISTAKES: [mistake: string, make: (right: LeasingStore) => Partial<TokenStore>, found: string[]][] = [
  [
    'invents entries',
    (right) => ({ get: async (key) => (await right.get(key)) ?? INVENTED }),
    [ABSENT, DELETE, DELETE_MATCH],
  ],
  [
    'keeps the value only',
    (right) => ({
      set: (key, { value, tokenType, issuedAt, expiresAt }) =>
        right.set(key, { value, tokenType, issuedAt, expiresAt }),
    }),
    [MEMBERS, REFRESH],
  ],
  [
    'never replaces an entry',
    (right) => ({
      set: async (key, token) => {
        if ((await right.get(key)) === undefined) await right.set(key, token);
      },
    }),
    [NEWER, EQUAL],
  ],
  [
    'ignores issuedAt',
    (right) => ({
      set: async (key, token) => {
        await Promise.all([right.delete(key), right.set(key, token)]);
      },
    }),
    [OLDER, MANY],
  ],
  [
    'keeps the present entry of an equal issuedAt',
    (right) => ({
      set: async (key, token) => {
        if ((await right.get(key))?.issuedAt !== token.issuedAt) await right.set(key, token);
      },
    }),
    [EQUAL],
  ],
  [
    'compares first and writes later',
    (right) => ({
      set: async (key, token) => {
        const present = await right.get(key);
        await new Promise(setImmediate);
        if (present && present.issuedAt > token.issuedAt) return;
        await right.delete(key);
        await right.set(key, token);
      },
    }),
    [MANY],
  ],
  ['does not delete', () => ({ delete: async () => undefined }), [DELETE, DELETE_MATCH]],
  ['ignores ifValue', (right) => ({ delete: (key) => right.delete(key) }), [DELETE_OTHER]],
  [
    'does nothing on ifValue',
    (right) => ({ delete: async (key, ifValue) => (ifValue ? undefined : right.delete(key)) }),
    [DELETE_MATCH],
  ],
  [
    'has one entry for all keys',
    (right) => ({
      get: () => right.get('one'),
      set: (_key, token) => right.set('one', token),
      delete: (_key, ifValue) => right.delete('one', ifValue),
    }),
    [MEMBERS, TWO_KEYS],
  ],
  [
    'drops expired entries, refresh token or not',
    (right) => ({
      get: async (key) => {
        const entry = await right.get(key);
        return entry && entry.expiresAt > Date.now() ? entry : undefined;
      },
    }),
    [REFRESH],
  ],
  [
    'loses the result of the work',
    (right) => ({
      withLock: async (key, ttlMs, work) => {
        const outcome = await right.withLock(key, ttlMs, work);
        return outcome.outcome === 'acquired' ? { outcome: 'error', error: 'lost' } : outcome;
      },
    }),
    [RESULT, REASON, INSIDE, TWO_LOCKS, TAKE_OVER],
  ],
  [
    'answers a failure of the work with an outcome',
    (right) => ({
      withLock: (key, ttlMs, work) =>
        right.withLock(key, ttlMs, work).catch((error: unknown) => ({ outcome: 'error', error })),
    }),
    [REASON],
  ],
  [
    'wraps the reason of the work',
    (right) => ({
      withLock: (key, ttlMs, work) =>
        right.withLock(key, ttlMs, work).catch((cause: unknown) => {
          throw new Error('wrapped', { cause });
        }),
    }),
    [REASON],
  ],
  [
    'frees no lock',
    (right) => ({
      withLock: async (key, ttlMs, work) => {
        const outcome = await right.withLock(key, ttlMs, work);
        if (outcome.outcome === 'acquired') right.locks.set(key, { until: Infinity });
        return outcome;
      },
    }),
    [RESULT],
  ],
  [
    'frees no lock of a work that failed',
    (right) => ({
      withLock: (key, ttlMs, work) =>
        right.withLock(key, ttlMs, work).catch((error: unknown) => {
          right.locks.set(key, { until: Infinity });
          throw error;
        }),
    }),
    [REASON],
  ],
  [
    'drops writes while the key is locked',
    (right) => ({
      set: async (key, token) => (right.locks.has(key) ? undefined : right.set(key, token)),
    }),
    [INSIDE],
  ],
  [
    'keeps nobody out',
    () => ({ withLock: async (_key, _ttlMs, work) => ({ outcome: 'acquired', result: await work() }) }),
    [KEPT_OUT, OUTLIVED],
  ],
  [
    'says held and runs the work all the same',
    (right) => ({
      withLock: async (key, ttlMs, work) => {
        const outcome = await right.withLock(key, ttlMs, work);
        if (outcome.outcome === 'held') await work();
        return outcome;
      },
    }),
    [KEPT_OUT, OUTLIVED],
  ],
  [
    'has one lock for all keys',
    (right) => ({ withLock: (_key, ttlMs, work) => right.withLock('one', ttlMs, work) }),
    [TWO_LOCKS],
  ],
  [
    'ends no lease',
    (right) => ({ withLock: (key, _ttlMs, work) => right.withLock(key, Infinity, work) }),
    [TAKE_OVER, OUTLIVED],
  ],
  [
    "frees somebody else's lock",
    (right) => ({
      withLock: async (key, ttlMs, work) => {
        const outcome = await right.withLock(key, ttlMs, work);
        if (outcome.outcome === 'acquired') right.locks.delete(key);
        return outcome;
      },
    }),
    [OUTLIVED],
  ],
];

describe('54. the contract fails on a store that', () => {
  it.each(MISTAKES)('%s', async (_mistake, make, found) => {
    expect(await failures(() => broken(make))).toEqual(found);
  });

  it('makes any mistake: each case finds one of these', () => {
    expect([...new Set(MISTAKES.flatMap(([, , found]) => found))].sort()).toEqual([...ALL].sort());
  });
});

const INVENTED: StoredToken = { value: 'x', tokenType: 'Bearer', issuedAt: 0, expiresAt: 0 };

const ALL: string[] = [];
tokenStoreContract(
  (name) => ALL.push(name),
  () => new LeasingStore(),
  { exclusive: true },
);

function broken(make: (right: LeasingStore) => Partial<TokenStore>): TokenStore {
  const right = new LeasingStore();
  return {
    get: (key) => right.get(key),
    set: (key, token) => right.set(key, token),
    delete: (key, ifValue) => right.delete(key, ifValue),
    withLock: (key, ttlMs, work) => right.withLock(key, ttlMs, work),
    ...make(right),
  };
}

/** The names of the cases that fail, in their order. */
async function failures(createStore: Parameters<typeof tokenStoreContract>[1]): Promise<string[]> {
  const cases: [string, () => Promise<void>][] = [];
  tokenStoreContract((name, run) => cases.push([name, run]), createStore, { exclusive: true });
  const settled = await Promise.allSettled(cases.map(([, run]) => run()));
  return cases.flatMap(([name], i) => (settled[i]?.status === 'rejected' ? [name] : []));
}
