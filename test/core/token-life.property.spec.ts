import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { firstValueFrom } from 'rxjs';
import { AccessToken, HeldToken, acquiredAt, type TokenPhase } from '../../lib/core/access-token.js';
import { elapsedMs, momentOf } from '../../lib/core/clock.js';
import { AuthorizationServerUnavailableError, OAuthClientError } from '../../lib/core/errors.js';
import { MemoryTokenStore } from '../../lib/core/memory-token-store.js';
import { parseRetryAfter } from '../../lib/oauth/token-members.js';
import type { TokenRequest } from '../../lib/core/token-request.js';
import type { LockOutcome, StoredToken } from '../../lib/core/token-store.js';
import { DEFAULT_LIFE, Scenario } from './scenario.js';
import { rejected, unavailable, type Answer, type SeenRequest } from './scripted-endpoint.js';
import { START, VirtualClock, settle } from './virtual-clock.js';

const HOUR = 3_600_000;
const PLAY_MS = 6_000;
/** After a sleep a flight begins again, at worst behind another one that has to end first, and a second to notice it. */
const AGAIN_MS = DEFAULT_LIFE.retry.totalMs + 1_000;
/**
 * How long a request takes at most to notice a sleep: the tenth part of its time, and 50 ms to read what has arrived. Only
 * then does its flight begin again, for all callers who joined it meanwhile.
 */
const NOTICE_MS = DEFAULT_LIFE.timeoutMs / 10 + 50;
const SCOPES = ['a', 'b', 'c'] as const;
type Scope = (typeof SCOPES)[number];

type Step =
  | { do: 'call'; scope: Scope; how: 'promise' | 'observable' | 'force' | 'abort' }
  | { do: 'answer'; answer: Answer }
  | { do: 'reject'; scope: Scope; accepted: boolean }
  | { do: 'invalidate' }
  | { do: 'setBack' | 'suspend' | 'advance'; ms: number }
  /** Time passes until the token at hand has lived this share of its lifetime. */
  | { do: 'age'; scope: Scope; share: number }
  | { do: 'store'; up: boolean };

/** A store that can be away; it then says so, and does nothing. */
class FlakyStore extends MemoryTokenStore {
  up = true;

  override async get(key: string): Promise<StoredToken | undefined> {
    this.#check();
    return super.get(key);
  }

  override async set(key: string, token: StoredToken): Promise<void> {
    this.#check();
    return super.set(key, token);
  }

  override async delete(key: string, ifValue?: string): Promise<void> {
    this.#check();
    return super.delete(key, ifValue);
  }

  override async withLock<T>(key: string, ttlMs: number, work: () => Promise<T>): Promise<LockOutcome<T>> {
    return this.up ? super.withLock(key, ttlMs, work) : { outcome: 'error', error: new Error('away') };
  }

  #check(): void {
    if (!this.up) throw new Error('away');
  }
}

/** The newest token that was delivered for a key, as far as the server and this test know. */
interface AtHand {
  token: StoredToken;
  startedMonotonic: number;
}

/** Plays steps against a client and notes every promise that was broken. */
class World {
  readonly broken: string[] = [];
  readonly scenario: Scenario;
  readonly #clock: VirtualClock;
  readonly #store: FlakyStore;
  readonly #atHand = new Map<string, AtHand>();
  readonly #forgotten = new Set<string>();
  /** Tokens that were asked for before the last invalidation. */
  readonly #givenUp = new Set<string>();
  /** By either clock. */
  readonly #notBefore = new Map<string, { elapsed: number; wall: number }>();
  readonly #lastUsed = new Map<string, AccessToken>();
  readonly #startOf = new Map<string, number>();
  #open = 0;
  #awakeSince: number | undefined;
  #sleptAt = Number.NEGATIVE_INFINITY;

