import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { AgentError, messageOf } from '../errors.js'
import { identityOf } from './file-identity.js'
import { type Libc, loadLibc } from './koffi-libc.js'

export interface HeldLock extends Disposable {
  readonly path: string
  /** The identity of the held file, in the form of `Files.identity`. */
  readonly identity: string
}

/**
 * Holds a lock file until disposal or the end of the process: the kernel releases it however the process ends, so that no
 * stale lock is left. The file is not removed, because two processes could then hold locks of the same name. Throws
 * `agent.already_running`, `file.io` (also for a symlink).
 */
export function holdLock(path: string, libc: Libc = loadLibc()): HeldLock {
  const fd = open(path)
  let held: boolean
  try {
    held = libc.lock(fd)
  } catch (cause) {
    closeSync(fd)
    throw new AgentError('file.io', `${path} cannot be locked (${messageOf(cause)})`, { cause })
  }
  if (!held) {
    closeSync(fd)
    throw new AgentError(
      'agent.already_running',
      `another agent holds ${path}; stop it, or give this one its own data_dir`,
    )
  }
  let open_ = true
  return {
    path,
    identity: identityOf(fstatSync(fd)),
    [Symbol.dispose]() {
      if (open_) closeSync(fd)
      open_ = false
    },
  }
}

function open(path: string): number {
  try {
    return openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
  } catch (cause) {
    throw new AgentError('file.io', `the lock file ${path} cannot be opened (${messageOf(cause)})`, { cause })
  }
}
