import { describe, expect, test } from 'vitest'
import { WorkloadApiClient } from '../../agent/client/workload-api-client.js'
import { SystemClock } from '../../agent/platform/system-clock.js'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../support/agent.js'
import { collectorUnavailable, OtelCollector } from '../support/otel-collector.js'
import { eventually } from '../support/until.js'
import { served, uid } from './resilience/support.js'

const unavailable = collectorUnavailable()

describe.skipIf(unavailable !== null)(
  `the OpenTelemetry Collector${unavailable ? ` (skipped: ${unavailable})` : ''}`,
  () => {
    test('takes the traces of the agent with their parents, and its metrics', async () => {
      await using dir = await temporaryDirectory()
      await using server = await startServer(`${dir.path}/icp`)
      await using collector = await OtelCollector.start(dir.path)
      await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
      const telemetry = {
        OTEL_TRACES_EXPORTER: 'otlp',
        OTEL_METRICS_EXPORTER: 'otlp',
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
        OTEL_METRIC_EXPORT_INTERVAL: '1000',
        OTEL_BSP_SCHEDULE_DELAY: '100',
      }
      await using agent = await startAgent({ dir: dir.path, server, telemetry })
      await served(agent.address)
      const client = WorkloadApiClient.connect({ address: agent.address, clock: new SystemClock() })
      await client.fetchX509Svid()
      client[Symbol.dispose]()
      await eventually(
        () => collector.metrics.map(({ name }) => name),
        (names) => names.includes('icp_agent_pushes_total'),
      )
      await agent.stop()

      const { spans } = collector
      expect(collector.text).toContain('-> service.name: Str(icp-agent)')
      const push = spans.find(
        ({ name, attributes }) => name === 'workload.push' && attributes.get('rpc.method') === 'FetchX509SVID',
      )
      const trace = spans.filter((span) => span.trace === push?.trace)
      const [root, ...more] = trace.filter(({ parent }) => parent === '')
      expect([root?.name, more]).toEqual(['workload.accept', []])
      expect(root?.attributes.get('process.pid')).toBe(String(process.pid))
      const others = trace.filter((span) => span !== root)
      expect([...new Set(others.map(({ parent }) => parent))]).toEqual([root?.id])
      expect(new Set(others.map(({ name }) => name))).toEqual(
        new Set(['workload.attest', 'workload.attestor', 'workload.decide', 'workload.serve', 'workload.push']),
      )
      // Traces of their own.
      for (const name of ['svid.issue', 'icp.request']) {
        const found = spans.filter((span) => span.name === name)
        expect(found.length, name).toBeGreaterThan(0)
        expect(new Set(found.map(({ parent }) => parent)), name).toEqual(new Set(['']))
      }
      const metric = (name: string) => collector.metrics.findLast((one) => one.name === name)
      expect(metric('icp_agent_pushes_total')).toEqual({
        name: 'icp_agent_pushes_total',
        type: 'Sum',
        cumulative: true,
      })
      expect(metric('icp_agent_attestation_seconds')).toMatchObject({ type: 'Histogram', cumulative: true })
      expect(metric('icp_agent_agent_svid_expiry_seconds')).toMatchObject({ type: 'Gauge' })
    })
  },
)
