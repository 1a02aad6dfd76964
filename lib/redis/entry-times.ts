import type { StoredToken } from '../core/token-store.js';

/** How long an entry with a refresh token, whose expiry is unknown, is kept: 90 days. */
const REFRESH_TOKEN_KEPT_MS = 90 * 24 * 3_600_000;
/** How far a writer's clock may be ahead of ours before it is corrected. */
const AHEAD_MS = 50;

/** How long Redis keeps an entry. */
export function ttlMsOf({ refreshToken, expiresAt }: StoredToken): number {
  const minMs = refreshToken === undefined ? 1 : REFRESH_TOKEN_KEPT_MS;
  return Math.ceil(Math.max(expiresAt - Date.now(), minMs));
}

/**
 * The entry with its times by our clock. How long it lives is Redis's to say: its writer's clock may be off by hours.
 *
 * @param leftMs its remaining time in Redis at some point between `askedAt` and now; negative when there is none
 * @param delayMs how much later than meant a write may have begun to count down
 */
export function byOurClock(
  token: StoredToken | undefined,
  leftMs: number,
  askedAt: number,
  delayMs: number,
): StoredToken | undefined {
  if (token === undefined || token.refreshToken !== undefined || leftMs < 0) return token;
  const behindMs = askedAt + leftMs - token.expiresAt;
  const isPlausible = behindMs < delayMs && token.expiresAt <= Date.now() + leftMs + AHEAD_MS;
  if (isPlausible) return token;
  return { ...token, issuedAt: token.issuedAt + behindMs, expiresAt: token.expiresAt + behindMs };
}
