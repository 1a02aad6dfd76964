import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { explain, startClinic, type Clinic } from '../../sample-app/clinic.js';
import { describeRoutes, firstCalls } from '../../sample-app/first-calls.js';
import { startSandboxes } from '../../sample-app/partners/start-sandboxes.js';
import { cleanEnvironment, forgetClients } from '../support/environment.js';

const routes = {
  buoy: '/triage/suggestions?text=hip+pain',
  honeybee: '/patients/p-1001/prescriptions',
  lab: '/patients/p-1001/lab-results',
};

cleanEnvironment();

beforeEach(() => {
  process.env['PORT'] = '0';
});

describe('the running clinic', () => {
  let clinic: Clinic;
  beforeEach(async () => {
    clinic = await startClinic();
    clinic.app.useLogger(false);
  });
  afterEach(() => clinic.close());

  const call = (path: string): Promise<Response> => fetch(clinic.url + path);
  const images = (clinic: string): string => `/clinics/${clinic}/patients/p-1001/images`;
  const tokenRequests = () =>
    Object.keys(routes).map((client) => clinic.sandboxes[client as keyof typeof routes]?.tokenRequests);

  it('calls each partner through its controller, with one token request each however often it is called', async () => {
    const suggestions = { text: 'hip pain', suggestions: expect.arrayContaining(['hip pain at night']) };
    for (let round = 0; round < 3; round++) {
      const buoy = await call(routes.buoy);
      expect([buoy.status, await buoy.json()]).toEqual([200, suggestions]);
      const honeybee = await call(routes.honeybee);
      expect([honeybee.status, await honeybee.json()]).toMatchObject([200, { id: 123456, refills_left: 2 }]);
      const lab = await call(routes.lab);
      expect([lab.status, await lab.json()]).toMatchObject([200, { patient: 'p-1001' }]);
    }
    expect(tokenRequests()).toEqual([1, 1, 1]);
  });

  it('tells its page first, its routes, its partners, what came back and how many token requests it took', async () => {
    expect(describeRoutes(clinic)[0]).toContain(`${clinic.url}/`);
    const described = describeRoutes(clinic).join('\n');
    for (const path of Object.values(routes)) expect(described).toContain(path);

    const calls = await firstCalls(clinic);
    expect(calls).toEqual([
      expect.stringMatching(/buoy +1 token request +200 .*hip pain/),
      expect.stringMatching(/honeybee +1 token request +200 .*Atorvastatin/),
      expect.stringMatching(/lab +1 token request +200 .*LDL cholesterol/),
      expect.stringMatching(/imaging +2 token requests +200 .*"south".*X-ray/),
    ]);
    for (const sandbox of Object.values(clinic.sandboxes)) {
      expect(described).toContain(sandbox.url);
      expect([described, ...calls].join()).not.toContain(sandbox.clientSecret);
    }
  });

  it('shows how each OAuth client fares', async () => {
    await firstCalls(clinic);
    await expect((await call('/status')).json()).resolves.toMatchObject([
      ...Object.keys(routes).map((client) => ({ client, state: 'fresh', tokenRequests: 1 })),
      { client: 'imaging', tokenRequests: 2, tenants: { known: 2, degraded: 0, down: 0 } },
    ]);
  });

  it('shows its partners to operators, under /health and /metrics', async () => {
    await firstCalls(clinic);
    const health = await call('/health');
    expect([health.status, await health.json()]).toMatchObject([
      200,
      { status: 'ok', details: { partners: { status: 'up', clients: { buoy: { state: 'fresh' } } } } },
    ]);
    const metrics = await (await call('/metrics')).text();
    for (const client of Object.keys(routes)) {
      expect(metrics).toMatch(
        new RegExp(
          `^oauth_client_token_requests\\w*{client="${client}",outcome="acquired",reason="cold".*} 1$`,
          'm',
        ),
      );
      expect(metrics).toContain(`oauth_client_token_remaining_lifetime{client="${client}"`);
    }
  });

  it('gets by with one more token request each when the partners revoke all tokens', async () => {
    await firstCalls(clinic);
    for (const sandbox of Object.values(clinic.sandboxes)) sandbox.revokeAll();
    for (const path of Object.values(routes)) expect((await call(path)).status).toBe(200);
    expect(tokenRequests()).toEqual([2, 2, 2]);
  });

  it('goes on with its tokens while the authorization servers are down, and answers 503 without a token', async () => {
    await firstCalls(clinic);
    for (const sandbox of Object.values(clinic.sandboxes)) sandbox.goDown(60_000);
    for (const path of Object.values(routes)) expect((await call(path)).status).toBe(200);

    clinic.sandboxes.buoy?.revokeAll();
    await call(routes.buoy);
    const response = await call(routes.buoy);
    expect(response.status).toBe(503);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await call(routes.honeybee)).status).toBe(200);
  });

  it('78. calls the imaging archive for each clinic with a token and at a URL of its own', async () => {
    for (let round = 0; round < 3; round++) {
      for (const clinic of ['north', 'south']) {
        const answer = await call(images(clinic));
        const studies = ['X-ray, left hip', 'MRI, lumbar spine'].map((study) => ({ clinic, study }));
        expect([answer.status, await answer.json()]).toEqual([200, studies]);
      }
    }
    expect(clinic.sandboxes.imaging.tokenRequests).toBe(2);
  });

  it('78. replaces the token of the clinic whose tokens were revoked, and leaves the other one its own', async () => {
    await firstCalls(clinic);
    const { imaging } = clinic.sandboxes;
    imaging.revoke('north');
    for (const each of ['north', 'south']) expect((await call(images(each))).status).toBe(200);
    expect(imaging.countsOf('north')).toEqual({ tokenRequests: 2, refusedCalls: 1 });
    expect(imaging.countsOf('south')).toEqual({ tokenRequests: 1, refusedCalls: 0 });
  });

  it('78. a clinic is removed and added while it runs, and the other one notices nothing', async () => {
    await firstCalls(clinic);
    const { imaging } = clinic.sandboxes;
    const demo = (method: string): Promise<Response> => fetch(`${clinic.url}/demo/clinics/north`, { method });
    expect((await demo('DELETE')).status).toBe(204);
    expect((await call(images('north'))).status).toBe(404);
    expect((await call(images('south'))).status).toBe(200);
    expect(imaging.countsOf('north').tokenRequests).toBe(1);

    expect((await demo('PUT')).status).toBe(204);
    expect((await demo('PUT')).status).toBe(204);
    expect((await call(images('north'))).status).toBe(200);
    expect(imaging.countsOf('north')).toEqual({ tokenRequests: 2, refusedCalls: 0 });
    expect(imaging.countsOf('south')).toEqual({ tokenRequests: 1, refusedCalls: 0 });
  });

  it('78. calls under way are served when their clinic is removed', async () => {
    for (let round = 0; round < 10; round++) {
      const calls = Array.from({ length: 20 }, () => call(images('north')));
      await calls[0];
      const removed = fetch(`${clinic.url}/demo/clinics/north`, { method: 'DELETE' });
      const statuses = (await Promise.all(calls)).map(({ status }) => status);
      expect(statuses.filter((status) => ![200, 404].includes(status))).toEqual([]);
      expect((await removed).status).toBe(204);
      await fetch(`${clinic.url}/demo/clinics/north`, { method: 'PUT' });
    }
  });

  it.each(['nobody', 'constructor', '__proto__'])('78. there is no clinic %s', async (name) => {
    expect((await call(images(name))).status).toBe(404);
    for (const [path, method] of [
      ['', 'PUT'],
      ['', 'DELETE'],
      ['/revocation', 'POST'],
    ] as const)
      expect((await fetch(`${clinic.url}/demo/clinics/${name}${path}`, { method })).status).toBe(404);
    expect(clinic.sandboxes.imaging.tokenRequests).toBe(0);
  });

  it('answers 404 for a patient whom the partner does not know', async () => {
    expect((await call('/patients/p-9999/prescriptions')).status).toBe(404);
    expect((await call('/patients/p-9999/lab-results')).status).toBe(404);
    expect((await call('/clinics/north/patients/p-9999/images')).status).toBe(404);
    expect((await call('/patients/..%2Fp-1001/prescriptions')).status).toBe(404);
  });
});

