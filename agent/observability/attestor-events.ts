import type { Sinks } from './events.js'

/** The status of one workload attestor. */
export interface AttestorStatus {
  /** `unix`, `docker`, `kubernetes`, `systemd`. */
  readonly name: string
  /** Its platform exists on this machine, so it is asked; also while the platform does not answer. */
  readonly active: boolean
  /** A text for people: which platform it asks, or why it is off. */
  readonly reason: string
}

/** Which workload attestors are on, and why the others are off; logged at the start and at each change. */
export const attestorEvents = ({ log }: Pick<Sinks, 'log'>) => {
  const statuses = new Map<string, AttestorStatus>()
  return {
    /** Logs changes only, so it may be called at any time. */
    reportStatus(name: string, active: boolean, reason: string): void {
      const before = statuses.get(name)
      if (before?.active === active && before.reason === reason) return
      statuses.set(name, { name, active, reason })
      const level = before?.active === active ? 'debug' : 'info'
      log.at(level, active ? 'Workload attestor is on' : 'Workload attestor is off', { attestor: name, reason })
    },
    /** In the order in which they were first reported. */
    statuses: (): readonly AttestorStatus[] => [...statuses.values()],
  }
}

export type AttestorEvents = ReturnType<typeof attestorEvents>
