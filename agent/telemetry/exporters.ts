import {
  JsonMetricsSerializer,
  JsonTraceSerializer,
  ProtobufMetricsSerializer,
  ProtobufTraceSerializer,
} from '@opentelemetry/otlp-transformer'
import { AggregationTemporality, type PushMetricExporter, type ResourceMetrics } from '@opentelemetry/sdk-metrics'
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace'
import type { TelemetryEvents } from '../observability/telemetry-events.js'
import type { HttpClient } from '../ports/http.js'
import type { ExporterSettings } from './settings.js'

const MAX_ANSWER = 65_536

interface ExportResult {
  code: number
  error?: Error
}

interface Outlet {
  readonly http: HttpClient
  readonly events: TelemetryEvents
}

const CONTENT_TYPES = { protobuf: 'application/x-protobuf', json: 'application/json' } as const
const TRACES = { protobuf: ProtobufTraceSerializer, json: JsonTraceSerializer } as const
const METRICS = { protobuf: ProtobufMetricsSerializer, json: JsonMetricsSerializer } as const

/** OTLP over HTTP. Data that cannot be sent is dropped; the failure is logged once. */
class Sender {
  readonly #end = new AbortController()
  readonly #open = new Set<Promise<void>>()

  constructor(
    private readonly signal: 'traces' | 'metrics',
    private readonly settings: ExporterSettings,
    private readonly outlet: Outlet,
  ) {}

  send(body: Uint8Array | undefined, done: (result: ExportResult) => void): void {
    const sent = this.#post(body).then(
      () => done({ code: 0 }),
      (error: unknown) => done({ code: 1, error: error instanceof Error ? error : new Error(String(error)) }),
    )
    this.#open.add(sent)
    void sent.finally(() => this.#open.delete(sent))
  }

  async flush(): Promise<void> {
    await Promise.all(this.#open)
  }

  async shutdown(): Promise<void> {
    this.#end.abort(new Error('the agent is stopping'))
    await this.flush()
  }

  async #post(body: Uint8Array | undefined): Promise<void> {
    const { url, headers, timeoutMs, encoding } = this.settings
    const { http, events } = this.outlet
    try {
      const response = await http.request({
        method: 'POST',
        url,
        headers: {
          ...Object.fromEntries([...headers].map(([name, value]) => [name, value.reveal()])),
          'content-type': CONTENT_TYPES[encoding],
          'user-agent': 'icp-agent',
        },
        body: body ?? new Uint8Array(),
        timeoutMs,
        maxBytes: MAX_ANSWER,
        signal: this.#end.signal,
        withoutIdentity: true,
      })
      // The body is not logged: the receiver may repeat the request in it.
      if (response.status < 200 || response.status > 299) throw new Error(`the receiver answered ${response.status}`)
      events.exported(this.signal)
    } catch (error) {
      if (!this.#end.signal.aborted) events.failed(this.signal, error)
      throw error
    }
  }
}

export function traceExporter(settings: ExporterSettings, outlet: Outlet): SpanExporter {
  const sender = new Sender('traces', settings, outlet)
  return {
    export: (spans: ReadableSpan[], done) => sender.send(TRACES[settings.encoding].serializeRequest(spans), done),
    forceFlush: () => sender.flush(),
    shutdown: () => sender.shutdown(),
  }
}

export function metricExporter(settings: ExporterSettings, outlet: Outlet): PushMetricExporter {
  const sender = new Sender('metrics', settings, outlet)
  return {
    export: (metrics: ResourceMetrics, done) => sender.send(METRICS[settings.encoding].serializeRequest(metrics), done),
    selectAggregationTemporality: () => AggregationTemporality.CUMULATIVE,
    forceFlush: () => sender.flush(),
    shutdown: () => sender.shutdown(),
  }
}
