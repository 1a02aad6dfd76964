import { SCOPE_CHARACTERS, TOKEN_CHARACTERS } from './token-request.js';
import type { StoredToken } from './token-store.js';

/** Texts that are shown, and the patterns of the other texts in an entry by name. */
const SHOWN = /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]{0,2048}$/u;
const MEMBERS: Readonly<Record<string, RegExp>> = {
  tokenType: /^(Bearer|DPoP)$/,
  scope: SCOPE_CHARACTERS,
  refreshToken: /./,
  client: SHOWN,
  error: SHOWN,
  errorDescription: SHOWN,
  credentials: SHOWN,
};

/** Whether an instance could have written this entry. Others can write to a store as well. Failures have keys of their own. */
export function isSound(key: string, entry: unknown): entry is StoredToken {
  try {
    return isWellFormed(key, entry);
  } catch {
    return false; // a user's own store may return anything
  }
}

function isWellFormed(key: string, entry: unknown): boolean {
  const {
    value,
    issuedAt,
    expiresAt,
    failure = {},
    details = {},
    tokenType = '',
    ...others
  } = Object(entry) as Members;
  const { message, status = 0, ...texts } = Object(failure) as Members;
  const isFailure = /\.(failure|rejection)$/.test(key);
  const content = isFailure ? [message, SHOWN] : [value, TOKEN_CHARACTERS];
  if (isFailure !== 'failure' in Object(entry) || !fits(content)) return false;
  if (![issuedAt, expiresAt].every(isTime) || !Number.isFinite(status) || Object(details) !== details)
    return false;
  const members = Object.entries({ tokenType, ...others, ...texts }).filter(
    ([, member]) => member !== undefined,
  );
  return members.every(([name, member]) => MEMBERS[name] === undefined || fits([member, MEMBERS[name]]));
}

/** Whether a date can be made of it. */
function isTime(value: unknown): boolean {
  return typeof value === 'number' && Math.abs(value) <= 8.64e15;
}

type Members = Record<string, unknown>;

function fits([text, pattern]: unknown[]): boolean {
  return typeof text === 'string' && (pattern as RegExp).test(text);
}
