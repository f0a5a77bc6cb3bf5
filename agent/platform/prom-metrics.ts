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

/** Sets of labels that one metric may grow to; whatever comes later is counted under `other`. */
const MAX_SERIES = 200
/** Values of one gauge. The gauge with the most is the expiry of each SVID. */
const MAX_GAUGE_VALUES = 2000
const MAX_LABEL = 256
/** Gauges of Node that are named like counters, which Prometheus' own check complains of; each has a twin by type. */
const MISNAMED = ['handles', 'requests', 'resources'].map((what) => `nodejs_active_${what}_total`)

/** The agent's figures, with those of Node and the process, as Prometheus reads them. */
export interface AgentMetrics extends Metrics {
  /** The Prometheus text; gauges are read now. */
  text(): Promise<string>
  readonly contentType: string
}

/**
 * Makes the metrics of the table METRICS in a registry of their own. Labels come from closed lists; should one not, it
 * cannot grow without bound: after 200 sets of labels, new ones are counted as `other`. A gauge whose reader fails is
 * left out of that scrape, and the others are shown.
 *
 * `processMetrics` adds Node's own. Their event-loop monitor ticks once a second (every 10 ms costs 0.6 % of a core
 * more), so `nodejs_eventloop_lag_seconds`, measured at the scrape, is the figure to look at; percentiles include the
 * second.
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
          // reset() leaves a 0 where there are no labels: what nobody says is not 0, it is unknown.
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

/** Gives labels back as they are until a metric has too many sets of them. */
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
      // One reader's defect must not take the whole page away; its gauge is missing, which alerts can see.
    }
  }
  return values
}
