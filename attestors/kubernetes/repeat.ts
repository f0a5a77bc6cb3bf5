import { AgentError } from '../../agent/errors.js'
import { delay } from '../../agent/lib/backoff.js'
import { sleepUnlessAborted } from '../../agent/lib/sleep.js'
import type { Clock } from '../../agent/ports/clock.js'
import type { Random } from '../../agent/ports/random.js'
import { retryAfterOf } from './api-errors.js'

/** Half a second to a second after the first failure, and at most half a minute. */
const BACKOFF = { baseMs: 1_000, capMs: 30_000 }
const MAX_RETRY_AFTER_MS = 5 * 60_000

export interface Repeat {
  readonly clock: Clock
  readonly random: Random
  /** An AgentError ended a round. The next one follows after a growing wait, or the server's Retry-After. */
  failed(error: AgentError): void
}

/** Runs rounds until the signal aborts; then it resolves. Rejects only on a defect. */
export async function repeat(
  { clock, random, failed }: Repeat,
  signal: AbortSignal,
  round: () => Promise<void>,
): Promise<void> {
  let failures = 0
  while (!signal.aborted) {
    try {
      await round()
      failures = 0
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof AgentError)) throw error
      failures++
      failed(error)
      const asked = Math.min(retryAfterOf(error), MAX_RETRY_AFTER_MS)
      await sleepUnlessAborted(clock, Math.max(asked, delay(failures, BACKOFF, random.fraction())), signal)
    }
  }
}
