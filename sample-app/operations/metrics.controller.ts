import { Controller, Get, Header, Inject } from '@nestjs/common';
import { PrometheusSerializer, type PrometheusExporter } from '@opentelemetry/exporter-prometheus';

/** The metrics in Prometheus' text format. */
@Controller('metrics')
export class MetricsController {
  constructor(@Inject('PROMETHEUS') private readonly exporter: PrometheusExporter) {}

  @Get()
  @Header('Content-Type', 'text/plain; version=0.0.4')
  async metrics(): Promise<string> {
    const { resourceMetrics } = await this.exporter.collect();
    return new PrometheusSerializer().serialize(resourceMetrics);
  }
}
