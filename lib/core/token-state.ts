import { elapsedMs, later, remainingMs, type Moment } from './clock.js';
import { holdMs, longestPause, type Pause } from './backoff.js';
import type { FlightFailure } from './flight-failure.js';
import type { AccessToken, HeldToken, TokenPhase } from './access-token.js';
import type { Flight } from './flight-context.js';
import type { StoredToken } from './token-store.js';

/**
 * What is known of the token: nothing (`new`); that an API accepted the one before it (`successor`); that an API accepted it;
 * or that it may be bound to a certificate that was replaced (`doubtful`), so that it serves only while there is no other.
 */
type Standing = 'new' | 'successor' | 'accepted' | 'doubtful';

/** The token that there is to use, or why there is none. */
export type Held =
  | { readonly kind: 'none'; readonly because: 'cold' | 'expired' | 'rejected' | 'forced' }
  | { readonly kind: 'token'; readonly token: HeldToken; readonly standing: Standing };

/**
 * What is done about the next token. A flight is `awaited` if callers need it, `in_background` if the present token is good
 * enough or the flight is slow, and `failing` after a failed request.
 */
export type Refresh = { readonly kind: 'idle' } | Flying | ({ readonly kind: 'pausing' } & Pause);

interface Flying {
  readonly kind: 'flying';
  readonly flight: Flight;
  /** When the flight last began to ask or to wait for its turn. */
  readonly since: Moment;
  readonly course: 'awaited' | 'in_background' | 'failing';
}

/** Tokens that must not come back from the store: the last ones that were dropped, and all requested before a moment. */
export interface Refused {
  readonly values: readonly string[];
  readonly before: Moment;
  /** A given-up flight may still store its token. */
  readonly onItsWay?: boolean | undefined;
}

/** One key's whole state; replaced, never changed. */
export interface TokenState {
  readonly held: Held;
  readonly refresh: Refresh;
  /** Flights in a row without a better token. */
  readonly failures: number;
  /** The last failure, until a flight succeeds; of two flights at once, the one with the longer pause. */
  readonly failure: FlightFailure | undefined;
  /** Whether an API has ever accepted a token of this key. */
  readonly trusted: boolean;
  readonly refused: Refused;
}

export const COLD: TokenState = {
  held: { kind: 'none', because: 'cold' },
  refresh: { kind: 'idle' },
  failures: 0,
  failure: undefined,
  trusted: false,
  refused: { values: [], before: { wall: Number.NEGATIVE_INFINITY, monotonic: Number.NEGATIVE_INFINITY } },
};
const IDLE: Refresh = { kind: 'idle' };
/** How many dropped tokens are remembered. A store that was down may still have rejected ones. */
const REFUSED = 10;

/** The events that change a state. */
export type TokenEvent =
  | { readonly type: 'took_off'; readonly flight: Flight; readonly now: Moment }
  | { readonly type: 'flies_on'; readonly flight: Flight; readonly since?: Moment; readonly course?: 'failing' | 'in_background' }
  | { readonly type: 'landed'; readonly flight: Flight; readonly token: HeldToken; readonly now: Moment; readonly chance: number }
  | { readonly type: 'crashed'; readonly flight: Flight; readonly failure: FlightFailure }
  | { readonly type: 'abandoned'; readonly flight: Flight }
  | { readonly type: 'found'; readonly token: HeldToken }
  | { readonly type: 'accepted' }
  | { readonly type: 'doubted' }
  | { readonly type: 'dropped'; readonly because: 'expired' | 'rejected' | 'forced' }
  | { readonly type: 'given_up'; readonly now: Moment }; // prettier-ignore

/** What a caller gets: the token, the token while a refresh starts in the background, a wait for the flight, or the last error. */
export type TokenDecision = 'use' | 'use_and_refresh' | 'wait' | 'fail';

/**
 * The table of a token's life. Pure.
 *
 * @param pause the pause that holds now, if any: the key's own, or one of the whole client
 */
