import { SCOPE_CHARACTERS, TOKEN_CHARACTERS } from './token-request.js';
import type { StoredFailure, StoredToken } from './token-store.js';

type Check = (member: unknown) => boolean;

const shown = text(/^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]{0,2048}$/u);
const FAILURE: Record<keyof StoredFailure, Check> = {
  message: shown,
  client: optional(shown),
  status: optional(Number.isFinite),
  error: optional(shown),
  errorDescription: optional(shown),
  credentials: optional(shown),
};
const TOKEN_ENTRY: Record<keyof StoredToken, Check> = {
  value: text(TOKEN_CHARACTERS),
  tokenType: text(/^(Bearer|DPoP)$/),
  scope: optional(text(SCOPE_CHARACTERS)),
  details: optional((member) => Object(member) === member),
  issuedAt: isTime,
  expiresAt: isTime,
  refreshToken: optional(text(/./)),
  failure: (member) => member === undefined,
};
const FAILURE_ENTRY: typeof TOKEN_ENTRY = {
  ...TOKEN_ENTRY,
  value: () => true,
  failure: (member) => fits(member, FAILURE),
};

/** Whether an instance could have written this entry. Others can write to a store as well. Failures have keys of their own. */
export function isSound(key: string, entry: unknown): entry is StoredToken {
  try {
    return fits(entry, /\.(failure|rejection)$/.test(key) ? FAILURE_ENTRY : TOKEN_ENTRY);
  } catch {
    return false; // a user's own store may return anything
  }
}

function fits(value: unknown, checks: Record<string, Check>): boolean {
  return Object.entries(checks).every(([name, check]) => check(Object(value)[name]));
}

function text(pattern: RegExp): Check {
  return (member) => typeof member === 'string' && pattern.test(member);
}

function optional(check: Check): Check {
  return (member) => member === undefined || check(member);
}

/** Whether a date can be made of it. */
function isTime(member: unknown): boolean {
  return typeof member === 'number' && Math.abs(member) <= 8.64e15;
}
