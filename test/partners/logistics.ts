import { FORM, basic, post, type Partner } from './partner.js';

/** Parcels, freight and couriers. */
export const LOGISTICS: readonly Partner[] = [
  {
    name: 'FedEx',
    source: 'https://developer.fedex.com/api/en-gr/catalog/authorization/docs.html',
    options: {
      tokenEndpoint: 'https://apis.fedex.com/oauth/token',
      tokenEndpointAuthMethod: 'client_secret_post',
      baseURL: 'https://apis.fedex.com',
    },
    credentials: 'secret',
    demands: post(),
    answers: { tokenResponse: (members) => ({ ...members, token_type: 'bearer', scope: 'CXS' }) },
    lifetime: 3600,
  },
  {
    name: 'UPS',
    source: 'https://developer.ups.com/api/reference/oauth/client-credentials',
    options: {
      tokenEndpoint: 'https://onlinetools.ups.com/security/v1/oauth/token',
      baseURL: 'https://onlinetools.ups.com/api',
    },
    credentials: 'secret',
    demands: basic(),
    answers: {
      tokenResponse: (members) => ({
        ...members,
        expires_in: '14399',
        issued_at: '1706710921672',
        status: 'approved',
      }),
      refusalResponse: ({ error_description: message }) => ({
        status: 401,
        body: { response: { errors: [{ code: '250002', message }] } },
      }),
    },
    secondhand: true,
    lifetime: 14_399,
  },
  {
    name: 'USPS (no charset in the Content-Type)',
    source: 'https://developer.usps.com/api/81',
    options: {
      tokenEndpoint: 'https://apis.usps.com/oauth2/v3/token',
      tokenEndpointAuthMethod: 'client_secret_post',
      baseURL: 'https://apis.usps.com',
    },
    credentials: 'secret',
    demands: { ...post(), contentType: FORM },
    answers: {
      expiresIn: 28_800,
      refusalResponse: ({ error_description: message }) => ({
        status: 415,
        body: { error: { code: '415', message } },
      }),
    },
    secondhand: true,
    lifetime: 28_800,
    wrong: { tokenRequestHeaders: { 'Content-Type': 'application/x-www-form-urlencoded;charset=utf-8' } },
  },
  {
    name: 'Maersk',
    source: 'https://developer.maersk.com/support/authorisation',
    options: {
      tokenEndpoint: 'https://api.maersk.com/customer-identity/oauth/v2/access_token',
      tokenEndpointAuthMethod: 'client_secret_post',
      baseURL: 'https://api.maersk.com',
      http: { headers: { 'Consumer-Key': 'clinic' } },
    },
    credentials: 'secret',
    demands: { ...post(), headers: { 'Consumer-Key': 'clinic' }, apiHeaders: { 'Consumer-Key': 'clinic' } },
    answers: { expiresIn: 7200 },
    lifetime: 7200,
    lifetimeVaries: true,
    wrong: { http: {} },
  },
  {
    name: 'Flexport',
    source: 'https://developers.flexport.com/tutorials/using-api-credentials/',
    options: {
      tokenEndpoint: 'https://api.flexport.com/oauth/token',
      tokenEndpointAuthMethod: 'client_secret_post',
      audience: 'https://api.flexport.com',
      baseURL: 'https://api.flexport.com',
    },
    credentials: 'secret',
    demands: post({ audience: 'https://api.flexport.com' }),
    answers: { expiresIn: 86_400 },
    lifetime: 86_400,
    wrong: { audience: 'https://api.flexport.example' },
  },
  {
    name: 'Uber Direct',
    source: 'https://developer.uber.com/docs/deliveries/guides/authentication',
    options: {
      tokenEndpoint: 'https://auth.uber.com/oauth/v2/token',
      tokenEndpointAuthMethod: 'client_secret_post',
      scope: 'eats.deliveries',
      baseURL: 'https://api.uber.com',
    },
    credentials: 'secret',
    demands: post({ scope: 'eats.deliveries' }),
    answers: { expiresIn: 2_592_000 },
    lifetime: 2_592_000,
    wrong: { scope: 'eats.orders' },
  },
];
