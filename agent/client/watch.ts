import type { AgentError } from '../errors.js'
import { sleepUnlessAborted } from '../lib/sleep.js'
import type { Clock } from '../ports/clock.js'
import { mayPass } from './call-error.js'

/** A watch has lost its stream and opens another one. */
export interface Retry {
  readonly error: AgentError
  /** The wait before that, in milliseconds. */
  readonly delayMs: number
  /** Number of consecutive failures, from 1. */
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
 * Every value of a stream that is reopened when it fails or ends, after a wait that grows by 1 s per consecutive failure up
 * to 30 s. Ends without an error when the signal aborts; throws permanent errors (`request.invalid`,
 * `client.unimplemented`).
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
