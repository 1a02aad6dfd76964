import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { startClinic, type Clinic } from '../../sample-app/clinic.js';
import { firstCalls } from '../../sample-app/first-calls.js';
import { LiveService } from '../../sample-app/live/live.service.js';
import { PartnerCalls } from '../../sample-app/live/partner-calls.js';
import { cleanEnvironment } from '../support/environment.js';

cleanEnvironment();
let clinic: Clinic;

beforeEach(() => {
  process.env['PORT'] = '0';
});

afterEach(() => clinic.close());

async function start(): Promise<void> {
  clinic = await startClinic();
  clinic.app.useLogger(false);
}

const ask = (path: string, method = 'GET'): Promise<Response> => fetch(clinic.url + path, { method });
const partner = (client: string) =>
  clinic.app
    .get(LiveService)
    .partners()
    .find((each) => each.client === client)!;

/** What a page is told, up to what it waits for. */
async function toldUntil(pattern: RegExp): Promise<string> {
  const { body } = await ask('/live');
  let told = '';
  for await (const chunk of body!.pipeThrough(new TextDecoderStream())) {
    told += chunk;
    if (pattern.test(told)) break;
  }
  return told;
}

describe('what the page gets', () => {
  beforeEach(start);

  it('is its files, which may load nothing from elsewhere', async () => {
    for (const path of ['/', '/page.css', '/page.js', '/icon.svg', '/uplot/uPlot.esm.js']) {
      expect([path, (await ask(path)).status]).toEqual([path, 200]);
    }
    expect((await ask('/')).headers.get('content-security-policy')).toBe("default-src 'self'");
    expect((await ask('/..%2f.env.example')).status).toBe(404);
  });

  it('is the partners, then the latest events; nothing secret; and it does not keep the clinic from closing', async () => {
    await firstCalls(clinic);
    const told = await toldUntil(/"served":(?!1\b)\d+,/);
    expect(told.indexOf('event: partners')).toBeLessThan(told.indexOf('event: token'));
    expect(told).toContain('"type":"token_acquired","client":"lab","reason":"cold"');
    expect(told).toContain('"type":"token_acquired","client":"imaging","tenant":"south","reason":"cold"');
    expect(told.match(/event: token/g)).toHaveLength(5);
    for (const sandbox of Object.values(clinic.sandboxes)) expect(told).not.toContain(sandbox.clientSecret);
    await ask('/live');
  });
});

describe('the demonstrations', () => {
  beforeEach(start);

  it('an outage keeps the token at hand from whatever button would drop it', async () => {
    const buoy = clinic.sandboxes.buoy!;
    expect((await ask('/demo/buoy/outage', 'POST')).status).toBe(204);
    expect(partner('buoy')).toMatchObject({ state: 'degraded', failed: 0 });
    expect((await ask('/demo/buoy/outage', 'POST')).status).toBe(409);
    const { tokenRequests } = buoy;

    const burst = await (await ask('/demo/buoy/calls', 'POST')).json();
    expect(burst).toMatchObject({ served: 200, failed: 0, tokenRequests: 0 });
    expect((await ask('/demo/buoy/short-tokens', 'PUT')).status).toBe(204);
    expect(partner('buoy')).toMatchObject({ state: 'degraded', failed: 0 });
    expect(buoy.tokenRequests).toBe(tokenRequests);
    expect(buoy.tokenLifetimeMs).toBe(5_000);
  });

  it('tokens live as long as usual after an outage and after short ones', async () => {
    const { lab } = clinic.sandboxes;
    await ask('/demo/lab/short-tokens', 'PUT');
    expect(lab!.tokenLifetimeMs).toBe(5_000);
    await ask('/demo/lab/outage', 'POST');
    expect(lab!.tokenLifetimeMs).toBe(5_000);
    await ask('/demo/lab/short-tokens', 'DELETE');
    expect(lab!.tokenLifetimeMs).toBe(600_000);
  });

  it('there is none for a partner whose accounts are the clinics’', async () => {
    for (const path of ['calls', 'revocation', 'outage'])
      expect((await ask(`/demo/imaging/${path}`, 'POST')).status).toBe(404);
  });

  it.each(['nobody', 'constructor', '__proto__'])('there is none for %s', async (client) => {
    expect((await ask(`/demo/${client}/calls`, 'POST')).status).toBe(404);
    expect((await ask(`/demo/${client}/short-tokens`, 'PUT')).status).toBe(404);
  });
});

it('the page leaves a real partner alone', async () => {
  process.env['OAUTH_BUOY_CLIENT_ID'] = 'id';
  process.env['OAUTH_BUOY_CLIENT_SECRET'] = 'secret';
  await start();
  await toldUntil(/"served":[1-9]/);
  expect(partner('buoy')).toMatchObject({ state: 'idle', served: 0, failed: 0, tokenRequests: 0 });
  expect(partner('buoy').sandbox).toBeUndefined();
  for (const [path, method] of [
    ['calls', 'POST'],
    ['revocation', 'POST'],
    ['outage', 'POST'],
    ['short-tokens', 'PUT'],
    ['short-tokens', 'DELETE'],
  ] as const) {
    expect((await ask(`/demo/buoy/${path}`, method)).status).toBe(404);
  }
  expect(clinic.app.get(PartnerCalls).count('buoy')).toEqual({ served: 0, failed: 0 });
});
