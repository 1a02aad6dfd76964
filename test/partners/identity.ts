import { FORM, KEY_ID, basic, post, type Partner } from './partner.js';

const jwt = (algorithm: string, claims: Record<string, string | RegExp>) => ({
  algorithm,
  header: { typ: 'JWT' },
  audience: 'token_endpoint',
  claims,
});
const MINE = { iss: 'clinic', sub: 'clinic', jti: /./ };
const SIGNED = { contentType: FORM, authentication: 'private_key_jwt' as const };
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const GRAPH = 'https://graph.microsoft.com/.default';

/** Identity platforms, clouds and what is built on them. */
export const IDENTITY: readonly Partner[] = [
  {
    name: 'Microsoft Entra ID, with a secret',
    source: 'https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow',
    preset: 'entra',
    options: { tenantId: 'contoso.onmicrosoft.com', scope: GRAPH },
    credentials: 'secret',
    demands: post({ scope: GRAPH }),
    answers: { expiresIn: 3599, tokenResponse: (members) => ({ ...members, ext_expires_in: 3599 }) },
    secondhand: true,
    lifetime: 3599,
    lifetimeVaries: true,
  },
  {
    name: 'Microsoft Entra ID, with a certificate',
    source: 'https://learn.microsoft.com/en-us/entra/identity-platform/certificate-credentials',
    preset: 'entra',
    options: {
      tenantId: 'contoso.onmicrosoft.com',
      clientId: 'clinic',
      privateKeyFile: 'private.pem',
      certificateFile: 'certificate.pem',
      scope: GRAPH,
    },
    credentials: 'own',
    demands: {
      ...SIGNED,
      parameters: { grant_type: 'client_credentials', scope: GRAPH },
      assertion: {
        ...jwt('PS256', MINE),
        header: { typ: 'JWT', 'x5t#S256': /^[\w-]{43}$/ },
        maxLifetime: 600,
      },
    },
    answers: { expiresIn: 3599 },
    lifetime: 3599,
    lifetimeVaries: true,
    wrong: { signingAlgorithm: 'RS256' },
  },
  {
    name: 'Microsoft Entra ID, with a federated token',
    source: 'https://learn.microsoft.com/en-us/entra/workload-id/workload-identity-federation',
    preset: 'entra',
    options: {
      tenantId: 'contoso.onmicrosoft.com',
      clientId: 'clinic',
      federatedTokenFile: 'projected.jwt',
      scope: GRAPH,
    },
    credentials: 'own',
    demands: {
      ...SIGNED,
      parameters: { grant_type: 'client_credentials', scope: GRAPH },
      assertion: {
        audience: 'api://AzureADTokenExchange',
        claims: { sub: 'system:serviceaccount:clinic:api' },
      },
    },
    answers: { expiresIn: 3599 },
    secondhand: true,
    lifetime: 3599,
    lifetimeVaries: true,
    wrong: { federatedTokenFile: 'other.jwt' },
  },
  {
    name: 'Google service account',
    source: 'https://developers.google.com/identity/protocols/oauth2/service-account',
    preset: 'googleServiceAccount',
    options: {
      keyFile: 'account.json',
      scope: 'https://www.googleapis.com/auth/calendar',
      subject: 'desk@clinic.example',
    },
    credentials: 'own',
    demands: {
      contentType: FORM,
      authentication: 'none',
      parameters: { grant_type: JWT_BEARER },
      assertion: {
        ...jwt('RS256', {
          iss: 'robot@clinic.example',
          sub: 'desk@clinic.example',
          scope: 'https://www.googleapis.com/auth/calendar',
        }),
        header: { typ: 'JWT', kid: KEY_ID },
        maxLifetime: 3600,
      },
    },
    secondhand: true,
    lifetime: 3600,
    wrong: { subject: 'nobody@clinic.example' },
  },
  {
    name: 'Zoom',
    source: 'https://developers.zoom.us/docs/internal-apps/s2s-oauth/',
    preset: 'zoom',
    options: { accountId: 'acc-1' },
    credentials: 'secret',
    demands: basic({ grant_type: 'account_credentials', account_id: 'acc-1' }),
    answers: {
      tokenResponse: (members) => ({ ...members, token_type: 'bearer', api_url: 'https://api.zoom.us' }),
    },
    lifetime: 3600,
    wrong: { accountId: 'acc-2' },
  },
  {
    name: 'Auth0',
    source:
      'https://auth0.com/docs/get-started/authentication-and-authorization-flow/client-credentials-flow/call-your-api-using-the-client-credentials-flow',
    options: {
      tokenEndpoint: 'https://clinic.eu.auth0.com/oauth/token',
      tokenEndpointAuthMethod: 'client_secret_post',
      audience: 'https://api.clinic.example',
      baseURL: 'https://api.clinic.example',
    },
    credentials: 'secret',
    demands: post({ audience: 'https://api.clinic.example' }),
    answers: { expiresIn: 86_400 },
    lifetime: 86_400,
    wrong: { audience: 'https://api.other.example' },
  },
  {
    name: 'Okta, service app',
    source: 'https://developer.okta.com/docs/guides/implement-oauth-for-okta-serviceapp/main/',
    options: {
      tokenEndpoint: 'https://clinic.okta.com/oauth2/v1/token',
      scope: 'okta.users.read',
      baseURL: 'https://clinic.okta.com',
    },
    credentials: 'key',
    demands: {
      ...SIGNED,
      parameters: { grant_type: 'client_credentials', scope: 'okta.users.read' },
      assertion: {
        algorithm: 'RS256',
        header: { kid: KEY_ID },
        audience: 'token_endpoint',
        claims: MINE,
        maxLifetime: 3600,
      },
    },
    secondhand: true,
    lifetime: 3600,
    lifetimeVaries: true,
    wrong: { assertion: { audience: 'https://clinic.okta.example' } },
  },
  {
    name: 'Amazon Cognito',
    source: 'https://docs.aws.amazon.com/cognito/latest/developerguide/token-endpoint.html',
    options: {
      tokenEndpoint: 'https://clinic.auth.eu-central-1.amazoncognito.com/oauth2/token',
      scope: 'records/read',
      baseURL: 'https://api.clinic.example',
    },
    credentials: 'secret',
    demands: basic({ scope: 'records/read' }),
    lifetime: 3600,
    lifetimeVaries: true,
    wrong: { requestFormat: 'json' },
  },
  {
    name: 'Docusign (aud is a bare host)',
    source: 'https://docs.docusign.com/esign/guide/authentication/oa2_jwt.html',
    options: {
      tokenEndpoint: 'https://account.docusign.com/oauth/token',
      tokenEndpointAuthMethod: 'none',
      privateKeyFile: 'private.pem',
      grant: {
        type: 'jwt_bearer',
        issuer: 'integration-key',
        subject: 'user-1',
        audience: 'account.docusign.com',
        claims: { scope: 'signature impersonation' },
      },
      baseURL: 'https://eu.docusign.net/restapi',
    },
    credentials: 'own',
    demands: {
      contentType: FORM,
      authentication: 'none',
      parameters: { grant_type: JWT_BEARER },
      assertion: {
        ...jwt('RS256', { iss: 'integration-key', sub: 'user-1', scope: 'signature impersonation' }),
        audience: 'account.docusign.com',
        maxLifetime: 3600,
      },
    },
    secondhand: true,
    lifetime: 3600,
    wrong: { grant: { type: 'jwt_bearer', issuer: 'integration-key', subject: 'user-1' } },
  },
  {
    name: 'NetSuite (the scope is a claim)',
    source: 'https://docs.oracle.com/en/cloud/saas/netsuite/ns-online-help/section_162790605110.html',
    options: {
      tokenEndpoint: 'https://1234.suitetalk.api.netsuite.com/services/rest/auth/oauth2/v1/token',
      signingAlgorithm: 'PS256',
      assertion: { typ: 'JWT', claims: { scope: 'rest_webservices' } },
      baseURL: 'https://1234.suitetalk.api.netsuite.com',
    },
    credentials: 'key',
    demands: {
      ...SIGNED,
      parameters: { grant_type: 'client_credentials' },
      assertion: {
        ...jwt('PS256', { iss: 'clinic', scope: 'rest_webservices' }),
        header: { typ: 'JWT', kid: KEY_ID },
        maxLifetime: 3600,
      },
    },
    lifetime: 3600,
    lifetimeVaries: true,
    wrong: { signingAlgorithm: 'RS256' },
  },
];
