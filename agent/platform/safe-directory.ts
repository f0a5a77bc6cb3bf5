import {
  chmodSync,
  constants,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  type Stats,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { AgentError, messageOf } from '../errors.js'

const WRITABLE_BY_OTHERS = 0o022
const STICKY = 0o1000
/** As the kernel counts before ELOOP. */
const MAX_LINKS = 40

export interface SafeDirectory {
  /** Opened; the caller closes it. */
  readonly fd: number
  /** The mode before it was tightened, or null. */
  readonly tightenedFrom: number | null
}

/**
 * Opens a directory in which nobody but this user and root can replace a name, and creates it (0755) and its ancestors
 * where they are missing. One of ours that others can write to is tightened, unless it is sticky: then it is shared on
 * purpose. Throws `file.unsafe`, `file.io`.
 */
export function openSafeDirectory(path: string): SafeDirectory {
  return failing(path, () => {
    const real = walk(path)
    const fd = openSync(real, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
    const { mode, uid } = fstatSync(fd)
    if (!isTrusted(uid)) throw unsafe(path, `belongs to user ${uid}, who could replace the socket`, 'chown it')
    if ((mode & WRITABLE_BY_OTHERS) === 0) return { fd, tightenedFrom: null }
    if (uid !== process.geteuid?.() || mode & STICKY) {
      throw unsafe(path, `is writable by others (${octal(mode)})`, 'use a directory of its own, mode 0755')
    }
    fchmodSync(fd, mode & 0o7777 & ~WRITABLE_BY_OTHERS)
    return { fd, tightenedFrom: mode & 0o7777 }
  })
}

/** Goes down from the root, looks at every directory on the way, makes what is missing and returns the real path. */
function walk(path: string): string {
  const names = resolve(path).split('/').filter(Boolean)
  let here = '/'
  let links = 0
  checkAncestor(here)
  for (let name = names.shift(); name !== undefined; name = names.shift()) {
    const next = join(here, name)
    const stat = look(next) ?? make(next)
    // A sticky directory lets anybody add names: what they added is theirs, and they may change it.
    if (!isTrusted(stat.uid)) throw unsafe(next, `belongs to user ${stat.uid}`, 'chown it')
    if (stat.isSymbolicLink()) {
      if (++links > MAX_LINKS) throw unsafe(path, 'has too many symlinks', 'remove the loop')
      const target = resolve(dirname(next), readlinkSync(next))
      names.unshift(...target.split('/').filter(Boolean))
      here = '/'
      continue
    }
    if (!stat.isDirectory()) throw unsafe(next, 'is no directory', 'remove it or choose another path')
    here = next
    if (names.length > 0) checkAncestor(here)
  }
  return here
}

/** Whoever can write to an ancestor can rename what is below it, unless it is sticky. */
function checkAncestor(path: string): void {
  const { mode, uid } = lstatSync(path)
  if (!isTrusted(uid)) throw unsafe(path, `belongs to user ${uid}, who could rename what is below it`, 'chown it')
  if (mode & WRITABLE_BY_OTHERS && !(mode & STICKY)) {
    throw unsafe(path, `is writable by others (${octal(mode)})`, `chmod go-w ${path}`)
  }
}

function look(path: string): Stats | null {
  return lstatSync(path, { throwIfNoEntry: false }) ?? null
}

function make(path: string): Stats {
  mkdirSync(path, 0o755)
  // The umask may have taken the right to connect from others.
  chmodSync(path, 0o755)
  return lstatSync(path)
}

function isTrusted(uid: number): boolean {
  return uid === 0 || uid === process.geteuid?.()
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0')
}

function unsafe(path: string, why: string, remedy: string): AgentError {
  return new AgentError('file.unsafe', `${path} ${why}; ${remedy}`)
}

function failing<T>(path: string, run: () => T): T {
  try {
    return run()
  } catch (cause) {
    if (cause instanceof AgentError) throw cause
    throw new AgentError('file.io', `the directory ${path} cannot be used (${messageOf(cause)})`, { cause })
  }
}
