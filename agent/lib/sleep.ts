import type { Clock } from '../ports/clock.js'

/** Sleeps; returns early without an error when the signal aborts, for loops that check the signal. */
export async function sleepUnlessAborted(clock: Pick<Clock, 'sleep'>, ms: number, signal: AbortSignal): Promise<void> {
  await endedByAbort(clock.sleep(ms, signal), signal)
}

/**
 * Sleeps until `left()` (milliseconds, called again after every wake) is 0 or less, even if it is woken early. Rejects
 * with the signal's reason.
 */
export async function sleepOut(
  sleeper: { sleep(ms: number, signal: AbortSignal): Promise<void> },
  left: () => number,
  signal: AbortSignal,
): Promise<void> {
  for (let ms = left(); ms > 0; ms = left()) await sleeper.sleep(ms, signal)
}

/** Waits for the work, for so long at the most. Rejects as the work does while it is waited for. */
export async function atMost(clock: Pick<Clock, 'sleep'>, ms: number, work: Promise<void>): Promise<void> {
  const over = new AbortController()
  try {
    await Promise.race([work, sleepUnlessAborted(clock, ms, over.signal)])
  } finally {
    over.abort()
  }
}

/** Awaits the work, and ignores its rejection if the signal has aborted. */
export async function endedByAbort(work: Promise<void>, signal: AbortSignal): Promise<void> {
  try {
    await work
  } catch (error) {
    if (!signal.aborted) throw error
  }
}
