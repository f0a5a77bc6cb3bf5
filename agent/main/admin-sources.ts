import type { AdminSources, LimitFigures, TelemetryFigures } from '../admin/sources.js'
import { type EffectiveSettings, shownValue } from '../config/effective.js'
import { SETTING_KEYS, SETTINGS } from '../config/schema.js'
import type { Setting } from '../config/setting.js'
import { sourceText } from '../config/tree.js'
import { AgentError, type Tier } from '../errors.js'
import type { AgentMetrics } from '../platform/prom-metrics.js'
import type { Kernel } from '../ports/kernel.js'
import type { AdminRecords } from './admin-records.js'
import type { Agent } from './compose.js'
import type { Reloading } from './compose-reload.js'
import { type AgentRun, healthInput } from './health-input.js'
import { agentVersion } from './version.js'

/** Sources of the admin socket besides the agent's own state. */
interface Told {
  readonly log: { readonly recent: { readonly lines: readonly string[]; readonly dropped: number } }
  readonly metrics: Pick<AgentMetrics, 'text'>
  readonly telemetry?: () => TelemetryFigures
}

/** The parts of the agent that the admin socket reads. */
export function adminSources(
  run: AgentRun,
  { denials, changes }: AdminRecords,
  { reload, logLevel }: Reloading,
  { log, metrics, telemetry = () => ({ traces: null, metrics: null }) }: Told,
): AdminSources {
  const { agent } = run
  const { clock, keeper, store, demand, publisher, connections, limiter } = agent
  const { tenantId, nodeId } = agent.config.agent
  return {
    clock,
    turn: () => new Promise((resolve) => setImmediate(resolve)),
    version: agentVersion(),
    names: { tenantId, nodeId },
    health: () => healthInput(run),
    ownSvid: () => keeper.current(),
    ownState: () => keeper.state(),
    ownRenewAt: () => (keeper.current() ? (keeper.due(clock.now())?.at ?? null) : null),
    limits: () => limitsOf(limiter),
    snapshot: () => store.current,
    changedAt: (entryId) => agent.entryChanges.changedAt(entryId),
    usesOf: (entryId) => demand.uses(entryId),
    authorities: () => publisher.history.state.records,
    issuer: () => publisher.history.newest,
    connected: () => connections.connected(),
    denials,
    changes,
    recentLog: () => log.recent,
    metricsText: () => metrics.text(),
    explain: (target, signal) => agent.explainer.explain(target, signal),
    processKey: (pid) => keyOf(agent.kernel, pid),
    get holdMs() {
      return agent.config.workloadApi.holdMs
    },
    reload: () => reload.run('reload'),
    lastReload: () => reload.last,
    audit: () => ({
      path: agent.audit.path,
      failClosed: agent.config.audit.failClosed,
      waiting: agent.audit.log.waiting,
      trouble: agent.audit.events.trouble,
    }),
    telemetry,
    logLevel,
    settings: () => settingRows(reload.settings),
    process: () => {
      const { rss, heapUsed } = process.memoryUsage()
      return { pid: process.pid, rssBytes: rss, heapBytes: heapUsed }
    },
  }
}

function keyOf(kernel: Pick<Kernel, 'peerOfPid'>, pid: number): string | null {
  try {
    using process = kernel.peerOfPid(pid).process
    return process.key
  } catch (error) {
    if (error instanceof AgentError) return null
    throw error
  }
}

function settingRows(settings: EffectiveSettings) {
  return SETTING_KEYS.map((key) => {
    const { value, source } = settings[key]
    const { reload }: Setting<unknown> = SETTINGS[key]
    return { key, value: shownValue(key, value), source: sourceText(source), reload }
  })
}

function limitsOf(limiter: Agent['limiter']): Readonly<Record<Tier, LimitFigures>> {
  const of = (tier: Tier): LimitFigures => ({
    perMinute: limiter.pace(tier) * 60_000,
    opensInMs: limiter.opensIn(tier),
    pressure: limiter.pressure(tier),
  })
  return {
    bootstrap: of('bootstrap'),
    standard: of('standard'),
    sensitive: of('sensitive'),
    service: of('service'),
  }
}
