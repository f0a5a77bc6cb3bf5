import { createHash } from 'node:crypto'
import { AgentError } from '../errors.js'
import { sleepUnlessAborted } from '../lib/sleep.js'
import type { Clock } from '../ports/clock.js'
import type { Files } from '../ports/files.js'
import type { LiveConfig } from './live-config.js'

const LOOK_MS = 10_000
const MAX_BYTES = 1024 * 1024

/**
 * Reloads when the content of the file has changed, while `agent.watch_config` is on. Compares the content, not the times,
 * because a mounted ConfigMap is replaced through symlinks. An invalid file is tried once.
 */
export async function watchConfig(
  {
    live,
    path,
    files,
    clock,
    reload,
  }: {
    readonly live: LiveConfig
    readonly path: string | null
    readonly files: Pick<Files, 'read'>
    readonly clock: Pick<Clock, 'sleep'>
    readonly reload: () => Promise<unknown>
  },
  signal: AbortSignal,
): Promise<void> {
  let known: string | null = null
  while (!signal.aborted) {
    const wanted = path !== null && live.config.agent.watchConfig
    const content: string | null = wanted ? await contentOf(path, files) : null
    if (known !== null && content !== null && content !== known) await reload()
    // A file that is missing for a moment is being replaced.
    known = wanted ? (content ?? known) : null
    await sleepUnlessAborted(clock, LOOK_MS, signal)
  }
}

/** Null if it cannot be read now. */
async function contentOf(path: string, files: Pick<Files, 'read'>): Promise<string | null> {
  try {
    const content = await files.read(path, { maxBytes: MAX_BYTES })
    return content === null ? null : createHash('sha256').update(content).digest('hex')
  } catch (error) {
    if (error instanceof AgentError) return null
    throw error
  }
}
