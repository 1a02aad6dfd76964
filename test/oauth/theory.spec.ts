import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { exportPKCS8, generateKeyPair, jwtVerify, type CryptoKey } from 'jose';
import type {
  GrantOptions,
  OAuthClientModuleOptions,
  OAuthClientOptions,
  TokenEndpointAuthMethod,
} from 'nestjs-oauth-client';
import { Application } from '../support/application.js';
import { Authority, fingerprintOf, type Identity } from '../support/certificates.js';
import { TlsServer, type TlsRequest } from '../support/tls-server.js';

const SECRET = 'a secret of & at least = thirty-two bytes';
const TOKEN_TYPE = 'urn:ietf:params:oauth:token-type';
const BASIC = `Basic ${Buffer.from('me:a+secret+of+%26+at+least+%3D+thirty-two+bytes').toString('base64')}`;

/** Fields by name; several values are a list. */
type Fields = Record<string, unknown>;

interface Grant {
  options: GrantOptions;
  subjectToken?: string;
  fields: Fields;
}

const grants = {
  client_credentials: {
    options: { type: 'client_credentials' },
    fields: { grant_type: 'client_credentials' },
  },
  refresh_token: {
    options: { type: 'refresh_token', refreshToken: async () => 'refresh & more' },
    fields: { grant_type: 'refresh_token', refresh_token: 'refresh & more' },
  },
  jwt_bearer: {
    options: { type: 'jwt_bearer', assertion: () => 'head.body.sig' },
    fields: { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion: 'head.body.sig' },
  },
  token_exchange: {
    options: { type: 'token_exchange', actorToken: 'actor & token', requestedTokenType: `${TOKEN_TYPE}:jwt` },
    subjectToken: 'subject+token',
    fields: {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: 'subject+token',
      subject_token_type: `${TOKEN_TYPE}:access_token`,
      actor_token: 'actor & token',
      actor_token_type: `${TOKEN_TYPE}:access_token`,
      requested_token_type: `${TOKEN_TYPE}:jwt`,
    },
  },
  'urn:partner:params:oauth:grant-type:account': {
    options: {
      type: 'urn:partner:params:oauth:grant-type:account',
      parameters: { account_id: 'account & number', key: async () => 'key + more' },
    },
    fields: {
      grant_type: 'urn:partner:params:oauth:grant-type:account',
      account_id: 'account & number',
      key: 'key + more',
    },
  },
} satisfies Record<string, Grant>;

interface Method {
  options: OAuthClientOptions;
  /** The fields it adds, apart from the assertion. */
  fields: Fields;
  authorization?: string;
  certificate?: string;
  assertionKey?: CryptoKey | Uint8Array;
}

const formats = ['form', 'json'] as const;
const asked: OAuthClientOptions = {
  clientId: 'me',
  scope: 'write read',
  audience: 'one',
  resource: ['https://a.example', 'https://b.example'],
};
const askedFields: Fields = {
  scope: 'write read',
  audience: 'one',
  resource: ['https://a.example', 'https://b.example'],
};
const assertionFields = {
  client_id: 'me',
  client_assertion: expect.any(String),
  client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
};

const methodNames: TokenEndpointAuthMethod[] = [
  'client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt',
  'tls_client_auth', 'self_signed_tls_client_auth', 'none',
]; // prettier-ignore
const theory = Object.entries<Grant>(grants).flatMap(([name, grant]) =>
  methodNames.flatMap((method) => formats.map((format) => [name, grant, method, format] as const)),
);

let authority: Authority;
let server: TlsServer;
let methods: Record<TokenEndpointAuthMethod, Method>;

