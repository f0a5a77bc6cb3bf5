import { type AgentError, codeOf, messageOf } from '../errors.js'
import type { Selectors } from '../identity/selector.js'
import type { Sinks } from './events.js'

/** Who called, as far as a log line needs it. */
interface CallerFields {
  readonly pid: number
  readonly uid: number
  readonly gid: number
}

const named = ({ pid, uid, gid }: CallerFields) => ({ pid, uid, gid })

/** What happens around connections and the attestation of their callers. */
export const callerEvents = ({ log, metrics }: Sinks) => {
  const repeated = new Map<string, number>()
  /** A repeating failure is said once: warn at first, debug while it lasts. */
  const once = (key: string, event: string, fields: Readonly<Record<string, unknown>>): void => {
    const times = (repeated.get(key) ?? 0) + 1
    repeated.set(key, times)
    if (times === 1) log.warn(event, fields)
    else log.debug(event, { ...fields, times })
  }
  /** …and info when it ends. */
  const over = (key: string, event: string, fields: Readonly<Record<string, unknown>> = {}): void => {
    const times = repeated.get(key)
    if (times === undefined) return
    repeated.delete(key)
    log.info(event, { ...fields, times })
  }
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

    /** The kernel could not hand over a connection (mostly: no file descriptors left). */
    acceptFailed(error: unknown): void {
      metrics.count('icp_agent_connections_refused_total', { reason: 'accept_failed' })
      once('accept', 'Accepting a connection failed', { error: messageOf(error) })
    },

    accepted(): void {
      over('accept', 'Accepting connections works again')
    },

    /** A connection was refused or dropped by the agent. */
    connectionClosed(reason: string, connection: string, caller: CallerFields | null): void {
      metrics.count('icp_agent_connections_refused_total', { reason })
      log.debug('Connection closed by the agent', { reason, connection, ...(caller && named(caller)) })
    },

    /** The kernel did not say who is calling; the call gets an error status. */
    unidentified(error: AgentError, connection: string): void {
      const { reason } = error.details
      const fields = { code: error.code, error: error.message, connection }
      // Whoever connects and ends at once is no trouble of the node's.
      if (reason === 'ending') log.debug('Caller not identified', fields)
      else once(typeof reason === 'string' ? `${error.code} ${reason}` : error.code, 'Caller not identified', fields)
    },

    /** A defect of ours while a connection was taken over; it is closed. */
    consumerFailed(error: unknown, connection: string): void {
      log.error('A connection could not be taken over', { connection, code: codeOf(error), error: messageOf(error) })
    },

    attested(
      caller: CallerFields,
      result: { readonly facts: Selectors; readonly missing: readonly string[]; readonly ms: number },
    ): void {
      const outcome = result.missing.length === 0 ? 'complete' : 'partial'
      metrics.count('icp_agent_attestations_total', { outcome })
      metrics.observe('icp_agent_attestation_seconds', result.ms / 1000)
      log.debug('Workload attested', {
        ...named(caller),
        selectors: Object.fromEntries(result.facts),
        missing: result.missing,
        duration_ms: Math.round(result.ms * 10) / 10,
      })
    },

    attestationFailed(caller: CallerFields, error: AgentError, ms: number): void {
      metrics.count('icp_agent_attestations_total', { outcome: error.code })
      metrics.observe('icp_agent_attestation_seconds', ms / 1000)
      log.debug('Workload attestation failed', { ...named(caller), code: error.code, error: error.message })
    },

    /** An attestor threw or overran the deadline: what it speaks for is unknown until it answers again. */
    attestorFailed(attestor: string, error: unknown): void {
      once(`attestor ${attestor}`, 'Workload attestor failed', {
        attestor,
        code: codeOf(error),
        error: messageOf(error),
      })
    },

    attestorAnswered(attestor: string): void {
      over(`attestor ${attestor}`, 'Workload attestor answers again', { attestor })
    },

    /** An entry whose identity every user of the node can have. */
    digestAlone(entryId: string, spiffeId: string): void {
      log.warn('Entry asks for unix:sha256 and neither for a user nor for a container', {
        entry_id: entryId,
        spiffe_id: spiffeId,
        consequence: 'every user of the node can obtain its identity: a digest says what was run, not by whom',
        remedy: 'add unix:uid to the selectors of the entry, or selectors of a container or pod',
      })
    },

    /** Reading an executable does not come to an end: its file system hangs. */
    digestStuck(device: string, abandoned: number): void {
      once('digest', 'Reading an executable hangs; its device is left alone for a while', { device, abandoned })
    },

    /** The thread that reads executables ended by itself (out of memory); the next request starts another one. */
    digestThreadDied(error: unknown): void {
      log.error('The thread that reads executables failed', { error: messageOf(error) })
    },

    digestWorks(): void {
      over('digest', 'Executables are read again')
    },
  }
}

export type CallerEvents = ReturnType<typeof callerEvents>
