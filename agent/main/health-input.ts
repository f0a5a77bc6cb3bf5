import type { AdminTrouble, HealthInput } from '../observability/health.js'
import type { Trouble } from '../observability/once.js'
import type { HostNamespaces } from '../ports/kernel.js'
import type { NodeDescription } from '../ports/node-description.js'
import type { Listener } from '../workload-api/listener.js'
import type { Agent } from './compose.js'
import type { DiskProbe } from './disk-probe.js'
import { figuresOf } from './entry-figures.js'

/** The agent and what is known of its run. */
export interface AgentRun {
  readonly agent: Agent
  readonly startedAt: number
  readonly startedMonotonic: number
  readonly node: NodeDescription
  readonly signal: AbortSignal
  /** The agent runs in a pod. */
  readonly inPod: boolean
  /** Null until the sealed cache was read. */
  cacheTrouble: (() => Trouble | null) | null
  readonly disk: Pick<DiskProbe, 'trouble' | 'run'>
  /** Why the admin socket is not there; null while it is. */
  adminTrouble: AdminTrouble | null
  /** That the last reload failed. */
  reload: { readonly trouble: Trouble | null }
}

/** The plain values that `/status` and the probes are made from. */
export function healthInput(run: AgentRun): HealthInput {
  const { agent: parts } = run
  const { config, clock, entrySync, schedule, keeper, client, reachability, outage } = parts
  const { streams, connections, listener, attestors } = parts
  const now = clock.now()
  const agent = keeper.current()
  return {
    now,
    startedAt: run.startedAt,
    uptimeMs: clock.monotonic() - run.startedMonotonic,
    stopping: run.signal.aborted,
    agentSvid: {
      spiffeId: agent?.spiffeId.uri ?? null,
      expiresAt: agent?.notAfter ?? null,
      trouble: agentTrouble(keeper),
    },
    icpService: {
      address: config.icpService.address,
      reachedAt: reachability.reachedAt,
      trouble: serverTrouble(reachability.trouble, outage()),
      skewMs: client.skew(),
    },
    workloadApi: {
      socketPath: config.agent.socketPath,
      listening: listener.opened,
      lostSince: listener.lostSince(),
      connections: connections.size,
      streams: streams.size,
    },
    pods: {
      callersHidden: callersHidden(run.inPod, run.agent.kernel.host, listener),
      awaited: config.health.waitForKubernetes && attestors.podsListed === false,
    },
    cache: { restored: run.cacheTrouble !== null, trouble: run.cacheTrouble?.() ?? run.disk.trouble },
    sync: { intervalMs: schedule.intervalMs, lastSuccessAt: entrySync.lastAt },
    ...entriesOf(run.agent, now),
    node: run.node,
    attestors: attestors.statuses(),
    adminTrouble: run.adminTrouble,
    brokenFiles: run.agent.rereadFiles.broken(),
    audit: run.agent.audit.events.trouble,
    openFiles: run.agent.openFiles(),
    reload: run.reload,
  }
}

/** On a machine or in Docker those who call from elsewhere may be none of its business. */
export function callersHidden(
  inPod: boolean,
  host: Pick<HostNamespaces, 'besidePid1'>,
  listener: Pick<Listener, 'callersHidden'>,
): HealthInput['pods']['callersHidden'] {
  if (!inPod) return null
  if (host.besidePid1) return 'by_namespaces'
  return listener.callersHidden ? 'refused' : null
}

/**
 * `came`: the result of the last request after all its retries; `outage`: the failure of the last attempt, as logged.
 * The latter is newer; the outage began with the earlier of both.
 */
export function serverTrouble(came: Trouble | null, outage: Trouble | null): Trouble | null {
  if (came === null || outage === null) return outage ?? came
  return { ...outage, since: Math.min(came.since, outage.since) }
}

function agentTrouble(keeper: Agent['keeper']): Trouble | null {
  const state = keeper.state()
  return 'reason' in state && state.reason ? { ...state.reason, since: state.since } : null
}

function entriesOf({ store, entrySync }: Agent, now: number): Pick<HealthInput, 'entries' | 'validSvids'> {
  const { byState, neverIssued, ends } = figuresOf(store.current)
  return {
    entries: { byState: { ...byState, rejected: entrySync.rejected.size }, neverIssued },
    validSvids: ends.filter((end) => now < end).length,
  }
}
