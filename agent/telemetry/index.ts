import type { Tracer } from '@opentelemetry/api'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import type { Metrics } from '../observability/metrics.js'
import type { TelemetryEvents } from '../observability/telemetry-events.js'
import type { Clock } from '../ports/clock.js'
import type { HttpClient } from '../ports/http.js'
import { metricExporter, traceExporter } from './exporters.js'
import { alsoTo } from './figures.js'
import type { TelemetrySettings } from './settings.js'
import { Traces } from './traces.js'

export interface TelemetryOptions {
  readonly settings: TelemetrySettings
  readonly http: HttpClient
  readonly clock: Pick<Clock, 'now'>
  readonly events: TelemetryEvents
  readonly metrics: Metrics
  readonly about: { readonly version: string; readonly nodeId: string; readonly tenantId: string }
  /** Propagates the trace to the ICP server (`traceparent`). */
  readonly propagate: boolean
}

export interface Telemetry {
  /** Null if traces are off. */
  readonly traces: Traces | null
  /** The given metrics, also exported if metrics are on. */
  readonly metrics: Metrics
  /** Sends waiting data. */
  end(): Promise<void>
}

/** Loaded only if telemetry is on, because the SDK takes some megabytes. */
export function openTelemetry(options: TelemetryOptions): Telemetry {
  const { settings, clock, propagate, about } = options
  const resource = resourceFromAttributes({
    ...settings.attributes,
    'service.name': settings.serviceName,
    'service.version': about.version,
    'service.instance.id': about.nodeId,
    'icp.tenant_id': about.tenantId,
  })
  const ends: (() => Promise<void>)[] = []
  let tracer: Tracer | null = null
  if (settings.traces) {
    const { sampler, ratio, maxQueue, delayMs } = settings.traces
    const provider = new TracerProvider({
      resource,
      sampler: {
        always_on: new AlwaysOnSampler(),
        always_off: new AlwaysOffSampler(),
        traceidratio: new TraceIdRatioBasedSampler(ratio),
      }[sampler],
      spanLimits: { attributeValueLengthLimit: 1_024, attributeCountLimit: 32 },
      spanProcessors: [
        new BatchSpanProcessor({
          exporter: traceExporter(settings.traces, options),
          maxQueueSize: maxQueue,
          scheduledDelayMillis: delayMs,
          exportTimeoutMillis: settings.traces.timeoutMs,
        }),
      ],
    })
    tracer = provider.getTracer('icp-agent', about.version)
    ends.push(
      () => provider.forceFlush(),
      () => provider.shutdown(),
    )
  }
  let { metrics } = options
  if (settings.metrics) {
    const { intervalMs, timeoutMs } = settings.metrics
    const provider = new MeterProvider({
      resource,
      readers: [
        new PeriodicExportingMetricReader({
          exporter: metricExporter(settings.metrics, options),
          exportIntervalMillis: intervalMs,
          exportTimeoutMillis: Math.min(timeoutMs, intervalMs),
        }),
      ],
    })
    metrics = alsoTo(provider.getMeter('icp-agent', about.version), metrics)
    ends.push(
      () => provider.forceFlush(),
      () => provider.shutdown(),
    )
  }
  return {
    traces: tracer && new Traces(tracer, clock, propagate),
    metrics,
    async end() {
      // Data that an unreachable receiver does not accept is lost; the failure was logged.
      for (const end of ends) await end().catch(() => undefined)
    },
  }
}
