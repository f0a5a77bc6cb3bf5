import type { Clock } from '../ports/clock.js'

/** Sleeps; returns early when the signal aborts, without an error: for loops that look at the signal anyway. */
export async function sleepUnlessAborted(clock: Pick<Clock, 'sleep'>, ms: number, signal: AbortSignal): Promise<void> {
  await endedByAbort(clock.sleep(ms, signal), signal)
}

/**
 * Sleeps until `left` (milliseconds, asked again after every wake) says 0 or less, also where sleepers are woken early.
 * Rejects with the signal's reason.
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

/** Waits for something that an aborted signal ends by a rejection, and swallows that rejection alone. */
export async function endedByAbort(work: Promise<void>, signal: AbortSignal): Promise<void> {
  try {
    await work
  } catch (error) {
    if (!signal.aborted) throw error
  }
}
