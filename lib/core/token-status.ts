import type { Pause } from './backoff.js';
import { remainingMs, type Moment } from './clock.js';
import type { TokenStatus } from './events.js';
import { isFailing, pauseAt, unexpired, type TokenState } from './token-state.js';

/**
 * A state as the application sees it. Pure.
 *
 * @param shared the pause of the whole client, if there is one
 */
export function statusOf(state: TokenState, shared: Pause | undefined, now: Moment): TokenStatus {
  const pause = pauseAt(state, shared, now);
  const { held, refresh, failure } = state;
  const usable = unexpired(state, now) !== undefined;
  const calm = refresh.kind === 'flying' ? 'refreshing' : usable ? 'fresh' : 'idle';
  return {
    state: isFailing(state) ? (usable ? 'degraded' : 'down') : calm,
    ...(held.kind === 'token' && {
      expiresAt: held.token.token.expiresAt,
      acquiredAt: new Date(held.token.acquired.wall),
      refreshAt: new Date(held.token.refreshAt),
    }),
    ...(pause && { backoffUntil: new Date(now.wall + remainingMs(now, pause.until)) }),
    ...(failure && { lastError: { code: failure.error.code, at: new Date(failure.at.wall) } }),
  };
}
