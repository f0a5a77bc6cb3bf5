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

/** Puts a symlink in the place of whatever the name stood for, in one step. */
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

/** Removes a directory of ours with the files in it; nothing where it is gone or somebody else's. */
export function removeGeneration(base: string, name: string): void {
  let fd: number
  try {
    fd = openSync(join(base, name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  } catch (error) {
    if (errnoOf(error) === null) throw error
    // Gone, or not ours to look into.
    return
  }
  try {
    // Somebody else's directory of such a name is theirs.
    if (fstatSync(fd).uid !== self().uid) return
    emptyGeneration(fd)
    rmdirSync(join(base, name))
  } catch (error) {
    // Litter, not a fault: it is tried again with the next generation.
    if (errnoOf(error) === null) throw error
  } finally {
    closeSync(fd)
  }
}

/** Removes the files of a directory that is open; it has no directories in it. */
export function emptyGeneration(fd: number): void {
  const place = `/proc/self/fd/${fd}`
  for (const name of readdirSync(place)) remove(place, name)
}

/** No error where there is nothing to remove. */
export function remove(base: string, name: string): void {
  try {
    unlinkSync(join(base, name))
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
}

/** What is there, a symlink as such; null: nothing. */
export function statAt(base: string, name: string): Stats | null {
  try {
    return lstatSync(join(base, name))
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null
    throw error
  }
}

/** Where a symlink leads; null for what is none. */
export function linkAt(base: string, name: string): string | null {
  try {
    return readlinkSync(join(base, name))
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'EINVAL') return null
    throw error
  }
}
