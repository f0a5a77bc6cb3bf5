import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { AgentError } from '../errors.js'
import { holdDirectory, type Self, self } from './directory.js'
import { ioError } from './io-error.js'

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants
const APPEND = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK
/** Log readers may be members of the group; the file itself is for its owner. */
const DIRECTORY_MODE = 0o750
const FILE_MODE = 0o600

/**
 * Opens the log file for appending and returns its descriptor: a regular file, never through a symlink, 0600 if it is new.
 * Creates missing directories. Errors: `file.unsafe` if others can write to the directory, or to an ancestor (a group
 * may: `/var/log` on Ubuntu), or if it is not a regular file; `file.io`.
 */
export function openLogFile(path: string, me: Self = self()): number {
  using directory = holdDirectory(dirname(resolve(path)), { mode: DIRECTORY_MODE, groupsAbove: true }, me)
  try {
    const fd = openSync(directory.inside(basename(path)), APPEND, FILE_MODE)
    if (fstatSync(fd).isFile()) return fd
    closeSync(fd)
  } catch (error) {
    throw ioError('open', path, error)
  }
  throw new AgentError('file.unsafe', `${path} is not a regular file; name one that is, or that is missing`)
}
