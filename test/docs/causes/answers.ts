import type { KnownMessage } from './known-message.js';

const TOKEN_RESPONSE = 'The token response for OAuth client';
const METADATA = 'serves as its metadata';

/** Of the code `token_response_invalid`. */
export const ANSWERS: readonly KnownMessage[] = [
  {
    find: 'has no access_token; its members are',
    parts: [
      'readTokenResponse threw, or returned none',
      'if the token is there, say with readTokenResponse',
      'without usual names',
    ],
    within: TOKEN_RESPONSE,
    causes: [
      'The token has another name or is nested: [map it with `readTokenResponse`](recipes.md#partners-that-are-not-oauth).',
      'The server reports an error with status 200 and a member of its own.',
    ],
  },
  {
    find: 'is neither a JSON object nor a form',
    within: TOKEN_RESPONSE,
    causes: [
      'A login page, a captive portal or the page of a gateway answered with 200: check `tokenEndpoint` and the proxy.',
    ],
  },
  {
    find: 'has an access_token that no header can carry',
    within: TOKEN_RESPONSE,
    causes: [
      'The value has line breaks or blanks: the server wraps it, or `readTokenResponse` takes the wrong member.',
    ],
  },
  {
    find: 'has a token_type other than Bearer and DPoP',
    parts: ['if it is a Bearer token, say so'],
    within: TOKEN_RESPONSE,
    causes: [
      "The server has a name of its own, such as `Application Access Token` at eBay: return `token_type: 'Bearer'` from `readTokenResponse`.",
    ],
  },
  {
    find: 'token where a … token was asked for',
    within: TOKEN_RESPONSE,
    causes: [
      '`dpop` is on, but the server or this client’s registration does not support it; or the reverse.',
    ],
  },
  {
    find: 'that has passed',
    within: TOKEN_RESPONSE,
    causes: [
      '`expires_at` has another unit or time zone than usual: map it with `readTokenResponse`.',
      'This machine’s clock is ahead.',
    ],
  },
  {
    find: 'has an expires_in that is not a positive number',
    within: TOKEN_RESPONSE,
    causes: [
      'The server hands out a token that has expired already, mostly from a cache in front of it.',
      'The lifetime is a text such as `1h`.',
    ],
  },
  {
    find: 'sent a response that is larger than 1 MiB',
    causes: ['The URL is that of a download or a page, not of a token endpoint.'],
  },
  {
    find: 'redirects to …; redirects are refused',
    causes: [
      'The URL has http instead of https, a missing or an extra slash at its end, or an old host name.',
      'A gateway sends clients without a session to its login page.',
    ],
  },
  {
    find: 'is not a metadata document…',
    parts: ['Check …, or set … instead'],
    within: METADATA,
    causes: [
      'The issuer has a path that is missing here (`/realms/clinic`, `/oauth2/default`), or offers no metadata: set `tokenEndpoint`.',
    ],
  },
  {
    find: 'names no issuer',
    within: METADATA,
    causes: ['The document is not one of RFC 8414, as with SMART servers: set `metadataURL`.'],
  },
  {
    find: 'names another issuer than the configured one',
    within: METADATA,
    causes: [
      'A slash at the end, http instead of https, or an internal host name: copy the issuer from the document to the letter.',
    ],
  },
  {
    find: 'names no token_endpoint that is a URL',
    within: METADATA,
    causes: ['The document belongs to something else, such as a resource server.'],
  },
  {
    find: 'names a token_endpoint without https',
    within: METADATA,
    causes: ['The server does not know that it stands behind a TLS proxy: correct its public URL.'],
  },
  {
    find: 'returned no valid …: have it return',
    causes: ['`requestToken` returned the response instead of the token, or a lifetime as a text.'],
  },
];
