import type { AgentError } from '../errors.js'
import { sleepUnlessAborted } from '../lib/sleep.js'
import type { Clock } from '../ports/clock.js'
import { mayPass } from './call-error.js'

/** A watch lost its stream and opens another one. */
export interface Retry {
  readonly error: AgentError
  /** How long it waits first, in milliseconds. */
  readonly delayMs: number
  /** Failures in a row, from 1. */
  readonly attempt: number
}

export interface WatchOptions {
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly onRetry?: ((retry: Retry) => void) | undefined
}

const STEP_MS = 1_000
/** The longest wait between two attempts. */
export const MAX_DELAY_MS = 30_000

/**
 * Every value of a stream that is reopened when it fails or ends, after 1 s more for each failure in a row, up to
 * 30 s. What was received last stays in force meanwhile. Ends quietly when the signal aborts; throws what can never
 * pass (`request.invalid`, `client.unimplemented`).
 */
export async function* watch<T>(open: () => AsyncGenerator<T>, options: WatchOptions): AsyncGenerator<T> {
  const { clock, signal, onRetry } = options
  let failures = 0
  while (!signal.aborted) {
    try {
      for await (const value of open()) {
        failures = 0
        yield value
      }
    } catch (error) {
      if (signal.aborted) return
      if (!mayPass(error)) throw error
      const delayMs = Math.min(MAX_DELAY_MS, ++failures * STEP_MS)
      onRetry?.({ error, delayMs, attempt: failures })
      await sleepUnlessAborted(clock, delayMs, signal)
    }
  }
}
