/**
 * Metrics and spans; needs `@opentelemetry/api`.
 *
 * @module nestjs-oauth-client/opentelemetry
 */

import { Injectable } from '@nestjs/common';
import { SpanStatusCode, metrics, trace, type BatchObservableResult, type Meter } from '@opentelemetry/api';
import { OAuthClientError } from './core/errors.js';
import type { OAuthClientEvent } from './core/events.js';
import { OAuthClientRegistry } from './nest/oauth-client-registry.js';

const NAME = 'nestjs-oauth-client';
/** Seconds; a token request takes some ten milliseconds, or its deadline. */
const DURATION_BOUNDARIES = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15];

/**
 * Metrics and spans of all clients, for the OpenTelemetry API. List it as a provider, and start the SDK before.
 *
 * - `oauth.client.token.requests` counts shared waits for a token by `client`, `reason` and `outcome`: `acquired`, `shared`
 *   (the store had another instance's token) or an error's code. `oauth.client.token.duration` has their seconds.
 * - `oauth.client.token.remaining_lifetime` has the seconds until each client's present token expires.
 * - `oauth.client.api.unauthorized` counts tokens that an API answered with 401, by `client`.
 * - `oauth.client.store.state` is 1 while the token store is in use, and 0 while it is down.
 * - The span `oauth.client.token.request` covers a token request. It is in the trace of the call that caused it, and linked to
 *   that call's span. Calls that wait for the same token have no span.
 */
@Injectable()
export class OAuthClientMetrics {
  readonly #registry: OAuthClientRegistry;

  constructor(registry: OAuthClientRegistry) {
    this.#registry = registry;
    const { tracers, events$ } = registry.runtime;
    if (tracers.includes(traced)) return; // several modules list this provider
    tracers.push(traced);
    const meter = metrics.getMeter(NAME);
    events$.subscribe({ next: recorder(meter), complete: this.#observe(meter) });
  }

  #observe(meter: Meter): () => void {
    const { fleet, clock } = this.#registry.runtime;
    const lifetime = meter.createObservableGauge('oauth.client.token.remaining_lifetime', {
      description: 'Time until the present token expires',
      unit: 's',
    });
    const state = meter.createObservableGauge('oauth.client.store.state', {
      description: '1 while the token store is in use, 0 while it is down',
    });
    const observe = (result: BatchObservableResult) => {
      result.observe(state, fleet.alone ? 0 : 1);
      for (const { client } of this.#registry.all()) {
        const { expiresAt } = client.status();
        if (!expiresAt) continue;
        const leftMs = Math.max(0, expiresAt.getTime() - clock.now());
        result.observe(lifetime, leftMs / 1000, { client: client.name });
      }
    };
    meter.addBatchObservableCallback(observe, [lifetime, state]);
    return () => meter.removeBatchObservableCallback(observe, [lifetime, state]);
  }
}

function recorder(meter: Meter): (event: OAuthClientEvent) => void {
  const requests = meter.createCounter('oauth.client.token.requests', {
    description: 'Shared waits for a token, by how they ended',
    unit: '{request}',
  });
  const duration = meter.createHistogram('oauth.client.token.duration', {
    description: 'Time that a shared wait for a token took, retries included',
    unit: 's',
    advice: { explicitBucketBoundaries: DURATION_BOUNDARIES },
  });
  const unauthorized = meter.createCounter('oauth.client.api.unauthorized', {
    description: 'Tokens that an API answered with 401',
    unit: '{response}',
  });
  type FlightEnd = Extract<OAuthClientEvent, { durationMs: number }>;
  const flight = ({ client, reason, durationMs }: FlightEnd, outcome: string) => {
    requests.add(1, { client, outcome, reason });
    duration.record(durationMs / 1000, { client, outcome, reason });
  };
  return (event) => {
    switch (event.type) {
      case 'token_acquired':
        return flight(event, event.source === 'store' ? 'shared' : 'acquired');
      case 'token_refresh_failed':
      case 'token_request_failed':
        return flight(event, event.error.code);
      case 'token_rejected':
        return unauthorized.add(1, { client: event.client });
      default: // An invalidation shows in the request that follows it, the store in its gauge.
    }
  };
}

/** The flight keeps the asynchronous context of the call that set it off, and with it the caller's span. */
async function traced<T>(client: string, request: () => Promise<T>): Promise<T> {
  const caller = trace.getActiveSpan()?.spanContext();
  const options = { attributes: { client }, links: caller ? [{ context: caller }] : [] };
  return trace.getTracer(NAME).startActiveSpan('oauth.client.token.request', options, async (span) => {
    try {
      return await request();
    } catch (error) {
      const code = error instanceof OAuthClientError ? error.code : 'unknown';
      span.setAttribute('error.type', code).setStatus({ code: SpanStatusCode.ERROR, message: code });
      throw error;
    } finally {
      span.end();
    }
  });
}
