import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { context, metrics, trace, SpanStatusCode } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { MemoryTokenStore, OAuthTokenService, type OAuthClientModuleOptions } from 'nestjs-oauth-client';
import { OAuthClientMetrics } from 'nestjs-oauth-client/opentelemetry';
import { Application } from '../support/application.js';
import { eventually } from '../support/eventually.js';
import { expectNoSecret } from '../support/secrets.js';
import { CLIENT_SECRET, clientOf, sharedServer } from '../support/server.js';

const server = await sharedServer();
let measured: InMemoryMetricExporter;
const spans = new InMemorySpanExporter();
let application: Application;
let reader: PeriodicExportingMetricReader;

beforeAll(() => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  trace.setGlobalTracerProvider(
    new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }),
  );
});
beforeEach(() => {
  spans.reset();
  measure(AggregationTemporality.CUMULATIVE);
});
afterEach(async () => {
  await reader.shutdown();
  metrics.disable();
});
afterAll(() => {
  trace.disable();
  context.disable();
});

function measure(temporality: AggregationTemporality): void {
  measured = new InMemoryMetricExporter(temporality);
  reader = new PeriodicExportingMetricReader({ exporter: measured, exportIntervalMillis: 3_600_000 });
  metrics.disable();
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
}

async function start(options: OAuthClientModuleOptions = {}): Promise<OAuthTokenService> {
  const clients = { buoy: clientOf(server), honeybee: clientOf(server, { scope: 'bee' }) };
  const oauth = { clients, ...options };
  application = await Application.start({ oauth, providers: [OAuthClientMetrics] });
  return application.tokens;
}

/** The present data points of a metric: their attributes and values. */
async function points(name: string): Promise<[object, unknown][]> {
  measured.reset();
  await reader.forceFlush();
  const all = measured
    .getMetrics()
    .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics));
  const metric = all.find(({ descriptor }) => descriptor.name === name);
  return (metric?.dataPoints ?? []).map(({ attributes, value }) => [attributes, value]);
}

describe('metrics', () => {
  it('token requests and their duration by client, outcome and reason', async () => {
    const tokens = await start();
    await Promise.all([tokens.getToken('buoy'), tokens.getToken('buoy'), tokens.getToken('honeybee')]);
    await tokens.getToken('buoy', { forceRefresh: true });
    server.alwaysRespond({ status: 503 });
    await expect(tokens.getToken('buoy', { forceRefresh: true })).rejects.toThrow('unavailable');
    const expected = [
      { client: 'buoy', outcome: 'acquired', reason: 'cold' },
      { client: 'honeybee', outcome: 'acquired', reason: 'cold' },
      { client: 'buoy', outcome: 'acquired', reason: 'forced' },
      { client: 'buoy', outcome: 'authorization_server_unavailable', reason: 'forced' },
    ];
    const counted = await points('oauth.client.token.requests');
    expect(counted).toHaveLength(4);
    expect(counted).toEqual(expect.arrayContaining(expected.map((attributes) => [attributes, 1])));
    const durations = await points('oauth.client.token.duration');
    expect(durations.map(([attributes]) => attributes)).toEqual(counted.map(([attributes]) => attributes));
    for (const [, value] of durations) {
      const { count, sum } = value as { count: number; sum: number };
      expect(count).toBe(1);
      expect(sum).toBeGreaterThan(0);
      expect(sum).toBeLessThan(20); // seconds
    }
  });

  it('count once when several modules list the provider', async () => {
    class FeatureModule {}
    const feature = { module: FeatureModule, providers: [OAuthClientMetrics] };
    const oauth = { clients: { buoy: clientOf(server) } };
    application = await Application.start({ oauth, imports: [feature], providers: [OAuthClientMetrics] });
    await application.token();
    expect((await points('oauth.client.token.requests')).map(([, value]) => value)).toEqual([1]);
    expect(await points('oauth.client.store.state')).toEqual([[{}, 1]]);
    expect(spans.getFinishedSpans()).toHaveLength(1);
  });

  it('a token that another instance left in the store counts as shared', async () => {
    const store = new MemoryTokenStore();
    const first = await start({ store });
    await first.getToken('buoy');
    await application.close();
    const second = await start({ store });
    await second.getToken('buoy');
    expect(await points('oauth.client.token.requests')).toEqual([
      [{ client: 'buoy', outcome: 'acquired', reason: 'cold' }, 1],
      [{ client: 'buoy', outcome: 'shared', reason: 'cold' }, 1],
    ]);
    expect(server.tokenRequests).toHaveLength(1);
  });

  it('the remaining lifetime of each present token, in seconds; nothing after the shutdown', async () => {
    measure(AggregationTemporality.DELTA); // which repeats nothing
    const tokens = await start();
    expect(await points('oauth.client.token.remaining_lifetime')).toEqual([]);
    await tokens.getToken('buoy');
    const [[attributes, seconds]] = (await points('oauth.client.token.remaining_lifetime')) as [
      [object, number],
    ];
    expect(attributes).toEqual({ client: 'buoy' });
    expect(seconds).toBeGreaterThan(3_500);
    expect(seconds).toBeLessThanOrEqual(3_600);
    await application.close();
    expect(await points('oauth.client.token.remaining_lifetime')).toEqual([]);
  });

  it('the state of the store', async () => {
    let broken = false;
    class BreakableStore extends MemoryTokenStore {
      override async get(key: string) {
        if (broken) throw new Error('gone');
        return super.get(key);
      }
    }
    const tokens = await start({ store: new BreakableStore() });
    await tokens.getToken('buoy');
    expect(await points('oauth.client.store.state')).toEqual([[{}, 1]]);
    broken = true;
    await tokens.getToken('buoy', { forceRefresh: true });
    expect(await points('oauth.client.store.state')).toEqual([[{}, 0]]);
  });

  it('answers of 401 from an API', async () => {
    const tokens = await start();
    await application.get('/x');
    server.revokeAll();
    await application.get('/x');
    expect(await points('oauth.client.api.unauthorized')).toEqual([[{ client: 'buoy' }, 1]]);
    expect(tokens.status()[0]).toMatchObject({ tokenRequests: 2 });
  });

  it('66. no token or secret in metrics and spans', async () => {
    const tokens = await start();
    await tokens.getToken('buoy', { scope: 'read', subjectToken: 'subject-of-the-caller' });
    server.alwaysRespond({ status: 400, body: { error: 'invalid_scope' } });
    await expect(tokens.getToken('honeybee')).rejects.toThrow('invalid_scope');
    await points('');
    expect(spans.getFinishedSpans()).toHaveLength(2);
    expectNoSecret([measured.getMetrics(), spans.getFinishedSpans()], 'subject-of-the-caller');
  });
});

