import type { AdminTrouble, HealthFacts } from '../observability/health.js'
import type { Trouble } from '../observability/once.js'
import type { HostNamespaces } from '../ports/kernel.js'
import type { NodeFacts } from '../ports/node-facts.js'
import type { Listener } from '../workload-api/listener.js'
import type { Agent } from './compose.js'
import type { DiskProbe } from './disk-probe.js'
import { figuresOf } from './entry-figures.js'

/** The agent and what is known of its run. */
export interface Facts {
  readonly agent: Agent
  readonly startedAt: number
  readonly startedMonotonic: number
  readonly node: NodeFacts
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
export function healthFacts(facts: Facts): HealthFacts {
  const { agent: parts } = facts
  const { config, clock, entrySync, schedule, keeper, client, reachability, outage } = parts
  const { streams, connections, listener, attestors } = parts
  const now = clock.now()
  const agent = keeper.current()
  return {
    now,
    startedAt: facts.startedAt,
    uptimeMs: clock.monotonic() - facts.startedMonotonic,
    stopping: facts.signal.aborted,
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
      callersHidden: callersHidden(facts.inPod, facts.agent.kernel.host, listener),
      awaited: config.health.waitForKubernetes && attestors.podsListed === false,
    },
    cache: { restored: facts.cacheTrouble !== null, trouble: facts.cacheTrouble?.() ?? facts.disk.trouble },
    sync: { intervalMs: schedule.intervalMs, lastSuccessAt: entrySync.lastAt },
    ...entriesOf(facts.agent, now),
    node: facts.node,
    attestors: attestors.statuses(),
    adminTrouble: facts.adminTrouble,
    brokenFiles: facts.agent.rereadFiles.broken(),
    audit: facts.agent.audit.events.trouble,
    openFiles: facts.agent.openFiles(),
    reload: facts.reload,
  }
}

/** On a machine or in Docker those who call from elsewhere may be none of its business. */
export function callersHidden(
  inPod: boolean,
  host: Pick<HostNamespaces, 'besidePid1'>,
  listener: Pick<Listener, 'callersHidden'>,
): HealthFacts['pods']['callersHidden'] {
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

function entriesOf({ store, entrySync }: Agent, now: number): Pick<HealthFacts, 'entries' | 'validSvids'> {
  const { byState, neverIssued, ends } = figuresOf(store.current)
  return {
    entries: { byState: { ...byState, rejected: entrySync.rejected.size }, neverIssued },
    validSvids: ends.filter((end) => now < end).length,
  }
}
