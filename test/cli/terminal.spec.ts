import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { FakeAuthorizationServer } from 'nestjs-oauth-client/testing';
import { report } from '../../lib/cli/report.js';
import type { ClientCheck } from '../../lib/cli/check-clients.js';
import { hasTerminals, onTerminal, piped } from '../support/command.js';
import { CompiledCopy } from '../support/compiled-copy.js';

const CHECKS: ClientCheck[] = [
  {
    client: 'lab',
    method: 'client_secret_basic',
    outcome: 'ok',
    endpoint: 'https://auth.lab.example/oauth/token',
    lifetimeMs: 3_600_000,
    scope: 'results:read',
    clockDifferenceMs: 0,
    roundTripMs: 12,
  },
  {
    client: 'pharmacy-of-the-north',
    method: 'self_signed_tls_client_auth',
    outcome: 'failed',
    code: 'token_request_rejected',
    endpoint: `https://login.pharmacy.example/${'t'.repeat(70)}/oauth2/v2.0/token`,
    roundTripMs: 312,
    detail: 'The authorization server rejected the token request with status 401: invalid_client.',
    remedy: 'Check OAUTH_PHARMACY_OF_THE_NORTH_CLIENT_ID and OAUTH_PHARMACY_OF_THE_NORTH_CLIENT_SECRET.',
  },
];

describe('The table of the doctor', () => {
  it('has what finds no room below the line of its client', () => {
    expect(report(CHECKS.slice(0, 1), 80).split('\n')).toEqual([
      'client  outcome  lifetime  clock    round trip  scope',
      'lab     ok       60 min    in step  12 ms       results:read',
      '  method client_secret_basic',
      '  endpoint https://auth.lab.example/oauth/token',
    ]);
  });

  it('leaves out what is not known where there is no room', () => {
    const text = report(CHECKS.slice(1), 80);
    expect(text).toContain('\n  method self_signed_tls_client_auth\n');
    expect(text).not.toContain('scope –');
  });

  it.each([20, 40, 60, 80, 100, 120])(
    'has no line that is longer than the %d columns of a terminal',
    (columns) => {
      const lines = report(CHECKS, columns).split('\n');
      expect(lines.filter((line) => line.length > columns)).toEqual([]);
      const squeezed = lines.join('').replace(/\s/g, '');
      for (const { endpoint = '', detail = '', remedy = '' } of CHECKS)
        for (const text of [endpoint, detail, remedy]) expect(squeezed).toContain(text.replace(/\s/g, ''));
    },
  );
});

describe('The command', () => {
  let copy: CompiledCopy;
  let server: FakeAuthorizationServer;
  let environment: NodeJS.ProcessEnv;

  beforeAll(async () => {
    copy = await CompiledCopy.of();
  });
  afterAll(() => copy.remove());
  beforeEach(async () => {
    server = await FakeAuthorizationServer.start();
    environment = {
      ...process.env,
      NODE_OPTIONS: '',
      OAUTH_CLIENTS: 'lab,pharmacy',
      ...variablesOf('LAB'),
      ...variablesOf('PHARMACY'),
    };
  });
  afterEach(() => server.close());

  it('writes nothing but its table where it is piped, in 80 columns', async () => {
    const { stdout, stderr, code } = await piped([process.execPath, copy.path('lib/cli.ts'), 'check'], {
      env: environment,
    });
    expect([stderr, code]).toEqual(['', 0]);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^client {4}outcome {2}lifetime/);
    expect(lines.filter((line) => line.length > 80 || line.includes('\x1b'))).toEqual([]);
  });

  if (hasTerminals)
    it('names the client it is asking in a line that it replaces, on a terminal', async () => {
      server.latencyMs = 50;
      const command = [process.execPath, copy.path('lib/cli.ts'), 'check'];
      const { stdout, code } = await onTerminal(command, 40, { env: environment });
      expect(code).toBe(0);
      const line = '\r\x1b[KAsking for a token of';
      expect(stdout).toContain(`${line} lab …${line} pharmacy …\r\x1b[Kclient    outcome`);
      const shown = stdout.split('\r\x1b[K').at(-1) ?? '';
      expect(shown.split('\r\n').filter((one) => one.length > 40)).toEqual([]);
    });

  function variablesOf(client: string): Record<string, string> {
    return {
      [`OAUTH_${client}_TOKEN_ENDPOINT`]: server.tokenEndpoint,
      [`OAUTH_${client}_CLIENT_ID`]: 'clinic',
      [`OAUTH_${client}_CLIENT_SECRET`]: 'doctor-secret-never-shown',
    };
  }
});
