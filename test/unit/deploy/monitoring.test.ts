import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parseAllDocuments, stringify } from 'yaml'
import { ENDPOINTS } from '../../../agent/icp/endpoints.js'
import { METRICS } from '../../../agent/observability/metrics.js'
import { serverEvents } from '../../../agent/observability/server-events.js'
import { createMetrics } from '../../../agent/platform/prom-metrics.js'
import { FakeClock } from '../../fakes/clock.js'
import { RecordedSinks } from '../../fakes/sinks.js'

/** What the chart makes with everything on; that the chart still makes it is a test of its own. */
const RENDERED = 'helm/icp-agent/ci/expected/everything.yaml'

interface Rendered {
  readonly kind: string
  readonly metadata: { readonly labels?: Readonly<Record<string, string>> }
  readonly spec: {
    readonly template?: { readonly metadata: { readonly labels: Readonly<Record<string, string>> } }
    readonly podTargetLabels?: readonly string[]
    readonly targetLabels?: readonly string[]
    readonly groups?: readonly { readonly rules: readonly Rule[] }[]
  }
}

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly for: string
}

const manifests = parseAllDocuments(readFileSync(RENDERED, 'utf8')).flatMap(
  (document) => (document.toJS() as Rendered | null) ?? [],
)
const isCsi = ({ labels }: Rendered['metadata']) => labels?.['app'] === 'icp-agent-csi'
function one(kind: string): Rendered {
  // The CSI driver is a program of somebody else, and has no metrics of the agent.
  const [found, ...more] = manifests.filter(({ kind: its, metadata }) => its === kind && !isCsi(metadata))
  if (!found || more.length > 0) throw new TypeError(`not one ${kind}`)
  return found
}
const rules = one('PrometheusRule').spec.groups?.flatMap((group) => group.rules) ?? []

describe('alerts of the chart', () => {
  it('ask for no label of a target that a monitor does not put on it', () => {
    const asked = rules.flatMap(({ expr }) =>
      [...expr.matchAll(/\bup\{(\w+)="([^"]+)"\}/g)].map(([, label = '', value = '']) => ({ label, value })),
    )
    expect(asked).not.toEqual([])
    for (const { label, value } of asked) {
      expect(one('DaemonSet').spec.template?.metadata.labels[label]).toBe(value)
      expect(one('PodMonitor').spec.podTargetLabels).toContain(label)
      expect(one('Service').metadata.labels?.[label]).toBe(value)
      expect(one('ServiceMonitor').spec.targetLabels).toContain(label)
    }
  })

  it('name labels and values that the metrics have', () => {
    const values = rules.flatMap(({ expr }) => [...expr.matchAll(/(icp_agent_\w+)\{(\w+)=/g)])
    expect(values).not.toEqual([])
    for (const [, name = '', label = ''] of values) {
      const spec = Object.entries(METRICS).find(([known]) => known === name)?.[1]
      expect(spec?.labels, name).toContain(label)
    }
  })

  it('stay quiet about a node where nothing is held, and not about one that never had anything', () => {
    const expressions = Object.fromEntries(rules.map(({ alert, expr }) => [alert, expr]))
    expect(expressions['IcpAgentSvidEndsSoon']).toMatch(/^(\w+) >= 0 and \1 < 600$/)
    expect(expressions['IcpAgentOutOfStep']).toMatch(/ or icp_agent_sync_age_seconds < 0$/)
    expect(expressions['IcpAgentOwnSvidEndsSoon']).toBe('icp_agent_agent_svid_expiry_seconds < 900')
  })

  it('go on when an SVID has expired', () => {
    expect(rules.map(({ expr }) => expr)).toContain('icp_agent_entries_unserved{state="expired"} > 0')
    const missing = rules.find(({ alert }) => alert === 'IcpAgentSvidMissing')
    expect(missing).toMatchObject({ expr: 'sum without (state) (icp_agent_entries_unserved) > 0', for: '40m' })
  })

  it('stand in docs/metrics.md', () => {
    const page = readFileSync('docs/metrics.md', 'utf8').split('## What to alert on')[1] ?? ''
    expect(rules.filter(({ expr }) => !page.includes(`\`${expr}\``)).map(({ alert }) => alert)).toEqual([])
  })
})

describe('a counter that an alert asks for', () => {
  const page = readFileSync('docs/metrics.md', 'utf8').split('## What to alert on')[1] ?? ''
  const asked = new Set([...page.matchAll(/(?:rate|increase)\((icp_agent_\w+)/g)].map(([, name = '']) => name))

  it('begins with 0 when the agent starts, for what the alert selects', async () => {
    const metrics = createMetrics({ processMetrics: false })
    serverEvents({ log: new RecordedSinks().log, metrics, observers: [] }, new FakeClock()).expects(
      Object.keys(ENDPOINTS),
    )
    const text = await metrics.text()
    expect([...asked].sort()).toEqual([
      'icp_agent_admin_connections_refused_total',
      'icp_agent_audit_lost_total',
      'icp_agent_denials_total',
      'icp_agent_rate_limited_total',
      'icp_agent_server_requests_total',
    ])
    for (const name of asked) expect(text).toMatch(new RegExp(`^${name}(\\{.+\\})? 0$`, 'm'))
    expect(text).toContain('icp_agent_denials_total{reason="entry.none"} 0')
    expect(text).toContain('icp_agent_denials_total{reason="audit.unavailable"} 0')
    expect(text).toContain('icp_agent_admin_connections_refused_total{reason="user"} 0')
    expect(text).toContain('icp_agent_server_requests_total{endpoint="entries",outcome="icp.unreachable"} 0')
  })
})

describe('deploy/monitoring', () => {
  it('has the alerts of the chart as a rule file of Prometheus', () => {
    const made = `# Made from the chart's alerts. Prometheus: rule_files: [alerts.yaml].\n${stringify({ groups: one('PrometheusRule').spec.groups })}`
    const path = 'deploy/monitoring/alerts.yaml'
    if (process.env['ICP_UPDATE_DOCS']) writeFileSync(path, made)
    expect(readFileSync(path, 'utf8')).toBe(made)
  })

  it('has the dashboard of the chart', () => {
    const made = readFileSync('helm/icp-agent/files/dashboard.json', 'utf8')
    const path = 'deploy/monitoring/dashboard.json'
    if (process.env['ICP_UPDATE_DOCS']) writeFileSync(path, made)
    expect(readFileSync(path, 'utf8')).toBe(made)
  })
})
