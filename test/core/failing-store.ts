import { MemoryTokenStore } from '../../lib/core/memory-token-store.js';
import type { LockOutcome, StoredToken } from '../../lib/core/token-store.js';
import { Scenario } from './scenario.js';
import { VirtualClock } from './virtual-clock.js';

export type Failure = 'none' | 'throws' | 'says so';

/** A store that can be made to fail in the two ways there are, slowly if need be. */
export class FailingStore extends MemoryTokenStore {
  failure: Failure = 'none';
  /** Only operations that write fail. */
  readOnly = false;
  /** How long a failing operation takes. */
  delayMs = 0;
  operations = 0;
  readonly #clock: VirtualClock;

  constructor(clock: VirtualClock) {
    super();
    this.#clock = clock;
  }

  override async get(key: string): Promise<StoredToken | undefined> {
    if (!this.readOnly) await this.#operate();
    return super.get(key);
  }

  override async set(key: string, token: StoredToken): Promise<void> {
    await this.#operate();
    return super.set(key, token);
  }

  override async delete(key: string, ifValue?: string): Promise<void> {
    await this.#operate();
    return super.delete(key, ifValue);
  }

  override async withLock<T>(key: string, ttlMs: number, work: () => Promise<T>): Promise<LockOutcome<T>> {
    try {
      await this.#operate();
    } catch (error) {
      if (this.failure === 'says so') return { outcome: 'error', error };
      throw error;
    }
    return super.withLock(key, ttlMs, work);
  }

  async #operate(): Promise<void> {
    this.operations++;
    if (this.failure === 'none') return;
    if (this.delayMs > 0) await new Promise((done) => this.#clock.scheduler.schedule(done, this.delayMs));
    throw new Error('connection lost');
  }
}

export function failingScenario(): Scenario & { store: FailingStore } {
  const clock = new VirtualClock();
  const store = new FailingStore(clock);
  return Object.assign(new Scenario({ clock, store }), { store });
}
