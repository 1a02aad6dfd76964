import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clinics } from '../support/clinics.js';

/** What a partner's table says of a tenant, as the recipes keep it. */
export function accountOf(clinics: Clinics, tenant: string) {
  const { clientId, clientSecret } = clinics.table.get(tenant) as { clientId: string; clientSecret: string };
  return { clientId, clientSecret, baseURL: clinics.server.apiURL };
}

/** A vault with the HTTP API of HashiCorp Vault's key-value engine, version 2. */
export class FakeVault {
  mood: 'well' | 'sealed' | 'forbidden' | 'redirecting' | 'not JSON' = 'well';
  token = 'the-vault-token';
  readonly asked: string[] = [];
  readonly #server: Server;

  private constructor(clinics: Clinics) {
    this.#server = createServer((request, response) => {
      const { status, body, headers = {} } = this.#answer(request, clinics);
      response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body));
    });
  }

  static async start(clinics: Clinics): Promise<FakeVault> {
    const vault = new FakeVault(clinics);
    await new Promise<void>((resolve) => vault.#server.listen(0, '127.0.0.1', resolve));
    return vault;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer({ url = '', headers }: IncomingMessage, clinics: Clinics) {
    this.asked.push(url);
    if (this.mood === 'sealed') return { status: 503, body: { errors: ['Vault is sealed'] } };
    if (this.mood === 'redirecting') return { status: 307, body: '', headers: { location: '/elsewhere' } };
    if (this.mood === 'not JSON') return { status: 200, body: '<html>' };
    if (this.mood === 'forbidden' || headers['x-vault-token'] !== this.token)
      return { status: 403, body: { errors: ['permission denied'] } };
    const tenant = /^\/v1\/secret\/data\/lab\/([\w-]+)$/.exec(url)?.[1] ?? '';
    if (!clinics.table.has(tenant)) return { status: 404, body: { errors: [] } };
    const { clientId, clientSecret, baseURL } = accountOf(clinics, tenant);
    const data = { client_id: clientId, client_secret: clientSecret, base_url: baseURL };
    return { status: 200, body: { data: { data, metadata: { version: 1 } } } };
  }
}
