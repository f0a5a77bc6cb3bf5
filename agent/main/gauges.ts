import { STATE_KINDS, type StateKind } from '../agent-svid/state.js'
import type { Metrics } from '../observability/metrics.js'
import type { Clock } from '../ports/clock.js'
import type { Agent } from './compose.js'
import { countByState, soonestEnd, unserved } from './entry-figures.js'
import { agentVersion } from './version.js'

/** The parts of the agent that gauges are read from. */
export interface Gauged {
  readonly config: { readonly metrics: Agent['config']['metrics'] }
  readonly store: Pick<Agent['store'], 'current'>
  readonly demand: Pick<Agent['demand'], 'unusedFor'>
  readonly keeper: { current(): { readonly notAfter: number } | null; state(): { readonly kind: StateKind } }
  readonly client: Pick<Agent['client'], 'skew'>
  readonly entrySync: { readonly lastAt: number | null }
  readonly schedule: { readonly intervalMs: number }
}

/** Gauges that are read from the agent's state at each scrape. */
export function gauges(agent: Gauged, { metrics, clock }: { metrics: Metrics; clock: Clock }): Disposable {
  const soonest = (): number => {
    const end = soonestEnd(agent.store.current, agent.demand, clock.now())
    return end === null ? -1 : (end - clock.now()) / 1000
  }
  const held = () => [...agent.store.current.states].filter(([, state]) => state.kind === 'issued')
  const ownExpiry = (): number => {
    const own = agent.keeper.current()
    return own === null ? -1 : (own.notAfter - clock.now()) / 1000
  }
  const started = clock.now() / 1000
  const all = [
    metrics.gauge('icp_agent_info', () => [{ value: 1, labels: { version: agentVersion() } }]),
    metrics.gauge('icp_agent_start_time_seconds', () => [{ value: started }]),
    metrics.gauge('icp_agent_agent_svid_expiry_seconds', () => [{ value: ownExpiry() }]),
    metrics.gauge('icp_agent_agent_svid_state', () => {
      const { kind } = agent.keeper.state()
      return STATE_KINDS.map((state) => ({ value: state === kind ? 1 : 0, labels: { state } }))
    }),
    // Any number could be a real skew, so there is no value before the first answer.
    metrics.gauge('icp_agent_server_clock_skew_seconds', () => {
      const skewMs = agent.client.skew()
      return skewMs === null ? [] : [{ value: skewMs / 1000 }]
    }),
    metrics.gauge('icp_agent_sync_age_seconds', () => [
      { value: agent.entrySync.lastAt === null ? -1 : (clock.now() - agent.entrySync.lastAt) / 1000 },
    ]),
    metrics.gauge('icp_agent_sync_interval_seconds', () => [{ value: agent.schedule.intervalMs / 1000 }]),
    metrics.gauge('icp_agent_svids', () => [{ value: held().length }]),
    metrics.gauge('icp_agent_svid_soonest_expiry_seconds', () => [{ value: soonest() }]),
    metrics.gauge('icp_agent_entries', () => byState(countByState(agent.store.current, clock.now()))),
    metrics.gauge('icp_agent_entries_unserved', () =>
      byState(unserved(agent.store.current, agent.demand, clock.now())),
    ),
    metrics.gauge('icp_agent_svid_expiry_seconds', () =>
      (agent.config.metrics.spiffeIdLabels ? held() : []).flatMap(([, state]) =>
        state.kind === 'issued'
          ? [
              {
                value: (state.held.svid.notAfter - clock.now()) / 1000,
                labels: { spiffe_id: state.held.svid.spiffeId.uri },
              },
            ]
          : [],
      ),
    ),
  ]
  return {
    [Symbol.dispose]: () => {
      for (const gauge of all) gauge[Symbol.dispose]()
    },
  }
}

function byState(counts: Readonly<Record<string, number>>) {
  return Object.entries(counts).map(([state, value]) => ({ value, labels: { state } }))
}
