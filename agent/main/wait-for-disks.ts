import { lstat, readdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Config } from '../config/config.js'
import { unlessAborted } from '../lib/abort.js'
import { secondsOf } from '../lib/time.js'
import type { Log } from '../observability/log.js'
import type { Clock } from '../ports/clock.js'

/** A disk that has not answered for this time is logged. */
export const DISK_PATIENCE_MS = 5_000

interface Waiting {
  readonly clock: Pick<Clock, 'after' | 'monotonic'>
  readonly log: Pick<Log, 'warn' | 'info'>
  /** Runs a system call that waits for the disk; its result is ignored. */
  readonly look?: (directory: string) => Promise<unknown>
}

/** The directories that the start uses, each with its setting. */
export function directoriesOf({ agent, security, logging, audit }: Config): ReadonlyMap<string, string> {
  const named = new Map([[agent.dataDir, 'agent.data_dir']])
  const more = [
    [agent.socketPath, 'agent.socket_path'],
    [security.cachePath, 'security.cache_path'],
    [logging.filePath, 'logging.file_path'],
    [audit.path === 'stdout' ? null : audit.path, 'audit.path'],
  ] as const
  for (const [path, setting] of more) {
    if (path !== null && !named.has(dirname(path))) named.set(dirname(path), setting)
  }
  return named
}

/**
 * Waits until the disk of each directory answers, and after some seconds logs which one does not: the rest of the start
 * uses synchronous calls, which would block the whole process silently on a hanging disk. Rejects with the signal's reason;
 * a hanging thread continues.
 */
export async function waitForDisks(
  directories: ReadonlyMap<string, string>,
  { clock, log, look = lookAt }: Waiting,
  signal: AbortSignal,
): Promise<void> {
  for (const [path, setting] of directories) {
    const began = clock.monotonic()
    let said = false
    using _late = clock.after(DISK_PATIENCE_MS, () => {
      said = true
      log.warn('The start waits for a disk that does not answer', { path, waits_for: setting })
    })
    await unlessAborted(look(path), signal)
    if (!said) continue
    const after = secondsOf(clock.monotonic() - began)
    log.info('The disk answers; the start goes on', { path, after_seconds: after })
  }
}

async function lookAt(directory: string): Promise<void> {
  try {
    await lstat(directory)
    await readdir(directory)
  } catch {
    // The disk answers. The code that uses the directory reports its problems.
  }
}
