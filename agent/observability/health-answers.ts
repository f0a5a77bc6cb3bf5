import { iso, secondsOf } from '../lib/time.js'
import {
  bounded,
  COMPONENTS,
  type Component,
  componentsOf,
  type HealthInput,
  otherTroubles,
  overall,
  restartReason,
  unreadyReasons,
} from './health.js'

/** Limit of listed entries that are never issued; all are counted. */
const MAX_NEVER_ISSUED = 50

/** The names of this agent in the answers. */
export interface AgentNames {
  readonly tenantId: string
  readonly nodeId: string
}

/** The answer to one request. */
export interface HealthAnswer {
  readonly code: number
  readonly body: Readonly<Record<string, unknown>>
}

/** GET /healthz: 503 only if a restart would help. `verbose` adds the components and the reasons. */
export function liveness(input: HealthInput, loopDelayMs: number, verbose: boolean): HealthAnswer {
  const status = overall(input, loopDelayMs)
  const code = status === 'unhealthy' ? 503 : 200
  if (!verbose) return { code, body: { status } }
  const components = componentsOf(input)
  const restart = restartReason(input, loopDelayMs)
  const reasons = [
    ...Object.values(components).flatMap(({ status, message }) => (status === 'healthy' ? [] : [message])),
    ...otherTroubles(input).map(({ message }) => message),
  ]
  const all = restart === null || reasons.includes(restart) ? reasons : [restart, ...reasons]
  return { code, body: { status, reasons: all, components: componentFields(input) } }
}

/** GET /ready: 200 once workloads can be served. `verbose` adds the reasons if they cannot. */
export function readiness(input: HealthInput, verbose: boolean): HealthAnswer {
  const reasons = unreadyReasons(input)
  const ready = reasons.length === 0
  return { code: ready ? 200 : 503, body: { ready, ...(verbose ? { reasons } : {}) } }
}

/** GET /status: for people. */
export function statusDocument(
  input: HealthInput,
  loopDelayMs: number,
  agent: AgentNames,
  version: string,
): HealthAnswer {
  const { sync, entries, icpService, agentSvid, workloadApi } = input
  const troubles = [...Object.values(componentsOf(input)), ...otherTroubles(input)]
  const unready = unreadyReasons(input)
  const since = troubles.flatMap((trouble) => trouble.since ?? [])
  const body = {
    status: overall(input, loopDelayMs),
    ready: unready.length === 0,
    unready_reasons: unready,
    version,
    uptime_seconds: Math.floor(input.uptimeMs / 1000),
    start_time: iso(input.startedAt),
    degraded_since: since.length > 0 ? iso(Math.min(...since)) : null,
    components: componentFields(input),
    agent: {
      tenant_id: agent.tenantId,
      node_id: agent.nodeId,
      spiffe_id: agentSvid.spiffeId,
      svid_expires_at: agentSvid.expiresAt === null ? null : iso(agentSvid.expiresAt),
    },
    icp_service: {
      address: icpService.address,
      clock_skew_seconds: icpService.skewMs === null ? null : secondsOf(icpService.skewMs),
    },
    workload_api: {
      socket_path: workloadApi.socketPath,
      connections: workloadApi.connections,
      streams: workloadApi.streams,
    },
    sync: {
      interval_seconds: secondsOf(sync.intervalMs),
      last_success: sync.lastSuccessAt === null ? null : iso(sync.lastSuccessAt),
      age_seconds: sync.lastSuccessAt === null ? null : secondsOf(Math.max(0, input.now - sync.lastSuccessAt)),
    },
    entries: {
      by_state: entries.byState,
      never_issued_total: entries.neverIssued.length,
      never_issued: entries.neverIssued.slice(0, MAX_NEVER_ISSUED).map(({ id, spiffeId, code, reason }) => ({
        id: bounded(id),
        spiffe_id: bounded(spiffeId),
        code,
        reason: bounded(reason),
      })),
    },
    svids: input.validSvids,
    attestors: input.attestors.map(({ name, active, reason }) => ({ name, active, reason: bounded(reason) })),
    broken_files: input.brokenFiles.map(({ path, code, message, since }) => ({
      path: bounded(path),
      code,
      problem: bounded(message),
      since: iso(since),
    })),
    node: input.node,
  }
  return { code: 200, body }
}

/** GET /: the name and version of this service. */
export function greeting(agent: AgentNames, version: string): HealthAnswer {
  return { code: 200, body: { service: 'ICP Agent', version, tenant_id: agent.tenantId, node_id: agent.nodeId } }
}

function componentFields(input: HealthInput): Record<string, unknown> {
  const components = componentsOf(input)
  const fields = ({ status, message, since }: Component) => ({
    status,
    message,
    since: since === null ? null : iso(since),
    last_check: iso(input.now),
  })
  return Object.fromEntries(COMPONENTS.map((name) => [name, fields(components[name])]))
}
