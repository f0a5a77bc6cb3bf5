import { realpathSync } from 'node:fs'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'

/**
 * The first name below the directory on the path; null if the path is elsewhere. Symlinks in existing parts of both are
 * followed (`/var/run`), but not in the last part of each.
 */
export function nameIn(directory: string, path: string): string | null {
  const [name] = relative(place(directory), place(path)).split(sep)
  return name === undefined || name === '' || name === '..' ? null : name
}

function place(path: string): string {
  const absolute = resolve(path)
  return join(followed(dirname(absolute)), basename(absolute))
}

/** Follows symlinks; a missing or unreadable path is returned unchanged. */
function followed(directory: string): string {
  try {
    return realpathSync(directory)
  } catch (error) {
    const above = dirname(directory)
    if (above === directory) throw error
    return join(followed(above), basename(directory))
  }
}
