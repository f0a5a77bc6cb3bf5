import { realpathSync } from 'node:fs'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'

/**
 * The name in the directory through which the path leads; null where it lies elsewhere. Symlinks on the way to either are
 * followed (`/var/run`), as far as there is something; the last part of each counts as it is named.
 */
export function nameIn(directory: string, path: string): string | null {
  const [name] = relative(place(directory), place(path)).split(sep)
  return name === undefined || name === '' || name === '..' ? null : name
}

function place(path: string): string {
  const absolute = resolve(path)
  return join(followed(dirname(absolute)), basename(absolute))
}

/** What is missing, or cannot be looked at, is no symlink. */
function followed(directory: string): string {
  try {
    return realpathSync(directory)
  } catch (error) {
    const above = dirname(directory)
    if (above === directory) throw error
    return join(followed(above), basename(directory))
  }
}
