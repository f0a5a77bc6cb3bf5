import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import {
  type GaugeReader,
  type GaugeValue,
  type LabelValues,
  labelsAndNumber,
  METRICS,
  type MetricName,
  type MetricSpec,
  type Metrics,
  type OfKind,
} from '../observability/metrics.js'

/** Limit of label sets of one metric; further ones are counted as `other`. */
const MAX_SERIES = 200
/** Limit of values of one gauge; the expiry of each SVID has the most. */
const MAX_GAUGE_VALUES = 2000
const MAX_LABEL = 256
/** Gauges of Node with names of counters, which promtool rejects; each has an equivalent by type. */
const MISNAMED = ['handles', 'requests', 'resources'].map((what) => `nodejs_active_${what}_total`)

/** The agent's metrics, with those of Node and the process, in the format of Prometheus. */
export interface AgentMetrics extends Metrics {
  /** The Prometheus text; gauges are read now. */
  text(): Promise<string>
  readonly contentType: string
}

/**
 * Creates the metrics of the table METRICS in a registry of their own. Labels come from closed lists; as a safeguard,
 * after 200 label sets new ones are counted as `other`. A gauge whose reader fails is left out of that scrape.
 *
 * `processMetrics` adds those of Node. Their event-loop monitor ticks once a second (every 10 ms would cost 0.6 % of a core
 * more), so the percentiles include that second; `nodejs_eventloop_lag_seconds`, measured at the scrape, does not.
 */
export function createMetrics(options: { processMetrics: boolean } = { processMetrics: true }): AgentMetrics {
  const register = new Registry()
  if (options.processMetrics) {
    collectDefaultMetrics({ register, eventLoopMonitoringPrecision: 1000 })
    for (const name of MISNAMED) register.removeSingleMetric(name)
  }
  const readers = new Map<string, Set<GaugeReader>>()
  const counters = new Map<string, Counter>()
  const histograms = new Map<string, Histogram>()
  const bounded = boundLabels()

  for (const [name, spec] of Object.entries(METRICS) as [MetricName, MetricSpec][]) {
    const config = { name, help: spec.help, labelNames: [...spec.labels], registers: [register] }
    if (spec.kind === 'counter') {
      const counter = new Counter(config)
      for (const labels of spec.fromZero ?? []) counter.inc(bounded(name, labels), 0)
      counters.set(name, counter)
    } else if (spec.kind === 'histogram') {
      histograms.set(name, new Histogram({ ...config, buckets: [...(spec.buckets ?? [])] }))
    } else {
      const own = new Set<GaugeReader>()
      readers.set(name, own)
      new Gauge({
        ...config,
        collect() {
          this.reset()
          // For a gauge without labels reset() leaves a 0, but a missing value is unknown and not 0.
          if (spec.labels.length === 0) this.remove()
          for (const { labels, value } of readAll(own)) this.set(labels, value)
        },
      })
    }
  }

  return {
    count(name: OfKind<'counter'>, ...rest: readonly (LabelValues | number | undefined)[]) {
      const { labels, number } = labelsAndNumber(rest)
      counters.get(name)?.inc(bounded(name, labels), number ?? 1)
    },
    observe(name: OfKind<'histogram'>, value: number, ...rest: readonly (LabelValues | undefined)[]) {
      histograms.get(name)?.observe(bounded(name, labelsAndNumber(rest).labels), value)
    },
    gauge<N extends OfKind<'gauge'>>(name: N, read: () => readonly GaugeValue<N>[]): Disposable {
      const reader: GaugeReader = () =>
        read().map(({ value, labels }) => ({ value, labels: labels as LabelValues | undefined }))
      readers.get(name)?.add(reader)
      return { [Symbol.dispose]: () => void readers.get(name)?.delete(reader) }
    },
    text: () => register.metrics(),
    contentType: register.contentType,
  }
}

/** Returns labels unchanged until a metric has too many label sets. */
function boundLabels(): (name: string, labels: LabelValues) => LabelValues {
  const seen = new Map<string, Set<string>>()
  return (name, labels) => {
    const key = JSON.stringify(labels)
    const known = seen.get(name) ?? new Set()
    seen.set(name, known)
    if (known.has(key)) return labels
    if (known.size < MAX_SERIES && key.length <= MAX_LABEL) {
      known.add(key)
      return labels
    }
    return Object.fromEntries(Object.keys(labels).map((label) => [label, 'other']))
  }
}

function readAll(readers: ReadonlySet<GaugeReader>): { labels: LabelValues; value: number }[] {
  const values: { labels: LabelValues; value: number }[] = []
  for (const read of readers) {
    try {
      for (const { labels, value } of read()) {
        if (values.length < MAX_GAUGE_VALUES && Number.isFinite(value)) values.push({ labels: labels ?? {}, value })
      }
    } catch {
      // A defect of one reader must not fail the whole scrape; its gauge is missing, which alerts can detect.
    }
  }
  return values
}
