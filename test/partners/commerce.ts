import { JSON_TYPE, basic, post, type Partner } from './partner.js';

/** Shops and marketplaces. */
export const COMMERCE: readonly Partner[] = [
  {
    name: 'Shopify',
    source:
      'https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/client-credentials-grant',
    preset: 'shopify',
    options: { shop: 'my-shop' },
    credentials: 'secret',
    demands: { ...post(), tokenHeader: { name: 'X-Shopify-Access-Token', scheme: '' } },
    answers: {
      tokenResponse: ({ access_token }) => ({ access_token, scope: 'read_orders', expires_in: 86_399 }),
    },
    lifetime: 86_399,
  },
  {
    name: 'Walmart Marketplace',
    source: 'https://developer.walmart.com/global-marketplace/reference/tokenapi',
    preset: 'walmart',
    options: {},
    credentials: 'secret',
    demands: {
      ...basic(),
      headers: { 'WM_SVC.NAME': 'Walmart Marketplace', 'WM_QOS.CORRELATION_ID': /^[\da-f-]{36}$/ },
      apiHeaders: { 'WM_SVC.NAME': 'Walmart Marketplace', 'WM_QOS.CORRELATION_ID': /^[\da-f-]{36}$/ },
      tokenHeader: { name: 'WM_SEC.ACCESS_TOKEN', scheme: '' },
    },
    answers: { expiresIn: 900 },
    lifetime: 900,
  },
  {
    name: 'Amazon Selling Partner API, on behalf of a seller',
    source: 'https://developer-docs.amazon.com/sp-api/docs/connecting-to-the-selling-partner-api',
    options: {
      tokenEndpoint: 'https://api.amazon.com/auth/o2/token',
      tokenEndpointAuthMethod: 'client_secret_post',
      grant: { type: 'refresh_token', refreshToken: 'Atzr|seller' },
      tokenHeader: { name: 'x-amz-access-token' },
      baseURL: 'https://sellingpartnerapi-eu.amazon.com',
    },
    credentials: 'secret',
    demands: {
      ...post({ grant_type: 'refresh_token', refresh_token: 'Atzr|seller' }),
      tokenHeader: { name: 'x-amz-access-token', scheme: '' },
    },
    answers: { tokenResponse: (members) => ({ ...members, token_type: 'bearer' }) },
    lifetime: 3600,
  },
  {
    name: 'Amazon Selling Partner API, grantless operations',
    source: 'https://developer-docs.amazon.com/sp-api/docs/grantless-operations',
    options: {
      tokenEndpoint: 'https://api.amazon.com/auth/o2/token',
      tokenEndpointAuthMethod: 'client_secret_post',
      scope: 'sellingpartnerapi::notifications',
      tokenHeader: { name: 'x-amz-access-token' },
      baseURL: 'https://sellingpartnerapi-eu.amazon.com',
    },
    credentials: 'secret',
    demands: {
      ...post({ scope: 'sellingpartnerapi::notifications' }),
      tokenHeader: { name: 'x-amz-access-token', scheme: '' },
    },
    lifetime: 3600,
    wrong: { tokenHeader: { name: 'Authorization' } },
  },
  {
    name: 'eBay',
    source: 'https://developer.ebay.com/api-docs/static/oauth-client-credentials-grant.html',
    options: {
      tokenEndpoint: 'https://api.ebay.com/identity/v1/oauth2/token',
      scope: 'https://api.ebay.com/oauth/api_scope',
      baseURL: 'https://api.ebay.com',
      readTokenResponse: (body: unknown) => ({ ...(body as object), token_type: 'Bearer' }),
    },
    shown:
      "tokenEndpoint: 'https://api.ebay.com/identity/v1/oauth2/token', scope: 'https://api.ebay.com/oauth/api_scope', baseURL: 'https://api.ebay.com', readTokenResponse: (body) => ({ ...body, token_type: 'Bearer' })",
    credentials: 'secret',
    demands: basic({ scope: 'https://api.ebay.com/oauth/api_scope' }),
    answers: {
      expiresIn: 7200,
      tokenResponse: (members) => ({ ...members, token_type: 'Application Access Token' }),
    },
    lifetime: 7200,
  },
  {
    name: 'bol',
    source: 'https://api.bol.com/retailer/public/Retailer-API/authentication.html',
    options: {
      tokenEndpoint: 'https://login.bol.com/token',
      baseURL: 'https://api.bol.com/retailer',
      http: { headers: { Accept: 'application/vnd.retailer.v10+json' } },
    },
    credentials: 'secret',
    demands: {
      ...basic(),
      headers: { Accept: 'application/json' },
      apiHeaders: { Accept: 'application/vnd.retailer.v10+json' },
    },
    answers: { expiresIn: 299 },
    lifetime: 299,
  },
  {
    name: 'Commerce Layer',
    source: 'https://docs.commercelayer.io/core/authentication/client-credentials',
    options: {
      tokenEndpoint: 'https://auth.commercelayer.io/oauth/token',
      tokenEndpointAuthMethod: 'client_secret_post',
      requestFormat: 'json',
      baseURL: 'https://clinic.commercelayer.io',
    },
    credentials: 'secret',
    demands: { ...post(), contentType: JSON_TYPE },
    answers: {
      expiresIn: 14_400,
      tokenResponse: (members) => ({ ...members, token_type: 'bearer', created_at: 123_456_789 }),
    },
    lifetime: 14_400,
    wrong: { requestFormat: 'form' },
  },
  {
    name: 'Kroger',
    source: 'https://developer.kroger.com/documentation/public/security/guides-oauth',
    options: {
      tokenEndpoint: 'https://api.kroger.com/v1/connect/oauth2/token',
      scope: 'product.compact',
      baseURL: 'https://api.kroger.com/v1',
    },
    credentials: 'secret',
    demands: basic({ scope: 'product.compact' }),
    answers: { expiresIn: 1800 },
    lifetime: 1800,
  },
  {
    name: 'Amadeus',
    source: 'https://developers.amadeus.com/self-service/apis-docs/guides/authorization',
    options: {
      tokenEndpoint: 'https://test.api.amadeus.com/v1/security/oauth2/token',
      tokenEndpointAuthMethod: 'client_secret_post',
      baseURL: 'https://test.api.amadeus.com',
    },
    credentials: 'secret',
    demands: post(),
    answers: {
      expiresIn: 1799,
      tokenResponse: (members) => ({ ...members, type: 'amadeusOAuth2Token', state: 'approved' }),
    },
    lifetime: 1799,
  },
  {
    name: 'Sabre (each half of the Basic credentials is encoded already)',
    source: 'https://developer.sabre.com/docs/read/rest_basics/authentication',
    options: {
      tokenEndpoint: 'https://api.sabre.com/v2/auth/token',
      clientId: 'VjE6dXNlcmlkOmdyb3VwOkFB',
      clientSecret: 'c2hvd24tb25jZQ==',
      basicEncoding: 'raw',
      baseURL: 'https://api.sabre.com',
    },
    credentials: 'own',
    demands: {
      ...basic(),
      headers: { Authorization: 'Basic VmpFNmRYTmxjbWxrT21keWIzVndPa0ZCOmMyaHZkMjR0YjI1alpRPT0=' },
    },
    answers: { expiresIn: 604_800 },
    lifetime: 604_800,
    wrong: { basicEncoding: 'form' },
  },
];
