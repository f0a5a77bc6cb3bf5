import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  type Stats,
  symlinkSync,
  unlinkSync,
} from 'node:fs'
import { join } from 'node:path'
import { self, syncDirectory } from './directory.js'
import { errnoOf } from './io-error.js'

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants

/** Replaces whatever is at the name by a symlink, atomically. */
export function replaceLink(base: string, name: string, target: string): void {
  const temporary = join(base, `..tmp.${randomBytes(8).toString('hex')}`)
  symlinkSync(target, temporary)
  try {
    renameSync(temporary, join(base, name))
  } catch (error) {
    unlinkSync(temporary)
    throw error
  }
  syncDirectory(base)
}

/** Removes a directory of ours with its files; does nothing if it is gone or belongs to another user. */
export function removeGeneration(base: string, name: string): void {
  let fd: number
  try {
    fd = openSync(join(base, name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  } catch (error) {
    if (errnoOf(error) === null) throw error
    // It is gone, or we may not open it.
    return
  }
  try {
    // A directory of another user is not touched.
    if (fstatSync(fd).uid !== self().uid) return
    emptyGeneration(fd)
    rmdirSync(join(base, name))
  } catch (error) {
    // A leftover is harmless, and is removed with the next generation.
    if (errnoOf(error) === null) throw error
  } finally {
    closeSync(fd)
  }
}

/** Removes the files of an open directory, which contains no directories. */
export function emptyGeneration(fd: number): void {
  const place = `/proc/self/fd/${fd}`
  for (const name of readdirSync(place)) remove(place, name)
}

/** No error if there is nothing to remove. */
export function remove(base: string, name: string): void {
  try {
    unlinkSync(join(base, name))
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
}

/** `lstat`; null if there is nothing. */
export function statAt(base: string, name: string): Stats | null {
  try {
    return lstatSync(join(base, name))
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null
    throw error
  }
}

/** The target of a symlink; null if it is not one. */
export function linkAt(base: string, name: string): string | null {
  try {
    return readlinkSync(join(base, name))
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'EINVAL') return null
    throw error
  }
}
