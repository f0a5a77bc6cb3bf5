import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { AgentError } from '../errors.js'
import { holdDirectory, type Self, self } from './directory.js'
import { ioError } from './io-error.js'

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants
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
