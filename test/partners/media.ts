import { basic, post, type Partner } from './partner.js';

/** Media, files and services. */
export const MEDIA: readonly Partner[] = [
  {
    name: 'Spotify',
    source: 'https://developer.spotify.com/documentation/web-api/tutorials/client-credentials-flow',
    options: {
      tokenEndpoint: 'https://accounts.spotify.com/api/token',
      baseURL: 'https://api.spotify.com/v1',
    },
    credentials: 'secret',
    demands: basic(),
    lifetime: 3600,
  },
  {
    name: 'Twitch',
    source: 'https://dev.twitch.tv/docs/authentication/getting-tokens-oauth/',
    options: {
      tokenEndpoint: 'https://id.twitch.tv/oauth2/token',
      tokenEndpointAuthMethod: 'client_secret_post',
      baseURL: 'https://api.twitch.tv/helix',
      http: { headers: { 'Client-Id': 'clinic' } },
    },
    credentials: 'secret',
    demands: { ...post(), apiHeaders: { 'Client-Id': 'clinic' } },
    answers: {
      expiresIn: 5_011_271,
      tokenResponse: (members) => ({ ...members, token_type: 'bearer' }),
    },
    secondhand: true,
    lifetime: 5_011_271,
    lifetimeVaries: true,
    wrong: { http: {} },
  },
  {
    name: 'X, app-only (no lifetime: the token stays)',
    source: 'https://docs.x.com/resources/fundamentals/authentication/oauth-2-0/application-only',
    options: {
      tokenEndpoint: 'https://api.x.com/oauth2/token',
      tokenRequestHeaders: { 'Content-Type': 'application/x-www-form-urlencoded;charset=UTF-8' },
      defaultLifetimeMs: 86_400_000,
      baseURL: 'https://api.x.com/2',
    },
    credentials: 'secret',
    demands: { ...basic(), contentType: 'application/x-www-form-urlencoded;charset=UTF-8' },
    answers: { tokenResponse: ({ access_token }) => ({ token_type: 'bearer', access_token }) },
    lifetime: 86_400,
  },
  {
    name: 'Adobe (scopes separated by commas)',
    source:
      'https://developer.adobe.com/developer-console/docs/guides/authentication/ServerToServerAuthentication/IMS',
    options: {
      tokenEndpoint: 'https://ims-na1.adobelogin.com/ims/token/v3',
      tokenEndpointAuthMethod: 'client_secret_post',
      scope: 'openid,AdobeID',
      baseURL: 'https://cloudmanager.adobe.io',
      http: { headers: { 'x-api-key': 'clinic', 'x-gw-ims-org-id': 'org' } },
    },
    credentials: 'secret',
    demands: {
      ...post({ scope: 'openid,AdobeID' }),
      apiHeaders: { 'x-api-key': 'clinic', 'x-gw-ims-org-id': 'org' },
    },
    answers: { expiresIn: 86_399, tokenResponse: (members) => ({ ...members, token_type: 'bearer' }) },
    lifetime: 86_399,
    wrong: { scope: 'openid AdobeID' },
  },
  {
    name: 'ServiceTitan',
    source: 'https://developer.servicetitan.io/docs/oauth20/',
    options: {
      tokenEndpoint: 'https://auth.servicetitan.io/connect/token',
      tokenEndpointAuthMethod: 'client_secret_post',
      baseURL: 'https://api.servicetitan.io',
      http: { headers: { 'ST-App-Key': 'app' } },
    },
    credentials: 'secret',
    demands: { ...post(), apiHeaders: { 'ST-App-Key': 'app' } },
    answers: { expiresIn: 900 },
    secondhand: true,
    lifetime: 900,
    lifetimeVaries: true,
    wrong: { http: {} },
  },
  {
    name: 'Salesforce (no lifetime in the answer)',
    source:
      'https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_client_credentials_flow.htm',
    options: {
      tokenEndpoint: 'https://clinic.my.salesforce.com/services/oauth2/token',
      tokenEndpointAuthMethod: 'client_secret_post',
      defaultLifetimeMs: 3_600_000,
      baseURL: 'https://clinic.my.salesforce.com',
    },
    credentials: 'secret',
    demands: post(),
    answers: {
      expiresIn: null,
      tokenResponse: (members) => ({
        ...members,
        instance_url: 'https://clinic.my.salesforce.com',
        issued_at: '4564564565767',
        signature: 's',
      }),
    },
    lifetime: 3600,
  },
  {
    name: 'Box',
    source: 'https://developer.box.com/guides/authentication/client-credentials/',
    options: {
      tokenEndpoint: 'https://api.box.com/oauth2/token',
      tokenEndpointAuthMethod: 'client_secret_post',
      parameters: { box_subject_type: 'enterprise', box_subject_id: '1234' },
      baseURL: 'https://api.box.com/2.0',
    },
    credentials: 'secret',
    demands: post({ box_subject_type: 'enterprise', box_subject_id: '1234' }),
    lifetime: 3600,
    lifetimeVaries: true,
    wrong: { parameters: { box_subject_type: 'user' } },
  },
];