describe('a clinic that cannot start', () => {
  const written: unknown[] = [];

  beforeEach(() => {
    written.length = 0;
    for (const stream of [process.stdout, process.stderr]) {
      jest.spyOn(stream, 'write').mockImplementation((chunk) => written.push(chunk) > 0);
    }
  });
  afterEach(() => {
    jest.restoreAllMocks();
  });

  async function failure(): Promise<string> {
    const line = await startClinic().then((clinic) => clinic.close().then(() => 'It started.'), explain);
    // Nest itself said nothing
    expect(written).toEqual([]);
    return line;
  }

  it('names the port in use, in one line', async () => {
    const clinic = await startClinic();
    const { port } = new URL(clinic.url);
    process.env['PORT'] = port;
    forgetClients();
    const line = await failure();
    await clinic.close();
    expect(line).toBe(`The clinic cannot start: port ${port} is in use. Set PORT to a free one.`);
  });

  it('names a PORT that is none, in one line', async () => {
    process.env['PORT'] = 'http';
    await expect(failure()).resolves.toBe(
      'The clinic cannot start: PORT must be a whole number from 0 to 65535.',
    );
  });

  it('61. names a missing secret by its variable, in one line that shows no value', async () => {
    process.env['OAUTH_BUOY_CLIENT_ID'] = 'the-clients-id';
    const line = await failure();
    expect(line).toMatch(/^The clinic cannot start: .*OAUTH_BUOY_CLIENT_SECRET.*$/);
    expect(line).not.toContain('the-clients-id');
  });
});

