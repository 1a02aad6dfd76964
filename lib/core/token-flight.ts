import {
  type Observable,
  ReplaySubject,
  type SchedulerLike,
  catchError,
  defer,
  firstValueFrom,
  map,
  of,
  race,
  raceWith,
  share,
  tap,
  throwError,
  timeout,
  timer,
} from 'rxjs';
import type { AccessToken } from './access-token.js';
import { retryAfterMsOf, type CoolDown } from './backoff.js';
import type { FlightContext } from './client-context.js';
import type { OAuthClientError } from './errors.js';
import type { TokenSource } from './events.js';
import { RefreshGrant } from './refresh-grant.js';
import { failureEntry, failureOf } from './shared-failure.js';
import { asOAuthClientError, tokenAttempts } from './token-attempts.js';
import type { TokenKeys } from './token-endpoint.js';
import type { TokenRequestDetails } from './token-request.js';
import type { StoredToken } from './token-store.js';

/** A flight under way. */
export interface Flight {
  readonly token$: Observable<AccessToken>;
  readonly promise: Promise<AccessToken>;
  /** A request of it failed, and it goes on trying. */
  failing: boolean;
  /** It is failing or slow, or began while the token was in no hurry: no reason to wait for it. */
  inTrouble: boolean;
}

/** What a flight is for. */
export interface FlightPlan {
  readonly keys: () => Promise<TokenKeys>;
  readonly details: TokenRequestDetails;
  readonly coolDown: CoolDown;
  /** Whether a token found in the store is as good as a new one. */
  readonly acceptable: (stored: StoredToken) => boolean;
  /** Called when a token request failed, before the next try. */
  readonly onTrouble: () => void;
}

/** A flight's result. */
export interface Acquired {
  stored: StoredToken;
  source: TokenSource;
  /** When its request began, on the monotonic clock; unknown for a token from the store. */
  startedMonotonic?: number;
}

const POLL_MIN_MS = 20;
const POLL_MAX_MS = 50;
const POLL_BUSY_MAX_MS = 250;

/**
 * One shared wait for a token: store lock, the store read again, the token request with its retries, store write.
 * Multicast and replayed; it goes on when subscribers leave. `land` or `crash` runs once, before any of them is
 * told; the cache lives outside.
 */
export function tokenFlight<T>(
  context: FlightContext,
  plan: FlightPlan,
  land: (acquired: Acquired) => T,
  crash: (error: OAuthClientError) => void,
): Observable<T> {
  return race(
    context.closed$,
    defer(() => {
      const work = throughStore(context, plan);
      context.track(work.catch(() => undefined));
      return work;
    }),
  ).pipe(
    map(land),
    tap({ error: crash }),
    share({
      connector: () => new ReplaySubject(1),
      resetOnRefCountZero: false,
      resetOnComplete: false,
      resetOnError: false,
    }),
  );
}

async function throughStore(context: FlightContext, plan: FlightPlan): Promise<Acquired> {
  const { store, clock } = context;
  const keys = await plan.keys().catch((reason: unknown) => {
    const error = asOAuthClientError(reason, context.client);
    plan.coolDown.begin(error);
    throw error;
  });
  const lock = keys.grantKey ?? keys.key;
  const startedAt = clock.monotonic();
  let lookMs = 0;
  for (;;) {
    const since = clock.monotonic();
    const locked = await store.withLock(lock, leaseMs(context), () =>
      readOrRequest(context, plan, keys, since),
    );
    if (locked.outcome === 'acquired') return locked.result;
    // Somebody else is asking. The lease bounds this wait: once it is over the lock is free.
    const pause = pollPauseMs(clock.monotonic() - startedAt, lookMs) * (0.75 + clock.random() / 2);
    await firstValueFrom(timer(pause, clock.scheduler).pipe(raceWith(context.closed$)));
    const lookedAt = clock.monotonic();
    const found = await readStore(context, plan, keys.key);
    lookMs = clock.monotonic() - lookedAt;
    if (found.acquired) return found.acquired;
  }
}

