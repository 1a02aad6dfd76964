import { readFile } from 'node:fs/promises';

interface Secret {
  data: { data: { client_id: string; client_secret: string; base_url: string } };
}

export class VaultAccounts {
  readonly #address: string;
  readonly #tokenFile: string;

  /** @param address of the vault; `tokenFile` holds its token, which an agent renews */
  constructor(address: string, tokenFile: string) {
    this.#address = address;
    this.#tokenFile = tokenFile;
  }

  async find(tenant: string) {
    // a name such as ".." leads elsewhere in the vault
    if (!/^[\w-]+$/.test(tenant)) return undefined;
    const response = await fetch(`${this.#address}/v1/secret/data/lab/${tenant}`, {
      headers: { 'x-vault-token': (await readFile(this.#tokenFile, 'utf8')).trim() },
      // a redirect would take the token along
      redirect: 'error',
      signal: AbortSignal.timeout(3_000),
    });
    if (response.status === 404) return undefined;
    if (!response.ok) throw new Error(`The vault answered ${response.status}.`);
    const { client_id, client_secret, base_url } = ((await response.json()) as Secret).data.data;
    return { clientId: client_id, clientSecret: client_secret, baseURL: base_url };
  }
}
