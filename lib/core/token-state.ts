import { elapsedMs, later, remainingMs, type Moment } from './clock.js';
import { holdMs, type Pause } from './backoff.js';
import type { Observable } from 'rxjs';
import type { AccessToken } from './access-token.js';
import type { OAuthClientError } from './errors.js';
import type { HeldToken } from './held-token.js';

/** One shared wait for a token. */
export interface Flight {
  readonly token$: Observable<AccessToken>;
  readonly promise: Promise<AccessToken>;
}

/** What an API said of the token so far: nothing; nothing, but it accepted the one before; that it takes it. */
type Standing = 'new' | 'successor' | 'accepted';

/** What there is to use. */
export type Held =
  | { readonly kind: 'none'; readonly because: 'cold' | 'expired' | 'rejected' | 'forced' }
  | { readonly kind: 'token'; readonly token: HeldToken; readonly standing: Standing };

/**
 * What is done about the next one. A flight is `awaited` by callers who need it; `in_background` it began while the
 * token was in no hurry, or proved slow; `failing` it goes on after a failed request.
 */
export type Refresh =
  | { readonly kind: 'idle' }
  | {
      readonly kind: 'flying';
      readonly flight: Flight;
      /** When the flight last began to ask or to wait for its turn. */
      readonly since: Moment;
      readonly course: 'awaited' | 'in_background' | 'failing';
    }
  | ({ readonly kind: 'pausing' } & Pause);

/** One key's whole state; replaced, never changed. */
export interface TokenState {
  readonly held: Held;
  readonly refresh: Refresh;
  /** Flights in a row that brought nothing better. */
  readonly failures: number;
  /** Why flights fail at present, and since when (epoch milliseconds); gone with the first that succeeds. */
  readonly failure: { readonly error: OAuthClientError; readonly at: number } | undefined;
  /** Whether an API has ever accepted a token of this key. */
  readonly trusted: boolean;
}

export const COLD: TokenState = {
  held: { kind: 'none', because: 'cold' },
  refresh: { kind: 'idle' },
  failures: 0,
  failure: undefined,
  trusted: false,
};
const IDLE: Refresh = { kind: 'idle' };

/** What changes a state. */
export type TokenEvent =
  | { readonly type: 'took_off' | 'began'; readonly flight: Flight; readonly now: Moment }
  | { readonly type: 'failing' | 'slow' | 'abandoned'; readonly flight: Flight }
  | { readonly type: 'landed'; readonly flight: Flight; readonly token: HeldToken; readonly now: Moment; readonly chance: number }
  | { readonly type: 'crashed'; readonly flight: Flight; readonly error: OAuthClientError; readonly pauseMs: number; readonly now: Moment }
  | { readonly type: 'accepted' | 'expired' }
  | { readonly type: 'dropped'; readonly because: 'rejected' | 'forced' }
  | { readonly type: 'given_up' }; // prettier-ignore

/** What a caller gets: the token, the same while a refresh starts in the background, a wait for the flight, or the last error. */
export type TokenDecision = 'use' | 'use_and_refresh' | 'wait' | 'fail';

/**
 * The table of a token's life. Pure.
 *
 * @param pause the pause that holds now, if any: the key's own, or one of the whole client
 */
export function decide(state: TokenState, now: Moment, pause: Pause | undefined): TokenDecision {
  const { held, refresh } = state;
  const paused = pause !== undefined && refresh.kind !== 'flying';
  const phase = held.kind === 'none' ? 'expired' : held.token.phaseAt(now);
  switch (phase) {
    case 'fresh':
      return 'use';
    case 'refresh_due':
      return paused ? 'use' : 'use_and_refresh';
    case 'reserve':
      if (paused) return 'use';
      // A wait for a flight in trouble would only cost the caller a token that is still good.
      return isFailing(state) || (refresh.kind === 'flying' && refresh.course !== 'awaited')
        ? 'use_and_refresh'
        : 'wait';
    case 'expired':
      return paused && pause.error ? 'fail' : 'wait';
  }
}

