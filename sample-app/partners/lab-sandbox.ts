import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import type { Adapter, Provider } from 'oidc-provider';
import { PartnerSandbox, bearerToken, sendJson } from './partner-sandbox.js';

const SCOPE = 'results:read';

/** By patient; made up. */
const RESULTS = new Map([
  [
    'p-1001',
    [
      { test: 'LDL cholesterol', value: 96, unit: 'mg/dL', reference: 'below 100' },
      { test: 'ALT', value: 31, unit: 'U/L', reference: '7 to 56' },
    ],
  ],
  ['p-1002', [{ test: 'Hemoglobin A1c', value: 6.9, unit: '%', reference: 'below 5.7' }]],
]);

/** A laboratory behind a standard authorization server (oidc-provider): discovery, HTTP Basic, a scope and a resource. */
export class LabSandbox extends PartnerSandbox {
  tokenLifetimeMs = 10 * 60 * 1000;
  protected readonly tokenPath = '/token';
  protected readonly apiPath = '/api/';
  #provider: Provider | undefined;

  get environment(): Record<string, string> {
    return {
      OAUTH_LAB_ISSUER: this.url,
      OAUTH_LAB_CLIENT_ID: this.clientId,
      OAUTH_LAB_CLIENT_SECRET: this.clientSecret,
      OAUTH_LAB_SCOPE: SCOPE,
      OAUTH_LAB_RESOURCE: this.#resource,
      OAUTH_LAB_BASE_URL: this.#resource,
    };
  }

  override async start(): Promise<this> {
    await super.start();
    // the issuer is this server's own address, known only now
    this.#provider = await this.#createProvider();
    return this;
  }

  protected async answer(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    if (!url.pathname.startsWith(this.apiPath)) return this.#provider?.callback()(request, response);

    const value = bearerToken(request);
    const token = value === undefined ? undefined : await this.#provider?.ClientCredentials.find(value);
    if (token?.aud !== this.#resource || token.scope !== SCOPE || token.isExpired) {
      const challenge = { 'www-authenticate': 'Bearer error="invalid_token"' };
      return sendJson(response, 401, { error: 'invalid_token' }, challenge);
    }
    const patient = /^\/api\/patients\/([^/]+)\/results$/.exec(url.pathname)?.[1];
    const results = request.method === 'GET' && patient !== undefined && RESULTS.get(patient);
    if (!results) return sendJson(response, 404, { error: 'not_found' });
    sendJson(response, 200, { patient, results });
  }

  get #resource(): string {
    return `${this.url}${this.apiPath}`;
  }

  async #createProvider(): Promise<Provider> {
    const { privateKey } = await generateKeyPair('ES256', { extractable: true });
    const { Provider } = await importProvider();
    return new Provider(this.url, {
      clients: [
        {
          client_id: this.clientId,
          client_secret: this.clientSecret,
          grant_types: ['client_credentials'],
          token_endpoint_auth_method: 'client_secret_basic',
          redirect_uris: [],
          response_types: [],
          // no ID token is ever signed here, but the provider wants a key for it
          id_token_signed_response_alg: 'ES256',
        },
      ],
      scopes: [SCOPE],
      features: {
        clientCredentials: { enabled: true },
        devInteractions: { enabled: false },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: () => ({ scope: SCOPE, accessTokenFormat: 'opaque' }),
        },
      },
      ttl: { ClientCredentials: () => Math.floor(this.tokenLifetimeMs / 1000) },
      adapter: () => this.#storage,
      jwks: { keys: [await exportJWK(privateKey)] },
      cookies: { keys: [randomBytes(24).toString('base64url')] },
    });
  }

  /** Only client_credentials tokens are ever stored here: what serves other grants does nothing. */
  readonly #storage: Adapter = {
    upsert: async (id, payload) => void this.issued.set(id, payload),
    find: async (id) => this.issued.get(id),
    destroy: async (id) => void this.issued.delete(id),
    consume: async () => {},
    findByUid: async () => undefined,
    findByUserCode: async () => undefined,
    revokeByGrantId: async () => {},
  };
}

/** Without its warning about Node 20, which it runs on but no longer supports: here it serves as a stand-in only. */
async function importProvider(): Promise<typeof import('oidc-provider')> {
  const { warn } = console;
  console.warn = () => {};
  try {
    return await import('oidc-provider');
  } finally {
    console.warn = warn;
  }
}
