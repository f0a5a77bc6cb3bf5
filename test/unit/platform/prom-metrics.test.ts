import { beforeEach, expect, test } from 'vitest'
import { METRICS } from '../../../agent/observability/metrics.js'
import { type AgentMetrics, createMetrics } from '../../../agent/platform/prom-metrics.js'

let metrics: AgentMetrics
beforeEach(() => {
  metrics = createMetrics({ processMetrics: false })
})

/** The samples of one metric: what stands in braces (or the whole name) to its value. */
async function samples(name: string): Promise<Record<string, number>> {
  const lines = (await metrics.text()).split('\n').filter((line) => new RegExp(`^${name}(_\\w+)?[ {]`).test(line))
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]))
}

test('every metric of the table is on the page with its help and kind', async () => {
  const text = await metrics.text()
  for (const [name, spec] of Object.entries(METRICS)) {
    expect(text).toContain(`# HELP ${name} ${spec.help}\n# TYPE ${name} ${spec.kind}\n`)
  }
})

test('a counter counts by labels, by one or by a number', async () => {
  metrics.count('icp_agent_node_attestations_total', { outcome: 'ok' })
  metrics.count('icp_agent_node_attestations_total', { outcome: 'ok' }, 2)
  metrics.count('icp_agent_rate_limit_wait_seconds_total', 1.5)
  expect(await samples('icp_agent_node_attestations_total')).toEqual({
    'icp_agent_node_attestations_total{outcome="ok"}': 3,
  })
  expect(await samples('icp_agent_rate_limit_wait_seconds_total')).toEqual({
    icp_agent_rate_limit_wait_seconds_total: 1.5,
  })
})

test('a histogram fills its own buckets', async () => {
  metrics.observe('icp_agent_issuance_seconds', 0.2, { kind: 'x509' })
  const found = await samples('icp_agent_issuance_seconds')
  expect(found['icp_agent_issuance_seconds_bucket{le="0.1",kind="x509"}']).toBe(0)
  expect(found['icp_agent_issuance_seconds_bucket{le="0.25",kind="x509"}']).toBe(1)
})

test('a gauge is read at each scrape, and what it omits disappears', async () => {
  let streams = 1
  using _ = metrics.gauge('icp_agent_streams', () =>
    streams === 0 ? [] : [{ value: streams, labels: { method: 'FetchX509SVID' } }],
  )
  expect(await samples('icp_agent_streams')).toEqual({ 'icp_agent_streams{method="FetchX509SVID"}': 1 })
  streams = 0
  expect(await samples('icp_agent_streams')).toEqual({})
})

test('a gauge without labels that nobody reads, or no longer, has no value rather than 0', async () => {
  expect(await samples('icp_agent_connections')).toEqual({})
  const reading = metrics.gauge('icp_agent_connections', () => [{ value: 7 }])
  expect(await samples('icp_agent_connections')).toEqual({ icp_agent_connections: 7 })
  reading[Symbol.dispose]()
  expect(await samples('icp_agent_connections')).toEqual({})
})

test('two readers of one gauge are shown together', async () => {
  metrics.gauge('icp_agent_entries', () => [{ value: 1, labels: { state: 'issued' } }])
  metrics.gauge('icp_agent_entries', () => [{ value: 2, labels: { state: 'wanted' } }])
  expect(Object.values(await samples('icp_agent_entries'))).toEqual([1, 2])
})

test('a reader that fails hides its own gauge only', async () => {
  metrics.gauge('icp_agent_connections', () => {
    throw new Error('no')
  })
  metrics.gauge('icp_agent_svids', () => [{ value: 3 }])
  expect(await samples('icp_agent_connections')).toEqual({})
  expect(await samples('icp_agent_svids')).toEqual({ icp_agent_svids: 3 })
})

test('label values without end are counted as other after 200', async () => {
  for (let i = 0; i < 5000; i++) metrics.count('icp_agent_denials_total', { reason: `r${i}` })
  const found = await samples('icp_agent_denials_total')
  expect(Object.keys(found)).toHaveLength(201)
  // Two series are there from the start.
  expect(found['icp_agent_denials_total{reason="other"}']).toBe(4802)
})

test('a label value of any length or content cannot break the page', async () => {
  metrics.count('icp_agent_denials_total', { reason: 'x'.repeat(10_000) })
  metrics.count('icp_agent_denials_total', { reason: 'a"\n# TYPE b counter\nb 1' })
  const text = await metrics.text()
  expect(text).not.toMatch(/^b 1/m)
  expect(text).toContain('reason="other"')
})

test('no gauge is named like a counter', async () => {
  const gauges = [...(await createMetrics().text()).matchAll(/^# TYPE (\S+) gauge$/gm)].map(([, name = '']) => name)
  expect(gauges.length).toBeGreaterThan(20)
  expect(gauges.filter((name) => name.endsWith('_total'))).toEqual([])
})

test('the figures of Node and the process are there, event-loop lag among them', async () => {
  const text = await createMetrics().text()
  expect(text).toContain('nodejs_eventloop_lag_seconds')
  expect(text).toContain('process_resident_memory_bytes')
  expect(metrics.contentType).toMatch(/^text\/plain/)
})
