import type { Counter, Histogram, Meter, ObservableResult } from '@opentelemetry/api'
import {
  type GaugeReader,
  type LabelValues,
  labelsAndNumber,
  METRICS,
  type MetricName,
  type MetricSpec,
  type Metrics,
} from '../observability/metrics.js'

type Rest = readonly (LabelValues | number | undefined)[]

/** Sets of labels that one metric may grow to; the agent's own registry bounds them the same way. */
const MAX_VALUES = 2_000

/** Metrics that also go to the meter, under their names at `/metrics`. */
export function alsoTo(meter: Meter, metrics: Metrics): Metrics {
  const counters = new Map<string, Counter>()
  const histograms = new Map<string, Histogram>()
  const readers = new Map<string, Set<GaugeReader>>()
  for (const [name, spec] of Object.entries(METRICS) as [MetricName, MetricSpec][]) {
    const options = { description: spec.help }
    if (spec.kind === 'counter') counters.set(name, meter.createCounter(name, options))
    else if (spec.kind === 'histogram') {
      const advice = { explicitBucketBoundaries: [...(spec.buckets ?? [])] }
      histograms.set(name, meter.createHistogram(name, { ...options, advice }))
    } else {
      const own = new Set<GaugeReader>()
      readers.set(name, own)
      meter.createObservableGauge(name, options).addCallback((result) => readAll(own, result))
    }
  }
  return {
    count(name: string, ...rest: Rest) {
      metrics.count(...([name, ...rest] as Parameters<Metrics['count']>))
      const { labels, number } = labelsAndNumber(rest)
      counters.get(name)?.add(number ?? 1, labels)
    },
    observe(name: string, value: number, ...rest: Rest) {
      metrics.observe(...([name, value, ...rest] as Parameters<Metrics['observe']>))
      histograms.get(name)?.record(value, labelsAndNumber(rest).labels)
    },
    gauge(...[name, read]: Parameters<Metrics['gauge']>) {
      const inner = metrics.gauge(name, read)
      const reader: GaugeReader = read
      readers.get(name)?.add(reader)
      return {
        [Symbol.dispose]() {
          readers.get(name)?.delete(reader)
          inner[Symbol.dispose]()
        },
      }
    },
  }
}

function readAll(readers: Iterable<GaugeReader>, result: ObservableResult): void {
  let left = MAX_VALUES
  for (const read of readers) {
    for (const { value, labels } of read()) if (left-- > 0) result.observe(value, labels ?? {})
  }
}
