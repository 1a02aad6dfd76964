import { Controller, Get } from '@nestjs/common';
import { HealthCheck, HealthCheckService } from '@nestjs/terminus';
import { OAuthClientHealthIndicator } from 'nestjs-oauth-client/terminus';

/** Whether the partners can be called. */
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly partners: OAuthClientHealthIndicator,
  ) {}

  @Get()
  @HealthCheck()
  check() {
    return this.health.check([() => this.partners.isHealthy('partners')]);
  }
}
