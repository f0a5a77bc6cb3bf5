import type { ErrorCode } from '../errors.js'
import { iso } from '../lib/time.js'
import type { NodeDescription } from '../ports/node-description.js'
import type { AttestorStatus } from './attestor-events.js'
import type { BrokenFile } from './file-events.js'
import type { Trouble } from './once.js'
import { printable } from './printable.js'

/** The input of the answers: plain values, collected for each request. Times in milliseconds since 1970. */
export interface HealthInput {
  readonly now: number
  readonly startedAt: number
  /** Measured by the monotonic clock. */
  readonly uptimeMs: number
  /** SIGTERM was received: no longer ready, still alive. */
  readonly stopping: boolean
  readonly agentSvid: {
    readonly spiffeId: string | null
    readonly expiresAt: number | null
    /** Why attestation or renewal fails now: `agent.locked_out`, `icp.unreachable`, … */
    readonly trouble: Trouble | null
  }
  readonly icpService: {
    readonly address: string
    readonly reachedAt: number | null
    readonly trouble: Trouble | null
    /** How far the server's clock is ahead. */
    readonly skewMs: number | null
  }
  readonly workloadApi: {
    readonly socketPath: string
    readonly listening: boolean
    /** Since when the path no longer names our socket (removed, replaced); null while it does. */
    readonly lostSince: number | null
    readonly connections: number
    readonly streams: number
  }
  readonly pods: {
    /** Why callers in other pods cannot be identified (no `hostPID`); null where they can, and outside of pods. */
    readonly callersHidden: 'by_namespaces' | 'refused' | null
    /** Readiness waits until Kubernetes has listed the pods of this node once since the start. */
    readonly awaited: boolean
  }
  readonly cache: {
    /** False until the sealed cache was read (or found missing) at start. */
    readonly restored: boolean
    readonly trouble: Trouble | null
  }
  readonly sync: {
    /** The interval in force: a changed entry reaches open streams within it. */
    readonly intervalMs: number
    /** Null until the first entry sync since the start has succeeded. */
    readonly lastSuccessAt: number | null
  }
  readonly entries: {
    /** Number of entries by state. */
    readonly byState: Readonly<Record<string, number>>
    /** Entries that the ICP server does not issue. */
    readonly neverIssued: readonly NeverIssued[]
  }
  /** X.509-SVIDs of workloads that are valid now. */
  readonly validSvids: number
  readonly node: NodeDescription | null
  readonly attestors: readonly AttestorStatus[]
  /** Files that are reread and cannot be used now; their last good content is in force. */
  readonly brokenFiles: readonly BrokenFile[]
  /** Why the admin socket cannot be used; null or absent where it can. */
  readonly adminTrouble?: AdminTrouble | null
  /** Why the audit log cannot be written; null or absent where it can, or is off. */
  readonly audit?: Trouble | null
  /** `trouble`: why the last reload of the configuration failed; null if it succeeded. */
  readonly reload?: { readonly trouble: Trouble | null }
  /** How many connections the limit of open files leaves; `short`: fewer than the configuration allows. */
  readonly openFiles?: { readonly limit: number | null; readonly connections: number; readonly short: boolean }
}

export interface AdminTrouble {
  readonly message: string
  readonly since: number
}

export interface NeverIssued {
  readonly id: string
  readonly spiffeId: string
  readonly code: string
  readonly reason: string
}

export const COMPONENTS = ['agent_svid', 'icp_service', 'workload_api', 'certificate_cache'] as const
export type ComponentName = (typeof COMPONENTS)[number]
export type Status = 'healthy' | 'degraded' | 'unhealthy' | 'starting'

/** The state of one component. `message`: for people. `since`: when the trouble began. */
export interface Component {
  readonly status: Status
  readonly message: string
  readonly since: number | null
}

/** If one iteration of the event loop takes this long, it counts as stuck. */
export const LOOP_STUCK_MS = 5000
/** After this time an unreachable ICP server makes its component unhealthy instead of degraded; the agent keeps running. */
const LONG_AWAY_MS = 10 * 60_000
const MAX_MESSAGE = 300

/** The four components. A component that is `unhealthy` does not by itself restart the agent. */
export function componentsOf(input: HealthInput): Readonly<Record<ComponentName, Component>> {
  return {
    agent_svid: agentSvid(input),
    icp_service: icpService(input),
    workload_api: workloadApi(input),
    certificate_cache: cache(input),
  }
}

/** Problems outside the four components that degrade the agent; `message` is for people. */
export function otherTroubles(input: HealthInput): readonly { readonly message: string; readonly since: number }[] {
  const broken = input.brokenFiles.map(({ message, code, since }) => {
    return { message: bounded(`the last good content is in force, but ${message} (${code})`), since }
  })
  const { openFiles, startedAt, adminTrouble, audit, reload } = input
  if (adminTrouble) broken.push({ message: bounded(adminTrouble.message), since: adminTrouble.since })
  if (audit) broken.push({ message: `${bounded(audit.message)} (${audit.code})`, since: audit.since })
  if (reload?.trouble) {
    const { message, code, since } = reload.trouble
    broken.push({ message: bounded(`the last reload changed nothing: ${message} (${code})`), since })
  }
  if (!openFiles?.short) return broken
  const message = `the limit of ${openFiles.limit} open files allows ${openFiles.connections} connections of the Workload API, fewer than workload_api.limits.connections; raise it (LimitNOFILE, ulimit -n)`
  return [...broken, { message, since: startedAt }]
}