  constructor(seed: number) {
    this.#clock = new VirtualClock(seed);
    this.#store = new FlakyStore();
    this.scenario = new Scenario({ clock: this.#clock, store: this.#store, lifetimeMs: 240_000 });
    const { endpoint } = this.scenario;
    endpoint.onRequest = (seen) => this.#onRequest(seen);
    endpoint.onAnswer = ({ details }, answer) => {
      const key = String(details.scope);
      if ('stored' in answer) this.#onDelivered(key, answer.stored);
      else if (answer.error instanceof AuthorizationServerUnavailableError) {
        const { retryAfterMs = 0 } = answer.error;
        const { elapsed } = this.#clock;
        this.#notBefore.set(key, { elapsed: elapsed + retryAfterMs, wall: this.#clock.now() + retryAfterMs });
      }
    };
  }

  async play(steps: readonly Step[]): Promise<string[]> {
    for (const step of steps) await this.#play(step);
    // Long enough for every flight to end, whatever it met.
    await this.#clock.advance(DEFAULT_LIFE.retry.totalMs + AGAIN_MS + 1);
    if (this.#open > 0) this.#broken(`${this.#open} callers never settled`);
    await this.#recover();
    await this.#clock.until(this.scenario.runtime.close(1_000));
    await this.#clock.advance(2_000);
    if (this.#clock.pending > 0) this.#broken(`${this.#clock.pending} timers left`);
    return this.broken;
  }

  /** Once the server is well, and the longest cool-down over, so is every key. */
  async #recover(): Promise<void> {
    const { endpoint, client } = this.scenario;
    endpoint.calm();
    await this.#clock.advance(61_000);
    for (const scope of SCOPES) {
      const token = await this.#clock.until(client.getToken({ scope }).catch(() => undefined));
      if (token === undefined) this.#broken(`no token for ${scope} although the server is well`);
      else this.#handedOut(scope, token);
    }
  }

  async #play(step: Step): Promise<void> {
    const { client, endpoint } = this.scenario;
    switch (step.do) {
      case 'call':
        return this.#call(step.scope, step.how);
      case 'answer':
        endpoint.next(step.answer);
        return;
      case 'reject':
        return this.#reject(step.scope, step.accepted);
      case 'invalidate':
        client.invalidate();
        for (const scope of SCOPES) this.#forget(scope);
        for (let number = 1; number <= endpoint.posts; number++) this.#givenUp.add(`t${number}`);
        return settle();
      case 'setBack':
        return this.#clock.setBack(step.ms);
      case 'suspend':
        this.#awakeSince = this.#clock.elapsed;
        if (step.ms > 1_000) this.#sleptAt = this.#clock.monotonic();
        return this.#clock.suspend(step.ms);
      case 'advance':
        return this.#clock.advance(step.ms);
      case 'age': {
        const atHand = this.#atHand.get(step.scope);
        if (atHand === undefined) return;
        const { ageMs, lifetimeMs } = this.#age(atHand);
        return this.#clock.advance(Math.max(0, Math.ceil(step.share * lifetimeMs - ageMs)));
      }
      case 'store':
        this.#store.up = step.up;
        return;
    }
  }

  async #call(scope: Scope, how: (Step & { do: 'call' })['how']): Promise<void> {
    const { client } = this.scenario;
    const mustNotWait = how !== 'force' && this.#isUsable(scope);
    const replaced = how === 'force' ? this.#atHand.get(scope)?.token.value : undefined;
    const givenUp = new Set(this.#givenUp);
    const controller = new AbortController();
    const reason = new Error('the caller left');
    const request: TokenRequest = { scope };
    if (how === 'force') request.forceRefresh = true;
    if (how === 'abort') request.signal = controller.signal;
    const started = this.#clock.elapsed;
    let settled = false;
    this.#open++;
    const end = (): void => {
      settled = true;
      this.#open--;
      // A flight begins again after a sleep, as soon as it has noticed it.
      const slept = this.#awakeSince !== undefined && this.#awakeSince >= started;
      const waited = this.#clock.elapsed - (slept ? this.#awakeSince! : started);
      const unnoticedMs = Math.max(0, (this.#awakeSince ?? -NOTICE_MS) + NOTICE_MS - started);
      if (waited > DEFAULT_LIFE.retry.totalMs + (slept ? AGAIN_MS : unnoticedMs))
        this.#broken(`a caller waited ${waited} ms`);
    };
    const call = how === 'observable' ? firstValueFrom(client.token$(request)) : client.getToken(request);
    call.then(
      (token) => {
        end();
        this.#handedOut(scope, token);
        if (givenUp.has(token.value)) this.#broken('a caller got a token from before an invalidation');
        if (token.value === replaced) this.#broken('a forced refresh returned what it was to replace');
      },
      (error: unknown) => {
        end();
        if (error !== reason && !(error instanceof OAuthClientError))
          this.#broken(`an untyped error: ${String(error)}`);
        if (mustNotWait) this.#broken('a caller got an error although a token was at hand');
      },
    );
    await settle();
    if (mustNotWait && !settled) this.#broken('a caller waits although a token is at hand');
    if (how !== 'abort' || settled) return;
    await this.#clock.advance(20);
    controller.abort(reason);
    await settle();
    if (!settled) this.#broken('an aborted wait goes on');
  }

  #handedOut(scope: Scope, token: AccessToken): void {
    if (!(token instanceof AccessToken)) return this.#broken(`a caller got ${String(token)}`);
    if (!this.scenario.endpoint.isValid(token)) this.#broken('a caller got an expired token');
    if (this.#forgotten.has(token.value)) this.#broken('a caller got a rejected or invalidated token');
    if (this.scenario.endpoint.scopeOf(token) !== scope) this.#broken("a caller got another key's token");
    this.#lastUsed.set(scope, token);
  }

  /** An API answers 401 to the token it was last sent. */
  async #reject(scope: Scope, accepted: boolean): Promise<void> {
    const token = this.#lastUsed.get(scope);
    if (token === undefined) return;
    const managed = this.scenario.client.life({ scope });
    if (accepted) managed.accept(token);
    if (managed.reject(token) === 'replaceable') this.#forget(scope);
    await settle();
  }

  #forget(scope: Scope): void {
    const atHand = this.#atHand.get(scope);
    if (atHand) this.#forgotten.add(atHand.token.value);
    this.#atHand.delete(scope);
  }

  /** Whether a token is at hand that is not yet in its reserve, by either clock. */
  #isUsable(scope: Scope): boolean {
    const atHand = this.#atHand.get(scope);
    if (atHand === undefined) return false;
    const { ageMs, lifetimeMs } = this.#age(atHand);
    // Seen to have expired, it is over for good, whatever the clocks say later.
    if (ageMs >= lifetimeMs) this.#atHand.delete(scope);
    return ageMs < lifetimeMs - Math.min(0.05 * lifetimeMs, 10_000);
  }

  #age({ token, startedMonotonic }: AtHand): { ageMs: number; lifetimeMs: number } {
    const ageMs = Math.max(this.#clock.now() - token.issuedAt, this.#clock.monotonic() - startedMonotonic);
    return { ageMs, lifetimeMs: token.expiresAt - token.issuedAt };
  }

  /** A token that expired before it arrived must not be delivered. */
  #onDelivered(scope: string, token: StoredToken): void {
    const delivered = { token, startedMonotonic: this.#startOf.get(token.value)! };
    const { ageMs, lifetimeMs } = this.#age(delivered);
    // What was under way during a sleep may serve its own callers only, if another flight was begun since.
    const slept = delivered.startedMonotonic <= this.#sleptAt;
    if (slept) this.#atHand.delete(scope);
    else if (ageMs < lifetimeMs && !this.#givenUp.has(token.value)) this.#atHand.set(scope, delivered);
  }

  #onRequest({ details }: SeenRequest): void {
    const { endpoint } = this.scenario;
    this.#startOf.set(`t${endpoint.posts}`, this.#clock.monotonic());
    // After a sleep nobody waits for what was under way before it.
    const open = endpoint.requests.filter((seen, at) => {
      const isAwake = this.#startOf.get(`t${at + 1}`)! > this.#sleptAt;
      return isAwake && seen.state === 'open' && seen.details.scope === details.scope;
    });
    if (open.length > 1) this.#broken('two requests at once for one key');
    const { elapsed = 0, wall = 0 } = this.#notBefore.get(String(details.scope)) ?? {};
    const early = Math.min(elapsed - this.#clock.elapsed, wall - this.#clock.now());
    if (early > 0) this.#broken(`asked ${early} ms before Retry-After was over`);
  }

  #broken(what: string): void {
    this.broken.push(`${what} (${this.#clock.elapsed} ms in)`);
  }
}

const scope = fc.constantFrom(...SCOPES);
const milliseconds = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 300 }) },
  { weight: 3, arbitrary: fc.integer({ min: 300, max: 20_000 }) },
  { weight: 1, arbitrary: fc.integer({ min: 20_000, max: 2 * HOUR }) },
);
/** In and around the refresh window, the reserve and the expiry. */
const share = fc.oneof(
  fc.constantFrom(0.74, 0.8, 0.9, 0.951, 0.97, 0.999, 1, 1.001),
  fc.double({ min: 0.7, max: 1.05, noNaN: true }),
);
const answer: fc.Arbitrary<Answer> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      latencyMs: fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 5_001 })),
      lifetimeMs: fc.constantFrom(1_000, 3_000, 60_000, 240_000),
    }),
  },
  { weight: 2, arbitrary: fc.constant(unavailable()) },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 0, max: 30_000 }).map((retryAfterMs) => unavailable({ retryAfterMs })),
  },
  { weight: 1, arbitrary: fc.constant(rejected()) },
  { weight: 1, arbitrary: fc.constant({ error: new TypeError('fetch failed'), latencyMs: 0 }) },
  { weight: 1, arbitrary: fc.constant({ hang: true }) },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant('call' as const),
      scope,
      how: fc.constantFrom('promise', 'promise', 'observable', 'force', 'abort'),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 0, max: 20_000 }) }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('age' as const), scope, share }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('answer' as const), answer }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('reject' as const), scope, accepted: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('invalidate' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('setBack' as const, 'suspend' as const), ms: milliseconds }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('store' as const), up: fc.boolean() }) },
);

