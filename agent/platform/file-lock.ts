import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { AgentError, messageOf } from '../errors.js'
import { identityOf } from './file-identity.js'
import { type Libc, loadLibc } from './koffi-libc.js'

export interface HeldLock extends Disposable {
  readonly path: string
  /** Of the file that is held, as `Files.identity` gives it for a name. */
  readonly identity: string
}

/**
 * Holds a lock file for as long as the process lives, or until disposed: the kernel lets go of it however the process
 * ends, so no stale lock is ever left. The file stays (removing it would let two hold locks of the same name).
 * Throws `agent.already_running`, `file.io` (also where a symlink is in its place).
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
