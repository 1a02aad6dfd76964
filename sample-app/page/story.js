import { plural } from './format.js';

const ACQUIRED = {
  cold: () => 'The first call requested a token. All calls share it.',
  expired: () => 'The token had expired: the next call requested a new one.',
  refresh_ahead: () => 'Refreshed the token in the background. No call waited.',
  forced: () => 'Token dropped: one request got a new one for all calls.',
  rejected: (refusedCalls) =>
    refusedCalls > 0
      ? `401 received: replaced the token and replayed ${plural(refusedCalls, 'call')}.`
      : '401 received: replaced the token.',
};

/**
 * What happened last, in a sentence.
 *
 * @param {object} shown a partner or a clinic as `/live` tells of it
 */
export function storyOf({ state, reason, refusedCalls = 0, isOut }) {
  if (state === 'removed') return 'Removed: the app has neither its credentials nor a token.';
  if (state === 'down') return 'No token to be had: calls fail until the server is back.';
  if (state === 'degraded') return 'The token request failed: calls go on with the token at hand.';
  if (isOut) return 'The authorization server is down. Calls go on with the token at hand.';
  return ACQUIRED[reason]?.(refusedCalls) ?? 'No token yet: the first call requests one.';
}
