import { describe, expect, it } from '@jest/globals';
import { Controller, Get } from '@nestjs/common';
import { HealthCheck, HealthCheckService, HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import { OAuthClientModule, OAuthTokenService, type OAuthClientOptions } from 'nestjs-oauth-client';
import { OAuthClientHealthIndicator } from 'nestjs-oauth-client/terminus';
import { Application, platformNames, type Platform } from '../support/application.js';
import { eventually } from '../support/eventually.js';
import { expectNoSecret } from '../support/secrets.js';
import { clientOf, sharedServer } from '../support/server.js';

const server = await sharedServer();
let test: Application | undefined;

@Controller('health')
class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly oauth: OAuthClientHealthIndicator,
  ) {}

  @Get()
  @HealthCheck()
  all() {
    return this.health.check([() => this.oauth.isHealthy('partners')]);
  }

  @Get('buoy')
  @HealthCheck()
  buoy() {
    return this.health.check([() => this.oauth.isHealthy('buoy', { clients: ['buoy'] })]);
  }

  @Get('ready')
  @HealthCheck()
  ready() {
    return this.health.check([() => this.oauth.isHealthy('ready', { readiness: true })]);
  }

  @Get('unknown')
  @HealthCheck()
  unknown() {
    return this.health.check([() => this.oauth.isHealthy('x', { clients: ['bouy'] })]);
  }
}

async function start(own: OAuthClientOptions = {}, platform: Platform = 'Express'): Promise<Application> {
  const clients = { buoy: clientOf(server, own), honeybee: clientOf(server, { scope: 'bee' }) };
  const imports = [OAuthClientModule.forRoot({ clients }), TerminusModule.forRoot({ logger: false })];
  const providers = [OAuthClientHealthIndicator];
  return (test = await Application.start({ platform, imports, providers, controllers: [HealthController] }));
}

const at = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
const idle = { state: 'idle' };
const fresh = { state: 'fresh', expiresAt: at, acquiredAt: at };
const lastError = { code: 'authorization_server_unavailable', at };

/** Status of the answer, of the check, and its only indicator. */
async function check(path = ''): Promise<[number, string, object]> {
  const [status, body] = await test!.answer(`/health${path}`);
  const { status: overall, details } = body as { status: string; details: Record<string, object> };
  return [status, overall, Object.values(details)[0]!];
}

describe.each(platformNames)('65. health on %s', (platform) => {
  it('65. up: idle and with a token, without a token request of its own', async () => {
    const { tokens } = await start({}, platform);
    expect(await check()).toEqual([200, 'ok', { status: 'up', clients: { buoy: idle, honeybee: idle } }]);
    expect(server.tokenRequests).toHaveLength(0);
    await tokens.getToken('buoy');
    expect(await check()).toEqual([200, 'ok', { status: 'up', clients: { buoy: fresh, honeybee: idle } }]);
    expect(server.tokenRequests).toHaveLength(1);
  });

  it('65. degraded: refreshing fails, the token is still valid', async () => {
    const { tokens } = await start({}, platform);
    await tokens.getToken('buoy');
    server.alwaysRespond({ status: 503, headers: { 'retry-after': '60' } });
    await expect(tokens.getToken('buoy', { forceRefresh: true })).rejects.toThrow('unavailable');
    const degraded = { ...fresh, state: 'degraded', backoffUntil: at, lastError };
    expect(await check()).toEqual([
      200,
      'degraded',
      { status: 'degraded', clients: { buoy: degraded, honeybee: idle } },
    ]);
    expect(server.tokenRequests).toHaveLength(2);
  });

  it('65. down: no valid token, and asking failed; up again after a success', async () => {
    const { tokens } = await start({}, platform);
    server.respondWith({ status: 401, body: { error: 'invalid_client' } });
    await expect(tokens.getToken('honeybee')).rejects.toThrow('invalid_client');
    const down = { state: 'down', backoffUntil: at, lastError: { code: 'token_request_rejected', at } };
    expect(await check()).toEqual([
      503,
      'error',
      { status: 'down', clients: { buoy: idle, honeybee: down } },
    ]);
    expect(await check('/buoy')).toEqual([200, 'ok', { status: 'up', clients: { buoy: idle } }]);
    expect(server.tokenRequests).toHaveLength(1);
  });
});

describe('65. health', () => {
  it('65. readiness: down while the first token is fetched ahead, and never because of an outage', async () => {
    const arrived: (() => void)[] = [];
    server.alwaysRespond(async () => {
      await new Promise<void>((resolve) => arrived.push(resolve));
      return { status: 503, headers: { 'retry-after': '60' } };
    });
    await start({ prefetch: 'background' });
    expect(await check('/ready')).toMatchObject([
      503,
      'error',
      { clients: { buoy: { state: 'refreshing' }, honeybee: idle } },
    ]);
    await eventually(() => arrived.length > 0);
    arrived[0]!();
    await eventually(() => test!.events.length > 0);
    const down = { state: 'down', lastError };
    expect(await check('/ready')).toMatchObject([
      200,
      'degraded',
      { status: 'degraded', clients: { buoy: down } },
    ]);
    expect(await check()).toMatchObject([503, 'error', { clients: { buoy: down } }]);
    expect(server.tokenRequests).toHaveLength(1);
  });

  it('65. readiness: up once the tokens are there', async () => {
    const { tokens } = await start({ prefetch: 'background' });
    await tokens.getToken('buoy');
    expect(await check('/ready')).toEqual([
      200,
      'ok',
      { status: 'up', clients: { buoy: fresh, honeybee: idle } },
    ]);
  });

  it('65. with Terminus 11, which knows no degraded, that is up', async () => {
    const { tokens } = await start();
    await tokens.getToken('buoy');
    server.alwaysRespond({ status: 503 });
    await expect(tokens.getToken('buoy', { forceRefresh: true })).rejects.toThrow('unavailable');
    const session = (key: string) => ({
      up: (data: object) => ({ [key]: { status: 'up', ...data } }),
      down: (data: object) => ({ [key]: { status: 'down', ...data } }),
    });
    const terminus11 = { check: session } as unknown as HealthIndicatorService;
    const indicator = new OAuthClientHealthIndicator(terminus11, test!.app.get(OAuthTokenService));
    expect(indicator.isHealthy('x')).toMatchObject({
      x: { status: 'up', clients: { buoy: { state: 'degraded' } } },
    });
    tokens.invalidate('buoy');
    expect(indicator.isHealthy('x')).toMatchObject({
      x: { status: 'down', clients: { buoy: { state: 'down' } } },
    });
  });

  it('65. a misspelt client name is an error that lists the configured ones', async () => {
    await start();
    expect((await test!.answer('/health/unknown'))[0]).toBe(500);
    expect(test!.log.lines.map(({ message }) => String(message)).join()).toContain(
      'configured are: buoy, honeybee',
    );
  });

  it('66. no token or secret in what health shows', async () => {
    const { tokens } = await start();
    await tokens.getToken('buoy');
    await tokens.getToken('honeybee');
    const shown = [await test!.answer('/health'), test!.app.get(OAuthClientHealthIndicator).isHealthy('x')];
    expectNoSecret(shown);
  });
});
