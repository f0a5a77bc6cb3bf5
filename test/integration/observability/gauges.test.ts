import { expect, it } from 'vitest'
import { METRICS, type MetricSpec } from '../../../agent/observability/metrics.js'
import { createMetrics } from '../../../agent/platform/prom-metrics.js'
import { startAgent, startServer, temporaryDirectory } from '../../support/agent.js'
import { openStream, SECURITY_HEADER, SPIFFE } from '../../support/raw-stream.js'

/** There only where the agent runs in a pod. */
const OF_A_PLATFORM = ['icp_agent_kubernetes_pods', 'icp_agent_kubernetes_sync_age_seconds']

it('after a first SVID every gauge that needs no platform has a sample', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  const selectors = { 'unix:uid': String(process.getuid?.()) }
  await server.createEntry({ spiffeId: `spiffe://${server.tenantId}/web`, selectors })
  const metrics = createMetrics({ processMetrics: false })
  const settings = { METRICS__SPIFFE_ID_LABELS: 'true' }
  await using agent = await startAgent({ dir: dir.path, server, settings, world: { metrics } })
  using stream = openStream(agent.address, `${SPIFFE}/FetchX509SVID`, { metadata: SECURITY_HEADER })
  await stream.next()

  const text = await metrics.text()
  const gauges = Object.entries(METRICS).flatMap(([name, { kind }]: [string, MetricSpec]) =>
    kind === 'gauge' && !OF_A_PLATFORM.includes(name) ? [name] : [],
  )
  expect(gauges.filter((name) => !new RegExp(`^${name}(?:\\{.*\\})? `, 'm').test(text))).toEqual([])
  const valueNamed = (name: string) => Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1])
  expect(valueNamed('icp_agent_agent_svid_expiry_seconds')).toBeGreaterThan(60)
  expect(Math.abs(valueNamed('icp_agent_server_clock_skew_seconds'))).toBeLessThan(10)
})
