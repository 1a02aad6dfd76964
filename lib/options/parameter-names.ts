import { plainName } from './nearest.js';

/** Set by the client's authentication and by every grant. */
export const CLIENT_PARAMETERS = ['grant_type', 'client_id', 'client_secret', 'client_assertion', 'client_assertion_type']; // prettier-ignore
/** Set by the grant and the client's authentication; free parameters never replace them. */
const RESERVED_PARAMETERS = [
  ...CLIENT_PARAMETERS,
  'refresh_token', 'assertion', 'subject_token', 'subject_token_type', 'actor_token', 'actor_token_type',
]; // prettier-ignore

/** Whether a server may read a parameter's name as one that is taken; by default, those that free parameters never replace. */
export function isTaken(name: string, taken: readonly string[] = RESERVED_PARAMETERS): boolean {
  return taken.some((other) => plainName(other) === plainName(name));
}
