import { ANSWERS } from './answers.js';
import type { KnownMessage } from './known-message.js';

const TOO_LATE = 'The … of OAuth client "lab" [what]';

/** By code, the messages of errors. */
export const ERRORS: Readonly<Record<string, readonly KnownMessage[]>> = {
  configuration_invalid: [
    {
      find: 'The OAuth client configuration cannot work:',
      causes: [
        'The list below it has one sentence for each problem; [each is explained below](#which-configuration-problems-are-there).',
      ],
    },
  ],
  unknown_client: [
    {
      find: 'has no such tenant',
      causes: ['The `tenants` function returned `undefined` or `null` for that name.'],
    },
    {
      find: 'There is no OAuth client "',
      causes: [
        'The name is misspelt. [`OAuthClientNames`](fetch.md#names-that-the-compiler-checks) lets the compiler check names.',
        'The client is missing in `OAUTH_CLIENTS` of this environment.',
        'A test or a second application context has its own `forRoot()`, with other clients.',
      ],
    },
    {
      find: 'finds no token: put @UseOAuthClient',
      causes: [
        '`@OAuthToken` stands on a parameter of a handler without `@UseOAuthClient`, or with that of another client.',
      ],
    },
  ],
  token_request_rejected: [
    {
      find: 'rejected the token request of OAuth client',
      causes: [
        '401 or `invalid_client`: the secret belongs to another environment, was rotated, or was copied with a quote or a blank.',
        "401 or `invalid_client` with the right secret: the server reads Basic credentials unencoded (`basicEncoding: 'raw'`), or only from the body (`tokenEndpointAuthMethod: 'client_secret_post'`).",
        '`invalid_client` with a key: the partner has another public key, or wants another `assertion.audience` or `assertion.typ`.',
        '`invalid_scope`: the scope is not granted to this client, or has another form (Entra: `…/.default`).',
        '`invalid_grant`: the refresh token was used, revoked or has expired; or this machine’s clock is off.',
        '`unauthorized_client` or `unsupported_grant_type`: the client is not registered for this grant.',
        "400 or 415 without a clear reason: the server expects JSON (`requestFormat: 'json'`), an `audience`, or another Content-Type (`tokenRequestHeaders`).",
        '404 or 405: the URL is not that of the token endpoint.',
      ],
    },
    {
      find: 'was refused with status',
      within: 'The requestToken of OAuth client "lab" [what]',
      causes: ['The login that `requestToken` makes was refused: check user, password and path.'],
    },
  ],
  authorization_server_unavailable: [
    {
      find: 'could not be reached',
      parts: ['(…).'],
      causes: [
        '`ECONNREFUSED`: the server is down, or host or port is wrong.',
        '`ENOTFOUND`, `EAI_AGAIN`: the host is misspelt, or the container has no DNS.',
        '`ETIMEDOUT`, `ECONNRESET`: a firewall, or a proxy that is not configured (`http.proxy`, `HTTPS_PROXY`).',
        '`SELF_SIGNED_CERT_IN_CHAIN`, `UNABLE_TO_VERIFY_LEAF_SIGNATURE`: a private authority; set `tls.ca` or `NODE_EXTRA_CA_CERTS`.',
        '`ERR_TLS_CERT_ALTNAME_INVALID`: the host is reached by another name than its certificate has.',
      ],
    },
    {
      find: 'is unavailable: it answered',
      subject: 'authorization server',
      parts: ['metadata of the authorization server'],
      causes: [
        '429: many instances ask at once, as after a deploy; [share the token](scaling.md). Or the code calls `invalidate` or `forceRefresh` for every request.',
        '500: some servers answer this to wrong credentials or a missing parameter; read what it said.',
        '502, 503, 504: maintenance, or a gateway without a server behind it.',
      ],
    },
    {
      find: 'did not complete a token request within',
      subject: 'authorization server',
      within: TOO_LATE,
      causes: [
        'The server takes longer than `timeoutMs`; raise it if that is normal.',
        'A firewall drops packets.',
      ],
    },
    {
      find: 'did not complete the flight within',
      subject: 'authorization server',
      within: TOO_LATE,
      causes: ['All attempts together took longer than `retry.totalMs`, mostly with a slow server.'],
    },
    {
      find: 'is not given back: look for',
      subject: 'lock',
      within: TOO_LATE,
      causes: [
        'An instance was killed while it refreshed a refresh token, and its lock in Redis has no TTL. Delete the key.',
      ],
    },
    {
      find: 'took longer to answer than its token lives',
      subject: 'authorization server',
      within: TOO_LATE,
      causes: ['The lifetime counts from the request. Tokens of a few seconds need a faster server.'],
    },
    {
      find: 'failed unexpectedly',
      causes: ['A token store or function of your own threw something unforeseen: look at `cause`.'],
    },
    {
      find: 'got no answer…',
      within: 'The requestToken of OAuth client "lab" [what]',
      causes: ['The login server of `requestToken` is down or slow; it is retried.'],
    },
    {
      find: 'opened no tunnel to …',
      within: 'The proxy …[what]',
      parts: [
        'opened no tunnel to …: it answered',
        'it must be an http or https proxy',
        'it answered …',
        'it broke off',
      ],
      causes: [
        '407: the proxy wants credentials; put them into `http.proxy.auth` or the URL in `HTTPS_PROXY`.',
        '403: the proxy does not let this host or port through.',
        '`it must be an http or https proxy`: `HTTPS_PROXY` names a SOCKS proxy.',
      ],
    },
  ],
  token_response_invalid: ANSWERS,
  tenant_required: [
    {
      find: 'has tenants, and this request names none: pass tenant with it',
      causes: [
        'The function in `@UseOAuthClient` found no tenant, or the call is made outside a handler ([how](tenants.md)).',
      ],
    },
  ],
  credentials_unavailable: [
    {
      find: 'The test gave OAuth client "lab" no token',
      causes: [
        'The `token` of `OAuthClientTestingModule`, or what overrides `OAuthTokenService`, returns nothing or a value with blanks.',
      ],
    },
    {
      find: 'check its tenants function. What it threw is not shown, since it may hold credentials',
      parts: ["could not be told this tenant's options within"],
      causes: [
        'The database or the vault behind the `tenants` function failed, or took longer than four seconds.',
      ],
    },
    {
      find: 'could not be read…: check that the function',
      causes: [
        '`ENOENT`: the file is not mounted, or the path is relative to another folder.',
        '`EACCES`: the process runs as a user that may not read the file.',
        'No code: the function threw, took longer than it may, or returned nothing; or the file is empty or holds no key.',
      ],
    },
    {
      find: 'are not a certificate and its own private key',
      causes: [
        'Only one of the two was replaced so far: the next call tries again.',
        'The passphrase is missing.',
      ],
    },
    {
      find: 'needs [what]: pass it with the token request',
      parts: ['an assertion (grant.assertion'],
      causes: [
        'A job or a start-up hook has no user whose token could be exchanged: pass `subjectToken`, or use another client.',
      ],
    },
    {
      find: 'failed, or returned no text: check it',
      causes: ['A function in `http.headers` threw, or returned a number or nothing.'],
    },
    {
      find: 'The requestToken of OAuth client "lab" [what]',
      what: 'threw',
      causes: [
        '`requestToken` threw something that is no Axios error, such as a `TypeError` on an unexpected answer.',
      ],
    },
  ],
  origin_not_allowed: [
    {
      find: 'may not send its token to …',
      parts: ['an unknown origin: set a baseURL', 'or not to that path there'],
      causes: [
        'An absolute URL, a redirect or a link in an answer leads to another host, such as a download: add it to `allowedOrigins` if the token belongs there, or send with `oauth: false`.',
        'The sandbox is called with the production client, or the reverse.',
        '`http://` or another port than that of `baseURL`.',
        '`an unknown origin`: the URL is relative, and the client has no `baseURL`.',
      ],
    },
  ],
  closed: [
    {
      find: 'closed: the application is shutting down',
      parts: ['The OAuth clients are', 'OAuth client "lab" is'],
      causes: [
        'A job or a timer goes on after `app.close()`: stop it in `beforeApplicationShutdown`.',
        'A test uses the application after its end.',
      ],
    },
  ],
};
