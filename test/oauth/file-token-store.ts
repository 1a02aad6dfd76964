import { TokenStore, type LockOutcome, type StoredToken } from '../../lib/core/token-store.js';
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What the store is about to do, or has done. */
export type StoreStep = 'locked' | 'answered' | 'half written' | 'written';

/** A durable store for several processes: a file for each entry, replaced in one step, and one for each lock. */
export class FileTokenStore extends TokenStore {
  readonly #folder: string;
  readonly #onStep: (step: StoreStep) => Promise<void>;

  constructor(folder: string, onStep: (step: StoreStep) => Promise<void> = async () => undefined) {
    super();
    this.#folder = folder;
    this.#onStep = onStep;
  }

  async get(key: string): Promise<StoredToken | undefined> {
    const text = await readFile(join(this.#folder, key), 'utf8').catch(() => undefined);
    return text === undefined ? undefined : (JSON.parse(text) as StoredToken);
  }

  async set(key: string, token: StoredToken): Promise<void> {
    const present = await this.get(key);
    if (present && present.issuedAt > token.issuedAt) return;
    const draft = join(this.#folder, `${key}.${process.pid}`);
    await this.#onStep('answered');
    const file = await open(draft, 'w');
    await file.writeFile(JSON.stringify(token));
    await file.sync();
    await file.close();
    await this.#onStep('half written');
    await rename(draft, join(this.#folder, key));
    await this.#onStep('written');
  }

  async delete(key: string, ifValue?: string): Promise<void> {
    if (ifValue === undefined || (await this.get(key))?.value === ifValue) {
      await rm(join(this.#folder, key), { force: true });
    }
  }

  /** The lock is a folder with its holder's process id; that of a dead process is free. */
  async withLock<T>(key: string, _ttlMs: number, work: () => Promise<T>): Promise<LockOutcome<T>> {
    const lock = join(this.#folder, `${key}.lock`);
    try {
      await mkdir(lock);
    } catch {
      const holder = await readFile(join(lock, 'pid'), 'utf8').catch(() => '');
      if (holder === '' || isAlive(Number(holder))) return { outcome: 'held' };
      await rm(lock, { recursive: true, force: true });
      return this.withLock(key, _ttlMs, work);
    }
    await writeFile(join(lock, 'pid'), String(process.pid));
    try {
      await this.#onStep('locked');
      return { outcome: 'acquired', result: await work() };
    } finally {
      await rm(lock, { recursive: true });
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
