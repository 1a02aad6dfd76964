import {
  Observable,
  ReplaySubject,
  type SchedulerLike,
  catchError,
  defer,
  firstValueFrom,
  map,
  mergeMap,
  of,
  race,
  raceWith,
  retry,
  share,
  tap,
  throwError,
  timeout,
  timer,
} from 'rxjs';
import { retryDelayMs, type CoolDown } from './backoff.js';
import type { FlightContext } from './client-context.js';
import { AuthorizationServerUnavailableError, OAuthClientError } from './errors.js';
import type { TokenSource } from './events.js';
import { failureEntry, failureOf } from './shared-failure.js';
import type { TokenRequestDetails } from './token-request.js';
import type { StoredToken } from './token-store.js';

/** What a flight is for. */
export interface FlightPlan {
  readonly key: () => Promise<string>;
  readonly details: TokenRequestDetails;
  readonly coolDown: CoolDown;
  /** Whether a token found in the store is as good as a new one. */
  readonly acceptable: (stored: StoredToken) => boolean;
  readonly refreshToken: string | undefined;
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
const POLL_MAX_MS = 250;

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
  return defer(() => throughStore(context, plan)).pipe(
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
  const key = await plan.key().catch((reason: unknown) => {
    const error = asOAuthClientError(reason, context.client);
    plan.coolDown.begin(error);
    throw error;
  });
  const startedAt = clock.monotonic();
  for (;;) {
    const locked = await store.withLock(key, leaseMs(context), () => readOrRequest(context, plan, key));
    if (locked.outcome === 'acquired') return locked.result;
    if (locked.outcome === 'error') return readOrRequest(context, plan, key);
    // Somebody else is asking. The lease bounds this wait: once it is over the lock is free.
    const pause = pollPauseMs(clock.monotonic() - startedAt) * (0.75 + clock.random() / 2);
    await firstValueFrom(timer(pause, clock.scheduler).pipe(raceWith(context.closed$)));
    const found = await readStore(context, plan, key);
    if (found) return found;
  }
}

/** A twelfth of the wait so far: who waits long learns of the result a little later, and the store is not hammered. */
function pollPauseMs(waitedMs: number): number {
  return Math.min(Math.max(waitedMs / 12, POLL_MIN_MS), POLL_MAX_MS);
}

async function readOrRequest(context: FlightContext, plan: FlightPlan, key: string): Promise<Acquired> {
  const { store, client } = context;
  const entry = await store.get(key);
  if (entry && plan.acceptable(entry)) return { stored: entry, source: 'store' };
  await respectSharedFailure(context, plan, key);
  try {
    const acquired = await firstValueFrom(
      requestWithRetries(context, plan, entry?.refreshToken ?? plan.refreshToken),
    );
    const { stored } = acquired;
    // Under the lock a later answer is newer, also when the wall clock was set back since the entry was made.
    await store.set(
      key,
      entry && entry.issuedAt > stored.issuedAt ? { ...stored, issuedAt: entry.issuedAt } : stored,
    );
    return acquired;
  } catch (reason) {
    const error = asOAuthClientError(reason, client);
    if (error.code !== 'closed') {
      const coolDownMs = plan.coolDown.begin(error);
      const shared = failureEntry(error, plan.coolDown.failedAt, coolDownMs);
      if (shared) await store.set(failureKey(key), shared);
    }
    throw error;
  }
}

async function readStore(
  context: FlightContext,
  plan: FlightPlan,
  key: string,
): Promise<Acquired | undefined> {
  const entry = await context.store.get(key);
  if (entry && plan.acceptable(entry)) return { stored: entry, source: 'store' };
  await respectSharedFailure(context, plan, key);
  return undefined;
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

function requestWithRetries(
  context: FlightContext,
  plan: FlightPlan,
  refreshToken: string | undefined,
): Observable<Acquired> {
  const { client, clock, endpoint, timeoutMs } = context;
  const limits = context.retry;
  const deadline = clock.monotonic() + limits.totalMs;
  const timedOut = (what: string, ms: number) =>
    throwError(
      () =>
        new AuthorizationServerUnavailableError(
          `The authorization server of OAuth client "${client}" did not complete ${what} within ${ms} ms.`,
          { client, timedOut: true },
        ),
    );
  const request$ = abortable(async (signal): Promise<Acquired> => {
    context.onTokenRequest();
    const startedMonotonic = clock.monotonic();
    const stored = await endpoint.request(plan.details, { signal, refreshToken });
    const ageMs = Math.max(clock.now() - stored.issuedAt, clock.monotonic() - startedMonotonic);
    if (ageMs < stored.expiresAt - stored.issuedAt) {
      return { stored, source: 'authorization_server', startedMonotonic };
    }
    throw new AuthorizationServerUnavailableError(
      `The authorization server of OAuth client "${client}" took longer to answer than its token lives.`,
      { client, timedOut: true },
    );
  }).pipe(
    timeout({
      first: timeoutMs,
      scheduler: clock.scheduler,
      with: () => timedOut('a token request', timeoutMs),
    }),
    tap({ error: () => plan.onTrouble() }),
    retry({
      count: limits.attempts - 1,
      delay: (reason, failures) => {
        const error = asOAuthClientError(reason, client);
        const pause = retryDelayMs(failures, error, limits, clock);
        const tooLate = clock.monotonic() + pause >= deadline;
        return !error.retryable || tooLate ? throwError(() => error) : timer(pause, clock.scheduler);
      },
    }),
    timeout({
      first: limits.totalMs,
      scheduler: clock.scheduler,
      with: () => timedOut('the flight', limits.totalMs),
    }),
  );
  // First, so that nothing is sent once the module is closed.
  return race(context.closed$, request$);
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

/** A promise that learns by its signal when nobody wants it any more. */
function abortable<T>(work: (signal: AbortSignal) => Promise<T>): Observable<T> {
  return new Observable<AbortController>((subscriber) => {
    const controller = new AbortController();
    subscriber.next(controller);
    return () => controller.abort();
  }).pipe(mergeMap((controller) => work(controller.signal)));
}

/** The longest a flight can take, and a second. */
function leaseMs({ retry: { attempts, maxDelayMs, totalMs }, timeoutMs }: FlightContext): number {
  return Math.min(attempts * timeoutMs + (attempts - 1) * maxDelayMs, totalMs) + 1_000;
}

function failureKey(key: string): string {
  return `${key}.failure`;
}

function asOAuthClientError(reason: unknown, client: string): OAuthClientError {
  if (reason instanceof OAuthClientError) return reason;
  return new AuthorizationServerUnavailableError(
    `A token request of OAuth client "${client}" failed unexpectedly.`,
    {
      client,
      cause: reason,
    },
  );
}
