import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { AgentError } from '../errors.js'
import { ensureDirectory, faultOfOwner, type Self, self, writableByOthers } from './directory.js'
import { ioError } from './io-error.js'

const { O_APPEND, O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants
const DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW
const APPEND = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK
/** Whoever reads logs may be let in by the group; the file itself is for its owner. */
const DIRECTORY_MODE = 0o750
const FILE_MODE = 0o600

/**
 * Opens the log file to append to it, and returns its descriptor: a regular file, never through a symlink, 0600 where
 * it is new; a directory that is missing is made, with what is missing above it. Errors: `file.unsafe` where others can
 * write to the directory, or anybody to one above it (a group may: `/var/log` on Ubuntu), and where it is no regular
 * file; `file.io`.
 */
export function openLogFile(path: string, me: Self = self()): number {
  const directory = dirname(resolve(path))
  ensureDirectory(directory, DIRECTORY_MODE, me, { groupsAbove: true })
  let held: number | null = null
  try {
    held = openSync(directory, DIRECTORY)
    return openIn(held, path, me)
  } catch (error) {
    throw ioError('open', path, error)
  } finally {
    if (held !== null) closeSync(held)
  }
}

/** Inside the directory that is held: its name may lead elsewhere by now. */
function openIn(directory: number, path: string, me: Self): number {
  const { uid, gid, mode } = fstatSync(directory)
  const part = { path: dirname(path), kind: 'directory', uid, gid, mode } as const
  if (faultOfOwner(part, me) !== null || writableByOthers(part, me)) {
    throw new AgentError('file.unsafe', `refusing ${part.path}: somebody put it there while it was looked at`)
  }
  const fd = openSync(`/proc/self/fd/${directory}/${basename(path)}`, APPEND, FILE_MODE)
  if (fstatSync(fd).isFile()) return fd
  closeSync(fd)
  throw new AgentError('file.unsafe', `${path} is not a regular file; set logging.file_path to one`)
}