describe('spans', () => {
  const tracer = trace.getTracer('caller');
  const tokenSpans = () =>
    spans.getFinishedSpans().filter(({ name }) => name === 'oauth.client.token.request');

  it("a span around the token request, in the caller's trace and linked to its span; one for all who wait", async () => {
    const tokens = await start();
    const callers = ['first', 'second'].map((name) =>
      tracer.startActiveSpan(name, async (span) => {
        await tokens.getToken('buoy');
        span.end();
        return span.spanContext();
      }),
    );
    const [first] = await Promise.all(callers);
    const [span, ...others] = tokenSpans();
    expect(others).toEqual([]);
    expect(span).toMatchObject({
      attributes: { client: 'buoy' },
      parentSpanContext: { spanId: first!.spanId },
      links: [{ context: { traceId: first!.traceId, spanId: first!.spanId } }],
      status: { code: SpanStatusCode.UNSET },
    });
  });

  it('is current while the request runs, so that the spans of HTTP instrumentations are its children', async () => {
    const seen: unknown[] = [];
    const clientSecret = () => {
      seen.push(trace.getActiveSpan()?.spanContext().spanId);
      return CLIENT_SECRET;
    };
    const tokens = await start({ clients: { buoy: clientOf(server, { clientSecret }) } });
    await tracer.startActiveSpan('caller', (span) => tokens.getToken('buoy').finally(() => span.end()));
    expect(seen).toEqual([tokenSpans()[0]!.spanContext().spanId]);
  });

  it('each try has its own; a failed one tells its code', async () => {
    const retry = { attempts: 2, minDelayMs: 0 };
    const tokens = await start({ clients: { buoy: clientOf(server, { retry }) } });
    server.respondWith({ status: 503 });
    await tracer.startActiveSpan('caller', (span) => tokens.getToken('buoy').finally(() => span.end()));
    expect(tokenSpans()).toMatchObject([
      {
        attributes: { client: 'buoy', 'error.type': 'authorization_server_unavailable' },
        status: { code: SpanStatusCode.ERROR },
        links: [{ context: { traceId: tokenSpans()[1]!.spanContext().traceId } }],
      },
      { attributes: { client: 'buoy' }, status: { code: SpanStatusCode.UNSET } },
    ]);
  });

  it('ends when the request is given up', async () => {
    const tokens = await start({ clients: { buoy: clientOf(server, { timeoutMs: 30 }) } });
    server.alwaysRespond('hang');
    await expect(tokens.getToken('buoy')).rejects.toMatchObject({ timedOut: true });
    await eventually(() => tokenSpans().length === 1);
    expect(tokenSpans()[0]!.links).toEqual([]);
  });
});
