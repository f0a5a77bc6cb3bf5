import type { Clock } from '../ports/clock.js'

/** How long threads may take to end. */
const GRACE_MS = 1_000
const LOOK_MS = 20

/**
 * Disposed last, after everything else has been stopped: waits a moment for threads to end, and reports those that hang in
 * a system call (a dead file system of an executable, of the agent's data or of its log). Node waits for every thread, so
 * the process could not end.
 */
export function afterThreads(threads: () => number, clock: Clock, hang: (threads: number) => void): AsyncDisposable {
  return { [Symbol.asyncDispose]: () => threadsEnd(threads, clock, hang) }
}

export async function threadsEnd(threads: () => number, clock: Clock, hang: (threads: number) => void): Promise<void> {
  const until = clock.monotonic() + GRACE_MS
  while (threads() > 0 && clock.monotonic() < until) await clock.sleep(LOOK_MS)
  if (threads() > 0) hang(threads())
}
