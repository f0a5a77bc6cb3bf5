import { type Caller, sameExecutable } from '../attestation/caller.js'
import { AgentError } from '../errors.js'
import { numbersOf } from '../lib/proc-texts.js'
import type { ExecutableId } from '../ports/kernel.js'

/**
 * Checks that the process is still the one that connected: alive, with the same executable, and with all four user and
 * group ids (real, effective, saved, file system) equal to those that the kernel gave for the connection. Returns null, or
 * `caller.exited`, `caller.executable_changed`, `caller.ids_changed`, or `caller.unidentified` if it cannot be read now.
 * Takes some 20 µs and never waits.
 */
export function stillItself(caller: Caller): AgentError | null {
  const { process, pid } = caller
  try {
    if (!process.alive()) return new AgentError('caller.exited', `process ${pid} has ended`)
    const executable = process.executable()
    if (executable === null && caller.executable !== null) {
      // A setuid program cannot be read by an ordinary user, but its changed ids show that it is another program.
      return sameIds(caller, process.read('status')) ?? hiddenNow(pid)
    }
    if (!sameFile(executable, caller.executable)) {
      return new AgentError(
        'caller.executable_changed',
        `process ${pid} runs another program than when it connected; it must connect again`,
      )
    }
    return sameIds(caller, process.read('status'))
  } catch (error) {
    if (error instanceof AgentError) return error
    throw error
  }
}

function hiddenNow(pid: number): AgentError {
  return new AgentError(
    'caller.unidentified',
    `the program of process ${pid} was seen when it connected and cannot be seen now (SYS_PTRACE)`,
  )
}

function sameFile(a: ExecutableId | null, b: ExecutableId | null): boolean {
  if (a === null || b === null) return a === b
  return sameExecutable(a, b)
}

function sameIds({ pid, uid, gid }: Caller, status: string): AgentError | null {
  const uids = numbersOf(status, 'Uid')
  const gids = numbersOf(status, 'Gid')
  if (uids.length !== 4 || gids.length !== 4) {
    return new AgentError('caller.unidentified', `/proc/${pid}/status does not show the ids of the process`)
  }
  if (uids.every((id) => id === uid) && gids.every((id) => id === gid)) return null
  return new AgentError(
    'caller.ids_changed',
    `process ${pid} connected as user ${uid}, group ${gid}, and now has ids ${uids.join('/')}, ${gids.join('/')} (real/effective/saved/file system); a process with mixed ids gets no identity`,
  )
}
