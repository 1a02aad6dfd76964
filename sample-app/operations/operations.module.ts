import { Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { OAuthClientMetrics } from 'nestjs-oauth-client/opentelemetry';
import { OAuthClientHealthIndicator } from 'nestjs-oauth-client/terminus';
import { HealthController } from './health.controller.js';
import { MetricsController } from './metrics.controller.js';
import { startMetrics } from './prometheus.js';

/** What operators ask for: `/health` and `/metrics`. */
@Module({
  imports: [TerminusModule],
  controllers: [HealthController, MetricsController],
  providers: [
    OAuthClientHealthIndicator,
    // Meters belong to the SDK that runs when they are made, so that comes first.
    { provide: 'PROMETHEUS', useFactory: startMetrics },
    OAuthClientMetrics,
  ],
})
export class OperationsModule {}
