import type { Caller } from '../../agent/attestation/caller.js'
import { AgentError } from '../../agent/errors.js'
import { containerOf } from './cgroup.js'

/**
 * Whom a connection counts against: `container:ID`, else `uid:N`. By the control group alone, some 20 µs. A container
 * counts only where nobody but root can have made its group, or a user could have a limit for each name he invents.
 *
 * `own`: the text of the agent's own `/proc/self/cgroup`.
 */
export function subjectOf({ uid, process }: Pick<Caller, 'uid' | 'process'>, own: string): string {
  try {
    const found = containerOf(process.read('cgroup'), own)
    if (found.kind === 'container' && found.container.madeByRoot) return `container:${found.container.containerId}`
  } catch (error) {
    // The process has ended; its connection ends by itself.
    if (!(error instanceof AgentError)) throw error
  }
  return `uid:${uid}`
}