async function makeMethods(identity: Identity, own: Identity): Promise<typeof methods> {
  const { ca } = authority;
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  const pem = await exportPKCS8(privateKey);
  const secret = { clientSecret: SECRET, tls: { ca } };
  return {
    client_secret_basic: { options: secret, fields: {}, authorization: BASIC },
    client_secret_post: { options: secret, fields: { client_id: 'me', client_secret: SECRET } },
    client_secret_jwt: {
      options: secret,
      fields: assertionFields,
      assertionKey: new TextEncoder().encode(SECRET),
    },
    private_key_jwt: {
      options: { privateKey: pem, tls: { ca } },
      fields: assertionFields,
      assertionKey: publicKey,
    },
    tls_client_auth: {
      options: { tls: { ca, ...identity } },
      fields: { client_id: 'me' },
      certificate: fingerprintOf(identity),
    },
    self_signed_tls_client_auth: {
      options: { tls: { ca, ...own } },
      fields: { client_id: 'me' },
      certificate: fingerprintOf(own),
    },
    none: { options: { tls: { ca } }, fields: { client_id: 'me' } },
  };
}

beforeAll(async () => {
  authority = new Authority();
  methods = await makeMethods(authority.client('me'), authority.selfSigned('me'));
  let issued = 0;
  const answer = () => ({
    status: 200,
    body: { access_token: `t${++issued}`, token_type: 'bearer', expires_in: 60, issued_token_type: 'x' },
  });
  server = await TlsServer.start(authority, answer, { demanding: false });
});
afterEach(() => void server.requests.splice(0));
afterAll(async () => {
  await server.close();
  authority.remove();
});

function clients(): NonNullable<OAuthClientModuleOptions['clients']> {
  return Object.fromEntries(
    theory.map(([name, grant, method, format]) => {
      const options: OAuthClientOptions = {
        ...asked,
        ...methods[method].options,
        tokenEndpoint: `${server.url}/token?realm=1`,
        tokenEndpointAuthMethod: method,
        requestFormat: format,
        grant: grant.options,
        parameters: { tenant: `${name} & ${method} & ${format}` },
      };
      return [`${name} ${method} ${format}`, options];
    }),
  );
}

/** The fields of a request by its own Content-Type. */
function fieldsOf({ headers, body, form }: TlsRequest): Fields {
  if (headers['content-type'] === 'application/json') return JSON.parse(body) as Fields;
  const names = [...new Set(form.keys())];
  return Object.fromEntries(
    names.map((name) => [name, form.getAll(name).length > 1 ? form.getAll(name) : form.get(name)]),
  );
}

describe('grant × authentication method × body format', () => {
  it(`each of ${theory.length} clients asks with exactly its fields, all in one application`, async () => {
    const app = await Application.start({ oauth: { clients: clients() } });
    for (const [kind, { subjectToken, fields }, method, format] of theory) {
      const name = `${kind} ${method} ${format}`;
      const token = await app.token(subjectToken === undefined ? {} : { subjectToken }, name);
      expect(token.authorization).toMatch(/^Bearer t\d+$/);
      expect(server.requests).toHaveLength(1);
      const request = server.requests.pop()!;
      expect([name, wireOf(request)]).toEqual([
        name,
        {
          method: 'POST',
          url: '/token?realm=1',
          type: format === 'json' ? 'application/json' : 'application/x-www-form-urlencoded',
          accept: 'application/json',
          authorization: methods[method].authorization,
          certificate: methods[method].certificate,
          fields: {
            ...fields,
            ...askedFields,
            ...methods[method].fields,
            tenant: `${kind} & ${method} & ${format}`,
          },
        },
      ]);
      await expectRightAssertion(fieldsOf(request), methods[method]);
    }
  });
});

/** All of a request that matters. */
function wireOf(request: TlsRequest) {
  const { method, url, certificate, headers } = request;
  const { 'content-type': type, accept, authorization } = headers;
  return { method, url, type, accept, authorization, certificate, fields: fieldsOf(request) };
}

async function expectRightAssertion(fields: Fields, { assertionKey }: Method): Promise<void> {
  if (assertionKey === undefined) return;
  const { payload } = await jwtVerify(fields['client_assertion'] as string, assertionKey);
  expect(payload).toMatchObject({ iss: 'me', sub: 'me', aud: `${server.url}/token?realm=1` });
}
