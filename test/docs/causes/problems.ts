import type { KnownMessage } from './known-message.js';

/** Problems of `configuration_invalid` that are whole sentences. */
export const PROBLEMS: readonly KnownMessage[] = [
  {
    find: 'has no tenants: leave tenant out of its token requests, or set that option',
    causes: ['A request names a tenant to a client without [`tenants`](tenants.md).'],
  },
  {
    find: 'has no tenants to forget; set that option, or use invalidate()',
    causes: ['`forgetTenant()` was called for a client without [`tenants`](tenants.md).'],
  },
  {
    find: 'the options of a tenant must be an object',
    causes: ['The `tenants` function returned something else, such as the text of a row.'],
  },
  {
    find: 'the defaults function must return an object, not a promise',
    causes: ['The function in `defaults` is `async`. Load what it needs first, in `forRootAsync`.'],
  },
  {
    find: 'No OAuth client is configured',
    parts: ['or pass clients to OAuthClientModule.forRoot()'],
    causes: [
      'The `.env` file is not loaded: `ConfigModule.forRoot()` is missing, or the process starts in another folder.',
    ],
  },
  {
    find: 'is not a variable of client "lab"; did you mean',
    causes: [
      'A misspelt variable; or a variable of another tool that begins with the same prefix, which needs another client name.',
    ],
  },
  {
    find: 'would share the variables',
    causes: ['Two names differ in characters that a variable cannot have, such as `my-api` and `my_api`.'],
  },
  {
    find: 'Client "lab": its options must be an object',
    causes: ['`clients` is a list, or a client is a string.'],
  },
  {
    find: 'what the factory returns must be an object',
    causes: ['The factory of `forRootAsync` returns nothing, mostly for want of a `return`.'],
  },
  {
    find: 'sees no OAuthClientModule.forRoot()',
    causes: ['A test module or a second application imports only the feature module.'],
  },
  {
    find: 'does not work with fetch; use tls or http.proxy',
    causes: ['An agent in `defaults.http` is for Axios; fetch cannot take it.'],
  },
  {
    find: 'needs the package undici',
    causes: ['undici is an optional peer, and not installed in production.'],
  },
  {
    find: 'the fetch adapter, HTTP/2 and agents that connect in their own way',
    causes: [
      "A request or its instance sets `adapter: 'fetch'` for a client with a certificate.",
      'It has an `HttpsProxyAgent`: use `http.proxy`, or give the agent a `cert` of its own.',
    ],
  },
  {
    find: 'sends the tokens of … already',
    causes: ['Two modules attach to one `HttpService`: give each an `HttpModule.register()` of its own.'],
  },
  {
    find: 'attach() needs an HttpService or an Axios instance',
    causes: ['A test replaces the `HttpService` that a constructor gives to `attach`.'],
  },
  {
    find: 'The URL given to RedisTokenStore must be',
    causes: ['The password has a `#`, `/` or `@`: encode it with `encodeURIComponent`.'],
  },
  {
    find: 'RedisTokenStore: its first argument',
    causes: ['A client of the `redis` package, or the options of one, was given.'],
  },
  {
    find: 'encryptionKeys must list { id, key }',
    parts: ['the key "…" is not set'],
    causes: ['The variable with the key is empty, or the key is in hex or Base64 instead of base64url.'],
  },
  { find: 'MemoryTokenStore: maxEntries', causes: ['A number from the environment that is still a text.'] },
  {
    find: 'What overrides OAuthTokenService has no getToken',
    causes: ['A test overrides `OAuthTokenService` with an object that has other methods only.'],
  },
  {
    find: 'is no option of a tenant; set it on the client',
    causes: ['`tenants` returns a whole client; it may return only what differs between tenants.'],
  },
];
