import { momentOf, type Clock } from '../core/clock.js';
import { TokenResponseError } from '../core/errors.js';
import { FlightFailure, asOAuthClientError } from '../core/flight-failure.js';
import { TOKEN_CHARACTERS, type TokenEndpoint, type TokenRequestDetails } from '../core/token-request.js';
import type { StoredToken } from '../core/token-store.js';

const LEFT_MS = 24 * 3_600_000;
/** An API should know a token of this age, so one that it refuses is replaced at once. */
const AGE_MS = 3_600_000;

/**
 * Takes the place of an authorization server in tests. A failure is followed by no second attempt and no pause, so that a
 * test's next call sees what has changed.
 *
 * @param ask returns the token: a text, an object with the text as its `value`, or a promise of either; may throw
 */
export function standInEndpoint(
  client: string,
  clock: Clock,
  ask: (request: TokenRequestDetails) => unknown,
): TokenEndpoint {
  return {
    identity: () => Promise.resolve(client),
    async request(details) {
      try {
        const given = await ask(details);
        return storedToken(client, clock.now(), given);
      } catch (reason) {
        throw new FlightFailure(asOAuthClientError(reason, { client }), momentOf(clock), 0);
      }
    },
  };
}

function storedToken(client: string, now: number, given: unknown): StoredToken {
  const token = (typeof given === 'string' ? { value: given } : Object(given)) as Partial<StoredToken>;
  const { value, tokenType = 'Bearer', scope, details } = token;
  if (typeof value !== 'string' || !TOKEN_CHARACTERS.test(value)) {
    const message = `The test gave OAuth client "${client}" no token: return a text without blanks, or an object with such a text as its value.`;
    throw new TokenResponseError(message, { client });
  }
  const times = { issuedAt: now - AGE_MS, expiresAt: now + LEFT_MS };
  return { value, tokenType, ...(scope !== undefined && { scope }), ...(details && { details }), ...times };
}
