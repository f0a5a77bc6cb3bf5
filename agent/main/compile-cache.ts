import { lstatSync, mkdirSync } from 'node:fs'
import module from 'node:module'

/** Since Node 22.1. */
const { enableCompileCache } = module as { readonly enableCompileCache?: (folder: string) => unknown }

/**
 * Lets Node keep what it compiles in a folder, and take it from there at the next start (decision 0027). What is in the
 * folder runs as code: it is used only where it belongs to the user of this process and nobody else may enter it. Where it is
 * missing and cannot be made (installed by another user, a file system that is read-only) or Node has no such cache (20),
 * nothing is kept.
 */
export function keepCompiled(folder: string, enable = enableCompileCache): void {
  if (enable && ownFolder(folder)) enable(folder)
}

function ownFolder(folder: string): boolean {
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch {
    // It is there, or cannot be made.
  }
  const found = lstatSync(folder, { throwIfNoEntry: false })
  return found?.isDirectory() === true && found.uid === process.geteuid?.() && (found.mode & 0o077) === 0
}