/** A twelfth of the wait so far, so that the result is learnt of soon; longer when many waiters keep the store busy. */
function pollPauseMs(waitedMs: number, lookMs: number): number {
  const pauseMs = Math.max(POLL_MIN_MS, Math.min(waitedMs / 12, POLL_MAX_MS));
  return Math.max(pauseMs, Math.min(10 * lookMs, POLL_BUSY_MAX_MS));
}

async function readOrRequest(
  context: FlightContext,
  plan: FlightPlan,
  { key, grantKey }: TokenKeys,
  since: number,
): Promise<Acquired> {
  const { store, client } = context;
  const { entry, acquired } = await readStore(context, plan, key);
  if (acquired) return acquired;
  // It may have begun while this one waited for its turn.
  const pause = plan.coolDown.or(context.retryAfter);
  if (pause.remainingMs > 0 && pause.error) throw pause.errorNow();
  try {
    const grant = grantKey === undefined ? undefined : await RefreshGrant.read(store, grantKey);
    const issued = await firstValueFrom(tokenAttempts(context, plan.details, grant, plan.onTrouble, since));
    const { refreshToken: _, ...token } = issued.stored;
    await store.set(key, token, entry);
    return { ...issued, source: 'authorization_server' };
  } catch (reason) {
    const error = asOAuthClientError(reason, client);
    if (error.code !== 'closed') {
      // Who was held up for longer than the lease may find that another one had more luck.
      const late = await store.get(key);
      if (late && plan.acceptable(late)) return { stored: late, source: 'store' };
      const coolDownMs = plan.coolDown.begin(error);
      if (retryAfterMsOf(error)) context.retryAfter.begin(error);
      const shared = failureEntry(error, plan.coolDown.failedAt, coolDownMs);
      if (shared) await store.set(failureKey(key), shared);
    }
    throw error;
  }
}

/** What the store holds: a token that will do, or at least the entry to replace; rejects while the fleet cools down. */
async function readStore(
  context: FlightContext,
  plan: FlightPlan,
  key: string,
): Promise<{ entry?: StoredToken | undefined; acquired?: Acquired }> {
  const entry = await context.store.get(key);
  if (entry && plan.acceptable(entry)) return { acquired: { stored: entry, source: 'store' } };
  await respectSharedFailure(context, plan, key);
  return { entry };
}

/** A cool-down that another instance began holds for this one. */
async function respectSharedFailure(context: FlightContext, plan: FlightPlan, key: string): Promise<void> {
  const entry = await context.store.get(failureKey(key));
  if (!entry) return;
  // This instance's own cool-down is over, or it would not ask; a clock set back since must not revive it.
  if (entry.issuedAt === plan.coolDown.failedAt) return context.store.delete(failureKey(key));
  const remainingMs = Math.min(entry.expiresAt - context.clock.now(), entry.expiresAt - entry.issuedAt);
  const error = remainingMs > 0 ? failureOf(entry, context.client, remainingMs) : undefined;
  if (!error) return;
  plan.coolDown.begin(error, remainingMs);
  throw error;
}

/** `token$`, but after `waitMs` or when it fails the spare token, as long as there is one. */
export function waitAtMost<T>(
  token$: Observable<T>,
  waitMs: number,
  scheduler: SchedulerLike,
  spare: () => T | undefined,
  onTooSlow: () => void,
): Observable<T> {
  const orElse = (last$: Observable<T>) =>
    defer(() => {
      const token = spare();
      return token === undefined ? last$ : of(token);
    });
  return token$.pipe(
    timeout({ first: waitMs, scheduler, with: () => defer(() => (onTooSlow(), orElse(token$))) }),
    catchError((error: unknown) => orElse(throwError(() => error))),
  );
}

/** The longest a flight can take, and a second. */
function leaseMs({ retry: { attempts, maxDelayMs, totalMs }, timeoutMs }: FlightContext): number {
  return Math.min(attempts * timeoutMs + (attempts - 1) * maxDelayMs, totalMs) + 1_000;
}

function failureKey(key: string): string {
  return `${key}.failure`;
}