describe('the environment', () => {
  it('points a partner with credentials to no sandbox, and keeps its variables as they are', async () => {
    const given = {
      OAUTH_BUOY_PARTNER: 'buoy',
      OAUTH_BUOY_CLIENT_ID: 'id',
      OAUTH_BUOY_CLIENT_SECRET: 'secret',
    };
    const env: NodeJS.ProcessEnv = { ...given, OAUTH_HONEYBEE_CLIENT_ID: '', OAUTH_LAB_CLIENT_ID: '' };
    const sandboxes = await startSandboxes(env);
    await Promise.all(Object.values(sandboxes).map((sandbox) => sandbox.close()));
    expect(Object.keys(sandboxes)).toEqual(['honeybee', 'lab', 'imaging']);
    expect(Object.entries(env).filter(([name]) => name.startsWith('OAUTH_BUOY_'))).toEqual(
      Object.entries(given),
    );
    expect(env).toMatchObject({
      OAUTH_CLIENTS: 'buoy,honeybee,lab,imaging',
      OAUTH_HONEYBEE_CLIENT_ID: 'clinic',
    });
  });

  it('is documented in .env.example: a comment over each variable, and no secret', () => {
    const lines = readFileSync('sample-app/.env.example', 'utf8').split('\n');
    const variables = lines.filter((line) => line !== '' && !line.startsWith('#'));
    for (const variable of variables) {
      expect(variable).toMatch(/^[A-Z_]+=/);
      expect(lines[lines.indexOf(variable) - 1]).toMatch(/^# /);
    }
    expect(variables).toContain('OAUTH_CLIENTS=buoy,honeybee,lab,imaging');
    expect(variables.filter((line) => /(_ID|_SECRET)=./.test(line))).toEqual([]);
  });
});
