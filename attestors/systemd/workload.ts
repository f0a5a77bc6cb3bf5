import type { AttestorResult, Note, WorkloadAttestor } from '../../agent/attestation/attestor.js'
import type { Caller } from '../../agent/attestation/caller.js'
import { AgentError, messageOf } from '../../agent/errors.js'
import type { Files } from '../../agent/ports/files.js'
import type { Fragments } from './fragments.js'
import { unitOf } from './unit-of.js'

export interface SystemdWorkloadOptions {
  readonly files: Pick<Files, 'read'>
  readonly fragments: Pick<Fragments, 'of'>
}

const NAME = 'systemd'
/** The manager's own control group shows the root of its groups. */
const MANAGER_CGROUP = '/proc/1/cgroup'
const MAX_CGROUP_BYTES = 65_536

/** Selectors of a process's unit of the system manager, never of a user's manager. docs/attestors/systemd.md */
export class SystemdWorkloadAttestor implements WorkloadAttestor {
  readonly name = NAME
  readonly platforms = [NAME]
  #manager: string | null = null

  constructor(private readonly options: SystemdWorkloadOptions) {}

  /** Throws `caller.exited` if the process exits meanwhile. */
  async attest({ process }: Caller, signal: AbortSignal): Promise<AttestorResult> {
    const selectors = new Map<string, string>()
    const notes: Note[] = []
    const result = (unavailable: readonly string[], text: string): AttestorResult => {
      notes.push({ attestor: NAME, text })
      return { selectors, unavailable, notes }
    }
    const cgroup = process.read('cgroup')
    const manager = await this.#managerCgroup()
    if (manager instanceof AgentError) return result([NAME], `no unit: ${messageOf(manager)}`)
    const found = unitOf(cgroup, manager)
    if (found.kind === 'none') return result([], `no unit: ${found.why}`)

    const { unit } = found
    const fragment = await this.options.fragments.of(unit, signal)
    if (fragment.kind === 'foreign') return result([], `${unit.id} left out: ${fragment.why}`)
    selectors.set('systemd:id', unit.id)
    selectors.set('systemd:slice', unit.slice)
    notes.push({ attestor: NAME, text: `unit ${unit.id} in ${unit.slice}, by its control group` })
    if (fragment.kind !== 'known') {
      const unavailable = fragment.kind === 'unknown' ? [NAME] : []
      return result(unavailable, `systemd:fragment-path ${fragment.kind}: ${fragment.why}`)
    }
    selectors.set('systemd:fragment-path', fragment.path)
    selectors.set('systemd:fragment_path', fragment.path)
    return { selectors, unavailable: [], notes }
  }

  /** Cached, because the manager's group does not change while the machine runs. */
  async #managerCgroup(): Promise<string | AgentError> {
    try {
      this.#manager ??=
        (await this.options.files.read(MANAGER_CGROUP, { maxBytes: MAX_CGROUP_BYTES }))?.toString() ?? null
      return this.#manager ?? new AgentError('platform.unavailable', `there is no ${MANAGER_CGROUP}`)
    } catch (error) {
      if (error instanceof AgentError) return error
      throw error
    }
  }
}
