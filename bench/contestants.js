// Ours and its peers behind one face. Each is set up as its own documentation shows, with its own defaults.
// Loaded one at a time, each in a process of its own.
//
// create({ tokenUrl, apiUrl }) resolves to:
//   getToken()        one access token
//   header?(token)    the Authorization header made of it; by default the token is its value
//   http?(config)     an Axios instance that sends it; by default a plain asynchronous interceptor over getToken
//   send?(url)        one API request the peer's own way, with its answer to a 401; resolves to the status
//   fetch?(url)       the same by its own fetch; resolves to the response
//   within?(work)     runs work where the tokens are meant to be used
import axios from '../node_modules/axios/index.js';

export { axios };

const CREDENTIALS = { clientId: 'bench', clientSecret: 'bench-secret' };

/** The token request of the peers that leave it to the user. */
async function requestToken(tokenUrl) {
  const response = await fetch(tokenUrl, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa('bench:bench-secret')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
  if (!response.ok) throw new Error(`token request: ${response.status}`);
  const { access_token: value, expires_in: expiresIn } = await response.json();
  return { value, expiresAt: Date.now() + expiresIn * 1000 };
}

function sendVia(http) {
  return async (url) => (await http.get(url)).status;
}

async function ours({ tokenUrl, apiUrl, redis, options, module: moduleOptions, imports = [] }) {
  await import('reflect-metadata');
  const { NestFactory } = await import('@nestjs/core');
  const { OAuthAxiosInterceptor, OAuthClientModule, OAuthTokenService, getOAuthFetchToken } =
    await import('../dist/lib/index.js');
  const store = redis && new (await import('../dist/lib/redis.js')).RedisTokenStore(redis.url, redis.options);
  const client = { tokenEndpoint: tokenUrl, ...CREDENTIALS, baseURL: apiUrl, ...options };
  const clients = { bench: client };
  const app = await NestFactory.createApplicationContext(
    {
      module: class Bench {},
      imports: [
        OAuthClientModule.forRoot({ clients, ...(store && { store }), ...moduleOptions }),
        ...imports,
      ],
    },
    { logger: ['error'], abortOnError: false },
  );
  const tokens = app.get(OAuthTokenService);
  const interceptor = app.get(OAuthAxiosInterceptor);
  const http = (config) => {
    const instance = axios.create(config);
    interceptor.attach(instance, 'bench');
    return instance;
  };
  return {
    app,
    tokens,
    getToken: () => tokens.getToken('bench'),
    getTokenFor: (request) => tokens.getToken('bench', request),
    http,
    send: sendVia(http({})),
    fetch: app.get(getOAuthFetchToken('bench')),
    close: async () => {
      await app.close();
      await store?.close?.();
    },
  };
}

/** Ours in a handler with `@UseOAuthClient`: there is an ambient request, and Node tracks asynchronous contexts. */
async function oursInHandler(environment) {
  const { Controller, Module } = await import('@nestjs/common');
  const { ExternalContextCreator } = await import('@nestjs/core');
  const { UseOAuthClient } = await import('../dist/lib/index.js');
  class Handler {
    handle(work) {
      return work();
    }
  }
  Controller()(Handler);
  UseOAuthClient('bench')(Handler);
  class Feature {}
  Module({ controllers: [Handler] })(Feature);
  const own = await ours({ ...environment, imports: [Feature] });
  const handler = own.app.get(Handler, { strict: false });
  const within = own.app
    .get(ExternalContextCreator)
    .create(handler, handler.handle, 'handle', undefined, undefined, undefined, undefined, undefined, 'rpc');
  return { ...own, within };
}

async function smithy({ tokenUrl }) {
  const { memoize } = await import('@smithy/property-provider');
  // The AWS SDK's own window and predicates.
  const getToken = memoize(
    () => requestToken(tokenUrl),
    ({ expiresAt }) => expiresAt - Date.now() < 300_000,
    ({ expiresAt }) => expiresAt !== undefined,
  );
  return { getToken, header: ({ value }) => `Bearer ${value}` };
}

async function badgateway({ tokenUrl }) {
  const { OAuth2Client, OAuth2Fetch } = await import('@badgateway/oauth2-client');
  const client = new OAuth2Client({ ...CREDENTIALS, server: tokenUrl, tokenEndpoint: tokenUrl });
  const wrapper = new OAuth2Fetch({ client, getNewToken: () => client.clientCredentials() });
  return {
    getToken: () => wrapper.getAccessToken(),
    fetch: (url) => wrapper.fetch(url),
    send: async (url) => {
      const response = await wrapper.fetch(url);
      await response.arrayBuffer();
      return response.status;
    },
  };
}

async function azureCore({ tokenUrl }) {
  // Behind bearerTokenAuthenticationPolicy; taken alone, which favours it.
  const { createTokenCycler } =
    await import('./node_modules/@azure/core-rest-pipeline/dist/esm/util/tokenCycler.js');
  const cycle = createTokenCycler({
    getToken: async () => {
      const { value, expiresAt } = await requestToken(tokenUrl);
      return { token: value, expiresOnTimestamp: expiresAt };
    },
  });
  return { getToken: () => cycle('api', {}), header: ({ token }) => `Bearer ${token}` };
}

async function openfga({ tokenUrl }) {
  const { Credentials, CredentialsMethod } = await import('@openfga/sdk');
  const credentials = new Credentials(
    {
      method: CredentialsMethod.ClientCredentials,
      config: { ...CREDENTIALS, apiTokenIssuer: tokenUrl, apiAudience: 'bench' },
    },
    axios,
  );
  return { getToken: () => credentials.getAccessTokenHeader(), header: ({ value }) => value };
}

async function auth0({ tokenUrl }) {
  const { TokenProvider } = await import('auth0');
  const provider = new TokenProvider({
    ...CREDENTIALS,
    domain: 'loopback',
    audience: 'bench',
    fetch: (_url, request) => fetch(tokenUrl, request),
  });
  return { getToken: () => provider.getAccessToken() };
}

async function tokenInterceptor({ tokenUrl }) {
  const { clientCredentials } = await import('axios-oauth-client');
  const { default: interceptor } = await import('axios-token-interceptor');
  const acquire = clientCredentials(axios.create(), tokenUrl, CREDENTIALS.clientId, CREDENTIALS.clientSecret);
  const getToken = interceptor.tokenCache(() => acquire(), {
    getMaxAge: ({ expires_in: expiresIn }) => expiresIn * 1000,
  });
  const http = (config) => {
    const instance = axios.create(config);
    const headerFormatter = ({ access_token: value }) => `Bearer ${value}`;
    instance.interceptors.request.use(interceptor({ getToken, headerFormatter }));
    return instance;
  };
  return { getToken, http, send: sendVia(http({})) };
}

async function googleAuth({ tokenUrl }) {
  const { OAuth2Client } = await import('google-auth-library');
  const client = new OAuth2Client({ forceRefreshOnFailure: true });
  client.refreshHandler = async () => {
    const { value, expiresAt } = await requestToken(tokenUrl);
    return { access_token: value, expiry_date: expiresAt };
  };
  return {
    getToken: () => client.getAccessToken(),
    header: ({ token }) => `Bearer ${token}`,
    send: async (url) => (await client.request({ url })).status,
  };
}

async function commercetools({ tokenUrl, apiUrl }) {
  const { createAuthMiddlewareForClientCredentialsFlow } = await import('@commercetools/ts-client');
  const { origin, pathname } = new URL(tokenUrl);
  const middleware = createAuthMiddlewareForClientCredentialsFlow({
    host: origin,
    oauthUri: pathname,
    projectKey: 'bench',
    credentials: CREDENTIALS,
    httpClient: fetch,
  });
  const authorize = middleware(async (request) => request);
  const call = middleware(async ({ uri, headers }) => {
    const response = await fetch(uri, { headers });
    await response.arrayBuffer();
    return { statusCode: response.status };
  });
  return {
    getToken: () => authorize({ uri: apiUrl, method: 'GET', headers: {} }),
    header: ({ headers }) => headers.Authorization ?? headers.authorization,
    send: async (uri) => (await call({ uri, method: 'GET', headers: {} })).statusCode,
  };
}

async function msal({ tokenUrl }) {
  const { ConfidentialClientApplication } = await import('@azure/msal-node');
  const tenant = 'https://login.microsoftonline.com/bench';
  const client = new ConfidentialClientApplication({
    auth: {
      ...CREDENTIALS,
      authority: tenant,
      knownAuthorities: ['login.microsoftonline.com'],
      authorityMetadata: JSON.stringify({
        issuer: tenant,
        authorization_endpoint: `${tenant}/authorize`,
        token_endpoint: `${tenant}/token`,
        jwks_uri: `${tenant}/keys`,
      }),
    },
    system: {
      networkClient: {
        sendPostRequestAsync: async (_url, { body, headers }) => {
          const response = await fetch(tokenUrl, { method: 'POST', body, headers });
          return { status: response.status, headers: {}, body: await response.json() };
        },
        sendGetRequestAsync: async () => {
          throw new Error('no discovery');
        },
      },
    },
  });
  return {
    getToken: () => client.acquireTokenByClientCredential({ scopes: ['api/.default'] }),
    header: ({ accessToken }) => `Bearer ${accessToken}`,
  };
}

async function simpleOauth2({ tokenUrl }) {
  const { ClientCredentials } = await import('simple-oauth2');
  const { origin, pathname } = new URL(tokenUrl);
  const client = new ClientCredentials({
    client: { id: CREDENTIALS.clientId, secret: CREDENTIALS.clientSecret },
    auth: { tokenHost: origin, tokenPath: pathname },
  });
  let token;
  return {
    getToken: async () => {
      if (token === undefined || token.expired()) token = await client.getToken({});
      return token;
    },
    header: ({ token: { access_token: value } }) => `Bearer ${value}`,
  };
}

async function openidClient({ tokenUrl }) {
  const { Configuration, allowInsecureRequests, clientCredentialsGrant } = await import('openid-client');
  const config = new Configuration(
    { issuer: new URL(tokenUrl).origin, token_endpoint: tokenUrl },
    CREDENTIALS.clientId,
    CREDENTIALS.clientSecret,
  );
  allowInsecureRequests(config);
  return {
    getToken: () => clientCredentialsGrant(config),
    header: ({ access_token: value }) => `Bearer ${value}`,
  };
}

async function authRefresh({ tokenUrl }) {
  const { createAuthRefresh } = await import('axios-auth-refresh');
  let token;
  const getToken = async () => (token ??= await requestToken(tokenUrl));
  const http = (config) => {
    const instance = axios.create(config);
    instance.interceptors.request.use((request) => {
      request.headers.set('Authorization', `Bearer ${token.value}`);
      return request;
    });
    createAuthRefresh(instance, async () => {
      token = await requestToken(tokenUrl);
    });
    return instance;
  };
  return { getToken, http, send: sendVia(http({})) };
}

/**
 * By name. `caches`: keeps a token between calls. `shares`: one token request for concurrent callers, as far as
 * documented or known; 10,000 callers are only measured on those. `heals`: has an answer to a 401 of its own.
 */
export const contestants = {
  ours: {
    title: 'nestjs-oauth-client',
    create: ours,
    caches: true,
    shares: true,
    heals: true,
    fetches: true,
  },
  oursInHandler: { title: 'ours, inside @UseOAuthClient', create: oursInHandler },
  smithy: { title: '@smithy/property-provider', create: smithy, caches: true, shares: true },
  badgateway: {
    title: '@badgateway/oauth2-client',
    create: badgateway,
    caches: true,
    shares: true,
    heals: true,
    fetches: true,
  },
  azureCore: { title: '@azure/core-rest-pipeline', create: azureCore, caches: true, shares: true },
  openfga: { title: '@openfga/sdk', create: openfga, caches: true, shares: true },
  auth0: { title: 'auth0', create: auth0, caches: true, shares: true },
  tokenInterceptor: {
    title: 'axios-oauth-client + axios-token-interceptor',
    create: tokenInterceptor,
    caches: true,
    shares: true,
    heals: true,
  },
  googleAuth: { title: 'google-auth-library', create: googleAuth, caches: true, heals: true },
  commercetools: { title: '@commercetools/ts-client', create: commercetools, caches: true, heals: true },
  msal: { title: '@azure/msal-node', create: msal, caches: true },
  simpleOauth2: { title: 'simple-oauth2', create: simpleOauth2, caches: true },
  openidClient: { title: 'openid-client', create: openidClient },
  authRefresh: { title: 'axios-auth-refresh', create: authRefresh, heals: true },
};
