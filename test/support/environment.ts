import { afterEach, beforeEach } from '@jest/globals';

/** The process's environment without any `OAUTH_` variable, such as a developer's own, and as it was after each test. */
export function cleanEnvironment(): void {
  const environment = { ...process.env };
  beforeEach(forgetClients);
  afterEach(() => {
    process.env = { ...environment };
  });
}

/** Removes the variables of all clients. */
export function forgetClients(): void {
  for (const name of Object.keys(process.env)) if (name.startsWith('OAUTH_')) delete process.env[name];
}
