import { systemClock } from '../../lib/core/clock.js';
import { AuthorizationServerUnavailableError } from '../../lib/core/errors.js';
import type { OAuthClientEvent } from '../../lib/core/events.js';
import type { TokenLifeOptions } from '../../lib/core/flight-context.js';
import { OAuthClient, TokenRuntime } from '../../lib/core/oauth-client.js';
import type { TokenEndpoint } from '../../lib/core/token-request.js';
import type { TokenStore } from '../../lib/core/token-store.js';

/** One instance of a service: a client with a runtime of its own, on a store and a token endpoint. */
export interface Instance {
  client: OAuthClient;
  events: OAuthClientEvent[];
  runtime: TokenRuntime;
}

/** One try each, so that a lease is `timeoutMs` and a second. */
export function newInstance(store: TokenStore, tokenEndpoint: string, timeoutMs = 5_000): Instance {
  const life: TokenLifeOptions = {
    refreshAhead: { ratio: 0.25, maxMs: 300_000 },
    retry: { attempts: 1, minDelayMs: 10, maxDelayMs: 100, totalMs: 15_000 },
    timeoutMs,
  };
  const runtime = new TokenRuntime(store, systemClock);
  const events: OAuthClientEvent[] = [];
  runtime.events$.subscribe((event) => events.push(event));
  return {
    client: OAuthClient.create({
      name: 'buoy',
      endpoint: httpEndpoint(tokenEndpoint),
      options: life,
      runtime,
    }),
    events,
    runtime,
  };
}

/** One POST for one token request. */
function httpEndpoint(url: string): TokenEndpoint {
  return {
    identity: async () => url,
    async request(_, { signal, onSend }) {
      onSend?.();
      const issuedAt = Date.now();
      const response = await fetch(url, { method: 'POST', signal });
      if (!response.ok) {
        const retryAfter = response.headers.get('retry-after');
        throw new AuthorizationServerUnavailableError('Unavailable.', {
          status: response.status,
          retryAfterMs: retryAfter === null ? undefined : Number(retryAfter) * 1_000,
        });
      }
      const body = (await response.json()) as { access_token: string; expires_in: number };
      const expiresAt = issuedAt + body.expires_in * 1_000;
      return { value: body.access_token, tokenType: 'Bearer', issuedAt, expiresAt };
    },
  };
}