export function decide(state: TokenState, now: Moment, pause: Pause | undefined): TokenDecision {
  const { held, refresh } = state;
  const paused = pause !== undefined && refresh.kind !== 'flying';
  const slow = refresh.kind === 'flying' && refresh.course !== 'awaited';
  switch (phaseOf(held, now)) {
    case 'fresh':
      return 'use';
    case 'refresh_due':
      return paused ? 'use' : 'use_and_refresh';
    case 'reserve':
      if (paused) return 'use';
      // Waiting for a failing flight could cost the caller a token that is still good.
      return slow || isFailing(state) ? 'use_and_refresh' : 'wait';
    case 'expired':
      return paused && pause.error ? 'fail' : 'wait';
  }
}

function phaseOf(held: Held, now: Moment): TokenPhase {
  const phase = held.kind === 'none' ? 'expired' : held.token.phaseAt(now);
  return held.kind === 'token' && held.standing === 'doubtful' && phase !== 'expired' ? 'reserve' : phase;
}

/** The one transition. Pure. */
export function next(state: TokenState, event: TokenEvent): TokenState {
  const { held, refresh } = state;
  if ('flight' in event && event.type !== 'took_off') {
    if (refresh.kind === 'flying' && isPresent(state, event.flight)) return flown(state, refresh, event);
    // Another flight's failure counts, and so does its token if that was requested after the last giving-up.
    if (held.kind === 'token' || event.type === 'flies_on' || event.type === 'abandoned') return state;
    if (event.type === 'crashed') return failed(state, event.failure);
    const welcome = event.token.acquired.monotonic > state.refused.before.monotonic;
    return welcome ? { ...state, held: landed(state, event).held, failures: 0, failure: undefined } : state;
  }
  switch (event.type) {
    case 'took_off': {
      const course = phaseOf(held, event.now) === 'refresh_due' ? 'in_background' : 'awaited';
      return { ...state, refresh: { kind: 'flying', flight: event.flight, since: event.now, course } };
    }
    case 'found': // another instance's token, which ends neither the pause nor the failure
      return held.kind === 'token' ? state : { ...state, held: taken(state, event.token) };
    case 'accepted':
      if (held.kind === 'none') return state;
      return { ...state, held: { ...held, standing: 'accepted' }, trusted: true };
    case 'doubted':
      return held.kind === 'none' ? state : doubted(state, held);
    case 'dropped': {
      const { because } = event; // even if a clock is set back later
      return { ...state, held: { kind: 'none', because }, refused: dropping(state, because) };
    }
    case 'given_up': {
      // A flight under way serves the callers who wait for it, and no others.
      const flying = refresh.kind === 'flying';
      const dropped = next(state, { type: 'dropped', because: 'forced' });
      const refused = { ...dropped.refused, before: event.now, onItsWay: flying || state.refused.onItsWay };
      return { ...dropped, refused, refresh: flying ? IDLE : refresh };
    }
  }
}

/** Callers now wait for the flight under way, even if it began in the background. */
function doubted(state: TokenState, held: Extract<Held, { kind: 'token' }>): TokenState {
  const { refresh } = state;
  const isHurried = refresh.kind === 'flying' && refresh.course === 'in_background';
  const doubtful: TokenState = { ...state, held: { ...held, standing: 'doubtful' } };
  return isHurried ? { ...doubtful, refresh: { ...refresh, course: 'awaited' } } : doubtful;
}

type FlightEvent = Extract<TokenEvent, { type: 'flies_on' | 'landed' | 'crashed' | 'abandoned' }>;

function flown(state: TokenState, flying: Flying, event: FlightEvent): TokenState {
  switch (event.type) {
    case 'flies_on': {
      const course = flying.course === 'failing' ? 'failing' : (event.course ?? flying.course);
      return { ...state, refresh: { ...flying, since: event.since ?? flying.since, course } };
    }
    case 'landed':
      return landed(state, event);
    case 'crashed':
      return { ...failed(state, event.failure), refresh: { kind: 'pausing', ...event.failure.pause } };
    case 'abandoned':
      return { ...state, refresh: IDLE };
  }
}

