import type { AxiosInstance } from 'axios';
import { JSON_TYPE, post, type Partner } from './partner.js';

type Login = { http: AxiosInstance };
type Session = { session: string; validForMs: number };
const OWN = {
  tokenEndpoint: 'https://login.partner.example/token',
  tokenEndpointAuthMethod: 'client_secret_post',
  baseURL: 'https://api.partner.example',
} as const;

/** Kinds of partners, by what is odd about them. */
export const KINDS: readonly Partner[] = [
  {
    name: 'The token stands below another member',
    options: { ...OWN, readTokenResponse: (body: unknown) => (body as { data: object }).data },
    shown: 'readTokenResponse: (body) => body.data',
    credentials: 'secret',
    demands: post(),
    answers: { tokenResponse: (data) => ({ data }) },
    lifetime: 3600,
  },
  {
    name: 'The members are in camel case, the lifetime in milliseconds',
    options: {
      ...OWN,
      readTokenResponse: (body: unknown) => {
        const { accessToken, expiresInMs } = body as { accessToken: string; expiresInMs: number };
        return { access_token: accessToken, expires_in: expiresInMs / 1000 };
      },
    },
    shown:
      'readTokenResponse: ({ accessToken, expiresInMs }) => ({ access_token: accessToken, expires_in: expiresInMs / 1000 })',
    credentials: 'secret',
    demands: post(),
    answers: { tokenResponse: ({ access_token }) => ({ accessToken: access_token, expiresInMs: 600_000 }) },
    lifetime: 600,
  },
  {
    name: 'The expiry is a date',
    options: OWN,
    shown: 'nothing',
    credentials: 'secret',
    demands: post(),
    answers: {
      tokenResponse: ({ access_token }) => ({
        access_token,
        expires_at: new Date(Date.now() + 1_200_000).toISOString(),
      }),
    },
    lifetime: 1200,
  },
  {
    name: 'A login that gives a session',
    options: {
      baseURL: 'https://api.partner.example',
      tokenHeader: { name: 'X-Session' },
      requestToken: async ({ http }: Login) => {
        const { data } = await http.post<Session>('/login', { user: 'clinic', password: 'shown-once' });
        return { accessToken: data.session, expiresInMs: data.validForMs };
      },
    },
    shown:
      "tokenHeader: { name: 'X-Session' }, requestToken: async ({ http }) => { const { data } = await http.post('/login', { user, password }); return { accessToken: data.session, expiresInMs: data.validForMs }; }",
    credentials: 'own',
    demands: {
      contentType: JSON_TYPE,
      authentication: 'none',
      parameters: { user: 'clinic', password: 'shown-once' },
      tokenHeader: { name: 'X-Session', scheme: '' },
    },
    answers: {
      tokenPath: '/api/login',
      tokenResponse: ({ access_token }) => ({ session: access_token, validForMs: 900_000 }),
    },
    lifetime: 900,
    wrong: { tokenHeader: { name: 'X-Token' } },
  },
  {
    name: 'The API answers 419 to a dead token',
    options: { ...OWN, unauthorized: { statuses: [401, 419] } },
    shown: 'unauthorized: { statuses: [401, 419] }',
    credentials: 'secret',
    demands: post(),
    lifetime: 3600,
    deadToken: { status: 419 },
  },
  {
    name: 'The API answers 200 with a code to a dead token',
    options: {
      ...OWN,
      unauthorized: {
        when: ({ data }: { data: unknown }) => (data as { code?: string } | null)?.code === 'TOKEN_DEAD',
      },
    },
    shown: "unauthorized: { when: ({ data }) => data?.code === 'TOKEN_DEAD' }",
    credentials: 'secret',
    demands: post(),
    lifetime: 3600,
    deadToken: { status: 200, body: { code: 'TOKEN_DEAD' } },
  },
];
