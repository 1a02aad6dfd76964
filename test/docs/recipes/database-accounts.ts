import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/** What the accounts need of a database: `DatabaseSync` of node:sqlite has it, and so has better-sqlite3. */
export interface AccountsDatabase {
  prepare(sql: string): { get(...values: string[]): unknown; run(...values: string[]): unknown };
}

export interface LabAccount {
  clientId: string;
  clientSecret: string;
  baseURL: string;
}

export class LabAccounts {
  readonly #db: AccountsDatabase;
  readonly #key: Buffer;

  /** @param key 32 bytes in base64url, from outside the database */
  constructor(db: AccountsDatabase, key: string) {
    this.#db = db;
    this.#key = Buffer.from(key, 'base64url');
    db.prepare(
      'CREATE TABLE IF NOT EXISTS lab_accounts (tenant TEXT PRIMARY KEY, sealed TEXT NOT NULL)',
    ).run();
  }

  find(tenant: string): LabAccount | undefined {
    const row = this.#db.prepare('SELECT sealed FROM lab_accounts WHERE tenant = ?').get(tenant);
    return row ? this.#open((row as { sealed: string }).sealed, tenant) : undefined;
  }

  save(tenant: string, account: LabAccount): void {
    this.#db
      .prepare('INSERT OR REPLACE INTO lab_accounts VALUES (?, ?)')
      .run(tenant, this.#seal(account, tenant));
  }

  remove(tenant: string): void {
    this.#db.prepare('DELETE FROM lab_accounts WHERE tenant = ?').run(tenant);
  }

  /** The tenant is authenticated with its account, so that no row can take the place of another. */
  #seal(account: LabAccount, tenant: string): string {
    const iv = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#key, iv).setAAD(Buffer.from(tenant));
    const sealed = [cipher.update(JSON.stringify(account)), cipher.final()];
    return Buffer.concat([iv, cipher.getAuthTag(), ...sealed]).toString('base64url');
  }

  #open(sealed: string, tenant: string): LabAccount {
    const bytes = Buffer.from(sealed, 'base64url');
    const options = { authTagLength: 16 };
    const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, 12), options);
    decipher.setAAD(Buffer.from(tenant)).setAuthTag(bytes.subarray(12, 28));
    const opened = Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]);
    return JSON.parse(opened.toString()) as LabAccount;
  }
}
