import type { AxiosInstance } from 'axios';
import { FORM, JSON_TYPE, basic, post, type Partner } from './partner.js';

type Login = { http: AxiosInstance };
type Tokens = { access: string; access_expires: number };

/** Payments, banks and books. */
export const PAYMENT: readonly Partner[] = [
  {
    name: 'PayPal',
    source: 'https://developer.paypal.com/reference/get-an-access-token',
    options: {
      tokenEndpoint: 'https://api-m.paypal.com/v1/oauth2/token',
      baseURL: 'https://api-m.paypal.com',
    },
    credentials: 'secret',
    demands: basic(),
    answers: {
      expiresIn: 31_349,
      tokenResponse: (members) => ({ ...members, app_id: 'APP-1', nonce: 'n', scope: 'openid' }),
    },
    lifetime: 31_349,
  },
  {
    name: 'Wise',
    source: 'https://docs.wise.com/api-reference/client-credentials-token/clientcredentialstokenretrieve.md',
    options: { tokenEndpoint: 'https://api.wise.com/oauth/token', baseURL: 'https://api.wise.com' },
    credentials: 'secret',
    demands: basic(),
    answers: {
      expiresIn: 43_199,
      tokenResponse: (members) => ({
        ...members,
        token_type: 'bearer',
        expires_at: '2001-01-01T00:00:00.000Z',
        scope: 'transfers',
      }),
    },
    lifetime: 43_199,
  },
  {
    name: 'TrueLayer',
    source: 'https://docs.truelayer.com/docs/generate-a-client-credential-token',
    options: {
      tokenEndpoint: 'https://auth.truelayer.com/connect/token',
      tokenEndpointAuthMethod: 'client_secret_post',
      scope: 'payments',
      baseURL: 'https://api.truelayer.com',
    },
    credentials: 'secret',
    demands: post({ scope: 'payments' }),
    lifetime: 3600,
  },
  {
    name: 'GoCardless Bank Account Data (a JSON login)',
    source: 'https://developer.gocardless.com/bank-account-data/quick-start-guide',
    options: {
      baseURL: 'https://bankaccountdata.gocardless.com/api/v2',
      requestToken: async ({ http }: Login) => {
        const { data } = await http.post<Tokens>('/token/new/', {
          secret_id: 'id',
          secret_key: 'key-of-the-clinic',
        });
        return { accessToken: data.access, expiresInMs: data.access_expires * 1000 };
      },
    },
    shown:
      "baseURL: 'https://bankaccountdata.gocardless.com/api/v2', requestToken: async ({ http }) => { const { data } = await http.post('/token/new/', { secret_id, secret_key }); return { accessToken: data.access, expiresInMs: data.access_expires * 1000 }; }",
    credentials: 'own',
    demands: {
      contentType: JSON_TYPE,
      authentication: 'none',
      parameters: { secret_id: 'id', secret_key: 'key-of-the-clinic' },
    },
    answers: {
      expiresIn: 86_400,
      tokenPath: '/api/token/new/',
      tokenResponse: ({ access_token, expires_in }) => ({
        access: access_token,
        access_expires: expires_in,
        refresh: 'another-one',
        refresh_expires: 2_592_000,
      }),
    },
    lifetime: 86_400,
    wrong: {
      requestToken: async ({ http }: Login) => {
        const { data } = await http.post<Tokens>('/token/new/', { secret_id: 'id' });
        return { accessToken: data.access };
      },
    },
  },
  {
    name: 'M-Pesa Daraja (a GET)',
    source: 'https://developer.safaricom.co.ke/apis/Authorization',
    options: {
      baseURL: 'https://api.safaricom.co.ke',
      requestToken: async ({ http }: Login) => {
        const { data } = await http.get<{ access_token: string; expires_in: string }>('/oauth/v1/generate', {
          params: { grant_type: 'client_credentials' },
          auth: { username: 'clinic', password: 'shown-once-to-the-clinic' },
        });
        return { accessToken: data.access_token, expiresInMs: Number(data.expires_in) * 1000 };
      },
    },
    shown:
      "baseURL: 'https://api.safaricom.co.ke', requestToken: async ({ http }) => { const { data } = await http.get('/oauth/v1/generate', { params: { grant_type: 'client_credentials' }, auth: { username, password } }); return { accessToken: data.access_token, expiresInMs: Number(data.expires_in) * 1000 }; }",
    credentials: 'own',
    demands: {
      method: 'GET',
      contentType: '',
      authentication: 'client_secret_basic',
      parameters: { grant_type: 'client_credentials' },
    },
    answers: {
      tokenPath: '/api/oauth/v1/generate',
      tokenResponse: ({ access_token }) => ({ access_token, expires_in: '3599' }),
    },
    secondhand: true,
    lifetime: 3599,
    wrong: {
      requestToken: async ({ http }: Login) => {
        const { data } = await http.get<{ access_token: string }>('/oauth/v1/generate');
        return { accessToken: data.access_token };
      },
    },
  },
  {
    name: 'MTN (Apigee)',
    source: 'https://dev.developers.mtn.com/getting-started/understanding-oauth-20',
    options: {
      tokenEndpoint: 'https://api.mtn.com/v1/oauth/access_token',
      tokenEndpointAuthMethod: 'client_secret_post',
      baseURL: 'https://api.mtn.com',
    },
    credentials: 'secret',
    demands: { ...post(), contentType: FORM },
    answers: {
      tokenResponse: (members) => ({
        ...members,
        token_type: 'BearerToken',
        expires_in: '3599',
        status: 'approved',
      }),
      refusalResponse: ({ error_description: faultstring }) => ({
        status: 401,
        body: { fault: { faultstring } },
      }),
    },
    lifetime: 3599,
  },
];
