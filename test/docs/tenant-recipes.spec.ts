import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Module } from '@nestjs/common';
import { OAuthClientModule, type OAuthClientOptions } from 'nestjs-oauth-client';
import initSqlJs from 'sql.js';
import { Application } from '../support/application.js';
import { Clinics } from '../support/clinics.js';
import { closing } from '../support/closing.js';
import { LabAccounts, type AccountsDatabase } from './recipes/database-accounts.js';
import { VaultAccounts } from './recipes/vault-accounts.js';

const page = readFileSync(resolve(import.meta.dirname, '../../docs/tenants.md'), 'utf8');
const KEY = Buffer.alloc(32, 7).toString('base64url');

/** What a partner's table says of a tenant, as the recipes keep it. */
function accountOf(clinics: Clinics, tenant: string) {
  const { clientId, clientSecret } = clinics.table.get(tenant) as { clientId: string; clientSecret: string };
  return { clientId, clientSecret, baseURL: clinics.server.apiURL };
}

/** An application whose client "lab" has these accounts for tenants, injected as the page has it. */
function start(clinics: Clinics, accounts: { find(tenant: string): unknown }): Promise<Application> {
  class Accounts {}
  const provider = { provide: Accounts, useValue: accounts };
  class AccountsModule {}
  Module({ providers: [provider], exports: [provider] })(AccountsModule);
  return Application.start({
    imports: [
      OAuthClientModule.forRootAsync({
        imports: [AccountsModule],
        inject: [Accounts],
        useFactory: ({ find }: typeof accounts) => ({
          clients: {
            lab: clinics.client({
              tenants: (tenant) => find.call(accounts, tenant) as OAuthClientOptions,
            }),
          },
        }),
      }),
      OAuthClientModule.forFeature('lab'),
    ],
    secrets: [KEY, 'the-vault-token', ...clinics.secrets.values()],
  });
}

const ownerOf = async (application: Application, tenant: string): Promise<unknown> =>
  (await application.get('/x', { oauth: { tenant } })).data;

describe.each(['database', 'vault'])('the recipe "From a %s"', (kind) => {
  it('is on the page as it runs here', () => {
    const code = readFileSync(join(import.meta.dirname, `recipes/${kind}-accounts.ts`), 'utf8');
    expect(page).toContain(`\`\`\`ts\n${code}\`\`\``);
  });
});

describe('the recipe "From a database"', () => {
  let clinics: Clinics;
  let database: Database;
  let accounts: LabAccounts;
  let application: Application;

  beforeEach(async () => {
    clinics = await Clinics.with('north', 'south');
    database = closing(await openDatabase());
    accounts = new LabAccounts(database, KEY);
    for (const tenant of ['north', 'south']) accounts.save(tenant, accountOf(clinics, tenant));
    application = await start(clinics, accounts);
  });

  it('78. gives each tenant its credentials, and keeps no secret in clear', async () => {
    for (const tenant of ['north', 'south'])
      expect(await ownerOf(application, tenant)).toEqual({ owner: `id-of-${tenant}` });
    const file = Buffer.from(database.bytes()).toString('latin1');
    expect(file).toContain('north');
    for (const [id, secret] of clinics.secrets) {
      expect(file).not.toContain(id);
      expect(file).not.toContain(secret);
    }
  });

  it('78. uses credentials that were replaced while it runs, and those of a tenant that came later', async () => {
    await ownerOf(application, 'north');
    clinics.rotate('north');
    accounts.save('north', accountOf(clinics, 'north'));
    await application.token({ tenant: 'north', forceRefresh: true }, 'lab');
    expect(await ownerOf(application, 'north')).toEqual({ owner: 'id-of-north' });
    clinics.add('east');
    accounts.save('east', accountOf(clinics, 'east'));
    expect(await ownerOf(application, 'east')).toEqual({ owner: 'id-of-east' });
  });

  it('78. knows no tenant that was removed', async () => {
    await ownerOf(application, 'north');
    accounts.remove('north');
    await application.tokens.forgetTenant('lab', 'north');
    const error = await application.failure(ownerOf(application, 'north'));
    expect(error).toMatchObject({ code: 'unknown_client', tenant: 'north' });
    expect(await ownerOf(application, 'south')).toEqual({ owner: 'id-of-south' });
  });

  it.each([
    ['is another tenant’s', () => database.sealed('south')],
    ['was changed', () => `${database.sealed('north').slice(0, -4)}AAAA`],
    ['was cut short', () => database.sealed('north').slice(0, 24)],
  ])('78. takes no row that %s', async (_, sealed) => {
    database.prepare('UPDATE lab_accounts SET sealed = ? WHERE tenant = ?').run(sealed(), 'north');
    const error = await application.failure(ownerOf(application, 'north'));
    expect(error).toMatchObject({ code: 'credentials_unavailable', tenant: 'north' });
    expect(await ownerOf(application, 'south')).toEqual({ owner: 'id-of-south' });
    expect(clinics.requested).toEqual(['id-of-south']);
  });

  it('78. opens no row with another key', async () => {
    const others = new LabAccounts(database, Buffer.alloc(32, 8).toString('base64url'));
    expect(() => others.find('north')).toThrow();
  });
});

