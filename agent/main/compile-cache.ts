import { lstatSync, mkdirSync } from 'node:fs'
import module from 'node:module'

/** Since Node 22.1. */
const { enableCompileCache } = module as { readonly enableCompileCache?: (folder: string) => unknown }

/**
 * Lets Node cache compiled code in a folder for the next start (decision 0027). The content of the folder runs as code, so
 * it is used only if it belongs to the user of this process and no other user may enter it. Nothing is cached if the folder
 * cannot be created (installed by another user, read-only file system) or Node has no such cache (20).
 */
export function keepCompiled(folder: string, enable = enableCompileCache): void {
  if (enable && ownFolder(folder)) enable(folder)
}

function ownFolder(folder: string): boolean {
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch {
    // It exists, or cannot be created.
  }
  const found = lstatSync(folder, { throwIfNoEntry: false })
  return found?.isDirectory() === true && found.uid === process.geteuid?.() && (found.mode & 0o077) === 0
}
