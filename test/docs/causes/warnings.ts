import type { KnownMessage } from './known-message.js';

/** What is written to the log, and ends nothing. */
export const WARNINGS: readonly KnownMessage[] = [
  {
    find: 'no expires_in; … ms are assumed',
    within: 'its token response has …',
    causes: ['The partner’s tokens live for a fixed time: set `defaultLifetimeMs` to it.'],
  },
  {
    find: 'no token_type; Bearer is assumed',
    within: 'its token response has …',
    causes: ['Harmless: the server leaves out a required member.'],
  },
  {
    find: 'no issued_token_type; an access token',
    within: 'its token response has …',
    causes: ['Harmless: the server leaves out a required member.'],
  },
  {
    find: 'a scope with other characters than',
    within: 'its token response has …',
    causes: ['The scope is a list or a sentence; `AccessToken.scope` is missing then.'],
  },
  {
    find: 'further members that are no JSON',
    within: 'its token response has …',
    causes: ['A server sends a whole profile with each token.'],
  },
  {
    find: 'does not list … in …; if token requests fail',
    causes: [
      'Incomplete metadata, if token requests work.',
      'If they fail with `invalid_client`: the method or algorithm is not enabled for this client.',
    ],
  },
  {
    find: 'its unauthorized.when threw',
    causes: ['`data` is `undefined` for streams, and text where the answer is not JSON.'],
  },
  {
    find: 'accepts any server, so that its credentials',
    causes: ['`NODE_TLS_REJECT_UNAUTHORIZED=0` is left over from a test.'],
  },
  {
    find: 'whose httpsAgent accepts any server',
    causes: ['The instance given to `attach` was made for a test server.'],
  },
  {
    find: 'process-wide instance, which a bare HttpModule',
    causes: ['`HttpModule` is imported without `register()`.'],
  },
  {
    find: 'An API rejected the token of client',
    causes: ['The token was revoked, or the signing keys of the server changed. Once is normal.'],
  },
  {
    find: 'An API keeps rejecting new tokens',
    causes: [
      'The token is for another audience or environment.',
      'The API wants the token in another header: `tokenHeader`.',
    ],
  },
  {
    find: 'that it accepted before',
    causes: [
      'The server keeps one valid token per client, and two instances, or a developer’s machine, use the same client.',
    ],
  },
  {
    find: 'The present token serves until',
    causes: ['A refresh failed; calls go on. The first sentence is that of the error above.'],
  },
  {
    find: 'The token store is unavailable',
    causes: [
      'Redis restarts, fails over, or is slower than `timeoutMs` of the store; see [what happens then](scaling.md#what-happens-when-something-fails).',
    ],
  },
  {
    find: 'The token store did not answer within',
    causes: ['A store of your own waits for something without a deadline.'],
  },
  {
    find: 'The token store answered a request for a lock with no outcome.',
    causes: [
      'The `withLock` of a store of your own returns no `LockOutcome`, or says `acquired` without running the work; check it with `tokenStoreContract`.',
    ],
  },
  {
    find: 'The Redis token store failed',
    parts: ['the client was closed', 'no answer within … ms', 'the connection was lost'],
    causes: [
      '`no answer`: Redis or the network is slow.',
      '`NOAUTH`, `WRONGPASS`, `NOPERM`: user, password or ACL.',
    ],
  },
];

/** Lines of the log that report no trouble, what a decorated controller answers, and what no user sees. */
export const OTHERS: readonly string[] = [
  'redis.call(',

  'The token store failed.',
  'The probe failed.',
  'ConfigService without loaders',
  'OAuth client environment',
  'OAuthClient module options',
  'oauth client uses',
  'There is no such text.',
  'The key is unfit to sign.',
  'The key is not that of the certificate.',
  'The token store recovered.',
  'was invalidated (',
  'has a token from the',
  'the redirect has no valid URL',
  'the redirect leads to a URL that is not HTTP(S)',
  'redirect count exceeded',
  'a stream cannot be sent again',
  'The partner behind',
  'refused our request for access',
  'cannot authorise us',
  'did not authorise us',
  'The … of OAuth client "lab" [what].',
  'The proxy …[what].',
  'its token response has',
  'token response for OAuth client',
  'serves as its metadata',
  'The requestToken of OAuth client "lab" [what]',
];
