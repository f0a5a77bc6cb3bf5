import { lstat, readdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Config } from '../config/config.js'
import { unlessAborted } from '../lib/abort.js'
import { secondsOf } from '../lib/time.js'
import type { Log } from '../observability/log.js'
import type { Clock } from '../ports/clock.js'

/** A disk that has not answered for so long is named. */
export const DISK_PATIENCE_MS = 5_000

interface Waiting {
  readonly clock: Pick<Clock, 'after' | 'monotonic'>
  readonly log: Pick<Log, 'warn' | 'info'>
  /** Tries what makes a system call wait there; what it comes to does not matter. */
  readonly look?: (directory: string) => Promise<unknown>
}

/** Where the start reads and makes names, and which setting says so. */
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
 * Waits until the disk of each directory answers, and says after some seconds for which: what follows at the start makes
 * and opens names at once, and on a disk that hangs the whole process would wait without a word. Rejects with the reason
 * of the signal; the thread that hangs goes on.
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
    // It answers. Whoever uses the directory says what is wrong with it.
  }
}
