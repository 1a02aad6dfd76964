import type { OAuthClientErrorCode } from 'nestjs-oauth-client';

/** By code, when it comes, and what helps. */
export const CODES: Readonly<Record<OAuthClientErrorCode, { when: string; remedy: string }>> = {
  configuration_invalid: {
    when: 'At boot, with `problems`: one sentence for each problem of each client. For a token request whose values are blank or of another type.',
    remedy: 'Each sentence names the client, the option or variable, and the remedy.',
  },
  unknown_client: {
    when: 'No client of that name is configured.',
    remedy: 'The message lists those that are.',
  },
  token_request_rejected: {
    when: 'The authorization server refused the token request: `status`, `error`, `errorDescription`.',
    remedy: 'Check credentials, grant, scope and audience. The answer is remembered for 5 s.',
  },
  authorization_server_unavailable: {
    when: 'The server could not be reached, was too slow (`timedOut`), or answered 408, 429 or 5xx (`status`).',
    remedy: 'It is retried. `retryAfterMs` says when to try again.',
  },
  token_response_invalid: {
    when: 'The answer is not JSON, holds no token or one of an unknown type, is a redirect, or comes from another issuer.',
    remedy: 'Correct the URL, or map the answer with `readTokenResponse`.',
  },
  credentials_unavailable: {
    when: 'A function or file with a secret, key, certificate or assertion failed, or `requestToken` threw.',
    remedy: 'The message names the option.',
  },
  tenant_required: {
    when: 'A request to a client with `tenants` names none.',
    remedy: 'Pass `tenant`, or return it in `@UseOAuthClient`.',
  },
  origin_not_allowed: {
    when: 'A request would have carried the token to `origin`. It was not sent.',
    remedy: 'Add the origin to `allowedOrigins`, or send the request with `oauth: false`.',
  },
  closed: { when: 'The application is shutting down.', remedy: 'Make no calls after that.' },
};
