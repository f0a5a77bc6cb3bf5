import type { Caller } from '../../agent/attestation/caller.js'
import { AgentError } from '../../agent/errors.js'
import { containerOf } from './cgroup.js'

/**
 * The subject of a connection: `container:ID`, else `uid:N`. By the control group alone, some 20 µs. A container is used
 * only if only root can have created its group; otherwise a user could get a limit for each invented name.
 *
 * `own`: the text of the agent's own `/proc/self/cgroup`.
 */
export function subjectOf({ uid, process }: Pick<Caller, 'uid' | 'process'>, own: string): string {
  try {
    const found = containerOf(process.read('cgroup'), own)
    if (found.kind === 'container' && found.container.madeByRoot) return `container:${found.container.containerId}`
  } catch (error) {
    // The process has exited, and its connection ends by itself.
    if (!(error instanceof AgentError)) throw error
  }
  return `uid:${uid}`
}
