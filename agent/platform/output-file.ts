import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import type { OutputFile } from '../ports/generations.js'
import { errnoOf } from './io-error.js'

/** Whether a path is a regular file of exactly this content, mode and owner; `group` null: any group. */
export function holds(
  path: string,
  { content, mode }: OutputFile,
  { owner, group }: { readonly owner: number; readonly group: number | null },
): boolean {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if (errnoOf(error) === null) throw error
    return false
  }
  try {
    const stat = fstatSync(fd)
    if (!stat.isFile() || (stat.mode & 0o7777) !== mode || stat.uid !== owner) return false
    if ((group !== null && stat.gid !== group) || stat.size !== content.length) return false
    return readFileSync(fd).equals(content)
  } finally {
    closeSync(fd)
  }
}
