import { FORM, JSON_TYPE, KEY_ID, basic, post, type Partner } from './partner.js';

const assertion = (algorithm: string | string[], maxLifetime = 300) => ({
  algorithm,
  header: { typ: 'JWT', kid: KEY_ID },
  audience: 'token_endpoint',
  claims: { iss: 'clinic', sub: 'clinic', jti: /./ },
  maxLifetime,
});
const signed = (scope?: string) => ({
  contentType: FORM,
  authentication: 'private_key_jwt' as const,
  parameters: { grant_type: 'client_credentials', ...(scope !== undefined && { scope }) },
});

/** Health records, pharmacies and triage. */
export const HEALTH: readonly Partner[] = [
  {
    name: 'Buoy Health',
    preset: 'buoy',
    options: {},
    credentials: 'secret',
    demands: { ...post({ audience: 'https://api.buoyhealth.com' }), contentType: JSON_TYPE },
    answers: { expiresIn: null },
    lifetime: 86_400,
    wrong: { requestFormat: 'form' },
  },
  {
    name: 'Honeybee Health',
    preset: 'honeybee',
    options: { scope: 'rx:read' },
    credentials: 'secret',
    demands: {
      ...post({ scope: 'rx:read' }),
      contentType: 'application/x-www-form-urlencoded;charset=utf-8',
      apiHeaders: { Accept: 'application/json' },
    },
    answers: { expiresIn: 43_200 },
    lifetime: 43_200,
  },
  {
    name: 'SMART Backend Services (Epic and other FHIR servers)',
    source: 'https://hl7.org/fhir/smart-app-launch/STU2/client-confidential-asymmetric.html',
    preset: 'smartBackend',
    options: { fhirBaseUrl: 'https://fhir.example/r4', scope: 'system/Patient.rs' },
    credentials: 'key',
    demands: { ...signed('system/Patient.rs'), assertion: assertion(['RS384', 'ES384']) },
    answers: { expiresIn: 300 },
    secondhand: true,
    lifetime: 300,
    wrong: { assertion: { typ: 'client-authentication+jwt' } },
  },
  {
    name: 'Redox',
    source: 'https://developer.redoxengine.com/redox-source-auth-v2/',
    options: {
      tokenEndpoint: 'https://api.redoxengine.com/v2/auth/token',
      signingAlgorithm: 'RS384',
      assertion: { typ: 'JWT' },
      baseURL: 'https://api.redoxengine.com',
    },
    credentials: 'key',
    demands: { ...signed(), assertion: assertion('RS384') },
    answers: { expiresIn: 300 },
    lifetime: 300,
    wrong: { signingAlgorithm: 'RS256' },
  },
  {
    name: 'NHS England, application-restricted APIs',
    source:
      'https://digital.nhs.uk/developer/guides-and-documentation/security-and-authorisation/application-restricted-restful-apis-signed-jwt-authentication',
    options: {
      tokenEndpoint: 'https://api.service.nhs.uk/oauth2/token',
      signingAlgorithm: 'RS512',
      assertion: { typ: 'JWT' },
      baseURL: 'https://api.service.nhs.uk',
    },
    credentials: 'key',
    demands: { ...signed(), assertion: assertion('RS512') },
    answers: { expiresIn: 599 },
    secondhand: true,
    lifetime: 599,
    lifetimeVaries: true,
    wrong: { assertion: { typ: 'JWT', lifetimeMs: 600_000 } },
  },
  {
    name: 'athenahealth',
    source: 'https://docs.athenahealth.com/api/guides/authentication-and-url-locations',
    options: {
      tokenEndpoint: 'https://api.platform.athenahealth.com/oauth2/v1/token',
      scope: 'athena/service/Athenanet.MDP.*',
      baseURL: 'https://api.platform.athenahealth.com',
    },
    credentials: 'secret',
    demands: basic({ scope: 'athena/service/Athenanet.MDP.*' }),
    secondhand: true,
    lifetime: 3600,
  },
  {
    name: 'Canvas Medical',
    source: 'https://docs.canvasmedical.com/api/customer-authentication/',
    options: {
      tokenEndpoint: 'https://clinic.canvasmedical.com/auth/token/',
      tokenEndpointAuthMethod: 'client_secret_post',
      baseURL: 'https://fumage-clinic.canvasmedical.com',
    },
    credentials: 'secret',
    demands: post(),
    answers: { expiresIn: 36_000 },
    lifetime: 36_000,
  },
];
