declare module 'sql.js' {
  interface Statement {
    step(): boolean;
    getAsObject(): Record<string, unknown>;
    free(): boolean;
  }

  class Database {
    prepare(sql: string, values: string[]): Statement;
    run(sql: string, values: string[]): this;
    export(): Uint8Array;
    close(): void;
  }

  export default function initSqlJs(): Promise<{ Database: typeof Database }>;
}
