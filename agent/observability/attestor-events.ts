import type { Sinks } from './events.js'

/** How it stands with one workload attestor. */
export interface AttestorStanding {
  /** `unix`, `docker`, `kubernetes`, `systemd`. */
  readonly name: string
  /** Its platform is here, so it is asked; also while the platform does not answer. */
  readonly active: boolean
  /** In words for a person: what it asks, or why it is off. */
  readonly reason: string
}

/** Which workload attestors are on, and why the others are off: said at the start and at each change. */
export const attestorEvents = ({ log }: Pick<Sinks, 'log'>) => {
  const standings = new Map<string, AttestorStanding>()
  return {
    /** Costs nothing to say again and again. */
    stands(name: string, active: boolean, reason: string): void {
      const before = standings.get(name)
      if (before?.active === active && before.reason === reason) return
      standings.set(name, { name, active, reason })
      const level = before?.active === active ? 'debug' : 'info'
      log.at(level, active ? 'Workload attestor is on' : 'Workload attestor is off', { attestor: name, reason })
    },
    /** In the order in which they were first told of. */
    standings: (): readonly AttestorStanding[] => [...standings.values()],
  }
}

export type AttestorEvents = ReturnType<typeof attestorEvents>
