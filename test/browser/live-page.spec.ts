import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { AxeResults } from 'axe-core';
import axe from 'axe-core';
import { OAuthTokenService } from 'nestjs-oauth-client';
import { chromium, type Browser, type Locator, type Page } from 'playwright-core';
import { startClinic, type Clinic } from '../../sample-app/clinic.js';
import { firstCalls } from '../../sample-app/first-calls.js';
import { PartnerCalls } from '../../sample-app/live/partner-calls.js';
import { forgetClients } from '../support/environment.js';
import { findChromium } from './chromium.js';

const CLIENTS = ['buoy', 'honeybee', 'lab'] as const;
type Client = (typeof CLIENTS)[number];
const CLINICS = ['north', 'south'] as const;
type ClinicName = (typeof CLINICS)[number];

const executablePath = findChromium();
const required = process.env['CI'] === 'true';
if (executablePath === undefined && !required) {
  process.stderr.write('Skipped: the live page. Install Chromium (apt-get install chromium) to run it.\n');
}
const describePage = executablePath === undefined && !required ? describe.skip : describe;

describePage('the live page', () => {
  const environment = { ...process.env };
  let clinic: Clinic;
  let browser: Browser;
  let page: Page;
  const troubles: string[] = [];

  beforeAll(async () => {
    if (executablePath === undefined) throw new Error('There is no Chromium: apt-get install chromium');
    forgetClients();
    process.env['PORT'] = '0';
    clinic = await startClinic();
    clinic.app.useLogger(false);
    await firstCalls(clinic);
    browser = await chromium.launch({
      executablePath,
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    });
  }, 60_000);

  afterAll(async () => {
    // while a page is open: it must not keep the clinic from closing
    await clinic?.close();
    await browser?.close();
    process.env = environment;
  }, 60_000);

  async function openPage(options: Parameters<Browser['newPage']>[0] = {}): Promise<Page> {
    const opened = await browser.newPage(options);
    opened.setDefaultTimeout(30_000);
    opened.on('pageerror', (error) => troubles.push(error.message));
    opened.on('console', (message) => {
      if (['warning', 'error'].includes(message.type())) troubles.push(message.text());
    });
    opened.on('request', (request) => {
      if (!request.url().startsWith(clinic.url)) troubles.push(`asked for ${request.url()}`);
    });
    // not by a script element, which the page's Content-Security-Policy forbids
    await opened.addInitScript(axe.source);
    await opened.goto(clinic.url);
    await opened.getByText('Live', { exact: true }).waitFor();
    return opened;
  }

  beforeEach(async () => {
    page = await openPage({ viewport: { width: 1280, height: 900 } });
  }, 60_000);

  afterEach(async () => {
    expect(troubles).toEqual([]);
    await page.close();
  });

  /** The card of a partner or of a clinic. */
  const card = (whose: Client | ClinicName): Locator =>
    page.locator(`[data-client="${whose}"], [data-clinic="${whose}"]`);
  const button = (client: Client | ClinicName, name: string): Locator =>
    card(client).getByRole('button', { name });
  const figure = (client: Client | ClinicName, name: string): Promise<string> =>
    card(client).locator(`[data-figure="${name}"]`).innerText();
  const count = async (client: Client | ClinicName, name: string): Promise<number> =>
    Number((await figure(client, name)).replaceAll(',', ''));
  const story = (client: Client | ClinicName, text: string): Promise<void> =>
    card(client).locator('.story').getByText(text, { exact: true }).waitFor();
  const state = (client: Client | ClinicName, text: string): Promise<void> =>
    card(client).locator('.state').getByText(text, { exact: true }).waitFor();
  const tokenRequests = (client: Client): number => clinic.sandboxes[client]!.tokenRequests;

  /** Until the page shows a figure of at least `least`. */
  async function reach(client: Client | ClinicName, name: string, least: number): Promise<void> {
    const deadline = Date.now() + 30_000;
    while ((await count(client, name)) < least) {
      if (Date.now() > deadline) throw new Error(`${client} ${name} stays below ${least}`);
      await page.waitForTimeout(50);
    }
  }

  /** Calls go on, and none of them fails. */
  async function expectService(client: Client | ClinicName): Promise<void> {
    await reach(client, 'served', (await count(client, 'served')) + 4);
    expect([client, await figure(client, 'failed')]).toEqual([client, '0']);
  }

  it('shows what the back end knows', async () => {
    for (const client of CLIENTS) {
      await state(client, 'Fresh');
      await expectService(client);
      expect(await count(client, 'tokenRequests')).toBe(tokenRequests(client));
      expect(await figure(client, 'lastRefresh')).toMatch(/^cold, /);
      expect(await figure(client, 'lastFailure')).toBe('none');
    }
    expect(await card('buoy').getByRole('meter').getAttribute('aria-valuetext')).toMatch(
      /^23\sh 5\d\smin left of 24\sh, refresh in 23\sh 5\d\smin$/,
    );
    expect(await page.locator('#events li').allInnerTexts()).toEqual(
      [...CLIENTS, ...CLINICS].map(() => expect.stringMatching(/New token\s+cold\s+\d+ ms$/)),
    );
    for (const each of [...CLIENTS, ...CLINICS])
      await story(each, 'The first call requested a token. All calls share it.');
    await card('honeybee').getByText('Sandbox on this machine, called with HttpService').waitFor();
    await card('lab').getByText('Sandbox on this machine, called with fetch').waitFor();
    await page.getByRole('img', { name: /^Calls in each second: [1-9]/ }).waitFor();
  });

  it.each(CLIENTS)('200 calls at once take one token request: %s', async (client) => {
    const before = { served: await count(client, 'served'), tokenRequests: tokenRequests(client) };
    await button(client, '200 calls at once').click();
    await card(client).getByText('200 served, 0 failed, 1 token request.').waitFor();
    await reach(client, 'served', before.served + 200);
    expect(await count(client, 'tokenRequests')).toBe(before.tokenRequests + 1);
    expect(tokenRequests(client)).toBe(before.tokenRequests + 1);
    await story(client, 'Token dropped: one request got a new one for all calls.');
    await expectService(client);
  });

  it.each(CLIENTS)('a revoked token takes exactly one more, and fails no call: %s', async (client) => {
    await expectService(client);
    const before = tokenRequests(client);
    await button(client, 'Revoke token').click();
    await reach(client, 'tokenRequests', before + 1);
    await expectService(client);
    expect(await count(client, 'tokenRequests')).toBe(before + 1);
    expect(tokenRequests(client)).toBe(before + 1);
    expect(await figure(client, 'lastRefresh')).toMatch(/^rejected, /);
    await state(client, 'Fresh');
    await story(client, '401 received: replaced the token and replayed 1 call.');
  });

  it('78. a revoked token of one clinic is replaced, and the other clinic keeps its own', async () => {
    for (const clinic of CLINICS) await expectService(clinic);
    const before = await count('north', 'tokenRequests');
    const untouched = await count('south', 'tokenRequests');
    await button('north', 'Revoke token').press('Enter');
    await story('north', '401 received: replaced the token and replayed 1 call.');
    await card('north')
      .getByText(/^Token 2: /)
      .waitFor();
    for (const clinic of CLINICS) await expectService(clinic);
    expect(await count('north', 'tokenRequests')).toBe(before + 1);
    expect(await count('south', 'tokenRequests')).toBe(untouched);
    await card('south')
      .getByText(/^Token 1: /)
      .waitFor();
    await story('south', 'The first call requested a token. All calls share it.');
    await page.locator('#announcement').getByText('North clinic: 401 received').waitFor();
    await page.locator('#events li').getByText('Imaging archive, North clinic').first().waitFor();
  });

  it('78. a clinic is removed and added while the application runs, and the other one notices nothing', async () => {
    const before = await count('south', 'tokenRequests');
    const untouched = await count('north', 'tokenRequests');
    await button('south', 'Remove clinic').press('Enter');
    await state('south', 'Removed');
    await story('south', 'Removed: the app has neither its credentials nor a token.');
    await card('south').getByText('No token', { exact: true }).waitFor();
    expect(await button('south', 'Revoke token').getAttribute('aria-disabled')).toBe('true');
    expect(await violations()).toEqual([]);
    const served = await count('south', 'served');
    await expectService('north');
    expect(await count('south', 'served')).toBe(served);
    expect(await figure('south', 'failed')).toBe('0');

    // the same button, which kept the focus
    expect(await page.locator(':focus').innerText()).toBe('Add clinic');
    await page.keyboard.press('Enter');
    await state('south', 'Fresh');
    await story('south', 'The first call requested a token. All calls share it.');
    for (const clinic of CLINICS) await expectService(clinic);
    expect(await count('south', 'tokenRequests')).toBe(before + 1);
    expect(await count('north', 'tokenRequests')).toBe(untouched);
  });

  it('an outage with a valid token: degraded, no failed call, then fresh', async () => {
    const before = new Map(CLIENTS.map((client) => [client, tokenRequests(client)]));
    for (const client of CLIENTS) await button(client, '20 s outage').press('Enter');
    for (const client of CLIENTS) {
      await state(client, 'Degraded');
      await card(client).getByText('Authorization server down').waitFor();
      await story(client, 'The token request failed: calls go on with the token at hand.');
      expect(await figure(client, 'lastFailure')).toMatch(/^authorization_server_unavailable, /);
      await expectService(client);
      await state(client, 'Degraded');
      // 25 s of life, and the outage
      expect(await count(client, 'tokenRequests')).toBe(before.get(client)! + 2);
    }
    expect(await page.locator('#announcement').innerText()).toMatch(/ is degraded\.$/);
    expect(await violations()).toEqual([]);
    for (const client of CLIENTS) {
      await state(client, 'Fresh');
      await expectService(client);
      expect(await count(client, 'tokenRequests')).toBe(before.get(client)! + 3);
      expect(await figure(client, 'lastRefresh')).toMatch(/^refresh_ahead, /);
    }
  }, 90_000);

  it('tokens of 5 s are refreshed steadily, and fail no call', async () => {
    const before = new Map(CLIENTS.map((client) => [client, tokenRequests(client)]));
    for (const client of CLIENTS) await button(client, '5 s tokens').click();
    for (const client of CLIENTS) {
      await card(client).getByRole('button', { name: '5 s tokens', pressed: true }).waitFor();
      await card(client)
        .getByText(/left of 5\ss/)
        .waitFor();
      await reach(client, 'tokenRequests', before.get(client)! + 4);
      await story(client, 'Refreshed the token in the background. No call waited.');
      await expectService(client);
    }
    await page
      .locator('#events li')
      .getByText(/refresh_ahead/)
      .nth(5)
      .waitFor();
    for (const client of CLIENTS) await button(client, '5 s tokens').click();
    for (const client of CLIENTS) {
      await card(client).getByRole('button', { name: '5 s tokens', pressed: false }).waitFor();
      await card(client)
        .getByText(/left of (24\sh|12\sh|10\smin)/)
        .waitFor();
      await expectService(client);
    }
  }, 90_000);

  it('without a token in an outage it says so: down, failed calls, then fresh', async () => {
    // long enough for the authorization server to be given up on
    clinic.sandboxes.buoy!.goDown(16_000);
    await button('buoy', 'Revoke token').click();
    await state('buoy', 'Down');
    await reach('buoy', 'failed', 2);
    await story('buoy', 'No token to be had: calls fail until the server is back.');
    expect(await violations()).toEqual([]);
    await state('buoy', 'Fresh');
  }, 90_000);

  it('pauses, and then makes no calls', async () => {
    const made = () => clinic.app.get(PartnerCalls).count('lab').served;
    await page.getByRole('button', { name: 'Pause' }).press('Enter');
    await page.getByText('Paused', { exact: true }).waitFor();
    // calls under way may still be counted
    for (let before = -1; made() !== before; await page.waitForTimeout(1_000)) before = made();
    const paused = made();
    await page.getByRole('button', { name: 'Resume' }).press('Enter');
    await page.getByText('Live', { exact: true }).waitFor();
    await reach('lab', 'served', paused + 1);
  });

  it('shows nothing secret, and asks no other host', async () => {
    const told: string[] = [];
    const client = await page.context().newCDPSession(page);
    await client.send('Network.enable');
    client.on('Network.eventSourceMessageReceived', ({ data }) => told.push(data));
    await page.reload();
    for (const each of CLIENTS) await button(each, '200 calls at once').click();
    for (const each of CLIENTS) await card(each).getByText('1 token request.').waitFor();
    await expectService('lab');
    const seen = told.join() + (await page.content());
    expect(seen).toContain('token_acquired');
    const tokens = clinic.app.get(OAuthTokenService);
    for (const each of CLIENTS) {
      expect(seen).not.toContain(clinic.sandboxes[each]!.clientSecret);
      expect(seen).not.toContain((await tokens.getToken(each)).value);
    }
    for (const tenant of CLINICS)
      expect(seen).not.toContain((await tokens.getToken('imaging', { tenant })).value);
  });

  describe.each([360, 1280])('at %i px', (width) => {
    it.each(['light', 'dark'] as const)('is accessible and fits, %s', async (colorScheme) => {
      await page.close();
      page = await openPage({ viewport: { width, height: 900 }, colorScheme });
      await button('buoy', '200 calls at once').click();
      await card('buoy').getByText('1 token request.').waitFor();
      expect(await violations()).toEqual([]);
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
    });
  });

  it('is worked by keyboard alone, and shows where the focus is', async () => {
    await page.keyboard.press('Tab');
    const focused = page.locator(':focus');
    expect(await focused.innerText()).toBe('Pause');
    for (const client of CLIENTS) {
      for (const name of ['200 calls at once', 'Revoke token', '20\u00a0s outage', '5\u00a0s tokens']) {
        await page.keyboard.press('Tab');
        expect(await focused.innerText()).toBe(name);
        expect(await page.locator(`[data-client="${client}"] :focus`).count()).toBe(1);
        expect(await page.evaluate('getComputedStyle(document.activeElement).outlineWidth')).toBe('3px');
      }
    }
    for (const clinic of CLINICS) {
      for (const name of ['Revoke token', 'Remove clinic']) {
        await page.keyboard.press('Tab');
        expect(await focused.innerText()).toBe(name);
        expect(await page.locator(`[data-clinic="${clinic}"] :focus`).count()).toBe(1);
      }
    }
    await page.keyboard.press('Tab');
    expect(await focused.getAttribute('id')).toBe('events');
  });

  async function violations(): Promise<string[]> {
    const results = await page.evaluate<AxeResults>('axe.run()');
    expect(results.passes.length).toBeGreaterThan(10);
    return results.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(', ')}`);
  }
});