describe('the recipe "From a vault"', () => {
  let folder: string;
  let tokenFile: string;
  let clinics: Clinics;
  let vault: FakeVault;
  let application: Application;

  beforeEach(async () => {
    clinics = await Clinics.with('north', 'south');
    vault = closing(await FakeVault.start(clinics));
    folder = mkdtempSync(join(tmpdir(), 'vault-'));
    tokenFile = join(folder, 'token');
    writeFileSync(tokenFile, 'the-vault-token\n');
    application = await start(clinics, new VaultAccounts(vault.url, tokenFile));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('78. gives each tenant its credentials, and asks once', async () => {
    for (const tenant of ['north', 'south', 'north'])
      expect(await ownerOf(application, tenant)).toEqual({ owner: `id-of-${tenant}` });
    expect(vault.asked).toEqual(['/v1/secret/data/lab/north', '/v1/secret/data/lab/south']);
  });

  it.each(['west', '..', '../north', 'north/x', 'north?version=1', 'north%2f..'])(
    '78. knows no tenant %s',
    async (tenant) => {
      const error = await application.failure(ownerOf(application, tenant));
      expect(error).toMatchObject({ code: 'unknown_client', tenant });
      expect(vault.asked).toEqual(tenant === 'west' ? ['/v1/secret/data/lab/west'] : []);
      expect(clinics.requested).toEqual([]);
    },
  );

  it.each(['sealed', 'forbidden', 'redirecting', 'not JSON'] as const)(
    '78. asks a vault that is %s again with the next call',
    async (mood) => {
      vault.mood = mood;
      const error = await application.failure(ownerOf(application, 'north'));
      expect(error).toMatchObject({ code: 'credentials_unavailable', tenant: 'north', retryable: true });
      vault.mood = 'well';
      expect(await ownerOf(application, 'north')).toEqual({ owner: 'id-of-north' });
      expect(vault.asked).toHaveLength(2);
    },
  );

  it('78. reads the vault’s token anew each time', async () => {
    await ownerOf(application, 'north');
    vault.token = 'a-renewed-token';
    writeFileSync(tokenFile, 'a-renewed-token\n');
    expect(await ownerOf(application, 'south')).toEqual({ owner: 'id-of-south' });
  });
});

/** A vault with the HTTP API of HashiCorp Vault's key-value engine, version 2. */
class FakeVault {
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

interface Database extends AccountsDatabase {
  /** The database's file. */
  bytes(): Uint8Array;
  sealed(tenant: string): string;
  close(): Promise<void>;
}

/** SQLite: Node's own where there is one, else sql.js behind the same methods. */
async function openDatabase(): Promise<Database> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const isBuiltIn = major > 22 || (major === 22 && minor >= 13);
  return isBuiltIn ? openNodeDatabase() : openSqlJs();
}

async function openNodeDatabase(): Promise<Database> {
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite') as unknown as NodeSqlite;
  const folder = mkdtempSync(join(tmpdir(), 'accounts-'));
  const database = new DatabaseSync(join(folder, 'accounts.db'));
  return {
    prepare: (sql) => database.prepare(sql),
    bytes: () => readFileSync(join(folder, 'accounts.db')),
    sealed: (tenant) => sealedOf(database, tenant),
    close: async () => {
      database.close();
      rmSync(folder, { recursive: true });
    },
  };
}

interface NodeSqlite {
  DatabaseSync: new (path: string) => AccountsDatabase & { close(): void };
}

async function openSqlJs(): Promise<Database> {
  const { Database: SqlJsDatabase } = await initSqlJs();
  const database = new SqlJsDatabase();
  const own: AccountsDatabase = {
    prepare: (sql) => ({
      run: (...values) => database.run(sql, values),
      get: (...values) => {
        const statement = database.prepare(sql, values);
        const row = statement.step() ? statement.getAsObject() : undefined;
        statement.free();
        return row;
      },
    }),
  };
  return {
    ...own,
    bytes: () => database.export(),
    sealed: (tenant) => sealedOf(own, tenant),
    close: async () => database.close(),
  };
}

function sealedOf(database: AccountsDatabase, tenant: string): string {
  const row = database.prepare('SELECT sealed FROM lab_accounts WHERE tenant = ?').get(tenant);
  return (row as { sealed: string }).sealed;
}