/** Why a restart would help, or null. Only this makes a liveness probe fail, because a restart ends every stream. */
export function restartReason(input: HealthInput, loopDelayMs: number): string | null {
  if (loopDelayMs >= LOOP_STUCK_MS) return `a turn of the event loop took ${Math.round(loopDelayMs / 1000)} s`
  if (input.workloadApi.lostSince !== null && !input.stopping) return workloadApi(input).message
  return null
}

/** The agent as a whole: `unhealthy` only if a restart would help. */
export function overall(input: HealthInput, loopDelayMs: number): Status {
  if (restartReason(input, loopDelayMs) !== null) return 'unhealthy'
  const statuses = Object.values(componentsOf(input)).map((component) => component.status)
  const troubled = statuses.includes('degraded') || statuses.includes('unhealthy')
  if (troubled || otherTroubles(input).length > 0) return 'degraded'
  return statuses.includes('starting') ? 'starting' : 'healthy'
}

const HIDDEN = {
  by_namespaces: 'the agent runs in a PID namespace of its own, so that the kernel names no caller in another pod',
  refused: 'the latest caller is in a PID namespace that the agent cannot see, and was refused',
}
const HOST_PID = "give its pod the node's PID namespace: hostPID: true"

function podsAwaited({ attestors }: HealthInput): string {
  const said = attestors.find(({ name }) => name === 'kubernetes')?.reason
  const waits = 'Kubernetes has not listed the pods of this node since the start (health.wait_for_kubernetes)'
  return said === undefined ? waits : bounded(`${waits}: ${said}`)
}

/** Why the agent cannot serve workloads now; empty when it can. */
export function unreadyReasons(input: HealthInput): string[] {
  const reasons: string[] = []
  if (input.stopping) reasons.push('the agent is stopping')
  if (!input.workloadApi.listening) reasons.push('the Workload API socket is not listening')
  else if (input.workloadApi.lostSince !== null) reasons.push(workloadApi(input).message)
  if (input.sync.lastSuccessAt === null && input.validSvids === 0) {
    reasons.push('the entries have not been synced yet and the cache has no valid SVID')
  }
  if (input.pods.callersHidden !== null) reasons.push(`${HIDDEN[input.pods.callersHidden]}; ${HOST_PID}`)
  if (input.pods.awaited) reasons.push(podsAwaited(input))
  return reasons
}

/** Problems other than a failed renewal while the certificate is still valid. */
const WHILE_VALID: Partial<Record<ErrorCode, string>> = {
  'file.io': 'writing it to disk fails',
  'agent.certificate_refused': 'of no use',
  'icp.agent_inactive': 'of no use',
}

function agentSvid({ agentSvid: { expiresAt, trouble }, now }: HealthInput): Component {
  if (expiresAt !== null && now < expiresAt) {
    if (trouble === null) return fine(`the agent's SVID is valid until ${iso(expiresAt)}`)
    return troubled(
      'degraded',
      trouble,
      `valid until ${iso(expiresAt)}, but ${WHILE_VALID[trouble.code] ?? 'renewal fails'}`,
    )
  }
  if (trouble !== null) return troubled('unhealthy', trouble, 'the agent has no valid SVID')
  if (expiresAt === null) return { status: 'starting', message: 'the node has not attested yet', since: null }
  return { status: 'unhealthy', message: `the agent's SVID expired at ${iso(expiresAt)}`, since: expiresAt }
}

function icpService({ icpService: { reachedAt, trouble }, now }: HealthInput): Component {
  if (trouble !== null) {
    const last = reachedAt === null ? 'never answered since the start' : `last answered at ${iso(reachedAt)}`
    return troubled(now - trouble.since < LONG_AWAY_MS ? 'degraded' : 'unhealthy', trouble, `the ICP server ${last}`)
  }
  if (reachedAt === null)
    return { status: 'starting', message: 'no request to the ICP server has succeeded yet', since: null }
  return fine(`the ICP server answered at ${iso(reachedAt)}`)
}

function workloadApi({ workloadApi: { listening, lostSince, socketPath } }: HealthInput): Component {
  if (!listening) return { status: 'starting', message: 'the Workload API socket is not listening', since: null }
  if (lostSince === null) return fine('the Workload API is served')
  const message = bounded(`the socket ${socketPath} was removed or replaced; a restart makes it again`)
  return { status: 'unhealthy', message, since: lostSince }
}

function cache({ cache: { restored, trouble } }: HealthInput): Component {
  if (trouble !== null)
    return troubled('degraded', trouble, 'after a restart without the ICP server there would be no SVIDs')
  if (!restored) return { status: 'starting', message: 'the cache has not been read yet', since: null }
  return fine('the cache is in use')
}

function fine(message: string): Component {
  return { status: 'healthy', message, since: null }
}

function troubled(status: Status, trouble: Trouble, what: string): Component {
  return { status, message: `${bounded(`${what}: ${trouble.message}`)} (${trouble.code})`, since: trouble.since }
}

/** A text that may come from outside, bounded and printable. */
export function bounded(text: string): string {
  return printable(text.length > MAX_MESSAGE ? `${text.slice(0, MAX_MESSAGE)}…` : text)
}