/** The one transition; a state that an event does not concern stays as it is. Pure. */
export function next(state: TokenState, event: TokenEvent): TokenState {
  const { refresh } = state;
  const current = refresh.kind === 'flying' && 'flight' in event && refresh.flight === event.flight;
  switch (event.type) {
    case 'took_off': {
      const { flight, now } = event;
      const inNoHurry = state.held.kind === 'token' && state.held.token.phaseAt(now) === 'refresh_due';
      return {
        ...state,
        refresh: { kind: 'flying', flight, since: now, course: inNoHurry ? 'in_background' : 'awaited' },
      };
    }
    case 'began':
      return current ? { ...state, refresh: { ...refresh, since: event.now } } : state;
    case 'failing':
      return current ? { ...state, refresh: { ...refresh, course: 'failing' } } : state;
    case 'slow':
      return current && refresh.course === 'awaited'
        ? { ...state, refresh: { ...refresh, course: 'in_background' } }
        : state;
    case 'abandoned':
      return current ? { ...state, refresh: IDLE } : state;
    case 'landed':
      return landed(state, event, current);
    case 'crashed': {
      const { error, pauseMs, now } = event;
      if (!current) return state;
      const pausing: Refresh = { kind: 'pausing', until: later(now, pauseMs), error };
      return { ...state, refresh: pausing, failures: state.failures + 1, failure: { error, at: now.wall } };
    }
    case 'accepted':
      if (state.held.kind === 'none') return state;
      return { ...state, held: { ...state.held, standing: 'accepted' }, trusted: true };
    case 'expired':
      // For good, whatever the wall clock says later; and thousands who wait need not look at it again.
      return { ...state, held: { kind: 'none', because: 'expired' } };
    case 'dropped':
      return { ...state, held: { kind: 'none', because: event.because } };
    case 'given_up':
      // A flight under way serves those who wait for it, and nobody else.
      return {
        ...state,
        held: { kind: 'none', because: 'forced' },
        refresh: refresh.kind === 'flying' ? IDLE : refresh,
      };
  }
}

/** A token that outlives the present one, or is another, takes its place; a server that has nothing fresher is left in peace for a while. */
function landed(
  state: TokenState,
  { token, now, chance }: Extract<TokenEvent, { type: 'landed' }>,
  current: boolean,
): TokenState {
  const { held, trusted } = state;
  const previous = held.kind === 'token' && held.token.phaseAt(now) !== 'expired' ? held : undefined;
  const fresher = previous === undefined || token.token.expiresAt > previous.token.token.expiresAt;
  const same = previous?.token.token.value === token.token.value;
  const standing = same ? previous.standing : trusted ? 'successor' : 'new';
  const kept: Held = previous && same && !fresher ? previous : { kind: 'token', token, standing };
  if (!current) return { ...state, held: kept };
  if (fresher) return { ...state, held: kept, refresh: IDLE, failures: 0, failure: undefined };
  const failures = state.failures + 1;
  const pausing: Refresh = { kind: 'pausing', until: later(now, holdMs(failures, chance)) };
  return { ...state, held: kept, refresh: pausing, failures, failure: undefined };
}

/** Whether the last flight failed, or the present one has met a failure. */
export function isFailing({ failure, refresh }: TokenState): boolean {
  return failure !== undefined || (refresh.kind === 'flying' && refresh.course === 'failing');
}

/** Whether a flight is older than any flight can be in a process that is awake, so that nobody should wait for it. */
export function isOverdue(refresh: Refresh, now: Moment, limitMs: number): boolean {
  return refresh.kind === 'flying' && elapsedMs(now, refresh.since) > limitMs;
}

/** The pause that holds now: the key's own or that of its whole client, whichever lasts longer. */
export function pauseAt(
  { refresh }: TokenState,
  ofClient: Pause | undefined,
  now: Moment,
): Pause | undefined {
  const own = refresh.kind === 'pausing' ? refresh : undefined;
  const ownMs = own ? remainingMs(now, own.until) : 0;
  const clientMs = ofClient ? remainingMs(now, ofClient.until) : 0;
  if (ownMs <= 0 && clientMs <= 0) return undefined;
  return clientMs > ownMs ? ofClient : own;
}
