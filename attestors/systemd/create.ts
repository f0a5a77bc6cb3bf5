import { AgentError, messageOf } from '../../agent/errors.js'
import type { AttestorEvents } from '../../agent/observability/attestor-events.js'
import type { Clock } from '../../agent/ports/clock.js'
import type { Files } from '../../agent/ports/files.js'
import { WhenPresent } from '../when-present.js'
import { Fragments } from './fragments.js'
import { askManager } from './manager-bus.js'
import { SystemdWorkloadAttestor } from './workload.js'

export interface SystemdWorkloadsOptions {
  readonly files: Pick<Files, 'read' | 'list'>
  readonly clock: Clock
  readonly events: Pick<AttestorEvents, 'reportStatus'>
  /** The path of the host's root: empty, or `/proc/1/root`. */
  readonly root: string
}

/** The attestor of systemd units; it is on if systemd runs the machine. */
export function systemdWorkloads({ files, clock, events, root }: SystemdWorkloadsOptions): WhenPresent {
  const ask = askManager(`${root}/run/dbus/system_bus_socket`)
  return new WhenPresent({
    attestor: new SystemdWorkloadAttestor({ files, fragments: new Fragments({ ask, clock }) }),
    absence: () => absence(files, root),
    asks: 'systemd runs this machine',
    clock,
    events,
  })
}

/** sd_booted(3): systemd runs the machine if `/run/systemd/system` exists. */
async function absence(files: Pick<Files, 'list'>, root: string): Promise<string | null> {
  try {
    const names = await files.list(`${root}/run/systemd`)
    return names.includes('system') ? null : `systemd does not run this machine: there is no ${root}/run/systemd/system`
  } catch (error) {
    if (error instanceof AgentError) return `cannot determine whether systemd runs this machine: ${messageOf(error)}`
    throw error
  }
}
