import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import initSqlJs from 'sql.js';
import type { AccountsDatabase } from './recipes/database-accounts.js';

/** A database, and what is in its file. */
export interface AccountsFile extends AccountsDatabase {
  /** The database's file. */
  bytes(): Uint8Array;
  sealed(tenant: string): string;
  close(): Promise<void>;
}

/** SQLite: Node's own where there is one, else sql.js behind the same methods. */
export async function openDatabase(): Promise<AccountsFile> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const isBuiltIn = major > 22 || (major === 22 && minor >= 13);
  return isBuiltIn ? openNodeDatabase() : openSqlJs();
}

async function openNodeDatabase(): Promise<AccountsFile> {
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite') as NodeSqlite;
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

async function openSqlJs(): Promise<AccountsFile> {
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