/** A flight failed. If it was given up, the one in its place may ask at once, unless others failed before. */
function failed(state: TokenState, failure: FlightFailure): TokenState {
  const { failures, failure: earlier } = state;
  const isLongest = !earlier || remainingMs(failure.at, earlier.pause.until) <= failure.pauseMs;
  return { ...state, failures: failures + 1, failure: isLongest ? failure : earlier };
}

/** A token that is another, or lives longer, replaces the present one. If the server has nothing fresher, a pause begins. */
function landed(state: TokenState, event: Extract<TokenEvent, { type: 'landed' }>): TokenState {
  const { token, now, chance } = event;
  const previous = unexpired(state, now);
  const fresher = previous === undefined || token.token.expiresAt > previous.token.token.expiresAt;
  const same = previous?.token.token.value === token.token.value && previous.standing !== 'doubtful';
  const held = !same ? taken(state, token) : fresher ? { ...previous, token } : previous;
  const refused = state.refused.onItsWay ? { ...state.refused, onItsWay: false } : state.refused;
  const heard = { ...state, held, refused, failures: 0, failure: undefined };
  if (fresher || held.token.phaseAt(now) === 'fresh') return { ...heard, refresh: IDLE };
  const failures = state.failures + 1;
  return { ...heard, refresh: { kind: 'pausing', until: later(now, holdMs(failures, chance)) }, failures };
}

function taken({ trusted }: TokenState, token: HeldToken) {
  return { kind: 'token', token, standing: trusted ? 'successor' : 'new' } as const;
}

/** What `state` refuses once its token is dropped. By value, since the clocks of machines do not say which token is older. */
function dropping({ held, refused }: TokenState, because: 'expired' | 'rejected' | 'forced'): Refused {
  if (held.kind === 'none') return refused;
  const earlier = because === 'expired' ? [] : refused.values.slice(1 - REFUSED); // those have expired as well
  return { ...refused, values: [...earlier, held.token.token.value] };
}

/** What cannot replace the present token: itself, older ones, and those that were dropped. */
export function refusing({ held, refused }: TokenState): Refused {
  if (held.kind === 'none') return refused;
  const before = { ...refused.before, wall: held.token.acquired.wall - 1 };
  return { ...refused, values: [...refused.values, held.token.token.value], before };
}

/** Whether `token` is the one in hand. */
export function holds({ held }: TokenState, token: AccessToken): boolean {
  return held.kind === 'token' && held.token.token.value === token.value;
}

/** Whether a token out of a store may be used. */
export function allows(refused: Refused, { value, issuedAt, failure }: StoredToken): boolean {
  return !failure && !refused.onItsWay && !refused.values.includes(value) && issuedAt > refused.before.wall;
}

/** The present token, unless it has expired. */
export function unexpired({ held }: TokenState, now: Moment): Extract<Held, { kind: 'token' }> | undefined {
  return held.kind === 'token' && held.token.phaseAt(now) !== 'expired' ? held : undefined;
}

/** Whether the last flight failed, or the present one has met a failure. */
export function isFailing({ failure, refresh }: TokenState): boolean {
  return failure !== undefined || (refresh.kind === 'flying' && refresh.course === 'failing');
}

/** Whether `flight` is the one under way. */
export function isPresent({ refresh }: TokenState, flight: Flight): boolean {
  return refresh.kind === 'flying' && refresh.flight === flight;
}

/** The flight that callers may wait for, which is none that is older than any in an awake process. */
export function underWay({ refresh }: TokenState, now: Moment, limitMs: number): Flight | undefined {
  return refresh.kind === 'flying' && elapsedMs(now, refresh.since) <= limitMs ? refresh.flight : undefined;
}

/** The pause that holds now, of the key or of its whole client. */
export function pauseAt(state: TokenState, shared: Pause | undefined, now: Moment): Pause | undefined {
  const own = state.refresh.kind === 'pausing' ? state.refresh : undefined;
  const lasting = state.failures > 1 ? state.failure?.pause : undefined;
  return (own ?? lasting ?? shared) && longestPause(now, own, lasting, shared);
}