/** A flight that slept must not have the next one ask beside it. */
const AFTER_A_SLEEP: Step[] = [
  { do: 'call', scope: 'a', how: 'promise' },
  { do: 'suspend', ms: 239_950 },
  { do: 'call', scope: 'a', how: 'abort' },
  { do: 'call', scope: 'b', how: 'promise' },
  { do: 'call', scope: 'a', how: 'abort' },
  { do: 'invalidate' },
  { do: 'call', scope: 'a', how: 'abort' },
  { do: 'call', scope: 'b', how: 'promise' },
  { do: 'call', scope: 'a', how: 'promise' },
];

/** A forced refresh that a sleep interrupts, while the token that it is to replace is still valid. */
const FORCED_BEFORE_A_SLEEP: Step[] = [
  { do: 'call', scope: 'a', how: 'promise' },
  { do: 'advance', ms: 30 },
  { do: 'answer', answer: { latencyMs: 0, lifetimeMs: 1_000 } },
  { do: 'call', scope: 'a', how: 'abort' },
  { do: 'call', scope: 'a', how: 'force' },
  { do: 'suspend', ms: 16_001 },
  { do: 'call', scope: 'a', how: 'force' },
  { do: 'call', scope: 'a', how: 'promise' },
];

describe("Whatever happens in a token's life", () => {
  it('single flights, no expired or rejected token, no needless wait, every caller settles', async () => {
    const deadline = performance.now() + PLAY_MS;
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 1_000_000 }),
        fc.constantFrom('setBack', 'store'),
        fc.array(step, { minLength: 1, maxLength: 60, size: 'max' }),
        async (seed, spared, steps) => {
          // A busy machine plays fewer lives, rather than run into the test's time limit.
          if (performance.now() > deadline) return;
          // A token out of a store is as old as the wall clock says, so no life has both a clock that was set
          // back and a store that missed what happened since.
          const life = steps.filter((taken) => taken.do !== spared);
          expect(await new World(seed).play(life)).toEqual([]);
        },
      ),
      {
        numRuns: 200,
        examples: [AFTER_A_SLEEP, FORCED_BEFORE_A_SLEEP].map((life) => [0, 'setBack', life]),
      },
    );
  });

  it('its phases come in their order, and none outlasts the lifetime by either clock', async () => {
    const order: TokenPhase[] = ['fresh', 'refresh_due', 'reserve', 'expired'];
    const move = fc.record({
      how: fc.constantFrom('advance' as const, 'suspend' as const, 'setBack' as const),
      ms: milliseconds,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          lifetimeMs: fc.integer({ min: 1, max: 2 * HOUR }),
          ratio: fc.double({ min: 0, max: 1, noNaN: true }),
          maxMs: fc.integer({ min: 0, max: HOUR }),
          jitter: fc.double({ min: 0.9, max: 1.1, noNaN: true }),
        }),
        fc.array(move, { maxLength: 20 }),
        async ({ lifetimeMs, ratio, maxMs, jitter }, moves) => {
          const clock = new VirtualClock();
          const stored = {
            value: 't',
            tokenType: 'Bearer',
            issuedAt: START,
            expiresAt: START + lifetimeMs,
          } as const;
          const held = new HeldToken(stored, acquiredAt(stored, momentOf(clock)), { ratio, maxMs }, jitter);
          let last = { rank: 0, ageMs: 0 };
          for (const { how, ms } of moves) {
            if (how === 'advance') clock.scheduler.frame += ms;
            else clock[how](ms);
            const rank = order.indexOf(held.phaseAt(momentOf(clock)));
            const ageMs = elapsedMs(momentOf(clock), held.acquired);
            if (ageMs >= last.ageMs) expect(rank).toBeGreaterThanOrEqual(last.rank);
            const over = clock.now() - START >= lifetimeMs || clock.elapsed >= lifetimeMs;
            expect(held.phaseAt(momentOf(clock)) === 'expired').toBe(over);
            last = { rank, ageMs };
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it('a Retry-After header of any text is a wait of 0 to 3,600,000 ms, or none', () => {
    const text = fc.oneof(
      fc.string(),
      fc.double().map(String),
      fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
    );
    fc.assert(
      fc.property(text, (header) => {
        const ms = parseRetryAfter(header, START);
        expect(ms === undefined || (ms >= 0 && ms <= HOUR)).toBe(true);
      }),
    );
  });
});
