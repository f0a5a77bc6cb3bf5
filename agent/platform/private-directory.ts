import { closeSync, constants, fchmodSync, fstatSync, openSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../errors.js'
import { type Self, self } from './directory.js'

/** A directory that is, or was, accessible to others. */
interface OpenedToOthers {
  /** Its mode before; null where that could not be read. */
  readonly mode: number | null
  /** Why it stays accessible; null: it no longer is. */
  readonly reason: string | null
}

/** Knowledge about a directory that the disk does not have. */
interface Contents {
  /** Names of directories in it that are ours, whatever their mode. */
  readonly ours: readonly string[]
  /** Why others need access; null: they do not. */
  readonly forOthers: string | null
}

/**
 * Removes all permissions of others from a directory of ours; null if there are none, or the directory is not ours. A
 * directory with a subdirectory that others may enter is not the agent's alone (`/var/lib`), and is not changed. Never
 * throws.
 */
export function makePrivate(path: string, { ours, forOthers }: Contents, me: Self = self()): OpenedToOthers | null {
  let fd: number | null = null
  let mode: number | null = null
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
    const stat = fstatSync(fd)
    mode = stat.mode & 0o7777
    if (stat.uid !== me.uid || (mode & 0o077) === 0) return null
    const reason = forOthers ?? enterable(path, ours)
    if (reason === null) fchmodSync(fd, mode & 0o7700)
    return { mode, reason }
  } catch (error) {
    return { mode, reason: messageOf(error) }
  } finally {
    if (fd !== null) closeSync(fd)
  }
}

function enterable(path: string, ours: readonly string[]): string | null {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (!entry.isDirectory() || ours.includes(entry.name)) continue
    const inner = join(path, entry.name)
    if ((statSync(inner).mode & 0o055) !== 0) return `others may enter ${inner}, which is not the agent's`
  }
  return null
}
