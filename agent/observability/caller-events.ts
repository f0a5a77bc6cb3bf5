import { type AgentError, codeOf, isError } from '../errors.js'
import type { Selectors } from '../identity/selector.js'
import type { Clock } from '../ports/clock.js'
import type { Sinks } from './events.js'
import type { CallerIds } from './observer.js'
import { sayOnce } from './once.js'

const named = ({ pid, uid, gid }: CallerIds) => ({ pid, uid, gid })

/** The caller that an attestor was asked about, and how long its answer took. */
export interface Asked {
  readonly caller: CallerIds
  readonly ms: number
}

/** What happens around connections and the attestation of their callers. */
export const callerEvents = ({ log, metrics, observers }: Sinks, clock: Clock) => {
  const accepting = sayOnce(log, clock, {
    failing: 'Accepting a connection failed',
    recovered: 'Accepting connections works again',
  })
  const attestor = () =>
    sayOnce(log, clock, { failing: 'Workload attestor failed', recovered: 'Workload attestor answers again' })
  const attestors = new Map<string, ReturnType<typeof attestor>>()
  const unidentified = new Set<string>()
  let stuck = false
  return {
    /** `count` is read at each scrape. */
    connectionsOpen: (count: () => number): Disposable =>
      metrics.gauge('icp_agent_connections', () => [{ value: count() }]),

    directoryTightened(socketPath: string, from: number): void {
      log.warn('Socket directory tightened to 0755: others could write to it', {
        socket_path: socketPath,
        mode: from.toString(8).padStart(4, '0'),
      })
    },

    socketTakenOver(socketPath: string): void {
      log.info('Stale socket taken over', { socket_path: socketPath })
    },

    /** accept(2) failed, mostly because no file descriptors were left. */
    acceptFailed(error: unknown): void {
      metrics.count('icp_agent_connections_refused_total', { reason: 'accept_failed' })
      accepting.failed(error)
    },

    accepted(): void {
      accepting.succeeded()
    },

    /** The kernel has said who calls. */
    identified(caller: CallerIds): void {
      for (const observer of observers) observer.callerAccepted?.(caller)
    },

    /** A connection was refused or dropped by the agent. */
    connectionClosed(reason: string, connection: string, caller: CallerIds | null): void {
      metrics.count('icp_agent_connections_refused_total', { reason })
      log.debug('Connection closed by the agent', { reason, connection, ...(caller && named(caller)) })
    },

    /** The kernel did not say who is calling; the call gets an error status. */
    unidentified(error: AgentError, connection: string): void {
      const reason = isError(error, 'caller.unidentified') ? error.details.reason : undefined
      const kind = reason === undefined ? error.code : `${error.code} ${reason}`
      // A caller that connects and exits at once is not a fault of the node: no warning.
      const known = reason === 'ending' || unidentified.has(kind)
      if (!known) unidentified.add(kind)
      log.at(known ? 'debug' : 'warn', 'Caller not identified', { connection, error })
    },

    /** A defect of the agent while it took over a connection; the connection is closed. */
    consumerFailed(error: unknown, connection: string): void {
      log.error('A connection could not be taken over', { connection, error })
    },

    attested(
      caller: CallerIds,
      result: { readonly selectors: Selectors; readonly unavailable: readonly string[]; readonly ms: number },
    ): void {
      const outcome = result.unavailable.length === 0 ? 'complete' : 'partial'
      metrics.count('icp_agent_attestations_total', { outcome })
      metrics.observe('icp_agent_attestation_seconds', result.ms / 1000)
      for (const observer of observers)
        observer.workloadAttested?.(caller, result.ms, outcome === 'complete' ? 'ok' : outcome)
      log.debug('Workload attested', {
        ...named(caller),
        selectors: Object.fromEntries(result.selectors),
        unavailable: result.unavailable,
        duration_ms: Math.round(result.ms * 10) / 10,
      })
    },

    attestationFailed(caller: CallerIds, error: AgentError, ms: number): void {
      metrics.count('icp_agent_attestations_total', { outcome: error.code })
      metrics.observe('icp_agent_attestation_seconds', ms / 1000)
      for (const observer of observers) observer.workloadAttested?.(caller, ms, error.code)
      log.debug('Workload attestation failed', { ...named(caller), error })
    },

    /** An attestor threw or exceeded the deadline: its selectors are unavailable until it answers again. */
    attestorFailed(name: string, error: unknown, asked?: Asked): void {
      if (asked) for (const observer of observers) observer.attestorAsked?.(asked.caller, name, asked.ms, codeOf(error))
      const said = attestors.get(name) ?? attestor()
      attestors.set(name, said)
      said.failed(error, { attestor: name })
    },

    attestorAnswered(name: string, asked?: Asked): void {
      if (asked) for (const observer of observers) observer.attestorAsked?.(asked.caller, name, asked.ms, 'ok')
      attestors.get(name)?.succeeded({ attestor: name })
    },

    /** Every user of the node can obtain the SVID of this entry. */
    digestAlone(entryId: string, spiffeId: string): void {
      log.warn('Entry requires unix:sha256 but neither a user nor a container', {
        entry_id: entryId,
        spiffe_id: spiffeId,
        consequence: 'every user of the node can obtain its identity: a digest says what was run, not by whom',
        remedy: 'add unix:uid to the selectors of the entry, or selectors of a container or pod',
      })
    },

    /** A read of an executable does not return, because its file system hangs. */
    digestStuck(device: string, abandoned: number): void {
      log.at(stuck ? 'debug' : 'warn', 'Reading an executable hangs; not reading from its device for a while', {
        device,
        abandoned,
      })
      stuck = true
    },

    /** The thread that reads executables ended by itself (out of memory); the next request starts another one. */
    digestThreadDied(error: unknown): void {
      log.error('The thread that reads executables failed', { error })
    },

    digestWorks(): void {
      if (stuck) log.info('Executables are read again')
      stuck = false
    },
  }
}

export type CallerEvents = ReturnType<typeof callerEvents>
